"""What can be checked without a truth finds each fault that is put in, and only that."""

import dataclasses

import numpy as np
import pytest

import v1lib
from v1lib.align import clock_residuals, eye_and_head
from v1lib.align.quality import LIMITS, judge_alignment

LAG = "largest lag left in a minute, beyond two of its standard errors"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("quality") / "mouse"
    return v1lib.simulate_recording(path, minutes=4, n_units=2, seed=6, frame_shape=(16, 20))


@pytest.fixture(scope="module")
def clock(recording):
    return v1lib.estimate_clock(*eye_and_head(recording))


@pytest.fixture(scope="module")
def session(recording, clock):
    return v1lib.align(recording, clock=clock)


@pytest.fixture(scope="module")
def residuals(recording, clock):
    return clock_residuals(*eye_and_head(recording), clock)


def test_a_sound_alignment_is_good_throughout(recording, session, residuals):
    judged = judge_alignment(recording, session, residuals)
    assert list(judged.index) == list(LIMITS)
    assert (judged["verdict"] == "good").all(), judged


@pytest.mark.parametrize(("late_s", "verdict"), [(0.001, "good"), (0.012, "look"), (-0.04, "bad")])
def test_a_clock_that_is_off_is_found_by_what_it_leaves(recording, session, clock, late_s, verdict):
    off = dataclasses.replace(clock, offset_s=clock.offset_s + late_s)
    judged = judge_alignment(recording, session, clock_residuals(*eye_and_head(recording), off))
    assert judged.loc[LAG, "verdict"] == verdict
    assert (judged["verdict"].drop(LAG) == "good").all()


@pytest.mark.parametrize(
    ("attribute", "value", "row"),
    [
        ("clock_quality", 0.3, "eye against head, r"),
        ("clock_offset_se_s", 0.03, "clock, standard error at either end"),
        ("clock_drift_se_ppm", 300.0, "clock, standard error at either end"),
        ("clock_jumps", ["one", "two", "three"], "jumps of the clock"),
        ("imu_masked", 0.2, "inertial sensor at full scale or stuck"),
        ("bins_without_frames", 3000, "bins without frames"),
        ("speed_masked", 0.3, "speeds that are tracking errors"),
    ],
)
def test_each_figure_of_the_session_has_its_row(recording, session, residuals, attribute, value, row):
    judged = judge_alignment(recording, session.assign_attrs({attribute: value}), residuals)
    assert judged.loc[row, "verdict"] == "bad"
    assert (judged["verdict"].drop(row) == "good").all()


def test_faults_of_the_streams_have_their_rows(recording, session, residuals):
    lost = recording.eye.copy(deep=True)
    lost["X0"].values[: lost.sizes["time"] * 6 // 10] = np.nan
    light = recording.imu.assign(acc=0.85 * recording.imu["acc"])
    judged = judge_alignment(dataclasses.replace(recording, eye=lost, imu=light), session, residuals)
    bad = judged.index[judged["verdict"] == "bad"]
    assert list(bad) == ["eye tracked", "acceleration, median norm off one g"]


def test_a_flipped_phi_is_found(recording, session, residuals):
    behavior = session["behavior"].copy(deep=True)
    behavior.loc[{"variable": "phi"}] *= -1
    judged = judge_alignment(recording, session.assign(behavior=behavior), residuals)
    assert list(judged.index[judged["verdict"] == "bad"]) == ["phi against pitch, r"]


def test_minutes_without_an_eye_are_counted_and_not_judged(recording, session, residuals):
    gone = residuals.copy(deep=True)
    gone["lag"].values[:3] = np.nan
    judged = judge_alignment(recording, session, gone)
    assert judged.loc["minutes without a lag of their own", "verdict"] == "bad"
    gone["lag"].values[:] = np.nan
    assert judge_alignment(recording, session, gone).loc[LAG, "verdict"] == "not measured"


def test_limits_are_a_tenth_and_half_of_a_bin():
    assert LIMITS[LAG].good == pytest.approx(48 / 10, rel=0.05) and LIMITS[LAG].bad == 48 / 2
