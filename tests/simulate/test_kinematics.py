"""The simulated mouse moves as mice do, and its rotations are rotations."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from v1lib.simulate.arena import BOX_CM
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


def test_head_turns_have_heavy_tails(motion):
    # A normal distribution has 0.
    assert kurtosis(np.diff(motion["yaw"].values)) > 2


def test_the_mouse_stays_in_the_box_and_crosses_it(motion):
    for name, size in zip(("x", "y"), BOX_CM, strict=False):
        assert 0 < motion[name].min() and motion[name].max() < size
        assert np.ptp(motion[name].values) > 0.5 * size


def test_speed_is_that_of_the_position_while_it_is_free(motion):
    """Away from the walls, where the mouse slides, distance over time is the speed."""
    moved = np.hypot(np.diff(motion["x"].values), np.diff(motion["y"].values)) * SAMPLE_RATE_HZ
    whole = moved.reshape(-1)[: len(moved) // 300 * 300].reshape(-1, 300).mean(1)
    speed = motion["speed"].values[: len(whole) * 300].reshape(-1, 300).mean(1)
    assert (np.abs(whole - speed) < 0.5).mean() > 0.5
    assert (whole < speed + 0.5).mean() > 0.98


def test_pupil_follows_running(motion):
    pupil, speed = motion["pupil"].values - motion["pupil"].values.mean(), motion["speed"].values
    later = np.corrcoef(pupil[300:], speed[:-300])[0, 1]
    earlier = np.corrcoef(pupil[:-300], speed[300:])[0, 1]
    assert later > 0.2 and later > earlier
