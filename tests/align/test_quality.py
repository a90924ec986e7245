"""What can be checked without a truth finds each fault that is put in, and only that."""

import dataclasses

import numpy as np
import pytest

import v1lib
from v1lib.align import clock_residuals, eye_and_head
from v1lib.align.quality import LIMITS, judge_alignment
from v1lib.errors import InputError

LAG = "largest lag left in a minute"


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


def test_figures_are_these_for_known_errors_lags_and_bins(recording, session, residuals):
    one_lag = residuals.isel(window=[0]).copy(deep=True)
    one_lag["lag"].values[:], one_lag["lag_se"].values[:] = -0.008, 0.002
    # The middle of 200 s is 100 s from either end: 30 ppm come to 3 ms there, more than 1 ms at the offset.
    session = session.isel(time=slice(0, 95)).assign_coords(time=np.linspace(0.0, 200.0, 95))
    session.attrs |= {"bins_without_frames": 5, "clock_offset_se_s": 1e-3, "clock_drift_se_ppm": 30.0}
    found = judge_alignment(recording, session, one_lag)["found"]
    assert found[LAG] == pytest.approx(4.0, abs=1e-9)
    assert found["clock, standard error at either end"] == pytest.approx(3.0, abs=1e-9)
    assert found["bins without frames"] == pytest.approx(5.0, abs=1e-9)


@pytest.mark.parametrize("name", ["clock_offset_se_s", "clock_drift_se_ppm"])
def test_a_clock_of_unknown_error_is_not_judged(recording, session, residuals, name):
    judged = judge_alignment(recording, session.assign_attrs({name: np.nan}), residuals)
    assert judged.loc["clock, standard error at either end", "verdict"] == "not measured"


@pytest.mark.parametrize(("said", "number"), [("none", 0), (["one"], 1), (["one", "two"], 2)])
def test_jumps_are_counted_after_a_session_was_stored(recording, session, residuals, tmp_path, said, number):
    v1lib.save_session(session.assign_attrs(clock_jumps=said), tmp_path / "session.nc")
    judged = judge_alignment(recording, v1lib.open_session(tmp_path / "session.nc"), residuals)
    assert judged.loc["jumps of the clock", "found"] == number


def test_a_session_that_was_not_aligned_is_refused(recording, session, residuals):
    bare = session.drop_attrs()
    with pytest.raises(InputError, match=r"attributes: expected .*clock_quality.*, found none"):
        judge_alignment(recording, bare, residuals)
    with pytest.raises(InputError, match="phi and pitch"):
        judge_alignment(recording, session.sel(variable=["speed", "phi"]), residuals)


def test_limits_are_a_tenth_and_half_of_a_bin():
    assert LIMITS[LAG].good == pytest.approx(48 / 10, rel=0.05) and LIMITS[LAG].bad == 48 / 2
