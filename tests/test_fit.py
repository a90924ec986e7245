"""The loop learns what was planted, repeats itself, keeps the best epoch, and refuses what it cannot fit."""

import sys

import numpy as np
import pytest
import torch
from planted import planted_session
from scipy.special import gammaln
from scipy.stats import poisson

from v1lib.batches import chunks
from v1lib.errors import InputError
from v1lib.features import fit_scaling
from v1lib.fit import DivergedError, FitConfig, choose_device, fit, predict
from v1lib.models import encoding_model
from v1lib.score import pearson
from v1lib.session import stretch_ranges
from v1lib.splits import Splits, split

fit_module = sys.modules["v1lib.fit"]  # as an attribute of the package, the name is the function

SMALL = dict(
    channels=(8, 8), kernels=(5, 3), strides=(2, 1), dropout=0.0, hidden=16, shifter_width=16, seq_len=2
) | {"behavior_l1": 0.1}
QUICK = FitConfig(epochs=2, learning_rate=3e-3, device="cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on a busy machine wait for each other longer than these small fits take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def planted():
    session, truth = planted_session(1500, 3, rate=1.0)
    return session, truth, split(session, n_segments=3)


def test_it_learns_what_was_planted(planted):
    session, truth, splits = planted
    config = FitConfig(epochs=25, patience=25, learning_rate=4e-3, schedule="one_cycle", device="cpu")
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, config)
    train = splits.bins("train")
    rates = predict(run, session).values
    inside = train[np.isfinite(rates[train]).all(axis=1)]
    r = pearson(rates[inside], truth["rate"].values[inside])
    # Untrained models of ten seeds stay below 0.2 in every unit; 800 bins of counts cannot bring r to 1.
    assert (r > 0.3).all(), r
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]


def test_the_same_seed_gives_the_same_weights(planted):
    session, _, splits = planted
    runs = [
        fit(encoding_model(session, "orig", seed=seed, **SMALL | {"dropout": 0.3}), session, splits, QUICK)
        for seed in (0, 0, 1)
    ]
    states = [run.model.state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["fc.weight"], states[2]["fc.weight"])


def test_the_best_epoch_is_kept_and_patience_ends_it(planted, monkeypatch):
    session, _, splits = planted
    losses = iter([3.0, 2.0, 2.5, 2.2, 1.0])
    seen = []

    def scripted(model, *rest):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(fit_module, "_error", scripted)
    config = FitConfig(epochs=9, patience=2, learning_rate=1e-3, device="cpu")
    run = fit(encoding_model(session, "S", **SMALL), session, splits, config)
    assert run.history["validation_loss"].tolist() == [3.0, 2.0, 2.5, 2.2]
    state = run.model.state_dict()
    assert all(torch.equal(state[name], seen[1][name]) for name in state)
    assert not run.model.training


@pytest.mark.parametrize("good_epochs", [0, 2])
def test_a_loss_that_is_no_number_keeps_the_last_good_state(planted, monkeypatch, good_epochs):
    session, _, splits = planted
    losses = iter([1.0] * good_epochs + [float("nan")])
    monkeypatch.setattr(fit_module, "_error", lambda *rest: next(losses))
    with pytest.raises(DivergedError, match=f"loss of epoch {good_epochs}: expected a finite") as caught:
        fit(encoding_model(session, "S", **SMALL), session, splits, FitConfig(epochs=9, device="cpu"))
    if good_epochs == 0:
        assert caught.value.run is None
    else:
        assert all(torch.isfinite(v).all() for v in caught.value.run.model.state_dict().values())


def test_predictions_stand_at_the_bin_they_predict():
    session, _ = planted_session(600, 2, n_stretches=3)
    splits = Splits(((0, 150),), ((160, 200),), ((200, 400),), "paper")
    for offset in (0, 1, 3):
        config = FitConfig(epochs=1, predict_offset=offset, device="cpu")
        run = fit(encoding_model(session, "orig", **SMALL), session, splits, config)
        made = predict(run, session)
        assert made.dims == ("time", "unit") and made.attrs["units"] == "spikes per bin"
        missing = np.isnan(made.values).all(axis=1)
        lead = SMALL["seq_len"] - 1 + offset
        expected = np.concatenate([np.arange(a, a + lead) for a, _ in stretch_ranges(session)])
        np.testing.assert_array_equal(np.flatnonzero(missing), expected)
        # What happens in bin 300 is first seen in the prediction of bin 300 + offset.
        changed = session.copy(deep=True)
        changed["frames"].values[300] = 255 - changed["frames"].values[300]
        differs = np.flatnonzero((np.nan_to_num(predict(run, changed) - made) != 0).any(axis=1))
        assert differs[0] == 300 + offset and differs[-1] == 300 + lead


def test_prediction_does_not_depend_on_how_time_is_cut(planted):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, QUICK)
    whole = predict(run, session).values  # 1500 bins: three pieces of 512
    part = predict(run, session.isel(time=slice(400, 700))).values
    np.testing.assert_allclose(part[2:], whole[402:700], rtol=1e-4, atol=1e-6)


def test_chunks_cover_training_bins_once_and_no_others():
    ranges = ((0, 150), (200, 231), (300, 310), (400, 402))
    lead, hit = 3, np.zeros(500, int)
    for seed in range(200):
        targets = [
            bins[lead:][scored] for bins, scored in chunks(ranges, lead, 16, np.random.default_rng(seed))
        ]
        once = np.concatenate(targets)
        assert np.unique(once).size == once.size
        hit[once] += 1
    reachable = np.concatenate([np.arange(a + lead, b) for a, b in ranges])
    np.testing.assert_array_equal(np.flatnonzero(hit), reachable)
    assert hit[303:310].min() == 200  # a range shorter than a chunk is read each time, whole


def test_fluorescence_comes_back_in_its_own_units():
    session, _ = planted_session(900, 2, kind="fluorescence", rate=1.0)
    session = session.assign(
        activity=(session["activity"] * 40 + 300).astype(np.float32).assign_attrs(kind="fluorescence")
    )
    run = fit(encoding_model(session, "orig", **SMALL), session, split(session, "paper"), QUICK)
    made = predict(run, session)
    assert run.model.output == "identity" and made.attrs["units"] == "fluorescence"
    np.testing.assert_allclose(made.mean("time"), session["activity"].mean("time"), rtol=0.1)
    # The loss is in units of the training part's variance: predicting the mean costs about 1.
    assert 0.2 < run.history["validation_loss"].iloc[-1] < 2


def test_float_frames_give_what_whole_ones_give(planted):
    session, _, splits = planted
    as_float = session.assign(frames=session["frames"].astype(np.float32))
    runs = [fit(encoding_model(s, "S", **SMALL), s, splits, QUICK) for s in (session, as_float)]
    np.testing.assert_array_equal(predict(runs[0], session), predict(runs[1], as_float))


@pytest.mark.parametrize("offset", [1, 2])
def test_counts_follow_behaviour_at_the_lag_it_was_trained_at(offset):
    session, _ = planted_session(1200, 2)
    rng = np.random.default_rng(3)
    session["behavior"].values[:] = rng.normal(size=session["behavior"].shape)
    # Independent from bin to bin, so that the rate of one bin tells nothing of the next one's.
    rate = np.exp(np.roll(session["behavior"].values[:, :2], offset, axis=0))
    session["activity"].values[:] = rng.poisson(rate)
    config = FitConfig(epochs=15, patience=15, learning_rate=1e-2, predict_offset=offset, device="cpu")
    model = encoding_model(session, "orig", vision=False, hidden=16, seq_len=2, behavior_l1=0.0)
    made = predict(fit(model, session, split(session, "paper"), config), session).values[10:-10]

    def r(lag):
        return pearson(made, np.roll(rate, lag, axis=0)[10:-10])

    # A small network learns most of a rate whose largest values are rare, not all of it.
    assert (r(0) > 0.5).all(), r(0)
    # The standard error of r between independent traces of 1180 bins is 0.03.
    assert (np.abs([r(-2), r(-1), r(1), r(2)]) < 0.2).all()


def untimed(history):
    return history.drop(columns=["training_seconds", "seconds"])


def scrambled(session, bins):
    other = session.copy(deep=True)
    other["activity"].values[bins] = np.random.default_rng(1).permutation(other["activity"].values[bins]) + 1
    return other


def test_each_part_is_used_for_what_it_is_for(planted):
    session, _, splits = planted

    def fitted(given):
        run = fit(encoding_model(session, "orig", **SMALL), given, splits, QUICK)
        return untimed(run.history), torch.cat([v.ravel() for v in run.model.parameters()])

    history, weights = fitted(session)
    untested, same = fitted(scrambled(session, splits.bins("test")))
    assert untested.equals(history) and torch.equal(same, weights)
    unchosen, _ = fitted(scrambled(session, splits.bins("validation")))
    assert (unchosen["validation_loss"] != history["validation_loss"]).all()
    assert unchosen["train_loss"].equals(history["train_loss"])
    untrained, other = fitted(scrambled(session, splits.bins("train")))
    assert (untrained["train_loss"] != history["train_loss"]).all() and not torch.equal(other, weights)


def after_one_step(planted, behavior_l1=0.1, **changes):
    """Parameters before and after a fit of one step."""
    session, _, splits = planted
    config = FitConfig(epochs=1, learning_rate=1e-2, batch_chunks=1000, device="cpu", **changes)
    model = encoding_model(session, "orig", **SMALL | {"behavior_l1": behavior_l1})
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    return before, dict(fit(model, session, splits, config).model.named_parameters())


def test_the_gradient_is_clipped_and_matrices_alone_decay(planted):
    # Adam divides by the gradient's size plus 1e-8: clipped far below that, it does not move a weight.
    before, after = after_one_step(planted, clip_norm=1e-14, weight_decay=0.5)
    for name, value in before.items():
        kept = 1 - 1e-2 * 0.5 if value.ndim > 1 else 1.0
        torch.testing.assert_close(after[name], value * kept, rtol=1e-5, atol=1e-7, msg=name)
    before, after = after_one_step(planted)
    assert (after["fc.bias"] - before["fc.bias"]).abs().min() > 5e-3  # unclipped, about the learning rate


def test_the_penalty_pulls_behaviour_weights_to_zero(planted):
    before, after = after_one_step(planted, behavior_l1=1e6)
    name = "behav_encoder.layers.1.weight"
    # The first step of Adam is the learning rate against the sign of the gradient, here the penalty's.
    torch.testing.assert_close(after[name] - before[name], -1e-2 * before[name].sign(), rtol=1e-2, atol=1e-6)


def test_inputs_are_standardised_over_the_training_part(planted):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    data = fit_module._data(session, fit_scaling(session, model.columns, splits), QUICK)
    bins = torch.from_numpy(splits.bins("train"))[None]
    frames, behavior = data.inputs(bins)
    assert frames.shape == (1, bins.numel(), 1, 12, 16) and behavior.shape == (1, bins.numel(), 6)
    for values in (frames[0], *behavior[0].T):
        assert float(values.mean()) == pytest.approx(0, abs=1e-4)  # float32 sums
        assert float(values.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_the_loss_of_counts_is_poissons(planted):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    torch.nn.init.zeros_(model.fc.weight)
    torch.nn.init.zeros_(model.fc.bias)  # softplus(0) = log 2
    data = fit_module._data(session, fit_scaling(session, model.columns, splits), QUICK)
    made = fit_module._error(model, data, ((100, 300), (400, 402)), lead=2)
    counts = session["activity"].values[102:300].astype(float)
    # The part that depends on the rate: torch leaves out the logarithm of the factorial.
    expected = (-poisson.logpmf(counts, np.log(2)) - gammaln(counts + 1)).mean()
    assert made == pytest.approx(expected, rel=1e-5)


def test_the_penalty_is_the_mean_absolute_behaviour_weight(planted):
    session, _, _ = planted
    frames, behavior = torch.zeros(1, 4, 1, 12, 16), torch.zeros(1, 4, 6)
    model = encoding_model(session, "orig", **SMALL | {"behavior_l1": 2.0})
    l1 = np.abs(model.behav_encoder.layers[1].weight.detach().numpy()).mean()
    made = model.rates_and_penalty(frames, behavior)[1]
    assert float(made.detach()) == pytest.approx(2 * l1, rel=1e-5)
    without = encoding_model(session, None, **SMALL)
    assert without.rates_and_penalty(frames, behavior[..., :4])[1] == 0


def test_provenance_tells_what_was_filled():
    session, _ = planted_session(900, 2)
    session["behavior"].values[:90, 4] = np.nan
    run = fit(encoding_model(session, "orig", **SMALL), session, split(session, "paper"), QUICK)
    assert run.provenance["filled theta"] == pytest.approx(0.1)
    assert run.provenance["animal"] == "planted" and run.provenance["seconds"] > 0


def test_refusals(planted):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    for wrong, words in {
        "unit": (session.isel(unit=[0]), "3 units"),
        "frames": (session.isel(x=slice(0, 10)), r"frames of \(12, 16\)"),
        "behavior": (session.sel(variable=["speed", "pitch"]), "the variable roll"),
    }.values():
        with pytest.raises(InputError, match=words):
            fit(model, wrong, splits, QUICK)
    short = Splits(((0, 1),), ((100, 200),), ((200, 300),), "paper")
    with pytest.raises(InputError, match="train: expected a range of more than 1 bins"):
        fit(model, session, short, QUICK)
    with pytest.raises(InputError, match="output"):
        fluorescent, _ = planted_session(600, 3, kind="fluorescence")
        fit(model, fluorescent, splits, QUICK)
    with pytest.raises(InputError, match="device of this machine"):
        choose_device("gpu-of-my-dreams")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (((), ((100, 200),), ((200, 300),)), "train: expected at least one range of bins, found none"),
        ((((0, 90),), ((100, 200),), ()), "test: expected at least one range"),
        ((((0, 90),), ((80, 200),), ((200, 300),)), "each bin at most once, found bin 80 more often"),
        ((((0, 90),), ((100, 200),), ((50, 60),)), "each bin at most once, found bin 50"),
        ((((0, 90), (89, 95)), ((100, 200),), ((200, 300),)), "each bin at most once, found bin 89"),
        ((((0, 90),), ((100, 200),), ((290, 301),)), r"test: expected .* \(600 bins\), found \(290, 301\)"),
        ((((0, 90),), ((100, 200),), ((590, 610),)), r"found \(590, 610\)"),
    ],
)
def test_splits_that_do_not_fit_the_session(parts, words):
    session, _ = planted_session(600, 2, n_stretches=2)
    with pytest.raises(InputError, match=words):
        fit(encoding_model(session, "orig", **SMALL), session, Splits(*parts, "by hand"), QUICK)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "epochs": (0, 1.5, True, "3"),
        "patience": (0,),
        "chunk_bins": (2.5,),
        "batch_chunks": (-1,),
        "predict_offset": (-1, 1.5),
        "seed": (-1, 0.5),
        "learning_rate": (float("nan"), float("inf"), 0, -1, "x"),
        "clip_norm": (0, -1.0),
        "weight_decay": (-1, None),
        "schedule": ("linear", None),
        "device": (0,),
    }.items(),
)
def test_settings_that_are_refused(name, values):
    for value in values:
        with pytest.raises(InputError, match=f"FitConfig: {name}: expected .*, found {value!r}"):
            FitConfig(**{name: value})
