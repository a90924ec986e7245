"""A measured head and eye drive the simulated mouse: what was measured comes back, gaps stay gaps."""

import numpy as np
import pandas as pd
import pytest

import v1lib
from v1lib.errors import InputError
from v1lib.simulate.kinematics import SAMPLE_RATE_HZ, body_rates, simulate_motion
from v1lib.simulate.measured import COLUMNS, motion_from_table
from v1lib.simulate.truth import head_tilt


def table(rate_hz=60.0, seconds=40.0, seed=3):
    """A table as a laboratory would have it, of a simulated mouse's movement."""
    motion = simulate_motion(np.random.default_rng(seed), seconds + 1)
    yaw, pitch, roll = (motion[name].values for name in ("yaw", "pitch", "roll"))
    elevation, ear = head_tilt(pitch, roll)
    full = {
        "pitch": elevation,
        "roll": ear,
        "yaw_rate": body_rates(yaw, pitch, roll, SAMPLE_RATE_HZ)[:, 2],
        "theta": motion["theta"].values + 7.0,  # a tracker's zero is its own
        "phi": motion["phi"].values - 4.0,
    }
    time = np.arange(0, seconds, 1 / rate_hz)
    columns = {name: np.interp(time, motion["time"].values, values) for name, values in full.items()}
    return pd.DataFrame({"time": time + 100.0} | columns)


def driven(given, seconds=38.0):
    return motion_from_table(np.random.default_rng(0), given, seconds)


@pytest.mark.parametrize("rate_hz", [37.0, 60.0, 300.0])
def test_what_was_measured_moves_the_mouse(rate_hz):
    given = table(rate_hz)
    motion = driven(given)
    at = motion["time"].values
    for name in ("theta", "phi"):
        expected = np.interp(at, given["time"] - 100.0, given[name] - given[name].median())
        np.testing.assert_allclose(motion[name], expected, atol=1e-9)
    pitch, roll = head_tilt(motion["pitch"].values, motion["roll"].values)
    np.testing.assert_allclose(pitch, np.interp(at, given["time"] - 100.0, given["pitch"]), atol=1e-9)
    np.testing.assert_allclose(roll, np.interp(at, given["time"] - 100.0, given["roll"]), atol=1e-9)
    assert motion["head_measured"].all() and motion["eye_measured"].all()


@pytest.mark.parametrize("rate_hz", [60.0, 300.0])
def test_the_gyroscope_feels_the_measured_yaw_rate(rate_hz):
    given = table(rate_hz)
    motion = driven(given)
    felt = body_rates(*(motion[name].values for name in ("yaw", "pitch", "roll")), SAMPLE_RATE_HZ)[:, 2]
    expected = np.interp(motion["time"].values, given["time"] - 100.0, given["yaw_rate"])
    # Differences over two samples of 1/300 s round the corners of a movement that is linear in between.
    error = (felt - expected)[5:-5]
    assert error.std() < 0.03 * expected.std() and np.corrcoef(felt, expected)[0, 1] > 0.999


def test_missing_samples_are_bridged_and_marked():
    given = table()
    lost = (given["time"] > 110) & (given["time"] < 113)
    given.loc[lost, ["theta", "phi"]] = np.nan
    still = (given["time"] > 120) & (given["time"] < 121)
    given.loc[still, "yaw_rate"] = np.nan
    motion = driven(given)
    at = motion["time"].values
    assert np.isfinite(motion["theta"]).all() and np.isfinite(motion["yaw"]).all()
    inside = (at > 10.02) & (at < 12.98)
    assert not motion["eye_measured"][inside].any() and motion["eye_measured"][~inside].mean() > 0.995
    line = np.diff(motion["theta"].values[inside], 2)
    np.testing.assert_allclose(line, 0, atol=1e-9)
    turned = (at > 20.02) & (at < 20.98)
    assert not motion["head_measured"][turned].any() and motion["head_measured"][~turned].mean() > 0.995


@pytest.mark.parametrize(
    ("column", "instrument"),
    [("pitch", "head"), ("roll", "head"), ("yaw_rate", "head"), ("theta", "eye"), ("phi", "eye")],
)
def test_a_gap_in_one_column_alone_is_not_measured(column, instrument):
    given = table()
    given.loc[(given["time"] > 110) & (given["time"] < 113), column] = np.nan
    motion = driven(given)
    gap = (motion["time"].values > 10.02) & (motion["time"].values < 12.98)
    other = {"head": "eye", "eye": "head"}[instrument]
    assert not motion[f"{instrument}_measured"][gap].any() and motion[f"{other}_measured"].all()
    assert motion[f"{instrument}_measured"][~gap].mean() > 0.995


def test_torsion_counters_half_of_the_roll_and_the_mouse_walks_ahead():
    motion = driven(table())
    slope = np.polyfit(motion["roll"], motion["torsion"], 1)[0]
    # Torsion has 0.8 deg of its own, new every 2 s, beside some 9 deg of roll: a standard error of 0.02.
    assert slope == pytest.approx(-0.5, abs=0.1)
    moved = np.stack([np.gradient(motion[name].values) for name in ("x", "y")]) * SAMPLE_RATE_HZ
    yaw = np.deg2rad(motion["yaw"].values)
    ahead = moved[0] * np.cos(yaw) + moved[1] * np.sin(yaw)
    fast = motion["speed"].values > 4
    assert fast.sum() > 1000
    # The body lags the head by a few tenths of a second, and a wall turns its path aside.
    assert np.median(ahead[fast] / motion["speed"].values[fast]) > 0.7


def test_a_head_on_its_side_has_no_known_heading():
    given = table()
    given["pitch"] = np.where((given["time"] > 110) & (given["time"] < 112), 85.0, given["pitch"])
    given["roll"] = np.where((given["time"] > 109) & (given["time"] < 113), 0.0, given["roll"])
    motion = driven(given)
    at = motion["time"].values
    assert not motion["head_measured"][(at > 10.1) & (at < 11.9)].any()
    # Dividing by a cosine near 0 would make the head spin.
    assert np.abs(np.gradient(motion["yaw"].values) * SAMPLE_RATE_HZ).max() < 3000


def test_gaps_of_the_table_are_gaps_of_the_recording(tmp_path):
    given = table()
    given.loc[(given["time"] > 110) & (given["time"] < 115), ["theta", "phi"]] = np.nan
    given.loc[(given["time"] > 120) & (given["time"] < 122), ["pitch", "yaw_rate"]] = np.nan
    recording = v1lib.simulate_recording(
        tmp_path / "mouse", minutes=0.6, n_units=2, seed=1, frame_shape=(16, 20), motion=given
    )
    truth = v1lib.load_truth(recording.path)
    start = truth.attrs["start_s"]
    eye_at = recording.eye["time"].values - start
    unseen = np.isnan(recording.eye["X0"].values)
    gap = (eye_at > 10.02) & (eye_at < 14.98)
    assert unseen[gap].all() and unseen[~gap].mean() < 0.1
    clock = truth.attrs["clock_offset_s"]
    imu_at = recording.imu["time"].values - clock - start
    silent = np.isnan(recording.imu["gyro"].values).any(axis=1)
    assert silent[(imu_at > 20.1) & (imu_at < 21.9)].all()
    assert silent[(imu_at < 19.9) | (imu_at > 22.1)].mean() < 0.01
    step = truth["step"].values
    assert truth["eye_measured"].values[(step > 10.1) & (step < 14.9)].max() == 0


def test_a_measured_movement_gives_its_clock_back(tmp_path):
    recording = v1lib.simulate_recording(
        tmp_path / "mouse", minutes=3, n_units=2, seed=1, frame_shape=(16, 20), motion=table(seconds=185)
    )
    session = v1lib.align(recording)
    # The movement has no lag of its own; three minutes know the clock to about a millisecond.
    assert abs(session.attrs["clock_offset_s"] - 0.12) < 0.003
    assert abs(session.attrs["clock_drift_ppm"] - 114) < 15


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop(columns="phi"), "phi: expected a column"),
        (
            lambda t: t.assign(time=t["time"].values[::-1]),
            "time: expected two or more finite times that rise",
        ),
        (lambda t: t.assign(time=t["time"].where(t["time"] > 101)), "time: .* not finite"),
        (lambda t: t.assign(pitch=t["pitch"] + 95), "pitch: expected values up to 90"),
        (lambda t: t.assign(theta=np.inf), "theta: expected values up to 90"),
        (lambda t: t.assign(theta=t["theta"].where(t["time"] < 110)), "theta: expected at least half"),
        (lambda t: t.assign(phi="up"), "phi: expected numbers"),
        (lambda t: t.assign(pitch=60.0, roll=50.0), "pitch and roll: expected tilts"),
        (lambda t: t[t["time"] < 120], "time: expected 38 s of movement"),
        (lambda t: t.to_numpy(), "table: expected a pandas.DataFrame"),
        (lambda t: t.assign(time=pd.to_datetime(t["time"], unit="s")), "time: .* type datetime64"),
        (lambda t: t.assign(time=pd.to_timedelta(t["time"], unit="s")), "time: .* type timedelta64"),
        (lambda t: t.assign(theta=t["theta"] + 0j), "theta: .* type complex"),
        (lambda t: t.assign(theta=t["theta"] > 0), "theta: .* type boolean"),
        (lambda t: t.assign(theta=t["theta"].astype(str)), "theta: .* type string"),
        (lambda t: t.assign(time=1000 * t["time"]), "time: expected 10 samples a second"),
        (lambda t: t[::7], "time: expected 10 samples a second"),
        (lambda t: t.assign(phi=t["phi"].where(t.index % 2 == 0)), "theta and phi: expected at least half"),
        (lambda t: t.assign(roll=t["roll"].where(t.index % 2 == 0)), "pitch, roll and yaw_rate: expected at"),
        (lambda t: t.assign(pitch=85.0, roll=0.0), "off its side .* found 0 %"),
    ],
)
def test_tables_that_move_no_mouse_are_refused(spoil, words):
    with pytest.raises(InputError, match=words):
        driven(spoil(table()))


def test_an_xarray_table_is_as_good_as_a_data_frame():
    given = table()
    first, second = driven(given), driven(given.set_index("time").to_xarray())
    for name in (*COLUMNS, "yaw"):
        if name in first:
            np.testing.assert_array_equal(first[name], second[name])
