"""The loop learns what was planted, repeats itself, keeps the best epoch, and refuses what it cannot fit."""

import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from planted import planted_session
from scipy.special import gammaln
from scipy.stats import poisson
from torch.utils._python_dispatch import TorchDispatchMode

from v1lib.batches import batches, chunks
from v1lib.errors import InputError
from v1lib.features import fit_scaling
from v1lib.fingerprint import source_hash
from v1lib.fit import DivergedError, FitConfig, MemoryShortError, choose_device, fit, predict
from v1lib.models import encoding_model, field_model, joint_model
from v1lib.score import pearson, score
from v1lib.session import stretch_ranges, validate_session
from v1lib.splits import Splits, split

pytestmark = pytest.mark.usefixtures("one_thread")
fit_module = sys.modules["v1lib.fit"]  # as an attribute of the package, the name is the function

SMALL = dict(
    channels=(8, 8), kernels=(5, 3), strides=(2, 1), dropout=0.0, hidden=16, shifter_width=16, seq_len=2
) | {"behavior_l1": 0.1}
QUICK = FitConfig(epochs=2, learning_rate=3e-3, device="cpu")


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


def test_a_part_is_predicted_as_in_the_whole_and_alone(planted):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, QUICK)
    whole, lead = predict(run, session).values, run.model.seq_len - 1 + run.config.predict_offset
    for part in ("test", "validation"):
        made = predict(run, session, part=part).values
        read = np.concatenate([np.arange(a + lead, b) for a, b in splits.ranges(part)])
        # Pieces of other lengths add up in another order.
        np.testing.assert_allclose(made[read], whole[read], rtol=1e-4, atol=1e-6)
        assert np.isnan(np.delete(made, read, axis=0)).all()
    with pytest.raises(InputError, match=r"^splits: part: expected train, validation or test, found 'all'"):
        predict(run, session, part="all")
    with pytest.raises(InputError, match=r"^splits: .*: expected ranges inside one stretch of the session"):
        predict(run, session.isel(time=slice(0, 700)), part="test")


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


def test_batches_hold_each_chunk_once_and_never_one_alone():
    for n, sizes in ((12, [4, 4, 4]), (13, [4, 4, 5]), (14, [4, 4, 4, 2]), (1, [1])):
        made = list(batches(((0, n * 8 + 2),), 2, 8, 4, np.random.default_rng(0)))
        assert [len(bins) for bins, _ in made] == sizes
        targets = torch.cat([bins[:, 2:].flatten() for bins, _ in made])
        assert sorted(targets.tolist()) == list(range(2, n * 8 + 2))
    assert [len(b) for b, _ in batches(((0, 26),), 2, 8, 1, np.random.default_rng(0))] == [1, 1, 1]


def test_one_cycle_rises_in_the_first_quarter_and_falls_to_nothing():
    rate = fit_module._learning_rate(replace(QUICK, learning_rate=0.5, schedule="one_cycle"), 100)
    rates = np.array([rate(step) for step in range(101)])
    assert rates[0] == pytest.approx(0.02) and rates[25] == pytest.approx(0.5) and rates[100] == 0
    assert (np.diff(rates[:26]) > 0).all() and (np.diff(rates[25:]) < 0).all()
    np.testing.assert_allclose(rates[62:64].mean(), 0.25, rtol=0.02)  # half way down


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


def test_the_gradient_may_be_left_as_it_is(planted):
    free, wide = (after_one_step(planted, clip_norm=norm)[1] for norm in (None, 1e9))
    assert all(torch.equal(free[name], wide[name]) for name in free)


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
    data = fit_module._data(session, fit_scaling(session, model.columns, splits), torch.device("cpu"))
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
    data = fit_module._data(session, fit_scaling(session, model.columns, splits), torch.device("cpu"))
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


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("behavior", np.inf, "behavior: expected finite values, or NaN"),
        ("activity", np.nan, "activity: expected spike counts of 0 or more"),
        ("activity", -3.0, "activity: expected spike counts of 0 or more"),
    ],
)
def test_values_that_no_session_may_hold(variable, value, words):
    session, _ = planted_session(600, 2)
    broken = session.copy(deep=True)
    broken["activity"] = broken["activity"].astype(np.float32)
    broken[variable].values[450, 0] = value  # in the test part
    with pytest.raises(InputError, match=words):
        fit(encoding_model(session, "orig", **SMALL), broken, split(session, "paper"), QUICK)


def test_a_state_that_cannot_be_written_does_not_lose_the_best_epoch(planted, monkeypatch, tmp_path):
    session, _, splits = planted
    written = []

    def full(now, *rest):
        written.append(len(now.rows))
        if len(written) == 2:
            raise InputError("state", "file", "a place that can be written", "No space left on device")

    monkeypatch.setattr(fit_module, "save_training", full)
    with pytest.raises(InputError, match="No space left") as caught:
        fit(encoding_model(session, "S", **SMALL), session, splits, QUICK, resume=tmp_path / "state")
    assert len(caught.value.run.history) == 2


def test_provenance_tells_what_was_filled():
    session, _ = planted_session(900, 2)
    session["behavior"].values[:90, 4] = np.nan
    run = fit(encoding_model(session, "orig", **SMALL), session, split(session, "paper"), QUICK)
    assert run.provenance["filled theta"] == pytest.approx(0.1)
    assert run.provenance["animal"] == "planted" and run.provenance["seconds"] > 0


def whole_average(weights, decay):
    """The weights of all steps, those of n steps ago decay**n times as much as the last."""
    share = decay ** np.arange(len(weights))[::-1]
    stacked = np.stack([np.concatenate([value.ravel() for value in one]) for one in weights]).astype(float)
    return share @ stacked / share.sum()


def test_the_average_of_the_weights_is_what_is_validated_and_kept(planted, monkeypatch):
    session, _, splits = planted
    weights, buffers, step = [], [], fit_module._step

    def watched(now, *rest):
        made = step(now, *rest)
        weights.append([value.detach().numpy().copy() for value in now.model.parameters()])
        buffers.append([value.clone() for value in now.model.buffers()])
        return made

    monkeypatch.setattr(fit_module, "_step", watched)
    config = FitConfig(epochs=1, learning_rate=1e-2, ema=0.7, device="cpu")
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, config)
    kept = np.concatenate([value.detach().numpy().ravel() for value in run.model.parameters()])
    # float32 sums of ten steps or fewer
    np.testing.assert_allclose(kept, whole_average(weights, 0.7), rtol=1e-5, atol=1e-6)
    last = np.concatenate([value.ravel() for value in weights[-1]])
    assert np.abs(kept - last).max() > 1e-3  # a tenth of the learning rate
    assert all(torch.equal(a, b) for a, b in zip(run.model.buffers(), buffers[-1], strict=True))
    lead = run.model.seq_len - 1
    data = fit_module._data(session, run.scaling, torch.device("cpu"))
    assert fit_module._error(run.model, data, splits.validation, lead) == run.history["validation_loss"][0]


def test_training_itself_does_not_see_the_average(planted):
    session, _, splits = planted
    first, second = (
        fit(encoding_model(session, "orig", **SMALL), session, splits, replace(QUICK, ema=ema)).history
        for ema in (0.0, 0.9)
    )
    assert first["train_loss"].equals(second["train_loss"])
    assert (first["validation_loss"] != second["validation_loss"]).all()


def test_without_a_limit_the_gradient_is_not_clipped(planted):
    parameters = [after_one_step(planted, clip_norm=norm)[1] for norm in (None, 1e9, 1e-3)]
    free, wide, narrow = [torch.cat([v.detach().ravel() for v in one.values()]) for one in parameters]
    assert torch.equal(free, wide) and not torch.equal(free, narrow)


def test_the_history_tells_the_norm_before_clipping(planted):
    session, _, splits = planted
    config = FitConfig(epochs=1, batch_chunks=1000, clip_norm=1e-3, device="cpu")
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, config)
    model = encoding_model(session, "orig", **SMALL).train()
    data = fit_module._data(session, run.scaling, torch.device("cpu"))
    lead = model.seq_len - 1
    ((bins, scored),) = batches(splits.train, lead, 64, 1000, np.random.default_rng(0))
    rates, penalty = model.rates_and_penalty(*data.inputs(bins))
    (data.loss(rates[:, lead:][scored], data.target[bins[:, lead:]][scored]) + penalty).backward()
    squares = sum(float(value.grad.double().square().sum()) for value in model.parameters())
    assert run.history["grad_norm"][0] == pytest.approx(np.sqrt(squares), rel=1e-5)
    assert run.history["targets"][0] == int(scored.sum())


def spoil_step(monkeypatch, model, number, spoil):
    """Change what the model gives in the training step of that number."""
    calls, given = [], model.rates_and_penalty

    def spoilt(frames, behavior):
        rates, penalty = given(frames, behavior)
        if not torch.is_grad_enabled():
            return rates, penalty
        calls.append(1)
        return spoil(rates, penalty) if len(calls) == number + 1 else (rates, penalty)

    monkeypatch.setattr(model, "rates_and_penalty", spoilt)


def no_number(rates, penalty):
    return rates * torch.nan, penalty


def no_slope(rates, penalty):
    # Its value is 0, its slope there infinity times 0.
    return rates, penalty + torch.sqrt(0 * rates.sum())


@pytest.mark.parametrize(
    ("spoil", "words"), [(no_number, "loss in step"), (no_slope, "norm of the gradient in step")]
)
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_bad_step_is_not_taken(planted, monkeypatch, spoil, words, epoch):
    session, _, splits = planted
    good = fit(encoding_model(session, "orig", **SMALL), session, splits, replace(QUICK, epochs=1))
    steps = len(list(batches(splits.train, 1, 64, 4, np.random.default_rng(0))))
    number = epoch * steps + steps // 2
    model = encoding_model(session, "orig", **SMALL)
    spoil_step(monkeypatch, model, number, spoil)
    with pytest.raises(DivergedError, match=f"{words} {number}, epoch {epoch}: expected a finite") as caught:
        fit(model, session, splits, QUICK)
    assert all(torch.isfinite(value).all() for value in model.parameters())
    run = caught.value.run
    if epoch == 0:
        assert run is None
    else:
        state, expected = run.model.state_dict(), good.model.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)
        assert len(run.history) == 1


def raising(error):
    def spoil(*rest):
        raise error

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda *rest: torch.empty(2**50), "can't allocate memory"),  # a petabyte or so
        (lambda *rest: np.empty(2**60, np.uint8), "Unable to allocate"),
        (raising(MemoryError()), "MemoryError"),
        (
            raising(torch.OutOfMemoryError("CUDA out of memory. Tried 2.00 GiB.\nSee also")),
            "CUDA out of memory",
        ),
        (raising(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")), "MPS backend"),
    ],
)
def test_too_little_memory_says_what_to_lower(planted, monkeypatch, spoil, reason):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    steps = len(list(batches(splits.train, 1, 32, 5, np.random.default_rng(0))))
    spoil_step(monkeypatch, model, steps, spoil)
    with pytest.raises(MemoryShortError) as caught:
        fit(model, session, splits, replace(QUICK, chunk_bins=32, batch_chunks=5))
    said = str(caught.value)
    assert "lower batch_chunks, chunk_bins or the size of the session's frames" in said
    assert "cpu for batch_chunks=5, chunk_bins=32 and frames of 12 x 16 px" in said
    assert reason in said and "\n" not in said
    assert len(caught.value.run.history) == 1  # the epoch before


def test_too_little_memory_to_predict_says_so_too(planted, monkeypatch):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, replace(QUICK, epochs=1))
    monkeypatch.setattr(type(run.model), "forward", lambda *rest: torch.empty(2**50))
    with pytest.raises(MemoryShortError, match=r"^predict: memory: expected enough .*can't allocate memory"):
        predict(run, session)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has the device that must be absent")
def test_a_fit_of_a_machine_with_another_device_predicts_here(planted):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, replace(QUICK, epochs=1))
    elsewhere = replace(run, config=replace(run.config, device="cuda"))
    np.testing.assert_array_equal(predict(elsewhere, session), predict(run, session))
    with pytest.raises(InputError, match="FitConfig: device: expected a device of this machine"):
        fit(run.model, session, splits, elsewhere.config)


@pytest.mark.parametrize("wrong", [None, "session.nc", np.zeros(3), xr.DataArray(np.zeros(3))])
def test_what_is_no_session_is_called_by_its_type(planted, wrong):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, replace(QUICK, epochs=1))
    for where, attempt in {
        "fit": lambda: fit(run.model, wrong, splits, QUICK),
        "predict": lambda: predict(run, wrong),
        "score": lambda: score(run, wrong),
        "split": lambda: split(wrong),
        "session": lambda: validate_session(wrong),
        "encoding_model": lambda: encoding_model(wrong),
        "field_model": lambda: field_model(wrong),
        "joint_model": lambda: joint_model(wrong),
    }.items():
        with pytest.raises(InputError, match=f"^{where}: session: .*found {type(wrong).__name__}"):
            attempt()


def test_other_errors_of_torch_are_left_as_they_are(planted, monkeypatch):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    spoil_step(monkeypatch, model, 0, raising(RuntimeError("shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match=r"^shapes cannot be multiplied$"):
        fit(model, session, splits, QUICK)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_that_is_no_picture_is_found(planted, value):
    session, _, splits = planted
    run = fit(encoding_model(session, "S", **SMALL), session, splits, replace(QUICK, epochs=1))
    spoilt = session.assign(frames=session["frames"].astype(np.float32))
    spoilt["frames"].values[[321, 700], 3, 4] = value
    for attempt in (
        lambda: fit(encoding_model(session, "S", **SMALL), spoilt, splits, QUICK),
        lambda: predict(run, spoilt),
    ):
        with pytest.raises(InputError, match=r"session: frames: expected finite .* in bin 321"):
            attempt()


def test_a_pixel_that_never_changes_does_no_harm(planted):
    session, _, splits = planted
    stuck = session.copy(deep=True)
    stuck["frames"].values[:, 3, 4] = 255
    run = fit(encoding_model(session, "orig", **SMALL), stuck, splits, QUICK)
    assert np.isfinite(run.history.values).all()
    assert all(torch.isfinite(value).all() for value in run.model.state_dict().values())


def test_a_unit_without_spikes_in_training_is_named(planted):
    session, _, splits = planted
    silent = session.copy(deep=True)
    silent["activity"].values[splits.bins("train"), 1] = 0
    with pytest.raises(InputError, match=r"unit u01: .* found no spike"):
        fit(encoding_model(session, "orig", **SMALL), silent, splits, QUICK)


def test_bins_that_no_window_reaches_are_counted():
    session, _ = planted_session(603, 2)
    session["stretch"].values[600:] = 1
    # A window of 2 bins and a target one bin later: 3 bins, of which 2 come before the target.
    train, validation = ((0, 150), (152, 154), (156, 157), (158, 161)), ((170, 260), (262, 263))
    test = ((270, 272), (274, 400), (601, 602))
    config = replace(QUICK, epochs=1, predict_offset=2)
    run = fit(
        encoding_model(session, "orig", **SMALL), session, Splits(train, validation, test, "by hand"), config
    )
    found = {part: run.provenance[f"{part}_bins_left_out"] for part in ("train", "validation", "test")}
    assert found == {"train": 2 + 1 + 3, "validation": 1, "test": 1}
    assert np.isnan(predict(run, session).values[run.splits.bins("test")]).all(axis=1).sum() == found["test"]
    assert run.history["targets"].tolist() == [128]  # two whole chunks of the one range that is long enough


def test_provenance_tells_what_made_it(planted):
    session, _, splits = planted
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, QUICK)
    told = run.provenance
    assert told["v1lib_source"] == source_hash() and told["torch"] == torch.__version__
    assert told["device"] == "cpu" and told["threads"] == 1
    assert told["parameters"] == sum(value.numel() for value in run.model.parameters())
    history = run.history
    assert told["seconds"] == pytest.approx(history["seconds"].sum())
    rate = history["targets"].sum() / history["training_seconds"].sum()
    assert told["targets_per_second"] == pytest.approx(rate)
    assert (history["training_seconds"] < history["seconds"]).all()


class NoDoubles(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            assert not isinstance(value, torch.Tensor) or value.dtype != torch.float64, function
        return made


@pytest.mark.parametrize("kind", ["spike_count", "fluorescence"])
def test_nothing_is_computed_in_double_precision(kind):
    # Apple's devices cannot.
    session, _ = planted_session(600, 2, kind=kind)
    with NoDoubles():
        model = encoding_model(session, "all_prod", **SMALL)
        config = replace(QUICK, ema=0.5, schedule="one_cycle")
        predict(fit(model, session, split(session, "paper"), config), session)


def test_a_terminal_is_told_the_time_left_and_the_loss(planted, monkeypatch, capsys):
    session, _, splits = planted
    fit(encoding_model(session, "orig", **SMALL), session, splits, QUICK)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(fit_module, "quiet", lambda: False)
    run = fit(encoding_model(session, "orig", **SMALL), session, splits, QUICK)
    shown = capsys.readouterr().err
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", shown)
    assert f"epoch=2, validation={run.history['validation_loss'][1]:.4f}" in shown


class OneRate(torch.nn.Module):
    """The smallest thing that keeps the contract: one rate a unit, whatever is seen."""

    columns, seq_len, output, sees, arguments = (), 1, "softplus", False, {}

    def __init__(self, n_units):
        super().__init__()
        self.n_units, self.frame_shape = n_units, (12, 16)
        self.log_rate = torch.nn.Parameter(torch.zeros(n_units))

    def forward(self, frames, behavior):
        return self.rates_and_penalty(frames, behavior)[0]

    def rates_and_penalty(self, frames, behavior):
        return self.log_rate.exp().expand(*behavior.shape[:2], -1), torch.zeros(())


def test_any_model_that_keeps_the_contract_is_fitted(planted):
    session = planted[0].copy(deep=True)
    rates = np.array([2.0, 4.0, 8.0])
    session["activity"].values[:] = np.random.default_rng(0).poisson(rates, (1500, 3))
    splits = Splits(((0, 800),), ((800, 1400),), ((1400, 1500),), "by hand")
    config = FitConfig(epochs=60, patience=60, learning_rate=0.05, schedule="one_cycle", device="cpu")
    run = fit(OneRate(3), session, splits, config)
    # The mean of 800 counts of 2 has a standard error of 2.5 %.
    np.testing.assert_allclose(run.model.log_rate.detach().exp(), rates, rtol=0.1)
    wrong = OneRate(3)
    wrong.output = "identity"
    with pytest.raises(InputError, match="OneRate: output"):
        fit(wrong, session, splits, config)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_session_kept_on_the_device_gives_the_same_batches(planted, monkeypatch):
    session, _, splits = planted
    model = encoding_model(session, "orig", **SMALL)
    data = fit_module._data(session, fit_scaling(session, model.columns, splits), torch.device("cuda"))
    near = fit_module._near(data)
    monkeypatch.setattr(fit_module, "RESIDENT_SHARE", 0.0)
    far = fit_module._near(data)
    assert near.frames.is_cuda and not far.frames.is_cuda
    bins = torch.arange(100).reshape(2, 50)
    for one, other in zip(near.inputs(bins), far.inputs(bins), strict=True):
        assert one.is_cuda and torch.equal(one, other)


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
        "seed": (-1, 0.5, 2**70),
        "learning_rate": (float("nan"), float("inf"), 0, -1, "x", 10**400),
        "clip_norm": (0, -1.0, math.inf, "none"),
        "ema": (-0.1, 1, 1.5, True, None),
        "scaling": ("standard", None),
        "weight_decay": (-1, None),
        "schedule": ("linear", None),
        "device": (0,),
    }.items(),
)
def test_settings_that_are_refused(name, values):
    for value in values:
        with pytest.raises(InputError, match=f"FitConfig: {name}: expected .*, found {value!r}"):
            FitConfig(**{name: value})
