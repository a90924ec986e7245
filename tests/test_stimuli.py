"""Stimuli of models whose best is known, the paper's recipe by hand, and fields against planted ones."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import planted_session

from v1lib.errors import InputError
from v1lib.fit import PAPER_FIT, FitConfig, adopt
from v1lib.interpret.paper_stimuli import paper_stimuli
from v1lib.interpret.receptive_fields import linear_fields
from v1lib.interpret.stimuli import _rates_and_gradients, synthesize_stimuli
from v1lib.interpret.stimulus_match import (
    fit_gabors,
    match_planted,
    regressed_fields,
    strongest_frames,
)
from v1lib.models import encoding_model, field_model, joint_model
from v1lib.simulate.arena import camera_of
from v1lib.simulate.mixture import Formula
from v1lib.simulate.neurons import plant_units
from v1lib.splits import split

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8)


@pytest.fixture(scope="module")
def session():
    return planted_session(900, 3, (8, 10))[0]


def adopted(model, session, **config):
    return adopt(model, session, split(session, "paper"), FitConfig(device="cpu", **config))


@pytest.fixture(scope="module")
def linear(session):
    """Units that are one filter over four bins and a softplus, and the run with predict_offset 1."""
    model = joint_model(session, None, shifter=None, seq_len=4, pool=1)
    return adopted(model, session, predict_offset=1)


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def test_the_best_stimulus_of_a_linear_unit_is_its_filter(session, linear):
    found = synthesize_stimuli(linear, session, smoothness=0.0, n_starts=3, tolerance=1e-5)
    filters = linear.model.filters().detach().numpy()
    assert found["stimulus"].dims == ("unit", "kind", "lag", "y", "x")
    np.testing.assert_allclose(found["lag"], 0.048 * np.arange(1, 5))
    for unit in range(3):
        shown = found["stimulus"].values[unit] - found.attrs["mean_frame"]
        # A climb ends where a rate changes by no more than rounding: a few degrees of angle cost less.
        assert correlation(shown[0], filters[unit]) > 0.995
        assert correlation(shown[1], -filters[unit]) > 0.995
    assert float(found["agreement"].min()) > 0.99
    drive = np.einsum("uklyx,ulyx->uk", found["stimulus"].values, filters)
    drive += linear.model.offset.detach().numpy()[:, None]
    np.testing.assert_allclose(found["response"], np.logaddexp(0, drive), rtol=1e-4)


def test_a_stimulus_keeps_to_natural_contrast_and_range_and_reaches_one_of_them(session, linear):
    train = session["frames"].values[linear.splits.bins("train")].astype(float)
    scaled = (train - train.mean()) / train.std()
    for contrast in (1.0, 0.2):
        shown = synthesize_stimuli(linear, session, contrast=contrast)["stimulus"]
        rms = np.sqrt(np.square(shown).mean(("lag", "y", "x"))).values / contrast
        high = shown.max(("lag", "y", "x")).values / scaled.max()
        low = shown.min(("lag", "y", "x")).values / scaled.min()
        # What a linear unit is limited by is reached; rounding in single precision.
        np.testing.assert_allclose(np.maximum(rms, np.maximum(high, low)), 1, atol=1e-3)


def test_the_natural_response_is_the_extreme_over_windows_of_the_test_part(session, linear):
    found = synthesize_stimuli(linear, session, n_starts=1, n_steps=1)
    filters, scaling = linear.model.filters().detach().numpy(), linear.scaling
    frames = (session["frames"].values - scaling.frame_mean) / scaling.frame_sd
    rates = []
    for a, b in linear.splits.test:
        for target in range(a + 4, b):  # a window of four bins up to the one before the target, all in it
            window = frames[target - 4 : target][::-1]
            drive = np.einsum("lyx,ulyx->u", window, filters) + linear.model.offset.detach().numpy()
            rates.append(np.logaddexp(0, drive))
    wanted = np.stack([np.max(rates, axis=0), np.min(rates, axis=0)], axis=1)
    np.testing.assert_allclose(found["response_natural"], wanted, rtol=1e-4)
    assert np.isnan(found["agreement"]).all()  # one start agrees with nobody
    better = synthesize_stimuli(linear, session)
    assert (better["response"].sel(kind="exciting") > better["response_natural"].sel(kind="exciting")).all()
    assert (
        better["response"].sel(kind="inhibiting") < better["response_natural"].sel(kind="inhibiting")
    ).all()


def test_the_best_stimulus_of_an_energy_unit_lies_in_the_plane_of_its_fields(session):
    model = field_model(
        session, None, shifter=None, normalize=False, local=False, pool=1, seq_len=2, finest=4.0
    )
    with torch.no_grad():
        model.kernels[:, 0] = 0
        model.energy_weight.fill_(1.0)
    run = adopted(model, session)
    found = synthesize_stimuli(run, session, smoothness=0.0)
    fields = model.fields().detach().numpy().reshape(3, 2, -1)
    for unit in range(3):
        basis = np.linalg.qr(fields[unit].T)[0]
        frames = (found["stimulus"].values[unit, 0] - found.attrs["mean_frame"]).reshape(2, -1)
        assert np.linalg.norm(frames @ basis) > 0.99 * np.linalg.norm(frames)


def test_one_pass_gives_each_entry_its_own_gradient(session):
    """Against one pass for each unit, and finite differences, through a recurrence in eval mode."""
    model = encoding_model(session, "orig", seq_len=3, **SMALL).double().eval()
    rng = torch.Generator().manual_seed(0)
    stimuli = torch.randn(5, 3, 8, 10, generator=rng, dtype=torch.float64)
    behavior = torch.randn(len(model.columns), generator=rng, dtype=torch.float64)
    units = torch.tensor([0, 1, 2, 1, 0])
    rates, gradients = _rates_and_gradients(model, stimuli, behavior, units)

    def rate(entry, shown):  # the newest frame is the first
        return model(shown.flip(0)[None, :, None], behavior.expand(1, 3, -1))[0, -1, units[entry]]

    for entry in range(5):
        alone = stimuli[entry].clone().requires_grad_()
        made = rate(entry, alone)
        np.testing.assert_allclose(rates[entry], made.item(), rtol=1e-12)
        np.testing.assert_allclose(gradients[entry], torch.autograd.grad(made, alone)[0], atol=1e-12)
    way = torch.randn(3, 8, 10, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        slope = (rate(4, stimuli[4] + 1e-6 * way) - rate(4, stimuli[4] - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose((gradients[4] * way).sum(), slope, rtol=1e-5)


def test_a_network_with_recurrence_and_gaze_is_excited_and_left_as_it_was(session):
    model = encoding_model(session, "all_prod", seq_len=2, **SMALL)
    run = adopted(model, session)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = synthesize_stimuli(run, session, n_starts=2, n_steps=15)
    assert (found["response"].sel(kind="exciting") > found["response"].sel(kind="inhibiting")).all()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


def test_a_unit_that_does_not_see_stays_as_it_is(session):
    model = joint_model(session, None, shifter=None, seq_len=2, pool=1)
    with torch.no_grad():
        model.linear.coefficients[1] = 0
    found = synthesize_stimuli(adopted(model, session), session)
    assert np.isfinite(found["stimulus"]).all()
    np.testing.assert_allclose(found["response"][1], np.log(2), rtol=1e-6)
    assert float(np.abs(found["agreement"][1]).max()) < 0.3  # four noises; the others agree
    assert float(found["agreement"][0].min()) > 0.9


def test_fluorescence_comes_in_its_own_units():
    session = planted_session(900, 2, (8, 10), kind="fluorescence")[0]
    run = adopted(joint_model(session, None, shifter=None, seq_len=1, pool=1), session)
    found = synthesize_stimuli(run, session, n_starts=1)
    drive = np.einsum("uklyx,ulyx->uk", found["stimulus"].values, run.model.filters().detach().numpy())
    drive += run.model.offset.detach().numpy()[:, None]
    mean, sd = np.array(run.scaling.activity_mean), np.array(run.scaling.activity_sd)
    np.testing.assert_allclose(found["response"], drive * sd[:, None] + mean[:, None], rtol=1e-4)


def laplacian(images):
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    rows, columns = padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1], padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2]
    return rows + columns - 4 * images


def test_two_steps_of_the_paper_by_hand(session):
    """Adam with weight decay on a linear unit, written out in NumPy."""
    run = adopted(joint_model(session, None, shifter=None, seq_len=2, pool=1), session)
    found = paper_stimuli(run, session, "u01", n_starts=1, batch=3, n_steps=2, seed=5)
    train = session["frames"].values[run.splits.bins("train")].astype(float)
    low, span = (train.min() - train.mean()) / train.std(), np.ptp(train) / train.std()
    # A still image: the filter's lags add up.
    field = run.model.filters().detach().numpy()[1].sum(0).astype(float)
    offset = float(run.model.offset.detach()[1])
    noise = torch.randn(3, 1, 8, 10, generator=torch.Generator().manual_seed(5)).numpy()[:, 0]
    images = 0.5 + 0.25 * noise.astype(float)
    first = second = 0.0
    for step in (1, 2):
        drive = ((low + span * images) * field).sum((1, 2)) + offset
        bent = laplacian(images)
        slope = 0.01 * laplacian(bent) / np.linalg.norm(bent)
        slope -= span * field / (1 + np.exp(-drive))[:, None, None] / 3
        slope += 0.02 * images
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        images = images - 0.1 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(found["stimulus"], low + span * images.mean(0), atol=1e-3)
    drive = ((low + span * images) * field).sum((1, 2)) + offset
    np.testing.assert_allclose(found["response"], np.logaddexp(0, drive).mean(), rtol=1e-3)


def test_the_papers_stimulus_excites_and_behavior_is_held_or_free(session):
    run = adopted(encoding_model(session, "orig", seq_len=2, **SMALL), session)
    few = dict(n_starts=2, batch=4)
    fixed = paper_stimuli(run, session, "u00", behavior="fixed", n_steps=20, **few)
    np.testing.assert_array_equal(fixed["behavior"], 1)
    start = paper_stimuli(run, session, "u00", behavior="fixed", n_steps=1, **few)
    assert float(fixed["response"]) > float(start["response"])
    free = paper_stimuli(run, session, "u00", n_steps=20, **few)
    assert float(free["response"]) > float(fixed["response"])
    assert np.abs(free["behavior"] - 1).max() > 0.1
    assert float(fixed["low_passed"].diff("x").std()) < float(fixed["stimulus"].diff("x").std())


def test_the_paper_on_its_own_scaling(session):
    parts = np.repeat(["train", "test"], 450)
    files = session.assign(stretch=("time", np.repeat([0, 1], 450).astype(np.int32)))
    files = files.assign_coords(part=("time", parts), time=session["time"].values + np.repeat([0, 9], 450))
    run = adopt(encoding_model(files, "orig", **SMALL), files, split(files, "paper"), PAPER_FIT)
    found = paper_stimuli(run, files, "u00", n_starts=1, batch=64, n_steps=1)
    # Images in the network's own scale: noise around 0.5, moved by a step of 0.1 at most.
    assert abs(float(found["stimulus"].mean()) - 0.5) < 0.15
    assert synthesize_stimuli(run, files, n_starts=1, n_steps=3).attrs["mean_frame"] > 0.2


@pytest.fixture(scope="module")
def truth():
    """Units of each class with fields, on the simulator's retina, in places that it draws."""
    kinds = ["simple"] * 6 + ["complex"] * 3 + ["direction"] * 3 + ["normalized"] * 2 + ["heading"]
    retina = camera_of((30, 40), 100.0)
    units = plant_units(np.random.default_rng(0), [Formula(kind, (), ()) for kind in kinds], retina)
    return units.assign_attrs(field_of_view_deg=100.0)


def test_planted_fields_match_themselves_and_tell_their_own_gabors(truth):
    match = match_planted(truth["receptive_field"], truth)
    seen = truth["unit_class"].values != "heading"
    assert np.isnan(match["correlation"].values[~seen]).all() and not match["failed"].any()
    np.testing.assert_allclose(match["correlation"][seen], 1, atol=1e-6)
    for name, wanted in (("position_error", 0), ("orientation_error", 0), ("frequency_ratio", 1)):
        # Fields are kept in single precision.
        np.testing.assert_allclose(match[name][seen], wanted, atol=1e-3)
    gabors = fit_gabors(truth["receptive_field"].values[seen], 100.0)
    for name in ("width", "length"):
        np.testing.assert_allclose(gabors.sel(parameter=name), truth[name][seen], rtol=1e-3)


def test_phase_counts_for_one_field_and_not_for_two(truth):
    one = np.isin(truth["unit_class"].values, ("simple", "normalized"))
    two = np.isin(truth["unit_class"].values, ("complex", "direction"))
    turned = match_planted(-truth["receptive_field"], truth)
    np.testing.assert_allclose(turned["correlation"][one], -1, atol=1e-6)
    np.testing.assert_allclose(turned["correlation"][two], 1, atol=1e-6)
    assert turned["failed"].values[one].all() and not turned["failed"].values[two].any()
    mixed = 0.6 * truth["receptive_field"] - 0.8 * truth["quadrature_field"]
    np.testing.assert_allclose(match_planted(mixed, truth)["correlation"][two], 1, atol=1e-6)


def test_errors_are_those_that_were_made(truth):
    """A field moved by two columns and one row, and one of another orientation and frequency."""
    seen = truth.isel(unit=truth["unit_class"].values == "simple")
    deg = np.rad2deg(np.tan(np.deg2rad(50)) / 20)
    moved = seen["receptive_field"].roll(x=2, y=1)
    np.testing.assert_allclose(match_planted(moved, seen)["position_error"], deg * np.hypot(2, 1), rtol=1e-2)
    wrong = seen.assign(
        orientation=(seen["orientation"] + 170) % 180, spatial_frequency=seen["spatial_frequency"] / 2
    )
    match = match_planted(seen["receptive_field"], wrong)
    np.testing.assert_allclose(match["orientation_error"], 10, atol=0.01)
    np.testing.assert_allclose(match["frequency_ratio"], 2, atol=1e-3)


def test_another_grid_over_the_same_view(truth):
    retina = camera_of((60, 80), 100.0)
    formulae = [Formula(str(kind), (), ()) for kind in truth["unit_class"].values]
    fine = plant_units(np.random.default_rng(0), formulae, retina)["receptive_field"]
    match = match_planted(fine, truth)
    seen = truth["unit_class"].values != "heading"
    # The finest bars are three pixels of the coarse grid apart, which a blur before halving costs something.
    assert float(match["correlation"][seen].min()) > 0.9
    assert float(match["position_error"][seen].max()) < 0.2
    assert float(match["orientation_error"][seen].max()) < 1
    np.testing.assert_allclose(match["frequency_ratio"][seen], 1, atol=0.15)


def test_nothing_found_has_failed(truth):
    match = match_planted(xr.zeros_like(truth["receptive_field"]), truth)
    np.testing.assert_array_equal(match["failed"], truth["unit_class"].values != "heading")
    assert np.isnan(match["correlation"]).all() and np.isnan(match["position_error"]).all()


def test_the_frame_at_the_lag_where_all_are_strongest():
    stimulus = np.zeros((2, 2, 3, 4, 5))
    stimulus[:, :, 1] = 1.0
    stimulus[1, :, 2] = -1.3  # one unit's rebound
    given = xr.Dataset(
        {"stimulus": (("unit", "kind", "lag", "y", "x"), stimulus + 0.25)},
        {"kind": ["exciting", "inhibiting"], "lag": [0.0, 0.048, 0.096]},
        {"mean_frame": 0.25},
    )
    frames = strongest_frames(given)
    assert float(frames["lag"]) == 0.048 and frames.dims == ("unit", "y", "x")
    np.testing.assert_allclose(frames, 1.0)


def test_regression_on_the_runs_own_retinal_frames(session):
    run = adopted(field_model(session, pool=1), session)  # its shifter does not turn the frames yet
    wanted = linear_fields(session, bins=run.splits.bins("train"), ridge=1.0)
    np.testing.assert_allclose(regressed_fields(run, session), wanted, atol=1e-3)


def test_refusals(session, linear, truth):
    blind = adopted(joint_model(session, "orig", vision=False), session)
    other = planted_session(900, 3, (8, 10), seed=1)[0]
    smaller = session.isel(y=slice(7))
    makers = {
        "synthesize_stimuli": synthesize_stimuli,
        "paper_stimuli": lambda run, session, **more: paper_stimuli(run, session, "u00", **more),
    }
    for name, make in makers.items():
        for run, given, said in (
            (linear.model, session, "run: expected a Run"),
            (blind, session, "run: expected a model that sees"),
            (linear, other, "session"),
            (linear, session.isel(unit=slice(2)), "session"),
            (linear, smaller, "frames"),
        ):
            with pytest.raises(InputError, match=f"^{name}: {said}"):
                make(run, given)
        for wrong in ({"n_starts": 0}, {"n_steps": 1.5}, {"seed": -1}):
            with pytest.raises(InputError, match=f"^{name}: {next(iter(wrong))}: "):
                make(linear, session, **wrong)
    for wrong in ({"contrast": np.nan}, {"contrast": 0.0}, {"smoothness": -1}, {"tolerance": np.inf}):
        with pytest.raises(InputError, match=f"^synthesize_stimuli: {next(iter(wrong))}: "):
            synthesize_stimuli(linear, session, **wrong)
    with pytest.raises(InputError, match=r"^paper_stimuli: unit: "):
        paper_stimuli(linear, session, "u77")
    with pytest.raises(InputError, match=r"^paper_stimuli: behavior: "):
        paper_stimuli(linear, session, "u00", behavior="held")
    field = truth["receptive_field"]
    for given, planted, said in (
        (field.rename(y="row"), truth, "fields"),
        (field * np.nan, truth, "fields"),
        (field.assign_coords(unit=np.arange(15) + 3), truth, "unit"),
        (field, truth.drop_vars("receptive_field"), "truth"),
    ):
        with pytest.raises(InputError, match=f"^match_planted: {said}: "):
            match_planted(given, planted)
