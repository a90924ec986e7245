"""A simulated recording comes back: its clock, its behaviour, its spikes, and its pictures in time."""

import hashlib

import numpy as np
import pytest
import xarray as xr
from lab_folder import CLOCK

import v1lib
from v1lib.align import eye_of
from v1lib.align.head import head_tilt
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
    assert match[0] > 0.9  # fast turns blur the mean over a bin, and rows are filled in between
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


def with_gaps(rng, data, dim, n_gaps=4, *, ends=True):
    """A stream without the samples of some stretches, of which two lie at its ends."""
    kept = np.ones(data.sizes[dim], bool)
    longest = data.sizes[dim] // 60
    for first in rng.integers(0, kept.size, n_gaps):
        kept[first : first + rng.integers(1, longest)] = False
    if ends:
        kept[: rng.integers(longest // 2)] = kept[-rng.integers(1, longest // 2) :] = False
    return data.isel({dim: np.flatnonzero(kept)})


@pytest.mark.parametrize("seed", range(3))
def test_over_random_gaps_a_bin_holds_the_mean_of_its_own_samples_or_none(folder, seed):
    rng = np.random.default_rng(seed)
    whole = v1lib.open_recording(folder)
    streams = {"world": "frame", "eye": "time", "top": "time", "imu": "time"}
    gappy = {name: with_gaps(rng, getattr(whole, name), dim) for name, dim in streams.items()}
    recording = v1lib.Recording(path=whole.path, spikes=whole.spikes, **gappy)
    session = v1lib.align(recording, clock=CLOCK)
    width, begin = session.attrs["bin_width_s"], session.attrs["start_s"]
    imu_time = CLOCK.to_camera(recording.imu["time"].values)
    tilt = head_tilt(recording.imu["time"].values, recording.imu["acc"].values, recording.imu["gyro"].values)
    eye, speed = eye_of(recording), recording.top["speed"].values
    samples = {
        "speed": (recording.top["time"].values, np.where(speed > 25.0, np.nan, speed)),
        "pitch": (imu_time, tilt["pitch"].values),
        "roll": (imu_time, tilt["roll"].values),
        "phi": (eye["time"].values, eye["phi"].values),
        "theta": (eye["time"].values, eye["theta"].values),
        "pupil": (eye["time"].values, eye["pupil"].values),
    }
    # A session begins where the last stream begins, and ends within a bin of where the first one ends.
    half = np.median(np.diff(recording.world["time"])) / 4
    first = max(recording.world["time"].values[0] - half, *(time[0] for time, _ in samples.values()))
    last = min(recording.world["time"].values[-1] + 3 * half, *(time[-1] for time, _ in samples.values()))
    assert begin == pytest.approx(first, abs=1e-9)
    last_edge = begin + session["time"].values[-1] + width / 2
    assert last - width - 1e-3 < last_edge < last + 1e-3 or session.attrs["bins_without_frames"] > 0
    number = np.rint((session["time"].values - width / 2) / width).astype(int)
    edges = begin + width * np.arange(number[-1] + 2)
    for name, (time, values) in samples.items():
        found = session["behavior"].sel(variable=name).values
        for row, k in enumerate(number):
            lo, hi = np.searchsorted(time, [edges[k], edges[k + 1]])
            inside = values[lo:hi][np.isfinite(values[lo:hi])]
            # Behaviour is kept in single precision.
            expected = inside.mean() if inside.size else np.nan
            assert found[row] == pytest.approx(expected, rel=1e-6, abs=1e-5, nan_ok=True)
        assert np.isnan(found).any()
    # Each lost stretch of pictures that empties a bin begins a new stretch, and the others do not.
    steps = np.diff(number)
    np.testing.assert_array_equal(np.diff(session["stretch"].values) > 0, steps > 1)
    assert (steps > 1).any()


def test_a_session_reaches_from_the_first_exposures_beginning_to_the_last_ones_end(folder):
    """Where the head camera is the last stream to begin and the first to end; its fields last 1/60 s each."""
    whole = v1lib.open_recording(folder)
    world = whole.world.isel(frame=slice(60, -60))
    recording = v1lib.Recording(whole.path, world, whole.eye, whole.top, whole.imu, whole.spikes)
    # With bins of hardly more than an exposure, half a picture more or less at the end is a bin.
    session = v1lib.align(recording, clock=CLOCK, bin_width_s=0.018)
    # Stamps have 0.1 ms of jitter; a bin takes a thousandth of itself, 0.05 ms, as rounding.
    assert session.attrs["start_s"] == pytest.approx(float(world["time"][0]) - 1 / 120, abs=1e-4)
    end = float(world["time"][-1]) + 1 / 60 + 1 / 120
    width = session.attrs["bin_width_s"]
    last_edge = session.attrs["start_s"] + float(session["time"][-1]) + width / 2
    assert end - width - 3e-4 < last_edge < end + 3e-4
    assert session.attrs["bins_without_frames"] == 0


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


def test_the_session_names_the_bytes_that_it_was_made_from(folder, session):
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    sums = [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    assert session.attrs["sha256"] == sums and len(sums) == 6


def test_session_file_round_trip(session, tmp_path):
    v1lib.save_session(session, tmp_path / "session.nc")
    xr.testing.assert_identical(v1lib.open_session(tmp_path / "session.nc"), session)


def test_bins_shorter_than_an_exposure_are_refused(folder):
    with pytest.raises(InputError, match="bin_width_s: expected at least one exposure"):
        v1lib.align(v1lib.open_recording(folder), bin_width_s=0.01)
