"""The simulated mouse moves as mice do, and its rotations are rotations."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from v1lib.simulate.arena import BOX_CM, PILLARS_CM
from v1lib.simulate.kinematics import SAMPLE_RATE_HZ, body_rates, rotation_matrix, simulate_motion


@pytest.fixture(scope="module")
def motion():
    return simulate_motion(np.random.default_rng(3), 300.0)


def test_rotations_keep_lengths_and_hands(motion):
    turn = rotation_matrix(*(motion[name].values[::50] for name in ("yaw", "pitch", "roll")))
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turn), 1.0)


def test_signs_of_the_axes():
    """Left, up and right ear down are positive: where the nose and the left ear go, in world axes."""
    nose, left_ear = np.array([1, 0, 0]), np.array([0, 1, 0])
    one, none = np.array([10.0]), np.array([0.0])
    assert (rotation_matrix(one, none, none)[0] @ nose)[1] > 0.1  # yaw: nose to the left
    assert (rotation_matrix(none, one, none)[0] @ nose)[2] > 0.1  # pitch: nose up
    assert (rotation_matrix(none, none, one)[0] @ left_ear)[2] > 0.1  # roll: left ear up


def test_body_rates_agree_with_the_derivative_of_the_rotation(motion):
    angles = [motion[name].values[:6000] for name in ("yaw", "pitch", "roll")]
    turn = rotation_matrix(*angles)
    change = (turn[2:] - turn[:-2]) * SAMPLE_RATE_HZ / 2
    spin = turn[1:-1].transpose(0, 2, 1) @ change  # skew-symmetric: the rates about the body's own axes
    expected = np.rad2deg(np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], axis=1))
    rates = body_rates(*angles, SAMPLE_RATE_HZ)[1:-1]
    # Differences of second order in 1/300 s; a swapped axis or sign would be of the size of the rates, ~60.
    assert np.abs(rates - expected).max() < 3.0
    assert rates.std(axis=0).min() > 20.0


def test_eyes_counter_rotate_and_stay_in_their_range(motion):
    eye, head = np.diff(motion["theta"].values), np.diff(motion["yaw"].values)
    slow = np.abs(eye) < np.quantile(np.abs(eye), 0.9)
    assert np.corrcoef(eye[slow], head[slow])[0, 1] < -0.8
    assert np.corrcoef(motion["phi"], motion["pitch"])[0, 1] < -0.6
    assert np.corrcoef(motion["torsion"], motion["roll"])[0, 1] < -0.6
    assert np.quantile(np.abs(motion["theta"]), 0.99) < 25
    assert motion["theta"].std() > 4


def per_frame(values):
    """At 60 Hz, the rate of the eye camera and of the measured table that the figures below are from."""
    return values[::5]


def test_movement_has_the_statistics_of_a_measured_mouse():
    """Figures in brackets: ten minutes of a freely moving mouse (Meyer, O'Keefe and Poort 2020), left and
    right eye where there are two. One simulated animal need not be that mouse, but no figure may be far off.
    """
    motion = simulate_motion(np.random.default_rng(0), 600.0)
    yaw, pitch, roll = (per_frame(motion[name].values) for name in ("yaw", "pitch", "roll"))
    theta, phi = per_frame(motion["theta"].values), per_frame(motion["phi"].values)
    turn, eye = np.diff(yaw) * 60, np.diff(theta) * 60
    assert 60 < turn.std() < 140  # [100 deg/s]
    assert 4 < kurtosis(turn) < 14  # [7.4]; a normal distribution has 0
    assert 0.35 < (np.abs(turn) < 20).mean() < 0.6  # [0.48]
    fast = np.abs(eye) > 180
    saccades = (np.diff(fast.astype(int)) == 1).sum() / 600
    assert 1.0 < saccades < 3.0  # [2.1 and 2.0 a second]
    gaze = turn + eye
    assert (np.abs(gaze) < 30).mean() > (np.abs(turn) < 30).mean() + 0.05  # [0.67 and 0.66 against 0.55]
    assert 5 < theta.std() < 14 and 3 < phi.std() < 13  # [13 and 11; 8 and 12 deg]
    assert 7 < pitch.std() < 25 and 6 < roll.std() < 14  # [21 and 12 deg]
    assert np.corrcoef(pitch[:-60], pitch[60:])[0, 1] > 0.5  # [0.84]: posture is held for seconds


def test_everything_rests_together(motion):
    """In the quietest fifth of seconds the head hardly turns, tilts or walks."""

    def per_second(values):
        return np.abs(values[: len(values) // 300 * 300]).reshape(-1, 300).mean(axis=1)

    turning = per_second(np.gradient(motion["yaw"].values) * SAMPLE_RATE_HZ)
    tilting = per_second(np.gradient(motion["pitch"].values) * SAMPLE_RATE_HZ)
    quiet = turning <= np.quantile(turning, 0.2)
    assert turning[quiet].mean() < 0.15 * turning[~quiet].mean()
    assert tilting[quiet].mean() < 0.3 * tilting[~quiet].mean()
    assert per_second(motion["speed"].values)[quiet].mean() < 1.0


@pytest.mark.parametrize("lag_s", [0.01, 0.05])
def test_a_lag_delays_the_eye_and_nothing_else(lag_s):
    prompt, late = (simulate_motion(np.random.default_rng(5), 30.0, eye_lag_s=lag) for lag in (0.0, lag_s))
    samples = round(lag_s * SAMPLE_RATE_HZ)
    for name in ("yaw", "pitch", "roll", "x", "y", "speed", "pupil"):
        np.testing.assert_array_equal(prompt[name], late[name])
    head = -np.diff(prompt["yaw"].values)
    for one, expected in ((prompt, 0), (late, samples)):
        eye = np.diff(one["theta"].values)
        eye = np.where(np.abs(eye) < 0.6, eye, 0)  # without saccades
        scores = [np.corrcoef(head[200:-200], eye[200 + k : -200 + k])[0, 1] for k in range(-20, 40)]
        assert int(np.argmax(scores)) - 20 == expected


def test_the_mouse_stays_in_the_box_beside_the_pillars_and_crosses_it(motion):
    for name, size in zip(("x", "y"), BOX_CM, strict=False):
        assert 0 < motion[name].min() and motion[name].max() < size
        assert np.ptp(motion[name].values) > 0.5 * size
    for x0, y0, x1, y1, top in PILLARS_CM:
        within_x = (motion["x"] > x0 - 1) & (motion["x"] < x1 + 1)
        assert not (within_x & (motion["y"] > y0 - 1) & (motion["y"] < y1 + 1)).any()
        assert motion["z"].max() < top  # what the arena takes for granted


def test_speed_is_that_of_the_position(motion):
    moved = np.hypot(np.gradient(motion["x"].values), np.gradient(motion["y"].values)) * SAMPLE_RATE_HZ
    np.testing.assert_allclose(motion["speed"], moved, atol=1e-9)
    assert motion["speed"].max() < 25


def test_pupil_follows_running(motion):
    pupil, speed = motion["pupil"].values - motion["pupil"].values.mean(), motion["speed"].values
    later = np.corrcoef(pupil[300:], speed[:-300])[0, 1]
    earlier = np.corrcoef(pupil[:-300], speed[300:])[0, 1]
    assert later > 0.2 and later > earlier
