"""The textbook models: their formulae, their optima against another optimizer's, and what they recover."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import planted_session
from scipy.optimize import minimize

from v1lib.errors import InputError
from v1lib.features import behavior_table
from v1lib.fit import JOINT_FIT, FitConfig, fit, predict
from v1lib.interpret.inside import learned_shift
from v1lib.models import joint_model
from v1lib.models.field import cosine_basis
from v1lib.models.joint import COMBINATIONS, JointModel
from v1lib.score import pearson
from v1lib.splits import Splits, split
from v1lib.store import load_run, save_run

GAZE = ("theta", "phi", "pitch", "roll")
FIT = replace(JOINT_FIT, device="cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def model_of(seed=0, behavior=("speed", *GAZE), gaze=GAZE, **choices):
    """A small model with every weight drawn at random."""
    torch.manual_seed(seed)
    model = JointModel((12, 16), 3, behavior, gaze, **({"seq_len": 4, "behavior_lags": 2} | choices))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model.eval()


def inputs(model, batch=2, time=9):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(batch, time, 1, *model.frame_shape, generator=generator)
    return frames, torch.randn(batch, time, len(model.columns), generator=generator)


def softplus(x):
    return np.logaddexp(0, x)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("output", ["softplus", "identity"])
@pytest.mark.parametrize("combine", COMBINATIONS)
def test_rates_against_the_formula(combine, output, local):
    """NumPy's arithmetic, bin by bin and unit by unit."""
    model = model_of(combine=combine, output=output, local=local).double()
    frames, behavior = (given.double() for given in inputs(model, batch=1, time=6))
    with torch.no_grad():
        made = model(frames, behavior)[0].numpy()
        images = model.retinal_image(frames[0], behavior[0])[:, 0].numpy()
    assert images.shape == (6, 6, 8)
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    y, x = np.mgrid[:6, :8]
    frequency = np.hypot(x / 2, y / 2 * 8 / 6).ravel()
    frequency = frequency[(frequency > 0) & (frequency <= 10)]
    price = frequency / (1 + frequency / 2.0)  # fine ones say more and cost more
    plain = cosine_basis((6, 8), 10.0)[0].double().numpy()
    basis = 0.03 * np.concatenate([np.full((1, 48), 0.5 / np.sqrt(48)), plain * price[:, None]])
    if local:
        filters = np.empty((3, 4, 48))
        for unit in range(3):
            # Pixels of two by two camera pixels; half a frame is one, a step of a place a quarter of it.
            aside = (x - 3.5) / 4 - 0.25 * w["linear.place"][unit, 0]
            down = (y - 2.5) / 4 - 0.25 * w["linear.place"][unit, 1]
            size = np.exp(w["linear.log_width"][unit])
            window = np.exp(-(aside**2 + down**2) / (2 * (0.3 * size) ** 2)) / size
            field = window.ravel() * (w["linear.coefficients"][unit] @ plain)
            filters[unit] = w["linear.kernels"][unit][:, None] * field
    else:
        filters = w["linear.coefficients"] @ basis
    np.testing.assert_allclose(
        model.filters().detach().numpy().reshape(3, 4, 48), filters, rtol=1e-5, atol=1e-7
    )
    columns = behavior[0].numpy()[:, :5]
    expected = np.empty((6, 3))
    for t in range(6):
        for unit in range(3):
            v = p = 0.0
            for lag in range(min(4, t + 1)):
                v += (images[t - lag].ravel() * filters[unit, lag]).sum()
            for lag in range(min(2, t + 1)):
                p += columns[t - lag] @ w["behavior_weights"][unit, lag]
            c, d = w["offset"][unit], w["floor"][unit] if "floor" in w else 0.0
            expected[t, unit] = {
                ("additive", "softplus"): softplus(c + v) + softplus(d + p),
                ("multiplicative", "softplus"): softplus(c + v) * np.exp(p),
                ("additive", "identity"): c + v + p,
                ("multiplicative", "identity"): (c + v) * np.exp(p) + d,
            }[combine, output]
    # The basis is kept in single precision.
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("combine", COMBINATIONS)
def test_nothing_before_a_change_changes(combine, local):
    model = model_of(combine=combine, local=local)
    for changed, reach in (("frames", 4), ("behavior", 2)):  # a filter reads four bins, behaviour two
        frames, behavior = inputs(model)
        before = model(frames, behavior)
        if changed == "frames":
            frames[:, 3] += torch.randn(12, 16)
        else:
            behavior[:, 3, 0] -= 2  # speed, which does not turn the picture
        differs = (model(frames, behavior) - before).abs().amax(dim=(0, 2)) > 1e-7
        assert differs.tolist() == [3 <= t < 3 + reach for t in range(9)]


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("output", ["softplus", "identity"])
def test_gradients_reach_every_parameter(combine, output, local):
    model = model_of(combine=combine, output=output, local=local).train()
    rates, penalty = model.rates_and_penalty(*inputs(model))
    (rates.square().mean() + penalty).backward()
    assert [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ] == []


@pytest.mark.parametrize("local", [False, True])
def test_the_penalty_of_a_unit_does_not_depend_on_the_others(local):
    model = model_of(filter_penalty=0.5, behavior_penalty=2.0, local=local)
    priced = [model.linear.coefficients, *([model.linear.kernels] if local else [])]
    filters = sum(each.detach().square().flatten(1).sum(1) for each in priced)
    behavior = model.behavior_weights.detach().square().sum((1, 2))
    made = float(model.rates_and_penalty(*inputs(model))[1].detach())
    assert made == pytest.approx(float((0.5 * filters + 2.0 * behavior).mean()), rel=1e-5)


def test_a_filter_sees_the_level_and_the_pattern_of_the_picture():
    """Any picture with cosines up to the finest is some filter."""
    model = model_of(finest=100.0, pool=1)
    picture = torch.randn(12 * 16)
    coefficients = torch.linalg.lstsq(model.linear.basis.T.double(), picture.double()[:, None]).solution
    torch.testing.assert_close(
        (coefficients.T @ model.linear.basis.double())[0], picture.double(), atol=1e-4, rtol=0
    )


def test_models_with_parts_left_out():
    frames, behavior = inputs(model_of())
    blind = model_of(vision=False)
    assert blind.columns == ("speed", *GAZE) and blind.gaze_shift(behavior[0]) is None and not blind.sees
    torch.testing.assert_close(blind(frames, behavior), blind(frames + 1, behavior))
    with pytest.raises(InputError, match="vision: expected a model that sees"):
        blind.filters()
    deaf = model_of(behavior=(), gaze=(), combine="multiplicative")
    assert deaf.columns == () and deaf(frames, torch.zeros(2, 9, 0)).shape == (2, 9, 3)
    turned = model_of(behavior=())
    assert turned.columns == GAZE and not turned.reads.numel()
    constant = model_of(behavior=(), vision=False)
    rates = constant(frames, torch.zeros(2, 9, 0))
    torch.testing.assert_close(rates, torch.nn.functional.softplus(constant.offset).expand(2, 9, 3))
    assert [name for name, _ in constant.named_parameters()] == ["offset"]


# ---- against another optimizer


def thrice(n_bins=700):
    """The same bins three times, as three stretches: what is best in training is best in validation.

    Behaviour is white noise, of which speed now and roll two bins ago drive the units.
    """
    session, _ = planted_session(3 * n_bins, 3, (4, 6), n_stretches=3)
    rng = np.random.default_rng(0)
    behavior = rng.normal(size=(n_bins, 6)).astype(np.float32)
    rates = softplus(np.array([-0.5, 0.0, 0.5]) + 0.8 * behavior[:, :1] - 0.8 * np.roll(behavior[:, 2:3], 2))
    session["behavior"].values[:] = np.tile(behavior, (3, 1))
    session["activity"].values[:] = np.tile(rng.poisson(rates), (3, 1))
    ranges = [((k * n_bins, (k + 1) * n_bins),) for k in range(3)]
    return session, Splits(*ranges, "guarded")


LONG_FIT = FitConfig(
    epochs=200, patience=200, learning_rate=5e-2, schedule="one_cycle", chunk_bins=700, device="cpu"
)


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_the_glm_is_at_the_optimum_that_another_optimizer_finds(combine):
    """The Poisson likelihood of the training bins, written in NumPy and climbed by scipy's L-BFGS."""
    session, splits = thrice()
    model = joint_model(
        session, "orig", vision=False, combine=combine, seq_len=3, behavior_lags=3, behavior_penalty=0.0
    )
    run = fit(model, session, splits, LONG_FIT)
    table = behavior_table(session, run.scaling.columns)[:700]
    table = (table - table.mean(0)) / table.std(0)
    design = np.concatenate([table[2:], table[1:-1], table[:-2]], axis=1)
    counts = session["activity"].values[2:700].astype(float)

    def loss(weights, unit):
        constant, p = weights[0], design @ weights[1:]
        rates = softplus(constant + p) if combine == "additive" else softplus(constant) * np.exp(p)
        return np.mean(rates - counts[:, unit] * np.log(rates))

    start = np.zeros(1 + design.shape[1])
    best = np.mean([minimize(loss, start, unit, method="L-BFGS-B").fun for unit in range(3)])
    rates = predict(run, session).values[2:700]
    found = np.mean(rates - counts * np.log(rates))
    flat = np.mean(counts.mean(0) - counts * np.log(counts.mean(0)))
    assert flat - best > 0.1  # what behaviour tells
    # Both stop where the loss is flat to single precision, far from it in what behaviour tells.
    assert found == pytest.approx(best, abs=1e-5)


def test_the_mean_rate_is_that_of_the_training_bins():
    session, splits = thrice()
    run = fit(joint_model(session, None, vision=False, seq_len=1), session, splits, LONG_FIT)
    mean = session["activity"].values[:700].mean(0)
    rates = predict(run, session).values
    # At half a hundredth from the mean the loss is 1e-5 above its least, which hardly tells epochs apart.
    np.testing.assert_allclose(rates, np.tile(mean, (2100, 1)), rtol=5e-3)
    assert run.scaling.columns == ()


# ---- what they recover


def noisy_session(n_bins=5000, combine="additive", seed=0, kind="spike_count"):
    """White noise on the camera, one small pattern a unit two bins ago, and pitch that adds or multiplies."""
    session, _ = planted_session(n_bins, 3, (6, 8), seed=seed)
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (n_bins, 6, 8)).astype(np.uint8)
    y, x = np.mgrid[:6, :8]
    patterns = np.stack(
        [np.exp(-((y - 2.5) ** 2 + (x - c) ** 2) / 3) * np.cos(1.5 * (x - c)) for c in (2, 3.5, 5)]
    )
    v = np.tensordot((frames - 127.5) / 74, patterns, ([1, 2], [1, 2]))
    v = np.roll(v / v.std(0), 2, axis=0)
    pitch = session["behavior"].sel(variable="pitch").values[:, None]
    p = 0.8 * pitch / pitch.std()
    rates = (
        softplus(2 * v - 1) + softplus(2 * p) if combine == "additive" else softplus(3 * v - 2) * np.exp(p)
    )
    if kind == "spike_count":
        activity = rng.poisson(rates).astype(np.uint16)
    else:
        activity = (100 + rates + 0.3 * rng.normal(size=rates.shape)).astype(np.float32)
    session = session.assign(
        frames=(("time", "y", "x"), frames), activity=(("time", "unit"), activity, {"kind": kind})
    )
    return session, rates, patterns


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("planted", COMBINATIONS)
def test_the_planted_form_predicts_better_and_its_parts_are_found(planted, local):
    session, rates, patterns = noisy_session(combine=planted)
    splits = split(session, n_segments=3)
    test, r = splits.bins("test"), {}
    for form in COMBINATIONS:
        few = {"seq_len": 3, "finest": 3.0, "filter_penalty": 1e-5}
        model = joint_model(session, combine=form, shifter=None, local=local, **few)
        # White noise on 48 px holds less of each cosine than pictures do: weights have further to go.
        run = fit(model, session, splits, replace(FIT, learning_rate=0.1))
        r[form] = pearson(predict(run, session).values[test], rates[test])
        if form == planted:
            filters = run.model.filters().detach().numpy()
            size = np.square(filters).sum((2, 3))
            assert (size[:, 2] > 2 * np.delete(size, 2, 1).max(1)).all(), size
            for unit in range(3):
                assert np.corrcoef(filters[unit, 2].ravel(), patterns[unit].ravel())[0, 1] > 0.8
            weights = run.model.behavior_weights.detach()[:, 0]
            assert run.model.columns == GAZE
            assert (weights.abs().argmax(1) == 2).all()  # pitch, not what goes with it
            assert (weights[:, 2] > 0.4).all()
    (other,) = set(COMBINATIONS) - {planted}
    assert r[planted].min() > 0.7 and (r[planted] > r[other] + 0.01).all(), r


@pytest.fixture(scope="module")
def learned():
    session, truth = planted_session(4000, 3, rate=2.0)
    splits = split(session, n_segments=3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = fit(joint_model(session, None), session, splits, FIT)
    torch.set_num_threads(before)
    return session, truth, splits, run


def test_the_lnp_learns_to_turn_the_picture(learned):
    session, truth, splits, run = learned
    rates = predict(run, session).values
    test = [t for t in splits.bins("test") if np.isfinite(rates[t]).all()]
    r = pearson(rates[test], truth["rate"].values[test])
    assert (r > 0.6).all() and r.mean() > 0.7, r
    shift = learned_shift(run, session)
    for axis, name in enumerate(("shift_x", "shift_y")):
        # In the planted session the camera's picture is read at place + shift.
        assert abs(np.corrcoef(shift[name], truth["shift"].values[:, axis])[0, 1]) > 0.9


def test_it_is_saved_and_read_again(learned, tmp_path):
    session, _, _, run = learned
    again = load_run(save_run(run, tmp_path / "run"))
    assert isinstance(again.model, JointModel) and again.model.arguments == run.model.arguments
    np.testing.assert_array_equal(predict(again, session), predict(run, session))


def test_fluorescence_is_multiplied_from_its_own_zero():
    """Far above 0 and standardised, so that no gain of what is standardised fits it."""
    session, rates, _ = noisy_session(combine="multiplicative", kind="fluorescence")
    splits = split(session, n_segments=3)
    run = fit(joint_model(session, combine="multiplicative", shifter=None), session, splits, FIT)
    assert run.model.output == "identity"
    test = splits.bins("test")
    plain = fit(joint_model(session, combine="additive", shifter=None), session, splits, FIT)
    r = [pearson(predict(each, session).values[test], rates[test]) for each in (run, plain)]
    assert (r[0] > r[1] + 0.02).all(), r


# ---- what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool": 5},
        {"pool": 0},
        {"n_units": 0},
        {"seq_len": 0},
        {"behavior_lags": 0},
        {"behavior_lags": 6},
        {"behavior_lags": 1.5},
        {"finest": 0.4},
        {"smoothness": float("nan")},
        {"filter_penalty": -1e-4},
        {"behavior_penalty": True},
        {"output": "relu"},
        {"combine": "both"},
        {"vision": "no"},
        {"local": 1},
        {"frame_shape": (12,)},
    ],
)
def test_sizes_out_of_range_are_refused(wrong):
    (name,) = wrong
    variable = "frame_shape" if wrong == {"pool": 5} else name
    given = {"frame_shape": (12, 16), "n_units": 3} | wrong
    with pytest.raises(InputError, match=f"^JointModel: {variable}: expected .*, found .*[.]$"):
        JointModel(given.pop("frame_shape"), given.pop("n_units"), ("speed",), GAZE, **given)


def test_what_a_session_does_not_have_is_refused():
    session, _ = planted_session(60, 2)
    with pytest.raises(InputError, match="joint_model: shifter: expected rotation or None, found 'affine'"):
        joint_model(session, shifter="affine")
    head_fixed = session.sel(variable=["speed", "pupil"])
    with pytest.raises(InputError, match="session: variable: expected one of the behaviour set 'position'"):
        joint_model(head_fixed)
    assert joint_model(head_fixed, "orig").shifter is None


def test_the_factory_builds_the_ladder():
    session, _ = planted_session(60, 2, (60, 80))
    assert joint_model(session).columns == GAZE and joint_model(session).pool == 2
    assert joint_model(session, None, shifter=None).columns == ()
    one, same, other = (joint_model(session, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(one["linear.coefficients"], same["linear.coefficients"])
    assert not torch.equal(one["linear.coefficients"], other["linear.coefficients"])
