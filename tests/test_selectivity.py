"""Planted dependence on behaviour is found with its kind and sign; what is not there is rarely found."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import planted_session, smooth_noise
from scipy.optimize import minimize
from scipy.stats import norm

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit, predict
from v1lib.interpret import dependence_kind as kinds
from v1lib.interpret import selectivity
from v1lib.interpret.dependence_kind import dependence_kind
from v1lib.interpret.selectivity import GROUPS, VERDICTS, classify_selectivity
from v1lib.interpret.vision_response import vision_response
from v1lib.models import encoding_model, field_model, joint_model
from v1lib.splits import split

pytestmark = pytest.mark.usefixtures("one_thread")
N_BINS, N_UNITS = 6000, 24
VARIABLES = ["speed", "pitch", "roll", "phi", "theta", "pupil"]


def once(model, session):
    """A run after one epoch: what it predicts is not what the units do, and need not be here."""
    config = FitConfig(epochs=1, learning_rate=1e-2, device="cpu")
    return fit(model, session, split(session, "paper", n_segments=3), config)


@pytest.fixture(scope="module")
def seen():
    """A session, and a run that sees it; behaviour is slow, and pupil goes with speed."""
    session, _ = planted_session(N_BINS, N_UNITS, (6, 8), n_stretches=3)
    rng = np.random.default_rng(0)
    behavior = smooth_noise(rng, N_BINS, 10, 6)
    behavior[:, 5] = 0.8 * behavior[:, 0] + 0.6 * behavior[:, 5]
    session["behavior"].values[:] = (behavior * [3, 5, 5, 4, 6, 1] + [9, 0, 0, 0, 0, 12]).astype(np.float32)
    torch.manual_seed(0)
    model = joint_model(session, None, shifter=None, seq_len=2)
    with torch.no_grad():
        model.linear.coefficients *= 25  # responses that differ from bin to bin
        model.offset += 1.0
    run = once(model, session)
    standard = (session["behavior"].values - session["behavior"].values.mean(0)) / session[
        "behavior"
    ].values.std(0)
    return session, run, np.nan_to_num(vision_response(run, session).values.astype(float)), standard


def answering(seen, rates, seed=1):
    """The session with counts drawn at these rates (time, unit)."""
    session, *_ = seen
    counts = np.random.default_rng(seed).poisson(rates).astype(np.uint16)
    return session.assign(activity=(("time", "unit"), counts, {"kind": "spike_count"}))


# ---- what is answered to the picture alone


def make_joint(session):
    return joint_model(session, "S", combine="multiplicative", seq_len=2)


def make_field(session):
    return field_model(session, "S", seq_len=2)


def make_network(session):
    sizes = dict(channels=(4,), kernels=(3,), strides=(2,), hidden=8, shifter_width=8, seq_len=2)
    return encoding_model(session, "S", **sizes)


@pytest.mark.parametrize("make", [make_joint, make_field, make_network])
def test_the_vision_response_is_the_prediction_with_behavior_at_its_mean(make):
    """Speed, pupil and its difference are read, the gaze is not among them: set to the mean by hand."""
    session, _ = planted_session(900, 3, (6, 8))
    run = once(make(session), session)
    columns = run.scaling.columns
    # So that the difference of a pupil that stands still is the mean difference.
    mean = tuple(0.0 if name == "d_pupil" else m for name, m in zip(columns, run.scaling.mean, strict=True))
    run = replace(run, scaling=replace(run.scaling, mean=mean))
    held = session["behavior"].values.copy()
    for column in ("speed", "pupil"):
        held[:, VARIABLES.index(column)] = mean[columns.index(column)]
    still = session.assign(behavior=(("time", "variable"), held))
    made = vision_response(run, session)
    assert made.dims == ("time", "unit")
    # Means are stored in double precision, behaviour in single.
    np.testing.assert_allclose(made, predict(run, still), rtol=1e-4, atol=1e-5)
    assert np.abs(made - predict(run, session)).max() > 0.01


def test_of_a_blind_model_the_response_does_not_vary():
    session, _ = planted_session(900, 3, (6, 8))
    run = once(joint_model(session, "orig", vision=False, seq_len=1), session)
    assert np.ptp(vision_response(run, session).values, axis=0).max() < 1e-6


# ---- what is planted


def planted(seen):
    """A third of the units with a gain, a third with an offset, a third with nothing; and what they have."""
    _, _, v, z = seen
    rates, depends = np.empty_like(v), np.zeros((N_UNITS, 6), bool)
    kind, sign = [], []
    for unit in range(N_UNITS):
        variable, way = unit % 6, 1 if unit % 4 < 2 else -1
        if unit < 16:
            depends[unit, variable] = True
        kind.append("multiplicative" if unit < 8 else "additive")
        sign.append(way)
        grown = np.exp(0.6 * way * z[:, variable])
        rates[:, unit] = v[:, unit] * grown if unit < 8 else v[:, unit] + (0.5 * grown if unit < 16 else 0.3)
    return rates, depends, np.array(kind), np.array(sign)


def test_planted_dependence_is_found_and_nothing_else(seen):
    _, run, _, _ = seen
    rates, depends, _, sign = planted(seen)
    found = classify_selectivity(run, answering(seen, rates))
    verdict = found["verdict"].values
    assert (verdict[depends] == "depends").all()
    # A share of 0.05 of what is found may be false: here of 16, so hardly one.
    assert (verdict[~depends] == "depends").sum() <= 1
    assert (verdict[depends] != "does not depend").all()
    assert (verdict[~depends] == "does not depend").mean() > 0.5
    linear = found["effect"].sel(term="linear").values
    assert (np.sign(linear[depends]) == sign[:16]).all()
    low, high = found["interval"].sel(term="linear").transpose("bound", ...).values
    # Gains are planted as 0.6; an interval of 95 % may miss one of eight, hardly two.
    held = (low[:8] < 0.6 * sign[:8, None]) & (high[:8] > 0.6 * sign[:8, None])
    assert held[depends[:8]].sum() >= 7
    groups = found["group_verdict"].sel(group="head").values
    assert (groups[[1, 2, 7, 8, 13, 14]] == "depends").all()
    assert (found["mixed"].values[16:] != "depends").all()


def test_kind_and_sign_of_what_is_planted(seen):
    _, run, v, z = seen
    units, variables = np.arange(16), np.arange(16) % 6
    *_, kind, sign = planted(seen)
    grown = np.exp(0.6 * sign[:16] * z[:, variables])
    risen = np.maximum(v - np.where(v > 0, v, np.inf).min(0), 0)  # the first bins have no response
    rates = np.full_like(v, 0.3)
    rates[:, :8] += risen[:, :8] * grown[:, :8]
    rates[:, 8:16] = risen[:, 8:16] + 0.5 * grown[:, 8:]
    found = dependence_kind(run, answering(seen, rates))
    assert (found["kind"].values[units, variables] == kind[:16]).all()
    weight = found["weight"].values[units, variables]
    assert (np.sign(weight) == sign[:16]).all()
    # Standard errors are some 0.05.
    np.testing.assert_allclose(np.abs(weight), 0.6, atol=0.2)


def test_two_groups_make_a_mixed_unit(seen):
    _, run, v, z = seen
    both = v * np.exp(0.5 * z[:, [0]] + 0.5 * z[:, [3]])
    found = classify_selectivity(run, answering(seen, both))
    assert (found["mixed"].values == "depends").all()
    depends = found["group_verdict"] == "depends"
    assert depends.sel(group=["locomotion", "eye"]).all() and not depends.sel(group="head").any()


# ---- what is not there


def drifting(seen, seed):
    """Units without behaviour whose excitability drifts as slowly as behaviour does."""
    _, _, v, _ = seen
    drift = smooth_noise(np.random.default_rng(seed), N_BINS, 10, N_UNITS)
    return (v + 0.2) * np.exp(0.5 * drift)


def test_the_error_rate_is_as_stated_for_slow_units(seen):
    """With no least effect: 2 x 144 tests that share six traces. Were bins taken as independent, over a
    third would be called."""
    _, run, *_ = seen
    p, naive = [], []
    for seed in (2, 3):
        session = answering(seen, drifting(seen, seed), seed)
        p.append(classify_selectivity(run, session, least_effect=0.0)["p"].values)
        response = vision_response(run, session).values.astype(float)
        used, behavior = selectivity.usable_bins("here", session, response, None)
        terms = selectivity._terms("here", behavior, VARIABLES)
        for unit in range(N_UNITS):
            curve = selectivity._curve(response[used, unit])
            design = np.concatenate([curve, terms], axis=1)
            counts = session["activity"].values[used, unit].astype(float)
            weights, rate = selectivity._poisson_regression(counts, design)
            error = np.sqrt(np.diag(np.linalg.inv((design * rate[:, None]).T @ design)))
            naive.append(2 * norm.sf(np.abs(weights / error))[curve.shape[1] :: 2])
    share = (np.array(p) < 0.05).mean()
    assert 0.005 < share < 0.09, share
    assert (np.array(naive) < 0.05).mean() > 0.3
    assert np.median(p) > 0.3


def test_two_traces_that_go_together_leave_it_open(seen):
    """Speed drives the units; pitch is nearly speed."""
    session, run, v, z = seen
    behavior = session["behavior"].values.copy()
    together = {}
    for share in (0.0, 0.98):
        own = np.sqrt(1 - share**2) * z[:, 1] + share * z[:, 0]
        behavior[:, 1] = 5 * own
        with_pitch = answering(seen, v * np.exp(0.3 * z[:, [0]])).assign(
            behavior=(("time", "variable"), behavior.copy())
        )
        together[share] = classify_selectivity(run, with_pitch)
    apart, close = (together[share].sel(variable="pitch") for share in (0.0, 0.98))
    assert (close["error"].sel(term="linear") > 2 * apart["error"].sel(term="linear")).all()
    assert not (close["verdict"] == "depends").any()
    assert (close["verdict"] == "cannot tell").mean() > (apart["verdict"] == "cannot tell").mean() + 0.3


def test_a_unit_that_never_fires_cannot_be_judged(seen):
    _, run, v, _ = seen
    silent = answering(seen, v)
    silent["activity"].values[:, 3] = 0
    found = classify_selectivity(run, silent)
    assert (found["verdict"].values[3] == "cannot tell").all() and found["mixed"].values[3] == "cannot tell"
    assert found["effect"][3].isnull().all() and found["p"][3].isnull().all()
    assert not found["p"].drop_isel(unit=3).isnull().any()
    kind = dependence_kind(run, silent)
    assert (kind["kind"].values[3] == "").all() and kind["weight"][3].isnull().all()


# ---- against other optimizers


def test_the_regression_is_where_another_optimizer_ends(seen):
    *_, z = seen
    counts = np.random.default_rng(0).poisson(np.exp(0.3 + 0.5 * z[:, 0] - 0.4 * z[:, 3])).astype(float)
    design = np.concatenate([np.ones((N_BINS, 1)), z], axis=1)

    def loss(weights):
        log = design @ weights
        priced = 5e-4 * np.square(weights[1:]).sum()
        return np.exp(log).sum() - counts @ log + priced, design.T @ (np.exp(log) - counts) + np.r_[
            0, 1e-3 * weights[1:]
        ]

    other = minimize(loss, np.zeros(7), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-8})
    weights, rate = selectivity._poisson_regression(counts, design)
    np.testing.assert_allclose(weights, other.x, atol=1e-4)
    np.testing.assert_allclose(rate, np.exp(design @ weights))


def test_gains_and_offsets_are_where_another_optimizer_ends(seen):
    _, _, v, z = seen
    risen = v[:, 0] - v[:, 0].min()
    with_one = np.concatenate([np.ones((N_BINS, 1)), z], axis=1)
    rate = risen * np.exp(0.4 * z[:, 0]) + 0.3 * np.exp(-0.5 * z[:, 3])
    counts = np.random.default_rng(0).poisson(rate).astype(float)
    price = np.full(14, kinds._PRICE)
    price[[0, 7]] = 1e-3
    start = np.zeros(14)
    start[7] = -1.0
    weights, likely = kinds._fitted(counts, risen, with_one, start, np.ones(14, bool))
    other = minimize(
        lambda w: -kinds._likelihood(counts, risen, with_one, w, price), start, options={"maxiter": 400}
    )
    assert likely == pytest.approx(-other.fun, abs=1e-2)
    np.testing.assert_allclose(weights, other.x, atol=2e-2)
    made = (counts * np.log(rate) - rate).sum()
    # Fourteen weights more than the truth has are worth about seven, and the price takes less.
    assert -2 < likely - made < 20


def test_what_is_independent_of_slow_and_quick_traces():
    """Of a first-order process with correlation a from step to step, (1 - a²) / (1 + a²) of the steps."""
    rng = np.random.default_rng(0)
    trace = np.zeros((40_000, 2))
    for t in range(1, len(trace)):
        trace[t] = [0.0, 0.9] * trace[t - 1] + rng.normal(size=2)
    quick, slow = selectivity._n_independent(trace)
    assert quick > 0.95 * len(trace)
    # The sum ends at the first r below 0, which chance makes somewhat early or late.
    assert slow == pytest.approx((1 - 0.81) / (1 + 0.81) * len(trace), rel=0.1)


# ---- what is refused


def refused(match, call, *given, **more):
    with pytest.raises(InputError, match=match):
        call(*given, **more)


def test_what_cannot_be_judged_is_refused(seen):
    session, run, v, _ = seen
    session = answering(seen, v)
    judge = classify_selectivity
    refused("level: expected a number", judge, run, session, level=0.0)
    refused("least_effect: expected a number", judge, run, session, least_effect=-0.1)
    refused("min_shift_s: expected a number", judge, run, session, min_shift_s=np.nan)
    refused("run: expected a Run, as fit gives it, found JointModel", judge, run.model, session)
    refused("bins: expected a row of whole numbers", judge, run, session, bins=[0.5])
    refused("bins: expected more than", judge, run, session, bins=np.arange(500))
    refused("bins: expected more than", judge, run, session, min_shift_s=1e4)
    refused("session: expected the bins and units that", judge, run, session.isel(unit=slice(3)))
    light = session["activity"].astype("float32").assign_attrs(kind="fluorescence")
    refused("fluorescence", judge, run, session.assign(activity=light))
    still, copied = session["behavior"].copy(deep=True), session["behavior"].copy(deep=True)
    still.values[:, 2] = 3.0
    refused("roll: expected values that vary", judge, run, session.assign(behavior=still))
    refused("roll: expected values that vary", dependence_kind, run, session.assign(behavior=still))
    copied.values[:, 4] = 2 * copied.values[:, 1] + 1
    refused("a variable that the others do not determine", judge, run, session.assign(behavior=copied))
    gone = session["behavior"].copy(deep=True)
    gone.values[:, 1] = np.nan
    refused("bins in which every behaviour variable was measured", judge, run, session.assign(behavior=gone))


@pytest.mark.parametrize("least_effect", [0.0, 0.1])
def test_a_variable_of_two_values_has_no_square(seen, least_effect):
    """The animal runs or stands, and fires twice as much when it runs."""
    session, run, v, z = seen
    runs = (z[:, 0] > 0).astype(np.float32)
    behavior = session["behavior"].copy(deep=True)
    behavior.values[:, 0] = runs
    twofold = answering(seen, v * (1 + runs[:, None])).assign(behavior=behavior)
    found = classify_selectivity(run, twofold, least_effect=least_effect)
    assert not found["p"].isnull().any()
    assert (found["verdict"].sel(variable="speed") == "depends").all()
    # Half of a factor of two for each standard deviation of a variable that is 0 or 1.
    effect = found["effect"].sel(variable="speed", term="linear")
    assert float(effect.median()) == pytest.approx(np.log(2) / 2, abs=0.05)
    np.testing.assert_allclose(found["effect"].sel(variable="speed", term="quadratic"), 0, atol=1e-6)


def test_bins_without_a_measured_eye_are_left_out_and_counted(seen):
    session, run, v, _ = seen
    session = answering(seen, v)
    missing = session["behavior"].copy(deep=True)
    missing.values[100:300, 4] = np.nan
    found = classify_selectivity(run, session.assign(behavior=missing))
    lead = 3 * (run.model.seq_len - 1 + run.config.predict_offset)  # at the start of each stretch
    assert found.attrs["n_left_out"] == 200 + lead and found.attrs["n_used"] == N_BINS - 200 - lead


def test_the_groups_are_the_session_s_variables():
    assert sorted(sum(GROUPS.values(), ())) == sorted(VARIABLES)
    assert VERDICTS == ("depends", "does not depend", "cannot tell")
