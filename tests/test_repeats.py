"""Repeats with planted signal and noise give back the ceiling that was planted."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.models import encoding_model
from v1lib.readers import open_session
from v1lib.repeats import (
    average_prediction,
    contrast_difference,
    held_out,
    noise_ceiling,
    score_trials,
    share_of_ceiling,
    shuffle_frames,
    spearman_brown,
    split_half_reliability,
    trial_tensor,
    tuning_agreement,
)
from v1lib.splits import split

N_CONDITIONS, N_REPEATS, N_SAMPLES, WIDTH = 8, 16, 20, 0.0625


def repeats_session(share, seed=0, n_repeats=N_REPEATS, memory=0.7):
    """A session whose units have a known share of signal power; returns it and the signal (time, unit).

    Noise is autocorrelated inside a trial, as fluorescence is, and independent between trials.
    """
    share = np.asarray(share, float)
    rng = np.random.default_rng(seed)
    condition = np.tile(np.arange(N_CONDITIONS) * 45.0, n_repeats)
    n_trials = condition.size
    signal = rng.normal(size=(N_CONDITIONS, N_SAMPLES, share.size))
    signal = (signal - signal.mean((0, 1))) / signal.std((0, 1))
    noise = rng.normal(size=(n_trials, N_SAMPLES, share.size))
    for sample in range(1, N_SAMPLES):
        noise[:, sample] = memory * noise[:, sample - 1] + np.sqrt(1 - memory**2) * noise[:, sample]
    repeated = signal[(condition / 45).astype(int)]
    activity = 3 + 2 * (np.sqrt(share) * repeated + np.sqrt(1 - share) * noise)
    n = n_trials * N_SAMPLES
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), rng.integers(0, 255, (n, 4, 4), dtype=np.uint8)),
            "behavior": (("time", "variable"), rng.normal(size=(n, 1)).astype("float32")),
            "activity": (("time", "unit"), activity.reshape(n, -1).astype("float32")),
            "stretch": ("time", np.repeat(np.arange(n_trials), N_SAMPLES).astype("int32")),
        },
        {
            "time": (np.arange(n) + 0.5) * WIDTH,
            "variable": ["pupil"],
            "unit": np.arange(share.size),
            "condition": ("time", np.repeat(condition, N_SAMPLES)),
            "trial_time": ("time", np.tile((np.arange(N_SAMPLES) - 4) * WIDTH, n_trials)),
        },
        dict(
            schema_version=1, animal="a", session="s", source="planted", bin_width_s=WIDTH, v1lib_version="0"
        ),
    )
    session["activity"].attrs["kind"] = "fluorescence"
    return session, xr.DataArray(repeated.reshape(n, -1), dims=("time", "unit"))


def test_values_land_in_their_trial():
    session, _ = repeats_session([0.5, 0.5])
    trials = trial_tensor(session)
    assert trials.shape == (128, N_SAMPLES, 2)
    np.testing.assert_array_equal(trials[7, 3], session["activity"].values[7 * N_SAMPLES + 3])
    assert trials["condition"].values[:9].tolist() == [0, 45, 90, 135, 180, 225, 270, 315, 0]


def test_ceiling_is_the_r_of_the_planted_signal():
    share = np.repeat([0.02, 0.1, 0.3, 0.8], 60)
    session, signal = repeats_session(share)
    ceiling = noise_ceiling(session)
    achieved = score_trials(session, {"truth": signal})["r"].values[0]
    for value in np.unique(share):
        units = share == value
        # The ceiling as planted, and as the true signal reaches it on these very trials; means of 60 units,
        # whose standard errors are below 0.008 and 0.003.
        assert float(ceiling["ceiling"][units].mean()) == pytest.approx(np.sqrt(value), abs=0.025)
        assert float((ceiling["ceiling"].values[units] - achieved[units]).mean()) == pytest.approx(
            0, abs=0.025
        )
    np.testing.assert_allclose(ceiling["signal_power"] / ceiling["total_power"], share, atol=0.12)


def test_units_without_signal_average_to_no_ceiling():
    session, _ = repeats_session(np.zeros(300))
    ceiling = noise_ceiling(session)["ceiling"].values
    share = ceiling * np.abs(ceiling)
    assert abs(share.mean()) < 4 * share.std() / np.sqrt(300)
    assert 0.3 < (ceiling < 0).mean() < 0.7  # half of them fall below zero and stay in


def test_intervals_hold_what_was_planted():
    share = np.full(300, 0.15)
    interval = noise_ceiling(repeats_session(share, seed=2)[0])["ceiling_interval"].values
    held = (interval[:, 0] <= np.sqrt(share)) & (np.sqrt(share) <= interval[:, 1])
    assert 0.9 < held.mean() < 0.99  # 95 % is promised; of 300 units 2 standard errors are 2.5 %


def test_one_trial_against_the_mean_of_the_others_gives_the_same_ceiling():
    """An independent road: r with the leave-one-out mean, corrected for the noise in that mean."""
    share = np.repeat([0.1, 0.4], 100)
    session, _ = repeats_session(share, seed=3)
    trials = trial_tensor(session).values.reshape(N_REPEATS, N_CONDITIONS * N_SAMPLES, -1)
    found = []
    for n in range(N_REPEATS):
        others = np.delete(trials, n, axis=0).mean(axis=0)
        one = trials[n]
        found.append([np.corrcoef(one[:, unit], others[:, unit])[0, 1] for unit in range(share.size)])
    left_out = np.mean(found, axis=0)
    ceiling = noise_ceiling(session)
    signal, total = ceiling["signal_power"].values, ceiling["total_power"].values
    correction = np.sqrt((signal + (total - signal) / (N_REPEATS - 1)) / signal)
    assert np.median(left_out * correction - ceiling["ceiling"].values) == pytest.approx(0, abs=0.01)


def test_split_halves_and_spearman_brown_agree_with_what_was_planted():
    """Tuning with a known share of signal: halves of eight repeats have reliability 8 s / (8 s + n)."""
    rng = np.random.default_rng(0)
    session, _ = repeats_session(np.zeros(400), memory=0.0)
    tuning = rng.normal(size=(N_CONDITIONS, 400))
    tuning -= tuning.mean(axis=0)
    condition = (session["condition"].values / 45).astype(int)
    late = session["trial_time"].values > 0
    noise_sd = 2 / np.sqrt(late[:N_SAMPLES].sum())  # of a trial's mean
    session["activity"].values[:] += (0.25 * tuning[condition] * late[:, None]).astype("float32")
    halves = split_half_reliability(session)
    signal, noise = 0.25**2 * tuning.var(axis=0, ddof=1), noise_sd**2 / 8
    # r over eight conditions falls short of a ratio of variances by some hundredths.
    assert float(np.median(halves)) == pytest.approx(np.median(signal / (signal + noise)), abs=0.07)
    whole = np.median(signal / (signal + noise / 2))
    assert float(np.median(spearman_brown(halves))) == pytest.approx(whole, abs=0.07)
    assert spearman_brown(0.5) == pytest.approx(2 / 3) and spearman_brown(0.3, 1) == pytest.approx(0.3)


def test_a_constant_unit_has_no_reliability():
    session, _ = repeats_session([0.5, 0.5])
    session["activity"].values[:, 1] = 2.0
    reliability = split_half_reliability(session, n_splits=5).values
    assert np.isfinite(reliability[0]) and np.isnan(reliability[1])


def test_scores_are_pearsons_and_intervals_tell_models_apart():
    session, signal = repeats_session(np.full(30, 0.3))
    rng = np.random.default_rng(9)
    predictions = {
        "truth": signal,
        "worse": signal + 2 * rng.normal(size=signal.shape),
        "same": 5 * signal - 2,  # r does not see scale
        "nothing": xr.DataArray(rng.normal(size=signal.shape), dims=("time", "unit")),
        "constant": xr.zeros_like(signal),
    }
    scores = score_trials(session, predictions)
    activity = session["activity"].values
    for name in ("truth", "worse", "nothing"):
        expected = [np.corrcoef(predictions[name].values[:, u], activity[:, u])[0, 1] for u in range(30)]
        np.testing.assert_allclose(scores["r"].sel(model=name), expected, atol=1e-6)
    assert not scores["r"].sel(model="constant").any()
    interval = scores["difference_interval"]
    assert float(interval.sel(model="worse", bound="low")) > 0
    assert abs(float(scores["difference"].sel(model="same"))) < 1e-12
    low, high = scores["mean_r_interval"].sel(model="nothing").values
    assert low < 0 < high


def test_only_bins_that_every_model_predicts_count():
    session, signal = repeats_session(np.full(3, 0.5))
    partly = signal.copy()
    partly.values[: 40 * N_SAMPLES] = np.nan
    partly.values[::N_SAMPLES] = np.nan
    scores = score_trials(session, {"whole": signal, "partly": partly})
    assert scores.attrs["n_trials"] == 88 and scores.attrs["n_bins"] == 88 * (N_SAMPLES - 1)
    np.testing.assert_allclose(scores["r"][0], scores["r"][1], atol=1e-6)


def test_shares_of_the_ceiling_are_those_planted():
    """The true signal reaches the whole ceiling; mixed with as much noise as it has power, 1 / √2 of it."""
    rng = np.random.default_rng(4)
    held, widths = 0, []
    for seed in range(20):
        session, signal = repeats_session(np.full(25, 0.15), seed=seed)
        half = signal + rng.normal(size=signal.shape)
        found = share_of_ceiling(session, {"truth": signal, "half": half})
        assert float(found["share"][0] / found["share"][1]) == pytest.approx(np.sqrt(2), abs=0.15)
        low, high = found["share_interval"].values.T
        held += int(((low <= [1, np.sqrt(0.5)]) & ([1, np.sqrt(0.5)] <= high)).sum())
        widths.append(high - low)
    # 38 of 40 are promised; 33 is three standard errors below, counting the two models as one.
    assert held >= 33
    assert 0 < np.mean(widths) < 0.3


def test_share_is_the_quotient_of_score_and_ceiling():
    session, signal = repeats_session([0.4, 0.1, 0.2])
    signal.values.reshape(128, N_SAMPLES, 3)[:, :3] = np.nan
    found = share_of_ceiling(session, {"truth": signal})
    ceiling = noise_ceiling(session, from_s=-WIDTH)["ceiling"]
    expected = score_trials(session, {"truth": signal})["mean_r"][0] / ceiling.mean()
    assert float(found["share"][0]) == pytest.approx(float(expected), rel=1e-6)
    signal.values[5 * N_SAMPLES + 4] = np.nan
    with pytest.raises(InputError, match="same samples in every trial"):
        share_of_ceiling(session, {"truth": signal})


def test_contrast_of_two_animals_tells_a_larger_difference_from_an_equal_one():
    def scored(share, seed, reference="truth"):
        session, signal = repeats_session(np.full(25, share), seed=seed)
        nothing = xr.zeros_like(signal)
        return score_trials(session, {"truth": signal, "nothing": nothing}, reference=reference)

    strong, alike, weak = scored(0.3, 0), scored(0.3, 1), scored(0.05, 2)
    found = contrast_difference(strong, weak, "nothing")
    gains = [float(score["difference"].sel(model="nothing")) for score in (strong, weak)]
    assert float(found["contrast"]) == pytest.approx(gains[0] - gains[1])
    low, high = found["contrast_interval"].values
    assert 0 < low < np.sqrt(0.3) - np.sqrt(0.05) < high
    low, high = contrast_difference(strong, alike, "nothing")["contrast_interval"].values
    assert low < 0 < high
    with pytest.raises(InputError, match="one reference"):
        contrast_difference(strong, scored(0.3, 1, "nothing"), "nothing")


def test_folds_come_together_once_each():
    session, _ = repeats_session([0.6, 0.6], n_repeats=4)
    runs = []
    for fold in range(4):
        model = encoding_model(session, "orig", vision=False, hidden=4, seq_len=2)
        config = FitConfig(epochs=1, predict_offset=1, device="cpu")
        runs.append(fit(model, session, split(session, "trials", fold=fold, n_folds=4), config))
    together = held_out(runs, session)
    # Every trial is tested once; its first two bins have no window of two with a target behind them.
    missing = np.isnan(together.values).reshape(32, N_SAMPLES, 2)
    assert missing[:, :2].all() and not missing[:, 2:].any()
    with pytest.raises(InputError, match="tested twice"):
        held_out([runs[0], runs[0]], session)


def folds_of(session):
    return [split(session, "trials", fold=fold, n_folds=4) for fold in range(4)]


def test_average_of_other_trials_predicts_as_well_as_theory_says():
    share = np.repeat([0.1, 0.5], 100)
    session, _ = repeats_session(share)
    folds = folds_of(session)
    made = average_prediction(session, folds)
    assert np.isfinite(made.values).all()
    # A mean of 12 repeats holds noise of its own: r = S / √(T (S + N / 12)).
    expected = share / np.sqrt(share + (1 - share) / 12)
    r = score_trials(session, {"average": made})["r"].values[0]
    for value in (0.1, 0.5):
        assert r[share == value].mean() == pytest.approx(expected[share == value][0], abs=0.02)


def test_average_never_sees_the_trial_that_it_predicts():
    session, _ = repeats_session([0.5])
    folds = folds_of(session)
    before = average_prediction(session, folds).values
    trial = folds[0].test[3]
    session["activity"].values[slice(*trial)] += 100
    after = average_prediction(session, folds).values
    np.testing.assert_array_equal(before[slice(*trial)], after[slice(*trial)])
    assert (before != after).any()
    with pytest.raises(InputError, match="whole trials"):
        average_prediction(session, [split(session, "paper")])


def test_agreement_of_tuning_is_there_with_tuning_and_not_without():
    rng = np.random.default_rng(1)
    session, _ = repeats_session(np.zeros(200))
    condition = (session["condition"].values / 45).astype(int)
    late = session["trial_time"].values > 0
    folds = folds_of(session)
    # A response to the onset that is the same in every direction predicts single trials and no tuning.
    session["activity"].values[:] += late[:, None].astype("float32")
    made = average_prediction(session, folds)
    assert score_trials(session, {"average": made})["mean_r"][0] > 0.1
    agreement = tuning_agreement(session, made, folds).values
    assert abs(agreement.mean()) < 4 * agreement.std() / np.sqrt(200)
    session["activity"].values[:] += (2 * rng.normal(size=(8, 200))[condition] * late[:, None]).astype(
        "float32"
    )
    made = average_prediction(session, folds)
    assert tuning_agreement(session, made, folds).mean() > 0.8


def test_shuffled_frames_keep_their_trials_whole_and_lose_their_condition():
    session, _ = repeats_session([0.5])
    session["frames"].values[:, 0, 0] = session["condition"].values / 45
    session["frames"].values[:, 0, 1] = np.tile(np.arange(N_SAMPLES), 128)
    shuffled = shuffle_frames(session)
    condition, sample = shuffled["frames"].values[:, 0, 0], shuffled["frames"].values[:, 0, 1]
    assert (np.diff(condition.reshape(128, -1).astype(int)) == 0).all()
    np.testing.assert_array_equal(sample, np.tile(np.arange(N_SAMPLES), 128))
    np.testing.assert_array_equal(np.sort(condition), np.sort(session["condition"].values / 45))
    # An eighth of the trials meets its own direction by chance.
    assert 0.02 < (condition == session["condition"].values / 45).mean() < 0.28
    xr.testing.assert_identical(shuffled.drop_vars("frames"), session.drop_vars("frames"))


def test_sessions_without_repeats_are_refused():
    session, signal = repeats_session([0.5])
    cases = [
        (session.drop_vars("condition"), "condition: expected a coordinate"),
        (session.isel(time=slice(0, -3)), "trials of one length"),
        (session.isel(time=slice(0, 127 * N_SAMPLES)), "equally many trials"),
        (session.isel(time=slice(0, 16 * N_SAMPLES)), "at least 3"),
        (session.assign_coords(condition=("time", np.arange(session.sizes["time"]))), "one value in a trial"),
        (session.assign_coords(trial_time=("time", session["time"].values)), "same times in every trial"),
    ]
    for bad, message in cases:
        with pytest.raises(InputError, match=message):
            noise_ceiling(bad)
    with pytest.raises(InputError, match="samples from"):
        noise_ceiling(session, from_s=100)
    with pytest.raises(InputError, match="as the session"):
        trial_tensor(session, signal.isel(time=slice(0, 20)))
    with pytest.raises(InputError, match="a bin that all models predict"):
        score_trials(session, {"none": signal * np.nan})
    with pytest.raises(InputError, match="reference"):
        score_trials(session, {"truth": signal}, reference="other")


@pytest.mark.parametrize(
    ("recording", "neurons", "reliability", "tuned"),
    [("230803_mrcuts25_fov6", 53, 0.37, 18), ("230803_mrcuts24_fov1", 28, 0.03, 3)],
)
def test_published_reliability_of_the_real_recordings(real_file, recording, neurons, reliability, tuned):
    path: Path = real_file(f"park2024/{recording}_grat-000_data.mat")
    found = split_half_reliability(open_session(path, frame_shape=(8, 8), degrees_per_pixel=5.0))
    assert found.size == neurons
    # Which hundred halvings are drawn moves the mean by less than 0.01, and one or two neurons at the border.
    assert float(found.mean()) == pytest.approx(reliability, abs=0.015)
    assert abs(int((found > 0.5).sum()) - tuned) <= 2
