"""Simulated pupils give back the angles they were drawn with; the real tracks pass and keep their gaps."""

import numpy as np
import pytest

from v1lib.align.eye import EyeCamera, calibrate_camera, eye_angles, fit_pupil, from_stored_angles
from v1lib.errors import InputError
from v1lib.readers.edge_points import open_edge_points

TRACKS = [f"ibl_pupil/5285c561-80da-4563-8694-739da92e5dd0.left.rng={number}.csv" for number in (0, 1)]
CAMERA = EyeCamera(320.0, 240.0, 120.0, 0)


def ellipse_points(x0, y0, long, short, angle, n=8):
    """Points on ellipses, each parameter (frame,); the formula of an ellipse and nothing else."""
    at = 0.3 + 2 * np.pi * np.arange(n) / n
    along, across = np.outer(long, np.cos(at)), np.outer(short, np.sin(at))
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return x0[:, None] + c * along - s * across, y0[:, None] + s * along + c * across


def pupil_points(theta, phi, radius=30.0, noise=0.0, n=8, seed=0):
    """Edge of a disc on a sphere seen from far away; radians, theta right and phi down in the image."""
    rng = np.random.default_rng(seed)
    gaze = np.stack([np.sin(theta), np.sin(phi) * np.cos(theta), np.cos(phi) * np.cos(theta)], axis=1)
    one = np.cross(gaze, [0.0, 1.0, 0.0])
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other = np.cross(gaze, one)
    at = 0.3 + 2 * np.pi * np.arange(n) / n
    edge = np.cos(at)[None, :, None] * one[:, None] + np.sin(at)[None, :, None] * other[:, None]
    points = CAMERA.scale * gaze[:, None] + radius * edge + noise * rng.normal(size=(len(gaze), n, 3))
    return points[..., 0] + CAMERA.center_x, points[..., 1] + CAMERA.center_y


def eye_path(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    return np.deg2rad(rng.normal(10, 14, n)), np.deg2rad(rng.normal(-8, 12, n))


def some_ellipses(n=500, seed=4):
    rng = np.random.default_rng(seed)
    long = rng.uniform(10, 60, n)
    return {
        "X0": rng.uniform(0, 640, n),
        "Y0": rng.uniform(0, 480, n),
        "longaxis": long,
        "shortaxis": long * rng.uniform(0.3, 0.95, n),
        "ellipse_phi": rng.uniform(-np.pi / 2, np.pi / 2, n),
    }


@pytest.mark.parametrize("n_points", [5, 8])
def test_points_on_an_ellipse_give_it_back(n_points):
    truth = some_ellipses()
    fitted = fit_pupil(*ellipse_points(*truth.values(), n=n_points))
    for name in ("X0", "Y0", "longaxis", "shortaxis"):
        np.testing.assert_allclose(fitted[name], truth[name], rtol=1e-5, atol=1e-4)
    difference = fitted["ellipse_phi"].values - truth["ellipse_phi"]
    np.testing.assert_allclose(np.sin(difference), 0, atol=1e-5)  # an axis has no head and tail
    assert set(fitted["shape"].values) == {"ellipse"}


def test_noisy_points_give_unbiased_centres():
    truth = some_ellipses(2000)
    truth["longaxis"][:], truth["shortaxis"][:] = 30, 24
    x, y = ellipse_points(*truth.values())
    rng = np.random.default_rng(0)
    fitted = fit_pupil(x + 0.5 * rng.normal(size=x.shape), y + 0.5 * rng.normal(size=y.shape))
    for name in ("X0", "Y0"):
        error = fitted[name].values - truth[name]
        # Eight points of 0.5 px: a centre as sure as a mean of them is 0.18 px off, a fitted one some more.
        assert error.std() < 0.35 and abs(error.mean()) < 4 * error.std() / np.sqrt(2000)


def test_four_points_get_level_axes_and_three_a_circle():
    truth = some_ellipses(50)
    truth["ellipse_phi"][:] = 0.0
    x, y = ellipse_points(*truth.values(), n=4)
    fitted = fit_pupil(x, y)
    assert set(fitted["shape"].values) == {"axis-aligned"}
    for name in ("X0", "Y0", "longaxis", "shortaxis"):
        np.testing.assert_allclose(fitted[name], truth[name], rtol=1e-6)
    truth["shortaxis"][:] = truth["longaxis"]
    x, y = ellipse_points(*truth.values(), n=4)
    x[:, 1] = np.nan
    circle = fit_pupil(x, y)
    assert set(circle["shape"].values) == {"circle"} and np.isnan(circle["ellipse_phi"]).all()
    for name in ("X0", "Y0", "longaxis", "shortaxis"):
        np.testing.assert_allclose(circle[name], truth[name], rtol=1e-6)


def test_level_axes_know_which_one_is_long():
    x, y = ellipse_points(*(np.array([v]) for v in (50.0, 40.0, 20.0, 10.0, np.pi / 2)), n=4)
    fitted = fit_pupil(x, y).isel(frame=0)
    assert fitted["longaxis"] == pytest.approx(20) and fitted["shortaxis"] == pytest.approx(10)
    assert abs(float(fitted["ellipse_phi"])) == pytest.approx(np.pi / 2)


def test_unlikely_points_are_missing_and_too_few_leave_nothing():
    truth = some_ellipses(6)
    x, y = ellipse_points(*truth.values())
    likelihood = np.ones_like(x)
    for frame, bad in enumerate((0, 1, 4, 5, 6, 8)):
        likelihood[frame, :bad] = 0.5
        x[frame, :bad] += 500  # what an unlikely point says must not matter
    likelihood[1, 0] = np.nan
    fitted = fit_pupil(x, y, likelihood)
    assert fitted["shape"].values.tolist() == ["ellipse", "ellipse", "axis-aligned", "circle", "", ""]
    assert fitted["n_points"].values.tolist() == [8, 7, 4, 3, 2, 0]
    np.testing.assert_allclose(fitted["X0"].values[:2], truth["X0"][:2], rtol=1e-6)
    assert np.isnan(fitted["X0"].values[4:]).all() and np.isnan(fitted["longaxis"].values[4:]).all()
    only = fit_pupil(x, y, likelihood, shape="ellipse")
    assert np.isnan(only["X0"].values).tolist() == [False, False, True, True, True, True]


def test_points_on_a_line_or_in_one_place_are_no_pupil():
    x = np.array([np.arange(8.0), np.full(8, 3.0)])
    for n in (8, 4, 3):
        fitted = fit_pupil(x[:, :n], 2 * x[:, :n])
        assert np.isnan(fitted["X0"]).all() and set(fitted["shape"].values) == {""}


def test_camera_is_found_exactly_from_perfect_pupils():
    camera = calibrate_camera(fit_pupil(*pupil_points(*eye_path())))
    np.testing.assert_allclose(camera[:3], CAMERA[:3], rtol=1e-6)
    assert camera.n_frames > 500


@pytest.mark.parametrize(("noise", "off_deg", "off_scale"), [(0.0, 1e-5, 1e-6), (0.3, 0.3, 0.03)])
def test_angles_come_back_in_the_stated_convention(noise, off_deg, off_scale):
    theta, phi = eye_path()
    ellipses = fit_pupil(*pupil_points(theta, phi, noise=noise))
    camera = calibrate_camera(ellipses)
    assert camera.scale == pytest.approx(CAMERA.scale, rel=off_scale)
    angles = eye_angles(ellipses, camera)
    # theta keeps its sign, phi counts up where the image counts down, zero is the median.
    for name, truth in (("theta", np.rad2deg(theta)), ("phi", -np.rad2deg(phi))):
        error = angles[name].values - (truth - np.median(truth))
        assert np.sqrt(np.mean(error**2)) < off_deg
        assert np.median(angles[name]) == pytest.approx(0, abs=1e-9)
        assert angles[name].attrs["units"] == "deg"


def test_an_eye_that_moves_up_in_the_image_has_positive_phi():
    ellipses = fit_pupil(
        *ellipse_points(np.full(3, 320.0), np.array([250.0, 240.0, 230.0]), *np.full((3, 3), 10.0))
    )
    angles = eye_angles(ellipses, CAMERA)
    assert angles["phi"][2] > 0 > angles["phi"][0]
    np.testing.assert_allclose(angles["phi"][2], np.rad2deg(np.arcsin(10 / 120)), rtol=1e-6)


def test_missing_frames_and_impossible_centres_stay_missing():
    theta, phi = eye_path(200)
    x, y = pupil_points(theta, phi)
    x[10:20] = np.nan
    x[30] += 200  # farther from the camera's centre than the eye is large
    angles = eye_angles(fit_pupil(x, y), CAMERA)
    missing = np.zeros(200, bool)
    missing[10:20] = missing[30] = True
    for name in ("theta", "phi"):
        np.testing.assert_array_equal(np.isnan(angles[name].values), missing)


def test_stored_angles_are_flipped_turned_to_degrees_and_centred():
    stored = np.deg2rad([[10.0, 12.0, np.nan, 20.0], [1.0, -1.0, 0.5, np.nan]])
    angles = from_stored_angles(*stored)
    np.testing.assert_allclose(angles["theta"], [-2, 0, np.nan, 8], atol=1e-12)
    np.testing.assert_allclose(angles["phi"], [-0.5, 1.5, 0, np.nan], atol=1e-12)
    with pytest.raises(InputError, match="theta: expected an angle in at least one frame"):
        from_stored_angles(np.full(4, np.nan), stored[1])


def test_what_cannot_be_calibrated_is_refused():
    theta, phi = eye_path(400)
    with pytest.raises(InputError, match="at least 50 general ellipses"):
        calibrate_camera(fit_pupil(*pupil_points(theta / 5, phi / 5)))
    with pytest.raises(InputError, match="at least 50 general ellipses"):
        calibrate_camera(fit_pupil(*pupil_points(theta, phi, n=4)))
    with pytest.raises(InputError, match="several directions"):
        calibrate_camera(fit_pupil(*pupil_points(np.abs(theta) + 0.6, 0 * phi)))


def test_bad_points_are_refused():
    x = np.zeros((5, 8))
    for arguments, choices, message in [
        ((x, x[:, :4]), {}, "one shape"),
        ((x, x, x[:4]), {}, "likelihood: expected shape"),
        ((x[:, :2], x[:, :2]), {}, "at least 3"),
        ((x[:, :4], x[:, :4]), {"shape": "ellipse"}, "at least 5"),
        ((x, x), {"shape": "square"}, "shape: expected one of"),
        ((x, x), {"threshold": 2.0}, "threshold"),
    ]:
        with pytest.raises(InputError, match=message):
            fit_pupil(*arguments, **choices)


def test_two_networks_agree_on_the_real_pupil(real_file):
    pupils = [fit_pupil(*open_edge_points(real_file(name))) for name in TRACKS]
    for pupil in pupils:
        assert pupil.sizes["frame"] == 2000 and set(pupil["shape"].values) == {"axis-aligned"}
        diameter = 2 * np.sqrt(pupil["longaxis"] * pupil["shortaxis"])
        # The edge points of this video lie 10 to 30 px apart.
        assert 10 < float(diameter.min()) and float(diameter.max()) < 30
    for name in ("X0", "Y0"):
        difference = np.abs(pupils[0][name] - pupils[1][name])
        # Two networks place a centre within a px of each other, a sixteenth of the pupil.
        assert float(difference.median()) < 1.0
    radii = [np.sqrt(pupil["longaxis"] * pupil["shortaxis"]) for pupil in pupils]
    assert float(np.abs(radii[0] - radii[1]).median()) < 0.5
    # They see one pupil grow and shrink; 0.71 is what they have in common.
    assert np.corrcoef(*radii)[0, 1] > 0.6


def test_real_points_taken_away_stay_away(real_file):
    x, y, likelihood = open_edge_points(real_file(TRACKS[0]))
    rng = np.random.default_rng(0)
    lost = rng.random(x.shape) < 0.3
    likelihood = np.where(lost, 0.1, likelihood)
    pupil = fit_pupil(x, y, likelihood)
    left = 4 - lost.sum(axis=1)
    np.testing.assert_array_equal(np.isnan(pupil["X0"].values), left < 3)
    np.testing.assert_array_equal(pupil["shape"].values == "circle", left == 3)
    whole = fit_pupil(x, y)
    np.testing.assert_array_equal(pupil["X0"].values[left == 4], whole["X0"].values[left == 4])
