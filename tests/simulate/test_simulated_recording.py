"""A simulated recording as a whole: repeatable, on two clocks, and its truth is true."""

import hashlib

import numpy as np
import pytest
import torch

import v1lib
from v1lib.errors import InputError
from v1lib.models.encoding import warp
from v1lib.session import read_netcdf
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import rotation_matrix, simulate_motion
from v1lib.simulate.neurons import STEP_S
from v1lib.simulate.streams import CAMERA_LEAD_S, EPHYS_START_S, to_ephys_clock
from v1lib.simulate.truth import head_tilt, retinal_motion, true_movement

SMALL = {"minutes": 0.5, "n_units": 3, "frame_shape": (16, 20)}


@pytest.fixture(scope="module")
def session_and_truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "mouse"
    recording = v1lib.simulate_recording(path, seed=1, **SMALL)
    clock = v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0)
    return v1lib.align(recording, clock=clock), v1lib.load_truth(path)


def checksums(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        v1lib.simulate_recording(tmp_path / name / "mouse", seed=seed, **SMALL)
    first, again, other = (checksums(tmp_path / name / "mouse") for name in ("first", "again", "other"))
    assert first == again
    assert len(first) == 6
    assert all(first[name] != other[name] for name in first)


def test_spikes_do_not_depend_on_the_cameras_resolution(tmp_path):
    coarse = v1lib.simulate_recording(tmp_path / "a", seed=1, **SMALL)
    fine = v1lib.simulate_recording(tmp_path / "b", seed=1, minutes=0.5, n_units=3, frame_shape=(30, 40))
    for unit in range(3):
        np.testing.assert_array_equal(coarse.spikes[unit].t, fine.spikes[unit].t)


@pytest.mark.parametrize(
    ("wrong", "variable"),
    [
        ({"minutes": 0.1}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
        ({"n_units": 0}, "n_units"),
        ({"frame_shape": (15, 20)}, "frame_shape"),
        ({"frame_shape": (16,)}, "frame_shape"),
        ({"clock_offset_s": 7.0}, "clock_offset_s"),
        ({"minutes": 1441}, "minutes"),
        ({"minutes": "1"}, "minutes"),
        ({"minutes": True}, "minutes"),
        ({"n_units": 2.5}, "n_units"),
        ({"n_units": 10_001}, "n_units"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": None}, "seed"),
        ({"frame_shape": 16}, "frame_shape"),
        ({"frame_shape": (16.0, 20)}, "frame_shape"),
        ({"clock_offset_s": -5.0}, "clock_offset_s"),
        ({"clock_offset_s": float("nan")}, "clock_offset_s"),
        ({"clock_drift_ppm": 1001}, "clock_drift_ppm"),
        ({"clock_drift_ppm": float("inf")}, "clock_drift_ppm"),
        ({"eye_lag_s": "0"}, "eye_lag_s"),
        ({"eye_scale": 0.1}, "eye_scale"),
        ({"eye_scale": True}, "eye_scale"),
        ({"rate_scale": 0}, "rate_scale"),
        ({"rate_scale": float("nan")}, "rate_scale"),
        ({"mixture": ["simple"]}, "mixture"),
        ({"mixture": {"simple": True}}, "share of 'simple'"),
    ],
)
def test_arguments_that_make_no_recording_are_refused_and_leave_nothing(tmp_path, wrong, variable):
    with pytest.raises(InputError, match=variable):
        v1lib.simulate_recording(tmp_path / "mouse", **(SMALL | {"seed": 1} | wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr("v1lib.simulate.simulate_motion", None)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "mouse", tmp_path / ("m" * 300), f"{tmp_path}/m\0", 5, None):
        with pytest.raises(InputError, match=r"folder|path"):
            v1lib.simulate_recording(path, seed=1, **SMALL)


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    def fail(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr("v1lib.simulate.write_imu", fail)
    with pytest.raises(KeyboardInterrupt):
        v1lib.simulate_recording(tmp_path / "mouse", seed=1, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_never_overwritten(tmp_path):
    (tmp_path / "mouse").mkdir()
    with pytest.raises(InputError, match="nothing is yet"):
        v1lib.simulate_recording(tmp_path / "mouse", seed=1, **SMALL)


def test_spike_times_are_on_the_ephys_clock(tmp_path):
    """Spikes brought to the camera clock by the injected clock fall where the true rate is high."""
    offset, drift = 0.8, -300.0
    clocked = v1lib.simulate_recording(
        tmp_path / "a", seed=4, clock_offset_s=offset, clock_drift_ppm=drift, **SMALL
    )
    plain = v1lib.simulate_recording(tmp_path / "b", seed=4, clock_offset_s=0.0, clock_drift_ppm=0.0, **SMALL)
    for unit in range(3):
        np.testing.assert_allclose(
            clocked.spikes[unit].t, to_ephys_clock(plain.spikes[unit].t, offset, drift), atol=1e-8
        )
    assert float(plain.spikes[0].t[0]) >= CAMERA_LEAD_S
    shift = clocked.imu["time"].values[0] - plain.imu["time"].values[0]
    assert abs(shift - offset) < 0.01


def test_true_retinal_motion_turns_the_cameras_picture_into_the_retinas():
    """The head camera's picture, moved by the truth, is the picture of a camera that turned with the eye."""
    camera = camera_of((60, 80), 100.0)
    position = np.array([[30.0, 22.0, 3.0]])
    head = rotation_matrix(np.array([40.0]), np.array([-5.0]), np.array([3.0]))
    world = render(camera, position, head)
    middle = (slice(20, 40), slice(25, 55))
    for theta, phi, torsion in ((9.0, 0.0, 0.0), (0.0, 8.0, 0.0), (0.0, 0.0, 12.0), (-6.0, 5.0, -8.0)):
        eye = rotation_matrix(np.array([theta]), np.array([phi]), np.array([torsion]))
        retina = render(camera, position, head @ eye)[0]
        x, y, angle = retinal_motion(np.array([theta]), np.array([phi]), np.array([torsion]), camera.focal_px)
        shift = torch.tensor(np.stack([x, y, angle], 1), dtype=torch.float32)
        moved = warp(torch.tensor(world)[:, None], shift, center=(39.5, 29.5))[0, 0].numpy()
        unmoved = np.corrcoef(world[0][middle].ravel(), retina[middle].ravel())[0, 1]
        right = np.corrcoef(moved[middle].ravel(), retina[middle].ravel())[0, 1]
        # The remainder is the perspective of a turned pinhole camera, which no shift and turn can give, and
        # the finest texture, which the warp's interpolation smooths.
        assert right > 0.85 and right > unmoved + 0.2, (theta, phi, torsion, right, unmoved)


def test_truth_on_bins_keeps_the_expected_spikes(tmp_path):
    recording = v1lib.simulate_recording(tmp_path / "mouse", seed=1, **SMALL)
    truth = v1lib.load_truth(tmp_path / "mouse")
    clock = v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0)
    session = v1lib.align(recording, clock=clock)
    binned = v1lib.bin_truth(truth, session)
    first = session.attrs["start_s"] - truth.attrs["start_s"]
    inside = (truth["step"] > first) & (truth["step"] < first + session.sizes["time"] * 0.048)
    expected = truth["rate"].where(inside, drop=True).sum("step") * STEP_S
    # Steps cut by the first and the last edge are worth less than 2 % of half a minute.
    np.testing.assert_allclose(binned["rate"].sum("time"), expected, rtol=0.02)
    counts = session["activity"].sum().item()
    assert abs(counts - binned["rate"].sum().item()) < 5 * np.sqrt(counts)


def test_true_movement_is_the_movement_at_the_steps():
    motion, camera = simulate_motion(np.random.default_rng(2), 20.0), camera_of((60, 80), 100.0)
    truth = true_movement(motion, camera)
    steps = (np.arange(truth.sizes["step"]) + 0.5) / 60
    np.testing.assert_allclose(truth["step"], steps, atol=1e-12)
    at = {name: np.interp(steps, motion["time"], motion[name]) for name in motion.data_vars}
    at["pitch"], at["roll"] = head_tilt(at["pitch"], at["roll"])
    at["x_position"], at["y_position"] = at.pop("x"), at.pop("y")
    x, y, angle = retinal_motion(at["theta"], at["phi"], at["torsion"], camera.focal_px)
    at |= {"retinal_shift_x": x, "retinal_shift_y": y, "retinal_rotation": angle}
    at["retinal_shift_x_deg"] = np.rad2deg(np.arctan(x / camera.focal_px))
    at["retinal_shift_y_deg"] = np.rad2deg(np.arctan(y / camera.focal_px))
    at.pop("z")
    assert set(at) == set(truth.data_vars)
    for name, expected in at.items():
        np.testing.assert_allclose(truth[name], expected, atol=1e-9, err_msg=name)


def test_the_truth_knows_when_fields_were_exposed_and_what_with(tmp_path):
    v1lib.simulate_recording(tmp_path / "mouse", seed=1, eye_lag_s=0.02, **SMALL)
    truth = v1lib.load_truth(tmp_path / "mouse")
    stamps = read_netcdf(tmp_path / "mouse" / "mouse_world.nc")["timestamps"].values
    fields = truth["field_time"].values
    np.testing.assert_allclose(fields[:, 1] - fields[:, 0], 1 / 60, atol=1e-12)
    # Seconds of the day are rounded to 1e-11.
    np.testing.assert_allclose(fields[:, 0] + truth.attrs["start_s"], stamps - EPHYS_START_S, atol=1e-9)
    assert truth.attrs["focal_px"] == pytest.approx(10 / np.tan(np.deg2rad(50)))  # 20 columns, 100 deg
    assert truth.attrs["eye_lag_s"] == 0.02


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("start_s", None), ("start_s", np.nan), ("start_s", "0"), ("bin_width_s", 0.0), ("bin_width_s", None)],
)
def test_a_session_that_does_not_say_when_it_was_has_no_truth(session_and_truth, attribute, value):
    session, truth = session_and_truth
    with pytest.raises(InputError, match=f"attribute {attribute}"):
        v1lib.bin_truth(truth, session.assign_attrs({attribute: value}))


def test_bins_before_the_first_step_or_after_the_last_have_no_truth(session_and_truth):
    session, truth = session_and_truth
    first = float(session["time"][0]) - 0.024 + session.attrs["start_s"] - truth.attrs["start_s"]
    span = session.sizes["time"] * 0.048
    after = truth.sizes["step"] * STEP_S - first - span
    for moved, fits in ((-first, True), (-first - 1e-3, False), (after, True), (after + 1e-3, False)):
        other = session.assign_attrs(start_s=session.attrs["start_s"] + moved)
        if fits:
            assert v1lib.bin_truth(truth, other)["head_measured"].values.min() > 1 - 1e-6
        else:
            with pytest.raises(InputError, match="time: expected bins within"):
                v1lib.bin_truth(truth, other)


def test_truth_of_another_recording_is_refused(tmp_path):
    recording = v1lib.simulate_recording(tmp_path / "mouse", seed=1, **SMALL)
    session = v1lib.align(recording, clock=v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0))
    truth = v1lib.load_truth(tmp_path / "mouse").isel(step=slice(0, 600))
    with pytest.raises(InputError, match="time"):
        v1lib.bin_truth(truth, session)
    with pytest.raises(InputError, match="order"):
        v1lib.bin_truth(v1lib.load_truth(tmp_path / "mouse"), session.isel(unit=[1, 0, 2]))
    (tmp_path / "mouse" / "mouse_truth.nc").unlink()
    with pytest.raises(InputError, match="truth"):
        v1lib.load_truth(tmp_path / "mouse")


def test_an_eye_that_goes_half_as_far_turns_the_picture_half_as_much_and_changes_nothing_else(tmp_path):
    chosen = {"minutes": 4, "n_units": 2, "seed": 3, "frame_shape": (16, 20)}
    v1lib.simulate_recording(tmp_path / "whole", **chosen)
    v1lib.simulate_recording(tmp_path / "half", **chosen, eye_scale=0.5)
    whole, half = (v1lib.load_truth(tmp_path / name) for name in ("whole", "half"))
    farthest = [
        [float(np.abs(one[name]).quantile(0.99)) for name in ("theta", "phi")] for one in (whole, half)
    ]
    # Limits of single saccades are drawn from 10 to 20 degrees, and noise of 0.5 degrees is not scaled.
    np.testing.assert_allclose(farthest[1], 0.5 * np.array(farthest[0]), rtol=0.2)
    np.testing.assert_array_equal(whole["yaw"], half["yaw"])
    assert half.attrs["eye_scale"] == 0.5


def test_rates_are_scaled_and_nothing_else(tmp_path):
    chosen = SMALL | {"seed": 3}
    v1lib.simulate_recording(tmp_path / "usual", **chosen)
    v1lib.simulate_recording(tmp_path / "sparse", **chosen, rate_scale=0.5)
    usual, sparse = (v1lib.load_truth(tmp_path / name) for name in ("usual", "sparse"))
    np.testing.assert_allclose(sparse["base_rate"], 0.5 * usual["base_rate"], rtol=1e-12)
    np.testing.assert_array_equal(sparse["receptive_field"], usual["receptive_field"])
    np.testing.assert_array_equal(sparse["theta"], usual["theta"])
    assert float(sparse["rate"].mean()) < 0.6 * float(usual["rate"].mean())
