"""Injected clocks and jumps come back, with honest errors; streams that do not agree give a reason."""

from functools import cache

import numpy as np
import pytest
from scipy.signal import lfilter

import v1lib
from v1lib.errors import InputError
from v1lib.readers.head_eye import read_head_eye
from v1lib.simulate.streams import eye_and_gyro, to_ephys_clock

MEASURED = "meyer2020/example_freely_moving.npy"


@cache
def _streams(seed, offset_s, drift_ppm, minutes):
    return eye_and_gyro(seed, minutes=minutes, clock_offset_s=offset_s, clock_drift_ppm=drift_ppm)


def streams(seed, offset_s, drift_ppm, *, minutes=5.0):
    return [values.copy() for values in _streams(seed, offset_s, drift_ppm, minutes)]


@pytest.fixture(scope="module")
def measured(real_file):
    tables = {eye: read_head_eye(real_file(MEASURED), eye) for eye in ("left", "right")}
    return {
        eye: tuple(table[name].values for name in ("time", "theta", "yaw_rate"))
        for eye, table in tables.items()
    }


def refusal(*given, **choices):
    with pytest.raises(InputError) as caught:
        v1lib.estimate_clock(*given, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("offset_s", "drift_ppm"), [(0.0, 0.0), (0.12, 114.0), (-0.9, -114.0), (3.0, 400.0)])
def test_an_injected_clock_comes_back(offset_s, drift_ppm):
    clock = v1lib.estimate_clock(*streams(11, offset_s, drift_ppm))
    # Four standard errors, which are themselves about 0.6 ms and 3.6 ppm in five minutes.
    assert abs(clock.offset_s - offset_s) < 4 * clock.offset_se_s < 0.0025
    assert abs(clock.drift_ppm - drift_ppm) < 4 * clock.drift_se_ppm < 16
    assert clock.quality > 0.7 and clock.jumps == () and clock.eye_lag_s == 0.0


def test_moving_a_stream_moves_the_estimate_by_as_much():
    eye_time, theta, gyro_time, gyro = streams(12, 0.1, 50.0)
    before = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    after = v1lib.estimate_clock(eye_time, theta, gyro_time + 0.25 + 80e-6 * gyro_time, gyro)
    # t_ephys' = 0.25 + (1 + 8e-5) t_ephys, so offset' = offset + 0.25 (1 - drift') to first order.
    assert abs(after.offset_s - before.offset_s - 0.25) < 5e-5
    assert abs(after.drift_ppm - before.drift_ppm - 80.0) < 0.1


def test_errors_are_small_and_standard_errors_honest():
    """z-scores over 20 recordings: a spread of 0.6 to 1.5 has 99 % where the true one is 1."""
    z, errors = [], []
    for seed in range(20):
        clock = v1lib.estimate_clock(*streams(seed, 0.05, 60.0, minutes=2.5))
        errors.append([clock.offset_s - 0.05, clock.drift_ppm - 60.0])
        z.append(np.array(errors[-1]) / [clock.offset_se_s, clock.drift_se_ppm])
    assert (np.std(z, axis=0) > 0.6).all() and (np.std(z, axis=0) < 1.5).all()
    # A mean of 20 z-scores is within 0.67 in 99.7 %, and 0.3 of a standard error is allowed for what the
    # model leaves out (0.1 ms here).
    assert (np.abs(np.mean(z, axis=0)) < 0.97).all()
    assert np.abs(np.median(errors, axis=0))[0] < 3e-4


def test_the_integral_of_the_gyroscope_is_exact_between_its_samples():
    """A head that speeds up evenly has turned t² / 2, and the lag found owes nothing to where samples lie."""
    rng = np.random.default_rng(3)
    knots = np.arange(0, 300, 1 / 60)
    turns = np.arange(0, 301, 0.15)
    rate = 25 * np.interp(knots, turns, rng.normal(size=turns.size))
    fine = np.arange(0, 300 - 1 / 60, 1 / 3000)
    turned = np.concatenate([[0.0], np.cumsum(np.interp(fine[1:] - 1 / 6000, knots, rate)) / 3000])
    for phase in (0.0, 0.3, 0.5, 0.8):
        frames = np.arange(1.0, 298.0, 1 / 60) + phase / 60
        theta = -0.9 * np.interp(frames, fine, turned) + rng.normal(0, 3e-5, frames.size)
        clock = v1lib.estimate_clock(frames, theta, knots, rate)
        # Straight lines in the angle between samples would be off by up to a fifth of a millisecond.
        assert abs(clock.offset_s + 1e-6 * clock.drift_ppm * 150) < 2e-6


def test_an_eye_that_returns_to_its_centre_is_not_early():
    """The return goes on behind a turn: taken for a part of the answer, it would move the clock by ms."""
    _, _, gyro_time, gyro = streams(12, 0.0, 0.0)
    rng = np.random.default_rng(4)
    answer = lfilter([-0.9 / 300], [1.0, -(1 - 1 / (0.4 * 300))], 0.5 * (gyro + np.roll(gyro, 1)))
    frames = np.arange(gyro_time[300], gyro_time[-300], 1 / 60)
    theta = np.interp(frames, gyro_time, answer) + rng.normal(0, 0.3, frames.size)
    clock = v1lib.estimate_clock(frames, theta, gyro_time, gyro)
    # The eye of this difference equation is half a sample of its own return off.
    assert abs(clock.offset_s) < 4 * clock.offset_se_s + 1e-4 < 1.8e-3


def test_lost_frames_make_no_steps():
    """Across a gap the eye has jumped: as steps between neighbours such pairs would pull the clock."""
    eye_time, theta, gyro_time, gyro = streams(17, 0.1, 50.0)
    kept = np.ones(eye_time.size, bool)
    for first in range(500, eye_time.size - 400, 600):
        kept[first : first + 200] = False
    clock = v1lib.estimate_clock(eye_time[kept], theta[kept], gyro_time, gyro)
    assert abs(clock.offset_s - 0.1) < 0.0015 and clock.n_steps < kept.sum() and clock.jumps == ()


def test_the_two_directions_undo_each_other():
    clock = v1lib.ClockFit(0.3, 250.0, 0.0, 0.0, 1.0, 0)
    time = np.linspace(0, 3600, 7)
    np.testing.assert_allclose(clock.to_camera(clock.to_ephys(time)), time, atol=1e-9)
    np.testing.assert_allclose(clock.to_ephys(0.0), 0.3 / (1 - 250e-6))


def test_both_directions_step_at_jumps_and_rise_throughout():
    jumps = (v1lib.ClockJump(100.0, 103.5, 3.0, 0.0), v1lib.ClockJump(200.0, 200.2, -0.5, 0.0))
    clock = v1lib.ClockFit(0.3, 250.0, 0.0, 0.0, 1.0, 0, jumps)
    plain = v1lib.ClockFit(0.3, 250.0, 0.0, 0.0, 1.0, 0)
    camera = np.linspace(0, 300, 6001)
    ephys = clock.to_ephys(camera)
    assert (np.diff(ephys) > 0).all()
    np.testing.assert_allclose(clock.to_camera(ephys), camera, atol=1e-9)
    for part, total in (
        (camera <= 100, 0.0),
        ((camera >= 103.5) & (camera <= 200), 3.0),
        (camera >= 200.2, 2.5),
    ):
        np.testing.assert_allclose(ephys[part], plain.to_ephys(camera[part] - total), atol=1e-9)
        np.testing.assert_allclose(
            clock.to_camera(ephys[part]), plain.to_camera(ephys[part]) + total, atol=1e-9
        )


def test_a_lag_of_the_eye_is_taken_off_the_clock():
    eye_time, theta, gyro_time, gyro = streams(12, 0.1, 50.0)
    plain = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    # Frames stamped 7 ms later than they were taken look like an eye that lags by 7 ms.
    lagging = v1lib.estimate_clock(eye_time + 0.007, theta, gyro_time, gyro, eye_lag_s=0.007)
    assert lagging.eye_lag_s == 0.007
    # A step more or less at the ends moves the estimate by some hundredths of its standard error.
    assert abs(lagging.offset_s - plain.offset_s) < 5e-5
    assert "eye_lag_s" in refusal(eye_time, theta, gyro_time, gyro, eye_lag_s=7.0)


# --- jumps of the camera's clock ---------------------------------------------------------------------------


def stepped(eye_time, theta, at, size):
    """Later stamps larger by `size`; frames whose stamps would not rise are lost."""
    first = int(np.searchsorted(eye_time, at))
    moved = eye_time + size * (np.arange(eye_time.size) >= first)
    kept = (np.arange(eye_time.size) < first) | (moved > moved[first - 1] + 0.01)
    return moved[kept], theta[kept], moved[first - 1], moved[kept][first]


@pytest.mark.parametrize("size", [0.02, -0.05, 0.3, -1.0, 4.0])
def test_a_jump_is_found_placed_and_measured(size):
    eye_time, theta, gyro_time, gyro = streams(21, 0.1, 50.0)
    *eye, last_old, first_new = stepped(eye_time, theta, 170.0, size)
    clock = v1lib.estimate_clock(*eye, gyro_time, gyro)
    (jump,) = clock.jumps
    assert abs(jump.size_s - size) < 4 * jump.size_se_s < 0.006
    # One or the other edge of the place may be the frame itself.
    assert jump.after_s <= last_old + 1e-6 and jump.before_s >= first_new - 1e-6
    assert jump.before_s - jump.after_s < max(size, 0) + 3.0
    assert abs(clock.offset_s - 0.1) < 4 * clock.offset_se_s
    assert abs(clock.drift_ppm - 50.0) < 4 * clock.drift_se_ppm
    early, late = eye_time < 160, eye_time > 180
    true = to_ephys_clock(eye_time, 0.1, 50.0)
    for part, moved in ((early, 0.0), (late, size)):
        np.testing.assert_allclose(clock.to_ephys(eye_time[part] + moved), true[part], atol=0.003)


def test_a_gap_that_can_hold_the_jump_is_its_place():
    eye_time, theta, gyro_time, gyro = streams(22, 0.1, 50.0)
    lost = (eye_time > 150) & (eye_time < 151)
    eye_time[eye_time >= 151] += 0.4
    clock = v1lib.estimate_clock(eye_time[~lost], theta[~lost], gyro_time, gyro)
    (jump,) = clock.jumps
    first = np.searchsorted(eye_time[~lost], 151)
    assert (jump.after_s, jump.before_s) == (eye_time[~lost][first - 1], eye_time[~lost][first])


def test_two_jumps_share_one_drift():
    eye_time, theta, gyro_time, gyro = streams(23, 0.1, 50.0)
    eye_time[6000:] += 1.5
    eye_time[12000:] += 0.1
    clock = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    assert [round(jump.size_s, 2) for jump in clock.jumps] == [1.5, 0.1]
    assert abs(clock.drift_ppm - 50.0) < 4 * clock.drift_se_ppm


def test_no_jump_is_reported_where_there_is_none():
    for seed in range(30, 34):
        assert v1lib.estimate_clock(*streams(seed, -0.2, -90.0)).jumps == ()


def test_a_clock_that_bends_smoothly_does_not_jump():
    """A drift that changes by 800 ppm in five minutes: no straight line, and no step either."""
    eye_time, theta, gyro_time, gyro = streams(11, 0.12, 114.0)
    bent = gyro_time + 0.03 * ((gyro_time - 155) / 150) ** 2
    for bend in (bent, gyro_time + 0.03 * np.sin(2 * np.pi * gyro_time / 300)):
        assert v1lib.estimate_clock(eye_time, theta, bend, gyro).jumps == ()


# --- streams that give no clock ----------------------------------------------------------------------------


def test_an_eye_that_follows_no_head_gives_no_clock():
    eye_time, _, gyro_time, gyro = streams(13, 0.1, 50.0)
    assert "mirror" in refusal(eye_time, streams(14, 0.1, 50.0)[1], gyro_time, gyro)


@pytest.mark.parametrize("which", [1, 3])
def test_a_wrong_sign_is_named(which):
    given = streams(15, 0.1, 50.0)
    given[which] *= -1
    assert "move together" in refusal(*given) and "sign" in refusal(*given)


@pytest.mark.parametrize(("first", "stop"), [(0, 60), (120, 240), (240, 300)])
def test_a_part_that_does_not_agree_is_named(first, stop):
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    part = (eye_time - eye_time[0] >= first) & (eye_time - eye_time[0] < stop)
    theta[part] = streams(16, 0.1, 50.0)[1][part]
    text = refusal(eye_time, theta, gyro_time, gyro)
    begin, end = (float(word) for word in text.split(" from ")[1].split(" s of")[0].split(" to "))
    # Named in windows of ten seconds, and the last one may be short.
    assert abs(begin - eye_time[0] - first) <= 10 and abs(end - eye_time[0] - stop) <= 11


@pytest.mark.parametrize("hours", [-1.0, 1.0, 0.01])
def test_clocks_too_far_apart_are_refused_with_their_difference(hours):
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    text = refusal(eye_time, theta, gyro_time + 3600 * hours, gyro)
    # The clock itself moves on by 0.1 s and 50 ppm; the search is on a grid of 20 ms.
    assert abs(float(text.split("ahead by about ")[1].split(" s")[0]) - 3600 * hours - 0.1) < 0.05


def test_a_jump_beyond_the_search_is_refused_as_a_part():
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    eye_time[eye_time > 180] += 30
    assert "within 10 s" in refusal(eye_time, theta, gyro_time, gyro)


def test_a_stream_much_longer_than_the_other_is_refused():
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    assert "twice as long" in refusal(eye_time[:6000], theta[:6000], gyro_time, gyro)
    assert "twice as long" in refusal(eye_time, theta, gyro_time[:30000], gyro[:30000])


def test_sensors_that_do_not_measure_are_refused():
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    assert "inside its range" in refusal(eye_time, theta, gyro_time, np.clip(gyro, -200, 200))
    assert "gyro_z: expected values that vary" in refusal(eye_time, theta, gyro_time, np.full_like(gyro, 0.3))
    theta[4000:] = theta[np.isfinite(theta)][0]
    assert "eye_theta: expected values that vary" in refusal(eye_time, theta, gyro_time, gyro)


def test_an_eye_that_was_never_tracked_gives_no_clock():
    eye_time, theta, gyro_time, gyro = streams(16, 0.1, 50.0)
    assert "eye_theta: expected 600" in refusal(eye_time, np.full_like(theta, np.nan), gyro_time, gyro)
    assert "gyro_z: expected 600" in refusal(eye_time, theta, gyro_time, np.full_like(gyro, np.nan))
    assert "eye_theta: expected 600" in refusal(eye_time[:500], theta[:500], gyro_time[:2500], gyro[:2500])


@pytest.mark.parametrize("which", [0, 2])
def test_bad_stamps_are_refused(which):
    name = ("eye_time", "", "gyro_time")[which]
    given = streams(16, 0.1, 50.0)
    given[which][100] = given[which][99]
    assert f"{name}: expected stamps that rise" in refusal(*given)
    given[which][100] = np.nan
    assert f"{name}: expected finite stamps" in refusal(*given)
    given = streams(16, 0.1, 50.0)
    given[which] = given[which][:-1]
    assert "one value for each of" in refusal(*given)
    given = streams(16, 0.1, 50.0)
    given[which + 1][7] = np.inf
    assert "infinite" in refusal(*given)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("kind", ["U9", object, complex, "timedelta64[s]", "datetime64[s]", bool])
def test_streams_that_are_no_real_numbers_are_refused(which, kind):
    given = streams(16, 0.1, 50.0)
    values = np.nan_to_num(given[which])
    given[which] = (values.astype("int64") if str(kind).endswith("[s]") else values).astype(kind)
    name = ("eye_time", "eye_theta", "gyro_time", "gyro_z")[which]
    assert f"{name}: expected real numbers, found" in refusal(*given)


def test_angles_beyond_a_turn_are_refused():
    eye_time, theta, gyro_time, gyro = streams(16, 0.1, 50.0)
    theta[np.flatnonzero(np.isfinite(theta))[7]] = -361.0
    assert "eye_theta: expected angles within ±360 deg, found 361 deg" in refusal(
        eye_time, theta, gyro_time, gyro
    )


def test_an_eye_that_stands_still_between_lost_frames_is_refused():
    eye_time, theta, gyro_time, gyro = streams(16, 0.1, 50.0)
    theta[4000:6000], theta[4000:6000:3] = theta[np.isfinite(theta)][0], np.nan
    assert "eye_theta: expected values that vary" in refusal(eye_time, theta, gyro_time, gyro)


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset_s": "0.1"},
        {"offset_s": np.nan},
        {"drift_ppm": np.inf},
        {"drift_ppm": 2e4},
        {"quality": None},
        {"offset_se_s": np.inf},
        {"n_steps": True},
        {"eye_lag_s": np.nan},
        {"jumps": [v1lib.ClockJump(1.0, 2.0, 0.5, 0.0)]},
        {"jumps": (0.5,)},
        {"jumps": (v1lib.ClockJump(5.0, 6.0, 0.5, 0.0), v1lib.ClockJump(1.0, 2.0, 0.5, 0.0))},
        {"jumps": (v1lib.ClockJump(5.0, 6.0, 0.5, 0.0), v1lib.ClockJump(5.5, 7.0, 0.5, 0.0))},
    ],
)
def test_a_clock_that_is_none_is_refused(wrong):
    right = {"offset_s": 0.1, "drift_ppm": 50, "offset_se_s": np.nan, "drift_se_ppm": np.float32(0.0)}
    right |= {"quality": np.nan, "n_steps": 0}
    v1lib.ClockFit(**right)
    with pytest.raises(InputError, match=f"ClockFit: {next(iter(wrong))}: expected"):
        v1lib.ClockFit(**(right | wrong))


@pytest.mark.parametrize("wrong", [(2.0, 1.0, 0.5, 0.0), (1.0, 2.0, np.nan, 0.0), ("1", 2.0, 0.5, 0.0)])
def test_a_jump_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="ClockJump: "):
        v1lib.ClockJump(*wrong)


def test_a_clock_takes_lists_and_residuals_take_a_clock():
    clock = v1lib.ClockFit(0.1, 0.0, 0, 0, 1, 0)
    np.testing.assert_allclose(clock.to_camera([1, 2]), [0.9, 1.9])
    np.testing.assert_allclose(clock.to_ephys([1, 2]), [1.1, 2.1])
    with pytest.raises(InputError, match="clock: expected a ClockFit, found float"):
        v1lib.clock_residuals(*streams(16, 0.1, 50.0), 0.1)


def test_an_eye_lost_for_a_minute_still_gives_the_clock():
    eye_time, theta, gyro_time, gyro = streams(18, 0.1, 50.0)
    lost = (eye_time > 100) & (eye_time < 160)
    for time, values in (
        (eye_time, np.where(lost, np.nan, theta)),
        (eye_time[~lost], theta[~lost]),
    ):
        clock = v1lib.estimate_clock(time, values, gyro_time, gyro)
        assert abs(clock.offset_s - 0.1) < 4 * clock.offset_se_s < 0.003 and clock.jumps == ()


def test_an_eye_tracked_in_every_second_frame_gives_no_clock():
    eye_time, theta, gyro_time, gyro = streams(16, 0.1, 50.0)
    theta[::2] = np.nan
    with pytest.raises(InputError, match=r"eye_theta: expected 600 pairs .* found 0"):
        v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)


def test_a_gap_of_the_gyroscope_is_no_stillness():
    """Half a minute without samples: neither bridged by a straight line nor taken for a head at rest."""
    eye_time, theta, gyro_time, gyro = streams(18, 0.1, 50.0)
    whole = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    gap = (gyro_time > 100) & (gyro_time < 130)
    for time, values in ((gyro_time[~gap], gyro[~gap]), (gyro_time, np.where(gap, np.nan, gyro))):
        clock = v1lib.estimate_clock(eye_time, theta, time, values)
        assert abs(clock.offset_s - whole.offset_s) < 5e-4
        assert clock.drift_se_ppm < 2 * whole.drift_se_ppm
        assert clock.n_steps < whole.n_steps - 900 and clock.jumps == ()


# --- what is left over --------------------------------------------------------------------------------------


def test_residual_lags_show_a_wrong_clock_and_not_a_right_one():
    given = streams(12, 0.1, 50.0)
    clock = v1lib.estimate_clock(*given)
    right = v1lib.clock_residuals(*given, clock)
    assert right.sizes == {"window": 5} and {v: right[v].attrs["units"] for v in right}["lag"] == "s"
    assert (np.abs(right["lag"]) < 4 * right["lag_se"]).all() and (right["lag_se"] < 0.002).all()
    assert (right["r"] > 0.7).all() and ((right["used"] > 0.3) & (right["used"] < 0.9)).all()
    late = v1lib.ClockFit(0.1 - 0.012, 50.0 - 40.0, 0.0, 0.0, 1.0, 0)
    wrong = v1lib.clock_residuals(*given, late)
    # The ephys clock is ahead of `late` by 12 ms and 40 ppm more.
    expected = 0.012 + 40e-6 * wrong["window"].values
    assert (np.abs(wrong["lag"] - expected) < 4 * wrong["lag_se"] + 2e-4).all()


def test_residual_lags_know_of_jumps_and_of_the_lag_of_the_eye():
    eye_time, theta, gyro_time, gyro = streams(21, 0.1, 50.0)
    moved, theta, *_ = stepped(eye_time, theta, 170.0, 0.5)
    clock = v1lib.estimate_clock(moved, theta, gyro_time, gyro, eye_lag_s=0.02)
    left = v1lib.clock_residuals(moved, theta, gyro_time, gyro, clock)
    assert (np.abs(left["lag"]) < 4 * left["lag_se"]).all()


def test_a_minute_without_an_eye_has_no_residual_lag():
    eye_time, theta, gyro_time, gyro = streams(12, 0.1, 50.0)
    theta[(eye_time > 60) & (eye_time < 130)] = np.nan
    left = v1lib.clock_residuals(eye_time, theta, gyro_time, gyro, v1lib.ClockFit(0.1, 50.0, 0, 0, 1.0, 0))
    assert np.isnan(left["lag"].values).tolist() == [False, True, False, False, False]
    assert left["used"].values[1] < 0.05


# --- a measured mouse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("eye", ["left", "right"])
def test_clocks_added_to_a_measured_mouse_come_back(measured, eye):
    """Within 0.2 ms and 0.5 ppm, though the eye's own lag (some milliseconds) stays in both estimates."""
    stamps, theta, rate = measured[eye]
    before = v1lib.estimate_clock(stamps, theta, stamps, rate)
    assert before.jumps == () and abs(before.offset_s) < 0.009
    offset, drift = (2.0, 400.0) if eye == "left" else (-1.303, -250.0)
    moved = to_ephys_clock(stamps, offset, drift)
    grid = np.arange(moved[0], moved[-1], 1 / 300)
    for time, values in ((moved, rate), (grid, np.interp(grid, moved, rate))):
        after = v1lib.estimate_clock(stamps, theta, time, values)
        rates = 1 - 1e-6 * np.array([before.drift_ppm, drift])
        assert abs(after.offset_s - (before.offset_s + offset * rates[0])) < 2e-4
        assert abs(after.drift_ppm - 1e6 * (1 - rates.prod())) < 0.5
        assert after.jumps == ()


def test_a_jump_in_a_measured_mouse_is_found(measured):
    stamps, theta, rate = measured["left"]
    *eye, last_old, first_new = stepped(stamps, theta, 130.0, 0.05)
    (jump,) = v1lib.estimate_clock(*eye, stamps, rate).jumps
    assert abs(jump.size_s - 0.05) < 0.003 and (jump.after_s, jump.before_s) == (last_old, first_new)
