"""Injected clocks come back, with honest errors, and eyes that follow no head give none."""

import numpy as np
import pytest

import v1lib
from v1lib.errors import InputError
from v1lib.simulate.streams import eye_and_gyro


def streams(seed, offset_s, drift_ppm, *, minutes=5.0):
    return eye_and_gyro(seed, minutes=minutes, clock_offset_s=offset_s, clock_drift_ppm=drift_ppm)


@pytest.mark.parametrize(("offset_s", "drift_ppm"), [(0.0, 0.0), (0.12, 114.0), (-0.9, -114.0), (3.0, 400.0)])
def test_an_injected_clock_comes_back(offset_s, drift_ppm):
    clock = v1lib.estimate_clock(*streams(11, offset_s, drift_ppm))
    # Half a millisecond is what saccades add as a seeming lag; five standard errors are the rest.
    assert abs(clock.offset_s - offset_s) < 0.0005 + 5 * clock.offset_se_s < 0.003
    assert abs(clock.drift_ppm - drift_ppm) < 5 * clock.drift_se_ppm < 15
    assert clock.quality > 0.8


def test_moving_a_stream_moves_the_estimate_by_as_much():
    eye_time, theta, gyro_time, gyro = streams(12, 0.1, 50.0)
    before = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    after = v1lib.estimate_clock(eye_time, theta, gyro_time + 0.25 + 80e-6 * gyro_time, gyro)
    # t_ephys' = 0.25 + (1 + 8e-5) t_ephys, so offset' = offset + 0.25 (1 - drift') to first order.
    assert abs(after.offset_s - before.offset_s - 0.25) < 2e-4
    assert abs(after.drift_ppm - before.drift_ppm - 80.0) < 0.5


def test_standard_errors_are_honest():
    """z-scores over recordings have a spread near 1 (20 recordings: 0.7 to 1.5 in 99 %)."""
    z = []
    for seed in range(20):
        clock = v1lib.estimate_clock(*streams(seed, 0.05, 60.0, minutes=2.5))
        drift = (clock.drift_ppm - 60.0) / clock.drift_se_ppm
        z.append([drift, (clock.offset_s - 0.05) / clock.offset_se_s])
    assert (np.std(z, axis=0) > 0.6).all() and (np.std(z, axis=0) < 1.5).all()


def test_lost_frames_make_no_steps():
    """Across a gap the eye has jumped: as steps between neighbours such pairs would pull the clock."""
    eye_time, theta, gyro_time, gyro = streams(17, 0.1, 50.0)
    kept = np.ones(eye_time.size, bool)
    for first in range(500, eye_time.size - 400, 600):
        kept[first : first + 200] = False
    clock = v1lib.estimate_clock(eye_time[kept], theta[kept], gyro_time, gyro)
    assert abs(clock.offset_s - 0.1) < 0.001 and clock.n_steps < kept.sum()


def test_the_two_directions_undo_each_other():
    clock = v1lib.ClockFit(0.3, 250.0, 0.0, 0.0, 1.0, 0)
    time = np.linspace(0, 3600, 7)
    np.testing.assert_allclose(clock.to_camera(clock.to_ephys(time)), time, atol=1e-9)
    np.testing.assert_allclose(clock.to_ephys(0.0), 0.3 / (1 - 250e-6))


def test_an_eye_that_follows_no_head_gives_no_clock():
    eye_time, _, gyro_time, gyro = streams(13, 0.1, 50.0)
    other = streams(14, 0.1, 50.0)[1]
    with pytest.raises(InputError, match="mirror"):
        v1lib.estimate_clock(eye_time, other, gyro_time, gyro)


def test_a_gyroscope_of_the_wrong_sign_gives_no_clock():
    eye_time, theta, gyro_time, gyro = streams(15, 0.1, 50.0)
    with pytest.raises(InputError, match="gyro"):
        v1lib.estimate_clock(eye_time, theta, gyro_time, -gyro)


def test_an_eye_that_was_never_tracked_gives_no_clock():
    eye_time, theta, gyro_time, gyro = streams(16, 0.1, 50.0)
    with pytest.raises(InputError, match="eye_theta: expected 600"):
        v1lib.estimate_clock(eye_time, np.full_like(theta, np.nan), gyro_time, gyro)


def test_a_gap_of_the_gyroscope_is_no_stillness():
    """Half a minute without samples: neither bridged by a straight line nor taken for a head at rest."""
    eye_time, theta, gyro_time, gyro = streams(18, 0.1, 50.0)
    whole = v1lib.estimate_clock(eye_time, theta, gyro_time, gyro)
    gap = (gyro_time > 100) & (gyro_time < 130)
    for time, values in ((gyro_time[~gap], gyro[~gap]), (gyro_time, np.where(gap, np.nan, gyro))):
        clock = v1lib.estimate_clock(eye_time, theta, time, values)
        assert abs(clock.offset_s - whole.offset_s) < 5e-4
        assert clock.drift_se_ppm < 2 * whole.drift_se_ppm
        assert clock.n_steps < whole.n_steps - 1500
