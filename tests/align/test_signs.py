"""One convention of signs from the movement to the session: hand-made movements, each about one axis.

Each recording holds one movement of ten degrees, rendered and written as a lab folder, opened and aligned.
What must come out is written here in words of the animal, without a function of the library.
"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

import v1lib
from v1lib.align.eye import from_stored_angles
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import SAMPLE_RATE_HZ
from v1lib.simulate.streams import EPHYS_START_S, write_eye, write_imu, write_top, write_world
from v1lib.simulate.truth import retinal_motion, true_movement

CAMERA = camera_of((60, 80), 100.0)
SECONDS, TURN_DEG = 4.0, 10.0
STILL = {"x": 30.0, "y": 20.0, "speed": 0.0, "yaw": 40.0, "pitch": -5.0, "roll": 0.0}
# The eye rests far to one side, where its ellipses are flat enough to calibrate the camera by.
STILL |= {"z": 3.0, "theta": 15.0, "phi": 0.0, "torsion": 0.0, "pupil": 30.0}
STILL |= {"head_measured": True, "eye_measured": True}
#: What moves, and by how many degrees; the last three are mirror images of the first.
MOVEMENTS = {
    "head left": ("yaw", TURN_DEG),
    "nose up": ("pitch", TURN_DEG),
    "right ear down": ("roll", TURN_DEG),
    "eye left": ("theta", TURN_DEG),
    "eye up": ("phi", TURN_DEG),
    "head right": ("yaw", -TURN_DEG),
    "nose down": ("pitch", -TURN_DEG),
    "left ear down": ("roll", -TURN_DEG),
}
#: Focal length, from the field of view: 100 degrees across 80 columns.
FOCAL_PX = 40 / np.tan(np.deg2rad(50))


def movement(name):
    """All variables still but one, which turns by ten degrees within the third second, smoothly."""
    time = np.arange(int(SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    part = np.clip(time - 2.0, 0, 1)
    moved, size = MOVEMENTS[name]
    values = {each: np.full(time.size, value) for each, value in STILL.items()}
    values[moved] = values[moved] + size * part**2 * (3 - 2 * part)
    return xr.Dataset({each: ("time", value) for each, value in values.items()}, {"time": time})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Each movement as a lab folder that was opened and aligned: recording and session by name."""
    made = {}
    for name in MOVEMENTS:
        rng, motion = np.random.default_rng(0), movement(name)
        folder = tmp_path_factory.mktemp("signs") / "mouse"
        folder.mkdir()
        write_world(folder / "mouse_world.nc", rng, motion, CAMERA)
        write_eye(folder / "mouse_REYE.nc", rng, motion)
        write_top(folder / "mouse_TOP1.nc", rng, motion)
        write_imu(folder / "mouse_imu.nc", rng, motion, 0.0, 0.0)
        unit = {"ch": [1], "group": ["good"], "spikeT": [[6.0, 7.0, 8.0]], "t0": [EPHYS_START_S]}
        pd.DataFrame(unit).to_json(folder / "mouse_ephys_merge.json")
        recording = v1lib.open_recording(folder)
        made[name] = recording, v1lib.align(recording, clock=v1lib.ClockFit(0.0, 0.0, 0.0, 0.0, 1.0, 0))
    return made


def change(session, variable):
    """Mean of the last half second less that of the second second."""
    values, time = session["behavior"].sel(variable=variable).values, session["time"].values
    return np.nanmean(values[time > SECONDS - 0.7]) - np.nanmean(values[(time > 0.7) & (time < 1.7)])


def before_and_after(session):
    frames, time = session["frames"].values.astype(float), session["time"].values
    return frames[(time > 0.7) & (time < 1.7)].mean(axis=0), frames[time > SECONDS - 0.7].mean(axis=0)


def moved_by(before, after, *, row=30, column=40, reach=10):
    """Where a patch of one picture lies in another: (right, down) in px, by the highest correlation."""
    half = 8
    patch = before[row - half : row + half, column - half : column + half]
    best, place = -2.0, (0, 0)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            there = after[
                row + down - half : row + down + half, column + right - half : column + right + half
            ]
            match = np.corrcoef(patch.ravel(), there.ravel())[0, 1]
            if match > best:
                best, place = match, (right, down)
    assert best > 0.8  # the patch was found again
    return place


def turned_by(before, after):
    """Degrees, clockwise as one looks at them, by which a picture's middle turned into another's.

    A point (x, y) from the middle, x right and y down, lies at (x cos a − y sin a, x sin a + y cos a) then.
    """
    y, x = np.mgrid[-20:21, -20:21].astype(float)
    y, x = (each[np.hypot(x, y) <= 20] for each in (y, x))
    middle = np.array([(before.shape[0] - 1) / 2, (before.shape[1] - 1) / 2])[:, None]
    was = map_coordinates(before, np.stack([y, x]) + middle, order=1)
    best, angle = -2.0, 0.0
    for degrees in np.arange(-20, 20.1, 0.5):
        a = np.deg2rad(degrees)
        then = np.stack([x * np.sin(a) + y * np.cos(a), x * np.cos(a) - y * np.sin(a)]) + middle
        match = np.corrcoef(was, map_coordinates(after, then, order=1))[0, 1]
        if match > best:
            best, angle = match, degrees
    assert best > 0.9  # the picture was found again
    return angle


#: A turn by ten degrees moves the middle of the picture by so much; patches are found to a pixel or two.
SHIFT_PX = FOCAL_PX * np.tan(np.deg2rad(TURN_DEG))
WITHIN_PX = 1.6


@pytest.mark.parametrize(
    ("name", "right", "down"),
    [("head left", 1, 0), ("head right", -1, 0), ("nose up", 0, 1), ("nose down", 0, -1)],
)
def test_the_scene_moves_against_the_head(recordings, name, right, down):
    assert SHIFT_PX == pytest.approx(5.9, abs=0.05)
    found = moved_by(*before_and_after(recordings[name][1]))
    np.testing.assert_allclose(found, (right * SHIFT_PX, down * SHIFT_PX), atol=WITHIN_PX)


@pytest.mark.parametrize(("name", "sense"), [("right ear down", 1), ("left ear down", -1)])
def test_the_scene_turns_against_the_head(recordings, name, sense):
    """With the right ear down, what was on the right goes up and what was on the left goes down."""
    found = turned_by(*before_and_after(recordings[name][1]))
    assert found == pytest.approx(-sense * TURN_DEG, abs=1.0)


@pytest.mark.parametrize("name", ["eye left", "eye up"])
def test_the_scene_of_the_head_camera_does_not_move_with_the_eye(recordings, name):
    assert moved_by(*before_and_after(recordings[name][1])) == (0, 0)


@pytest.mark.parametrize("name", MOVEMENTS)
def test_the_angle_that_moved_has_its_sign_and_size_and_the_others_stay(recordings, name):
    session = recordings[name][1]
    moved, size = MOVEMENTS[name]
    for variable in ("pitch", "roll", "theta", "phi"):
        expected = size if variable == moved else 0.0
        # 0.4 px of noise in 130 px and a scale fitted to few directions for the eye, 0.02 g for the tilt.
        assert change(session, variable) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("head left", "up", 1),
        ("head right", "up", -1),
        ("nose up", "left", -1),  # counter-clockwise about an axis that points left brings the nose down
        ("nose down", "left", 1),
        ("right ear down", "forward", 1),
        ("left ear down", "forward", -1),
    ],
)
def test_the_gyroscope_turns_counter_clockwise_about_its_axes(recordings, name, axis, sign):
    imu = recordings[name][0].imu
    turning = (imu["time"] > 7.2) & (imu["time"] < 7.8)  # the cameras, and the motion, begin at 5 s
    still = (imu["time"] > 5.5) & (imu["time"] < 6.8)
    rate = imu["gyro"].where(turning).mean("time") - imu["gyro"].where(still).mean("time")
    # 10 degrees within a second, 0.4 of them in its first and last fifths together: above 12 deg/s between.
    assert sign * float(rate.sel(axis=axis)) > 10
    others = [other for other in ("forward", "left", "up") if other != axis]
    assert np.abs(rate.sel(axis=others)).max() < 3


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("nose up", "forward", 1), ("right ear down", "left", 1), ("nose down", "forward", -1)],
)
def test_the_accelerometer_shows_the_axis_that_points_up(recordings, name, axis, sign):
    acc = recordings[name][0].imu["acc"]
    tilted = acc.where(acc["time"] > 8.3).mean("time") - acc.where(acc["time"] < 6.8).mean("time")
    assert float(tilted.sel(axis=axis)) == pytest.approx(sign * np.sin(np.deg2rad(TURN_DEG)), abs=0.02)


def test_the_eye_mirrors_the_head_in_the_signs_of_theta_and_gyro_z(recordings):
    """The clock rests on it: a head that turns left has the sign of an eye that turns left."""
    imu = recordings["head left"][0].imu
    turned = float(imu["gyro"].sel(axis="up").where(imu["time"] > 7).where(imu["time"] < 8).mean())
    assert np.sign(turned) == np.sign(change(recordings["eye left"][1], "theta")) == 1


def test_stored_phi_counts_down_and_stored_theta_left(recordings):
    for name, sign in (("eye left", 1), ("eye up", 1)):
        variable = MOVEMENTS[name][0]
        folder = recordings[name][0].path
        with xr.open_dataset(folder / "mouse_REYE.nc", engine="h5netcdf") as data:
            stored = data["REYE_ellipse_params"].load()
        theta, phi = (stored.sel(ellipse_params=each).values for each in ("theta", "phi"))
        angles = from_stored_angles(theta, phi)[variable].values
        assert np.nanmean(angles[-30:]) - np.nanmean(angles[30:90]) == pytest.approx(sign * TURN_DEG, abs=1.0)
        raw = {"theta": theta, "phi": phi}[variable]
        moved = np.nanmean(raw[-30:]) - np.nanmean(raw[30:90])
        assert np.sign(moved) == {"theta": 1, "phi": -1}[variable]


def eye_picture(theta, phi, torsion):
    """The scene of the still head, through an eye that is turned from the camera's axis."""
    head = Rotation.from_euler("z", STILL["yaw"], degrees=True) * Rotation.from_euler(
        "y", -STILL["pitch"], degrees=True
    )
    # Axes forward, left, up: left is counter-clockwise about up, up is clockwise about left, and right ear
    # down is counter-clockwise about forward.
    eye = (
        Rotation.from_euler("z", theta, degrees=True)
        * Rotation.from_euler("y", -phi, degrees=True)
        * Rotation.from_euler("x", torsion, degrees=True)
    )
    place = np.array([[STILL["x"], STILL["y"], 3.0]])
    return 255 * render(CAMERA, place, (head * eye).as_matrix()[None])[0].astype(float)


@pytest.mark.parametrize(
    ("theta", "phi", "right", "down"),
    [(10.0, 0.0, 1, 0), (-10.0, 0.0, -1, 0), (0.0, 10.0, 0, 1), (0.0, -10.0, 0, -1), (7.0, -7.0, 1, -1)],
)
def test_the_true_retinal_shift_is_that_of_a_picture_seen_by_the_turned_eye(theta, phi, right, down):
    one = np.ones(1)
    x, y, _ = (float(v[0]) for v in retinal_motion(theta * one, phi * one, 0 * one, CAMERA.focal_px))
    found = moved_by(eye_picture(0, 0, 0), eye_picture(theta, phi, 0))
    np.testing.assert_allclose(found, (x, y), atol=WITHIN_PX)
    size = FOCAL_PX * np.tan(np.deg2rad(max(abs(theta), abs(phi))))
    np.testing.assert_allclose((x, y), (right * size, down * size), atol=0.2)


@pytest.mark.parametrize("torsion", [10.0, -10.0])
def test_the_true_retinal_rotation_is_that_of_a_picture_seen_by_the_turned_eye(torsion):
    one = np.ones(1)
    *shift, turn = (float(v[0]) for v in retinal_motion(0 * one, 0 * one, torsion * one, CAMERA.focal_px))
    np.testing.assert_allclose(shift, 0, atol=1e-9)
    found = turned_by(eye_picture(0, 0, 0), eye_picture(0, 0, torsion))
    assert found == pytest.approx(turn, abs=1.0)
    assert turn == pytest.approx(-torsion, abs=1e-3)


@pytest.mark.parametrize(("name", "right", "down"), [("eye left", 1, 0), ("eye up", 0, 1)])
def test_the_truth_shifts_the_retina_as_the_session_turns_the_eye(recordings, name, right, down):
    """Left in the session's theta is right in the truth's shift; up in phi is down."""
    truth = true_movement(movement(name), CAMERA)
    shift = [float(truth[f"retinal_shift_{axis}"][-1] - truth[f"retinal_shift_{axis}"][0]) for axis in "xy"]
    # The eye begins 15 degrees to the left, where ten degrees more move the picture by 7.2 px.
    sizes = np.tan(np.deg2rad([15 + TURN_DEG, 15])) * FOCAL_PX
    expected = (sizes[0] - sizes[1]) if right else SHIFT_PX / np.cos(np.deg2rad(15))
    np.testing.assert_allclose(shift, (right * expected, down * expected), atol=0.3)
    assert change(recordings[name][1], MOVEMENTS[name][0]) > 0
