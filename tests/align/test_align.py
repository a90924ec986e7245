"""A simulated recording comes back: its clock, its behaviour, its spikes, and its pictures in time."""

import numpy as np
import pytest
import xarray as xr

import v1lib
from v1lib.errors import InputError
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import rotation_matrix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("aligned") / "mouse"
    v1lib.simulate_recording(path, minutes=3, n_units=4, seed=21, frame_shape=(30, 40))
    return path


@pytest.fixture(scope="module")
def session(folder):
    return v1lib.align(v1lib.open_recording(folder))


@pytest.fixture(scope="module")
def truth(folder, session):
    return v1lib.bin_truth(v1lib.load_truth(folder), session)


def test_the_injected_clock_comes_back(session):
    assert abs(session.attrs["clock_offset_s"] - 0.12) < 0.002
    assert abs(session.attrs["clock_drift_ppm"] - 114.0) < 10


def test_every_spike_between_the_sessions_ends_is_in_a_bin(folder, session):
    recording = v1lib.open_recording(folder)
    clock = v1lib.ClockFit(
        session.attrs["clock_offset_s"], session.attrs["clock_drift_ppm"], 0.0, 0.0, 1.0, 0
    )
    start = session.attrs["start_s"]
    stop = start + session.sizes["time"] * session.attrs["bin_width_s"]
    for unit in range(4):
        times = clock.to_camera(recording.spikes[unit].t)
        inside = ((times >= start) & (times < stop)).sum()
        assert session["activity"].sel(unit=unit).sum().item() == inside


@pytest.mark.parametrize(
    ("name", "spread"),
    # Tracking noise of a bin's mean, in the variable's unit: three samples of the eye, fourteen of the IMU.
    [("speed", 0.5), ("pitch", 0.3), ("roll", 0.3), ("phi", 0.4), ("theta", 0.9), ("pupil", 0.3)],
)
def test_behaviour_is_what_the_mouse_did(session, truth, name, spread):
    measured = session["behavior"].sel(variable=name).values
    true = truth[name].values
    seen = np.isfinite(measured)
    if name in ("theta", "phi"):  # zero is the session's median
        true = true - np.median(true)
    assert seen.mean() > 0.9
    assert np.corrcoef(measured[seen], true[seen])[0, 1] > 0.98
    assert np.std(measured[seen] - true[seen]) < spread
    assert abs(np.median(measured[seen] - true[seen])) < spread


def test_a_blink_stays_missing(folder, session):
    eye = v1lib.open_recording(folder).eye
    lost = np.isnan(eye["X0"].values)
    assert lost.any()
    time = eye["time"].values - session.attrs["start_s"]
    width = session.attrs["bin_width_s"]
    number = np.floor(time / width).astype(int)
    inside = (number >= 0) & (number < session.sizes["time"])
    n_seen = np.bincount(number[inside], weights=~lost[inside], minlength=session.sizes["time"])
    theta = session["behavior"].sel(variable="theta").values
    np.testing.assert_array_equal(np.isnan(theta), n_seen == 0)


def test_frames_show_what_the_head_saw_at_that_time(session, truth):
    """Rendered anew at the middle of a bin, the picture agrees best with that bin's frame."""
    camera = camera_of((30, 40), 100.0)
    pitch = truth["pitch"].values
    roll = np.rad2deg(np.arcsin(np.sin(np.deg2rad(truth["roll"].values)) / np.cos(np.deg2rad(pitch))))
    bins = np.arange(50, 3500, 50)
    head = rotation_matrix(truth["yaw"].values[bins], pitch[bins], roll[bins])
    place = np.stack([truth["x_position"], truth["y_position"], np.full(truth.sizes["time"], 3.0)], 1)[bins]
    seen = render(camera, place, head).reshape(bins.size, -1)
    frames = session["frames"].values.reshape(session.sizes["time"], -1)
    match = {
        lag: np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(seen, frames[bins + lag], strict=True)])
        for lag in (-1, 0, 1)
    }
    assert match[0] > 0.93  # fast turns blur the mean over a bin
    assert match[0] > match[-1] and match[0] > match[1]
    # The two neighbours are equally far: no shift by a part of a bin.
    assert abs(match[1] - match[-1]) < 0.3 * (match[0] - match[1])


def test_a_wrong_clock_moves_spikes_and_not_pictures(folder, session):
    late = v1lib.align(v1lib.open_recording(folder), clock=v1lib.ClockFit(0.6, 114.0, 0.0, 0.0, 1.0, 0))
    shift = round((late.attrs["start_s"] - session.attrs["start_s"]) / 0.048)
    same = slice(10, 3000)
    there = slice(10 - shift, 3000 - shift)
    difference = np.abs(
        late["frames"].values[there].astype(int) - session["frames"].values[same].astype(int)
    ).mean()
    assert difference < 6
    counts, moved = (s["activity"].sum("unit").values.astype(float) for s in (session, late))
    lags = np.arange(-15, 16)
    match = [np.corrcoef(counts[50:2900], moved[50 - shift + lag : 2900 - shift + lag])[0, 1] for lag in lags]
    assert lags[int(np.argmax(match))] == -10  # 0.48 s too far back


def test_lost_pictures_begin_a_new_stretch(folder, tmp_path):
    recording = v1lib.open_recording(folder)
    kept = np.r_[0:2000, 2060 : recording.world.sizes["frame"]]
    gappy = type(recording)(
        path=recording.path,
        world=recording.world.isel(frame=kept),
        eye=recording.eye,
        top=recording.top,
        imu=recording.imu,
        spikes=recording.spikes,
    )
    session = v1lib.align(gappy)
    assert session["stretch"].values.max() == 1
    steps = np.diff(session["time"].values)
    assert (steps > 0.05).sum() == 1
    assert np.isclose(steps.max(), 2.0, atol=0.1)  # sixty frames at 30 Hz
    assert session.attrs["bins_without_frames"] == round(steps.max() / 0.048) - 1


def test_same_recording_same_session(folder, session):
    xr.testing.assert_identical(v1lib.align(v1lib.open_recording(folder)), session)


def test_session_file_round_trip(session, tmp_path):
    v1lib.save_session(session, tmp_path / "session.nc")
    xr.testing.assert_identical(v1lib.open_session(tmp_path / "session.nc"), session)


def test_bins_shorter_than_an_exposure_are_refused(folder):
    with pytest.raises(InputError, match="bin_width_s: expected at least one exposure"):
        v1lib.align(v1lib.open_recording(folder), bin_width_s=0.01)
