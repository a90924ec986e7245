"""A simulated recording as a whole: repeatable, on two clocks, and its truth is true."""

import hashlib

import numpy as np
import pytest
import torch

import v1lib
from v1lib.errors import InputError
from v1lib.models.encoding import warp
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import rotation_matrix
from v1lib.simulate.neurons import STEP_S
from v1lib.simulate.streams import CAMERA_LEAD_S, to_ephys_clock
from v1lib.simulate.truth import retinal_motion

SMALL = {"minutes": 0.5, "n_units": 3, "frame_shape": (16, 20)}


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
    ],
)
def test_arguments_that_make_no_recording_are_refused_and_leave_nothing(tmp_path, wrong, variable):
    with pytest.raises(InputError, match=variable):
        v1lib.simulate_recording(tmp_path / "mouse", seed=1, **(SMALL | wrong))
    assert list(tmp_path.iterdir()) == []


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
        # The remainder is the perspective of a turned pinhole camera, which no shift and turn can give.
        assert right > 0.9 and right > unmoved + 0.2, (theta, phi, torsion, right, unmoved)


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
