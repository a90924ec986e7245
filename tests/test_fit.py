"""The loop learns what was planted, repeats itself, keeps the best epoch, and refuses what it cannot fit."""

import sys

import numpy as np
import pytest
import torch
from planted import planted_session

from v1lib.errors import InputError
from v1lib.fit import DivergedError, FitConfig, choose_device, fit, predict
from v1lib.models import encoding_model
from v1lib.score import pearson
from v1lib.session import stretch_ranges
from v1lib.splits import Splits, split

fit_module = sys.modules["v1lib.fit"]  # as an attribute of the package, the name is the function

SMALL = dict(
    channels=(8, 8), kernels=(5, 3), strides=(2, 1), dropout=0.0, hidden=16, shifter_width=16, seq_len=2
)
QUICK = FitConfig(epochs=2, learning_rate=3e-3, behavior_l1=0.1, device="cpu")


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
    config = FitConfig(
        epochs=25, patience=25, learning_rate=4e-3, schedule="one_cycle", behavior_l1=0.1, device="cpu"
    )
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
    with pytest.raises(DivergedError, match=f"loss of epoch {good_epochs}: expected finite") as caught:
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
    config = FitConfig(chunk_bins=16)
    lead, hit = 3, np.zeros(500, int)
    for seed in range(200):
        targets = [
            bins[lead:][scored]
            for bins, scored in fit_module._chunks(ranges, lead, config, np.random.default_rng(seed))
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


def test_the_penalty_is_the_mean_absolute_behaviour_weight(planted):
    session, _, _ = planted
    model = encoding_model(session, "orig", **SMALL)
    l1 = np.abs(model.behav_encoder.layers[1].weight.detach().numpy()).mean()
    made = fit_module._penalty(model, FitConfig(behavior_l1=2.0))
    assert float(made.detach()) == pytest.approx(2 * l1, rel=1e-5)
    assert fit_module._penalty(encoding_model(session, None, **SMALL), FitConfig()) == 0


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
    short = Splits(((0, 2),), ((100, 200),), ((200, 300),), "paper")
    with pytest.raises(InputError, match="train: expected a range of more than 2 bins"):
        fit(model, session, short, QUICK)
    with pytest.raises(InputError, match="schedule"):
        fit(model, session, splits, FitConfig(schedule="linear"))
    with pytest.raises(InputError, match="epochs"):
        fit(model, session, splits, FitConfig(epochs=0))
    with pytest.raises(InputError, match="output"):
        fluorescent, _ = planted_session(600, 3, kind="fluorescence")
        fit(model, fluorescent, splits, QUICK)
    with pytest.raises(InputError, match="device of this machine"):
        choose_device("gpu-of-my-dreams")
