"""Tilt comes out of simulated turns as it went in, and the real sensor agrees with itself."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from v1lib.align.head import at_rest, head_tilt, imu_from_voltage, static_tilt
from v1lib.errors import InputError

IMU = "rodent_imu/example_imu.csv"
POSES = "rodent_imu/example_sensor_calibration.csv"
RATE = 300.0


def turning_head(seconds=60.0, seed=0):
    """A rigid body that yaws, pitches and rolls smoothly, known at every sample.

    Returns time, pitch and roll (degrees, this library's convention), body-frame rotation (deg/s) and up (g).
    """
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE

    def wander(size):
        rates, phases = rng.uniform(0.1, 1.5, 6), rng.uniform(0, 2 * np.pi, 6)
        return size / 3 * np.sin(2 * np.pi * rates[:, None] * time + phases[:, None]).sum(axis=0)

    # y points left, so a positive turn about it brings the nose down: pitch enters with a minus.
    angles = np.stack([wander(150.0), -wander(25.0), wander(20.0)], axis=1)
    attitude = Rotation.from_euler("ZYX", angles, degrees=True)
    between = (attitude[:-1].inv() * attitude[1:]).as_rotvec(degrees=True) * RATE
    rotation = np.vstack([between[:1], (between[1:] + between[:-1]) / 2, between[-1:]])
    up = attitude.inv().apply([0.0, 0.0, 1.0])
    left, forward = attitude.apply([0.0, 1.0, 0.0]), attitude.apply([1.0, 0.0, 0.0])
    # Pitch and roll from the world's side: how far nose and left ear point above the horizon.
    return time, np.rad2deg(np.arcsin(forward[:, 2])), np.rad2deg(np.arcsin(left[:, 2])), rotation, up


def off(estimate, truth):
    return float(np.sqrt(np.nanmean((np.asarray(estimate) - truth) ** 2)))


def test_static_tilt_has_the_stated_signs():
    s, c = np.sin(np.deg2rad(30)), np.cos(np.deg2rad(30))
    # level; nose up by 30 degrees; nose down; right ear down (left axis up); left ear down; on its back
    pitch, roll = static_tilt([[0, 0, 1], [s, 0, c], [-s, 0, c], [0, s, c], [0, -s, c], [0, 0, -1]])
    np.testing.assert_allclose(pitch, [0, 30, -30, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(roll, [0, 0, 0, 30, -30, 0], atol=1e-12)


def test_static_tilt_ignores_scale_and_keeps_what_is_missing():
    pitch, roll = static_tilt([[0.1, 0.2, 0.3], [1, 2, 3], [np.nan, 0, 1], [0, 0, 0]])
    assert pitch[0] == pytest.approx(pitch[1]) and roll[0] == pytest.approx(roll[1])
    assert np.isnan(pitch[2:]).all() and np.isnan(roll[2:]).all()


def test_moving_head_is_recovered_from_perfect_streams():
    time, pitch, roll, rotation, up = turning_head()
    tilt = head_tilt(time, up, rotation)
    # The rate is taken as straight between samples: at up to 300 deg/s and 300 Hz that is some hundredths.
    assert off(tilt["pitch"], pitch) < 0.05 and off(tilt["roll"], roll) < 0.05


def test_noise_of_a_running_animal_is_rejected_where_acceleration_alone_fails():
    time, pitch, roll, rotation, up = turning_head()
    rng = np.random.default_rng(1)
    strides = 0.4 * np.sin(2 * np.pi * 7 * time)[:, None] * [1.0, 0.3, 0.8]  # a stride at 7 Hz
    shaken = up + strides + 0.02 * rng.normal(size=up.shape)
    noisy = rotation + 2.0 * rng.normal(size=up.shape)
    tilt, (alone, _) = head_tilt(time, shaken, noisy), static_tilt(shaken)
    assert off(tilt["pitch"], pitch) < 1.5 and off(tilt["roll"], roll) < 1.5
    assert off(alone, pitch) > 5 * off(tilt["pitch"], pitch)


def test_constant_error_of_the_gyroscope_cancels():
    time, pitch, _, rotation, up = turning_head()
    biased = head_tilt(time, up, rotation + np.array([0.0, 3.0, 0.0]))["pitch"].values
    inside = slice(int(5 * RATE), -int(5 * RATE))  # at the ends weights have one side only
    # 3 deg/s over a one-sided second would be 3 degrees.
    assert off(biased[inside], pitch[inside]) < 0.5


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flipped_axis_would_be_seen(axis):
    time, pitch, roll, rotation, up = turning_head()
    truth = (roll, pitch)[axis]  # turning about x is roll, about y pitch
    flipped = rotation.copy()
    flipped[:, axis] *= -1
    assert off(head_tilt(time, up, flipped)[("roll", "pitch")[axis]], truth) > 5


def plain_recursion(time, acceleration, rotation, constant):
    """Gravity by two plain loops over the samples of a gapless part, one forward and one back."""
    turns = np.deg2rad(rotation[1:] + rotation[:-1]) / 2 * np.diff(time)[:, None]
    keep = np.exp(-np.diff(time) / constant)
    there = [acceleration[0]]
    for turn, k, seen in zip(turns, keep, acceleration[1:], strict=True):
        there.append(k * Rotation.from_rotvec(-turn).apply(there[-1]) + seen)
    back = [acceleration[-1]]
    for turn, k, seen in zip(turns[::-1], keep[::-1], acceleration[-2::-1], strict=True):
        back.append(k * Rotation.from_rotvec(turn).apply(back[-1]) + seen)
    return np.array(there) + np.array(back)[::-1] - acceleration


def test_filter_is_the_plain_recursion():
    """The blocks of the fast filter give what two plain loops over the samples give."""
    time, _, _, rotation, up = turning_head(seconds=2.0, seed=5)
    rng = np.random.default_rng(2)
    time = np.cumsum(rng.uniform(0.8, 1.2, time.size)) / RATE
    shaken = up + 0.2 * rng.normal(size=up.shape)
    pitch, roll = static_tilt(plain_recursion(time, shaken, rotation, 0.3))
    tilt = head_tilt(time, shaken, rotation, time_constant_s=0.3)
    np.testing.assert_allclose(tilt["pitch"], pitch, atol=1e-8)
    np.testing.assert_allclose(tilt["roll"], roll, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_over_random_gaps_each_part_is_filtered_as_if_it_were_alone(seed):
    """Samples that are not there, and samples of which one value is missing, also first and last ones."""
    rng = np.random.default_rng(seed)
    time, _, _, rotation, up = turning_head(seconds=2.0, seed=seed)
    shaken, rotation = up + 0.2 * rng.normal(size=up.shape), rotation.copy()
    there = np.ones(time.size, bool)
    for first in rng.integers(0, time.size, 4):
        there[first : first + rng.integers(1, 40)] = False
    measured = np.ones(time.size, bool)
    for first in [0, time.size - 3, *rng.integers(0, time.size, 4)]:
        gone = slice(first, first + int(rng.integers(1, 30)))
        (shaken if rng.random() < 0.5 else rotation)[gone, rng.integers(3)] = np.nan
        measured[gone] = False
    tilt = head_tilt(time[there], shaken[there], rotation[there], time_constant_s=0.3)
    expected = np.full((2, time.size), np.nan)
    part = []
    for k in range(time.size + 1):
        if k < time.size and there[k] and measured[k]:
            part.append(k)
        elif part:
            gravity = plain_recursion(time[part], shaken[part], rotation[part], 0.3)
            expected[:, part] = static_tilt(gravity)
            part = []
    for name, alone in zip(("pitch", "roll"), expected, strict=True):
        np.testing.assert_allclose(tilt[name], alone[there], atol=1e-8)
    assert np.isnan(tilt["pitch"]).any() and np.isfinite(tilt["pitch"]).any()


def test_missing_samples_stay_missing_and_nothing_reaches_over_a_gap():
    time, pitch, _, rotation, up = turning_head(seconds=20)
    up, rotation = up.copy(), rotation.copy()
    up[1000:1030, 0] = np.nan
    rotation[2000, 2] = np.nan
    keep = np.r_[0:4000, 4600 : time.size]  # two seconds are not there at all
    tilt = head_tilt(time[keep], up[keep], rotation[keep])
    expected = ~(np.isfinite(up).all(axis=1) & np.isfinite(rotation).all(axis=1))[keep]
    np.testing.assert_array_equal(np.isnan(tilt["pitch"].values), expected)
    assert off(tilt["pitch"], pitch[keep]) < 0.05
    alone = head_tilt(time[4600:], up[4600:], rotation[4600:])
    np.testing.assert_array_equal(tilt["pitch"].values[4000:], alone["pitch"].values)


def test_an_hour_is_filtered_as_its_parts_are():
    """Sums over an hour lose no digits: a minute out of it, away from the cuts, comes out the same."""
    n = int(3600 * RATE)
    rng = np.random.default_rng(0)
    time, up, rotation = np.arange(n) / RATE, rng.normal(size=(n, 3)), 50 * rng.normal(size=(n, 3))
    whole = head_tilt(time, up, rotation)["pitch"].values
    assert np.isfinite(whole).all()
    part = slice(int(3000 * RATE), int(3060 * RATE))
    alone = head_tilt(time[part], up[part], rotation[part])["pitch"].values
    inner = slice(int(25 * RATE), int(35 * RATE))  # the weights there fall to exp(-25) at the cuts
    np.testing.assert_allclose(alone[inner], whole[part][inner], atol=1e-6)


def test_voltages_become_g_and_degrees_per_second():
    voltage = np.full((4, 6), 2.9)
    voltage[:, 2] = 2.9 + 1 / 1.6  # 1 g on z
    voltage[:, 5] = [2.4, 2.6, 2.5, 2.5]
    acceleration, rotation = imu_from_voltage(voltage)
    np.testing.assert_allclose(acceleration, [[0, 0, 1]] * 4, atol=1e-12)
    np.testing.assert_allclose(rotation[:, 2], [-40, 40, 0, 0], atol=1e-9)
    assert not rotation[:, :2].any()


def test_missing_voltages_stay_missing():
    voltage = np.tile([2.9, 2.9, 3.5, 2.5, 2.5, 2.5], (5, 1))
    voltage[2, 5] = np.nan
    _, rotation = imu_from_voltage(voltage)
    assert np.isnan(rotation[2, 2]) and np.isfinite(np.delete(rotation[:, 2], 2)).all()
    voltage[:, 4] = np.nan
    with pytest.raises(InputError, match="missing throughout"):
        imu_from_voltage(voltage)
    with pytest.raises(InputError, match="six columns"):
        imu_from_voltage(voltage[:, :3])


def test_bad_streams_are_refused():
    time, _, _, rotation, up = turning_head(seconds=1)
    backwards = time.copy()
    backwards[10] = backwards[8]
    for arguments, message in [
        ((backwards, up, rotation), "time: expected rising values"),
        ((time, up[:-1], rotation), "acceleration: expected shape"),
        ((time, up, rotation[:, :2]), "rotation: expected shape"),
        ((time, up * np.nan, rotation), "together at least once"),
        ((time, np.where(up > 0.99, np.inf, up), rotation), "infinity"),
    ]:
        with pytest.raises(InputError, match=message):
            head_tilt(*arguments)
    with pytest.raises(InputError, match="time_constant_s"):
        head_tilt(time, up, rotation, time_constant_s=0)


def real_streams(path):
    table = pd.read_csv(path)
    time = table["time"].values if "time" in table else table["counter"].values / RATE
    acceleration, rotation = table[["ax", "ay", "az"]].values, table[["gx", "gy", "gz"]].values
    return time, acceleration, rotation - np.median(rotation, axis=0)


def test_rest_is_where_nothing_turns_around():
    rotation = np.zeros((40, 3))
    rotation[10, 1] = 25.0
    rotation[30, 2] = np.nan
    expected = np.ones(40, bool)
    expected[[0, 1, *range(8, 13), *range(28, 33), 38, 39]] = False
    np.testing.assert_array_equal(at_rest(rotation, samples=5), expected)
    with pytest.raises(InputError, match="odd"):
        at_rest(rotation, samples=4)


def test_resting_sensor_measures_one_g_in_every_pose(real_file):
    time, acceleration, rotation = real_streams(real_file(POSES))
    resting = at_rest(rotation, below_deg_s=10, samples=61)
    border = np.flatnonzero(np.diff(resting.astype(int)))
    poses = [
        part for part in np.split(np.arange(time.size), border + 1) if resting[part[0]] and part.size > 300
    ]
    assert len(poses) == 3
    for pose in poses:
        norm = np.linalg.norm(acceleration[pose].mean(axis=0))
        # The sensor is as it came: zero is off by up to 0.08 g on an axis, which such sensors are rated at.
        assert norm == pytest.approx(1.0, abs=0.08)
        # Within a pose nothing of that kind changes.
        assert np.linalg.norm(acceleration[pose], axis=1).std() < 0.02


def test_counter_of_the_head_sensor_is_a_clock(real_file):
    counter = pd.read_csv(real_file(IMU))["counter"].values
    steps, counts = np.unique(np.diff(counter), return_counts=True)
    # Rows at 100 Hz from a counter at 300 Hz; 27 of the 4,892 steps are one count short.
    assert steps.tolist() == [2, 3] and counts[0] == 27
    assert (counter[-1] - counter[0]) / RATE == pytest.approx(48.8, abs=0.1)


def test_real_head_agrees_with_itself_when_still_and_a_flipped_gyroscope_does_not(real_file):
    time, acceleration, rotation = real_streams(real_file(IMU))
    resting = at_rest(rotation)
    assert resting.sum() > 1000
    alone = static_tilt(acceleration)
    for number, name in enumerate(("pitch", "roll")):
        errors = {}
        for sign in (1, -1):
            tilt = head_tilt(time, acceleration, sign * rotation, time_constant_s=3.0)[name].values
            assert np.isfinite(tilt).all()
            errors[sign] = np.median(np.abs(tilt - alone[number])[resting])
        # Half a degree: breathing and sensor noise of 0.01 g are that much.
        assert errors[1] < 1.0 and errors[-1] > 3 * errors[1]
