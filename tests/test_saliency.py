"""Saliency against finite differences, backward passes and models whose weights are set by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from planted import planted_session
from torch import nn

from v1lib.errors import InputError
from v1lib.features import scaled_behavior, scaled_frames
from v1lib.fit import FitConfig, adopt, predict
from v1lib.interpret.behavior_path import _PlainGRU
from v1lib.interpret.paper_saliency import paper_saliency, paper_selectivity
from v1lib.interpret.saliency import METHODS, behavior_saliency
from v1lib.interpret.selectivity import GROUPS
from v1lib.models import encoding_model, field_model, joint_model
from v1lib.score import scored_segments
from v1lib.splits import split

VARIABLES = ["speed", "pitch", "roll", "phi", "theta", "pupil"]
SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=3)
MODELS = {
    "network": lambda session, **more: encoding_model(session, "all_prod", **(SMALL | more)),
    "own": lambda session, **more: field_model(session, "orig", seq_len=2, **more),
    "additive": lambda session, **more: joint_model(session, "position", behavior_lags=2, **more),
    "local": lambda session, **more: joint_model(session, "position", local=True, **more),
}


@pytest.fixture(scope="module")
def session():
    """Two stretches, with eyes that were not tracked for a while."""
    session = planted_session(600, 3, (8, 12), n_stretches=2)[0]
    behavior = session["behavior"].astype(np.float64)
    behavior[200:230, 3:5] = np.nan
    behavior[500:503, 3:5] = np.nan
    return session.assign(behavior=behavior)


def shaken(model, session, offset=0, **choices):
    """A run of a model with random weights, all of which matter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.15 * torch.randn(weights.shape, generator=generator)
    config = FitConfig(predict_offset=offset, device="cpu")
    return adopt(model, session, split(session, "paper"), replace(config, **choices))


def without_shifter(kind):
    return {"shifter": False if kind == "network" else None}


def by_hand(session, combine="multiplicative", weight=0.5, **more):
    """Rate of each unit: softplus(0) times or plus what two variables make of it."""
    model = joint_model(session, "orig", vision=False, combine=combine, **more)
    with torch.no_grad():
        model.behavior_weights.zero_()
        model.behavior_weights[0, 0, VARIABLES.index("speed")] = weight
        model.behavior_weights[1, 0, VARIABLES.index("pupil")] = -2 * weight
        model.behavior_weights[2, 0, VARIABLES.index("pitch")] = weight
        model.behavior_weights[2, 0, VARIABLES.index("roll")] = weight
    return adopt(model, session, split(session, "paper"), FitConfig(device="cpu"))


def bins_of(run, session):
    return np.concatenate(scored_segments(run, session, "test"))


def moved(session, number, step):
    values = session["behavior"].values.copy()
    values[:, number] += step
    return session.assign(behavior=(("time", "variable"), values))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("through", [False, True])
def test_gradients_are_finite_differences_of_predictions(session, kind, through):
    # Without a shifter all goes by the path of behaviour, with one the picture moves too.
    run = shaken(MODELS[kind](session, **({} if through else without_shifter(kind))), session, offset=1)
    bins, train = bins_of(run, session), run.splits.bins("train")
    found = {
        method: behavior_saliency(run, session, method, through_shifter=through)["saliency"].values
        for method in ("gradient", "absolute", "squared")
    }
    for number in range(6):
        sd = np.nanstd(session["behavior"].values[train, number])
        step = 3e-3 * sd
        up, down = (predict(run, moved(session, number, sign * step)).values[bins] for sign in (1, -1))
        each = (up.astype(np.float64) - down) / 6e-3
        # Rectified and bilinear stages have corners between the two points of a few bins.
        close = dict(rtol=0.02, atol=2e-3 * max(np.abs(each).max(), 1e-3))
        np.testing.assert_allclose(found["gradient"][:, number], each.mean(0), **close)
        np.testing.assert_allclose(found["absolute"][:, number], np.abs(each).mean(0), **close)
        np.testing.assert_allclose(found["squared"][:, number], np.sqrt((each**2).mean(0)), **close)
    assert np.abs(found["gradient"]).max() > 1e-3


def test_a_held_picture_leaves_the_path_of_behavior(session):
    run = shaken(MODELS["own"](session), session)
    held, free = (behavior_saliency(run, session, through_shifter=flag)["saliency"] for flag in (False, True))
    for name in ("speed", "pupil"):
        np.testing.assert_allclose(held.sel(variable=name), free.sel(variable=name), rtol=1e-5)
    eye = np.abs(held - free).sel(variable=["theta", "phi", "pitch", "roll"])
    assert (eye.max("unit") > 1e-4).all()


@pytest.mark.parametrize("kind", MODELS)
def test_the_papers_saliency_is_one_backward_pass_a_unit(session, kind):
    run = shaken(MODELS[kind](session), session)
    model, lead, n = run.model, run.model.seq_len - 1, bins_of(run, session).size
    behavior = torch.from_numpy(scaled_behavior(session, run.scaling))
    expected = np.zeros((3, behavior.shape[1]))
    for segment in scored_segments(run, session, "test"):
        read = np.arange(segment[0] - lead, segment[-1] + 1)
        frames = torch.from_numpy(scaled_frames(session, run.scaling, read))[None, :, None]
        columns = behavior[read][None].requires_grad_()
        rates = model(frames, columns)[0, lead:]
        for unit in range(3):
            (slope,) = torch.autograd.grad(rates[:, unit].sum(), columns, retain_graph=True)
            expected[unit] += slope[0].sum(0).numpy() / n
    found = paper_saliency(run, session)
    assert found["column"].values.tolist() == list(model.columns)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found["saliency"], expected, rtol=1e-3, atol=1e-5 * size)
    held = paper_saliency(run, session, through_shifter=False)["saliency"].sel(column="theta")
    assert np.abs(held - found["saliency"].sel(column="theta")).max() > 1e-3 * size


def test_plain_gru_is_torchs():
    torch.manual_seed(0)
    gru, windows = nn.GRU(3, 4, batch_first=True), torch.randn(5, 6, 3)
    torch.testing.assert_close(_PlainGRU(gru)(windows)[1], gru(windows)[1])


def test_an_exponential_gain_by_hand(session):
    run = by_hand(session)
    bins = bins_of(run, session)
    rates = predict(run, session).values[bins]
    speed = scaled_behavior(session, run.scaling)[bins, 0]
    gradient = behavior_saliency(run, session)["saliency"]
    np.testing.assert_allclose(
        gradient.sel(unit="u00", variable="speed"), 0.5 * rates[:, 0].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(gradient.sel(unit="u01", variable="pupil"), -rates[:, 1].mean(), rtol=1e-5)
    without = rates[:, 0] * (1 - np.exp(-0.5 * speed))
    occluded = behavior_saliency(run, session, "occlusion").sel(unit="u00", variable="speed")
    np.testing.assert_allclose(occluded["mean"], without.mean(), rtol=1e-4)
    np.testing.assert_allclose(occluded["saliency"], np.sqrt((without**2).mean()), rtol=1e-4)
    scaled = behavior_saliency(run, session, "gradient_x_input").sel(unit="u00", variable="speed")
    np.testing.assert_allclose(scaled["mean"], (0.5 * rates[:, 0] * speed).mean(), rtol=1e-4)
    planted = {("u00", "speed"), ("u01", "pupil"), ("u02", "pitch"), ("u02", "roll")}
    for method in METHODS[:-1]:
        size = np.abs(behavior_saliency(run, session, method, block_s=1.0)["saliency"])
        other = [
            size.sel(unit=u, variable=v) for u in size.unit.values for v in VARIABLES if (u, v) not in planted
        ]
        # What a variable that is not read makes is nothing at all, whatever it is correlated with.
        assert np.max(other) == 0, method


@pytest.mark.parametrize(
    ("kind", "through"), [("network", False), ("own", False), ("additive", False), ("own", True)]
)
def test_attributions_sum_to_the_difference(session, kind, through):
    run = shaken(MODELS[kind](session, **({} if through else without_shifter(kind))), session)
    bins, train = bins_of(run, session), run.splits.bins("train")
    values = session["behavior"].values
    means = np.where(np.isnan(values), np.nan, np.nanmean(values[train], axis=0))
    at_mean = session.assign(behavior=(("time", "variable"), means))
    difference = (predict(run, session) - predict(run, at_mean)).values[bins].mean(0)
    shapley = behavior_saliency(run, session, "shapley", through_shifter=through)
    assert shapley["group"].values.tolist() == list(GROUPS)
    np.testing.assert_allclose(shapley["mean"].sum("group"), difference, rtol=1e-4, atol=1e-5)
    # Sums over the way converge with its steps; corners of the picture's interpolation slow that down.
    close = dict(rtol=0.02, atol=0.02 * np.abs(difference).max())
    ways = behavior_saliency(run, session, "integrated_gradients", through_shifter=through, steps=10)
    np.testing.assert_allclose(ways["mean"].sum("variable"), difference, **close)


def test_shapley_of_a_sum_is_its_terms(session):
    run = by_hand(session, "additive")
    shapley = behavior_saliency(run, session, "shapley")["mean"]
    occluded = behavior_saliency(run, session, "occlusion")["mean"]
    np.testing.assert_allclose(
        shapley.sel(unit="u00", group="locomotion"), occluded.sel(unit="u00", variable="speed"), rtol=1e-4
    )
    assert np.abs(shapley.sel(unit="u00", group=["head", "eye", "arousal"])).max() < 1e-7


def test_permutation_is_conditional(session):
    rng = np.random.default_rng(0)
    values = session["behavior"].values.copy()
    # Pitch is what speed and pupil say, roll nearly so: neither tells anything of its own.
    values[:, 1] = 2 * values[:, 0] - values[:, 5]
    values[:, 2] = values[:, 0] + 1e-4 * rng.normal(size=len(values))
    told = session.assign(behavior=(("time", "variable"), values))
    run = by_hand(told, weight=0.3)
    counts = rng.poisson(np.nan_to_num(predict(run, told).values)).astype(np.uint16)
    told = told.assign(activity=(("time", "unit"), counts, {"kind": "spike_count"}))
    found = behavior_saliency(run, told, "permutation", block_s=1.0)
    assert abs(float(found["saliency"].sel(unit="u02", variable="pitch"))) < 1e-6
    assert float(found["change"].sel(unit="u02", variable="roll")) < 1e-3
    free = behavior_saliency(by_hand(session), session, "permutation", block_s=1.0)
    assert float(free["change"].sel(unit="u01", variable="pupil")) > 0.05
    again = behavior_saliency(by_hand(session), session, "permutation", block_s=1.0)
    xr.testing.assert_identical(free, again)


def test_a_unit_that_is_silent_in_the_test_part(session):
    counts = session["activity"].values.copy()
    run = by_hand(session)
    counts[run.splits.bins("test"), 1] = 0
    silent = session.assign(activity=(("time", "unit"), counts, {"kind": "spike_count"}))
    found = behavior_saliency(run, silent, "permutation", block_s=1.0)
    assert np.isnan(found["saliency"].sel(unit="u01")).all()
    assert np.isfinite(found["saliency"].sel(unit=["u00", "u02"])).all()
    assert np.isfinite(found["change"]).all()


def test_fluorescence_is_in_its_own_unit():
    session = planted_session(600, 2, (8, 12), kind="fluorescence")[0]
    tenfold = session.assign(activity=10 * session["activity"])
    tenfold["activity"].attrs["kind"] = "fluorescence"
    small, large = (
        behavior_saliency(shaken(field_model(one), one), one)["saliency"] for one in (session, tenfold)
    )
    np.testing.assert_allclose(large, 10 * small, rtol=1e-4)


def test_a_third_of_the_units_is_modulated_by_noise():
    rng = np.random.default_rng(1)
    columns = [*VARIABLES, *(f"d_{name}" for name in VARIABLES[1:]), "speed*pitch"]
    units = np.arange(4000)
    noise = xr.Dataset({"saliency": (("unit", "column"), rng.normal(size=(4000, 12)))}, {"column": columns})
    noise = noise.assign_coords(unit=units)
    r = xr.DataArray(np.where(units < 3000, 0.3, np.nan), {"unit": units}, ("unit",))
    found = paper_selectivity(noise, r)
    # 31.7 % of a normal variable lie beyond one s.d.; of k independent columns 1 - 0.683**k in one at least.
    each = (np.abs(found["z"]) > 1).mean("unit")
    np.testing.assert_allclose(each, 0.317, atol=0.03)
    expected = {"head": 4, "eye": 4, "locomotion": 1, "arousal": 2}
    for group, n in expected.items():
        assert abs(float(found["prevalence"].sel(group=group)) - (1 - 0.683**n)) < 0.03
    assert int(found["counts"].sum()) == 3000
    assert float(found["mixed_prevalence"]) > 0.8


def test_the_papers_rule_by_hand():
    values = np.array([[3.0, 0, 1], [0, 0, 1], [0, 0, 1], [0, -3, 1], [3, 3, 1], [0, 0, 1]])
    saliency = xr.Dataset(
        {"saliency": (("unit", "column"), values)},
        {"unit": list("abcdef"), "column": ["speed", "d_theta", "pupil"]},
    )
    r = xr.DataArray([0.25, 0.9, 0.9, 0.9, 0.2, np.nan], {"unit": list("abcdef")}, ("unit",))
    found = paper_selectivity(saliency, r)
    assert found["group"].values.tolist() == ["eye", "locomotion", "arousal"]
    assert found["mixed"].values.tolist() == [False, False, False, False, True, False]
    assert found["counts"].values.tolist() == [True, True, True, True, False, False]
    np.testing.assert_allclose(found["prevalence"], [0.25, 0.25, 0])
    assert float(found["mixed_prevalence"]) == 0
    with pytest.raises(InputError, match="units of the saliency"):
        paper_selectivity(saliency, r.isel(unit=slice(5)))
    with pytest.raises(InputError, match="finite numbers"):
        paper_selectivity(saliency * np.nan, r)


def test_refusals(session):
    run = shaken(MODELS["own"](session), session)
    with pytest.raises(InputError, match="a Run, as fit gives it, found FieldModel"):
        behavior_saliency(run.model, session)
    with pytest.raises(InputError, match="that the run was fitted to"):
        behavior_saliency(run, session.isel(unit=[0, 1]))
    with pytest.raises(InputError, match=r"frames of \(8, 12\)"):
        paper_saliency(run, session.isel(y=slice(6)))
    with pytest.raises(InputError, match="reads behaviour"):
        behavior_saliency(
            adopt(field_model(session, None, shifter=None), session, run.splits, run.config), session
        )
    with pytest.raises(InputError, match="the variable pupil, which the model reads"):
        behavior_saliency(run, session.isel(variable=slice(5)))
    still = session.copy(deep=True)
    still["behavior"][:, 5] = 3.0
    with pytest.raises(InputError, match="pupil: expected values that vary in the training part"):
        behavior_saliency(run, still)
    infinite = session.copy(deep=True)
    infinite["behavior"][7, 0] = np.inf
    with pytest.raises(InputError, match="infinity"):
        behavior_saliency(run, infinite)
    broken = shaken(MODELS["own"](session), session)
    with torch.no_grad():
        broken.model.offset[0] = torch.nan
    with pytest.raises(InputError, match="finite rates"):
        paper_saliency(broken, session)
    for choice in (
        {"method": "permutation", "block_s": 60.0},
        {"method": "deep"},
        {"part": "all"},
        {"steps": 0},
        {"permutations": 1.5},
        {"block_s": np.nan},
        {"through_shifter": 1},
    ):
        with pytest.raises(InputError):
            behavior_saliency(run, session, **choice)
