"""Scores against SciPy, against what was planted, and against what an interval promises."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from planted import planted_session
from scipy.stats import pearsonr, poisson

from v1lib import bootstrap
from v1lib.ceiling import poisson_ceiling
from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.models import encoding_model
from v1lib.score import bits_per_spike, paired_difference, paper_score, pearson, score, smooth
from v1lib.splits import Splits, split
from v1lib.store import load_run, save_run

score_module = sys.modules["v1lib.score"]  # as an attribute of the package, the name is the function

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=3)


@pytest.fixture(scope="module")
def fitted():
    session, truth = planted_session(6000, 5, (8, 10), rate=1.0)
    config = FitConfig(epochs=1, predict_offset=1, device="cpu")
    return session, truth, fit(encoding_model(session, "S", **SMALL), session, split(session), config)


def scored_bins(run):
    """Bins of the test part with a whole window behind them, one array a range."""
    return [np.arange(a + 3, b) for a, b in run.splits.test]  # seq_len 3 and predict_offset 1


def pretend(monkeypatch, values, session):
    """Let the runs of the test predict `values`."""
    made = xr.DataArray(values, {"unit": session["unit"]}, ("time", "unit"))
    monkeypatch.setattr(score_module, "predict", lambda run, s, part: made)


def test_another_animal_of_the_same_bins_is_refused(fitted):
    _, _, run = fitted
    other, _ = planted_session(6000, 5, (8, 10), rate=1.0, seed=9)
    for scores in (score, paper_score):
        with pytest.raises(InputError, match="session: expected"):
            scores(run, other)


def test_one_block_has_no_interval(fitted):
    session, _, run = fitted
    short = replace(run, splits=replace(run.splits, test=((5000, 5100),)))
    found = score(short, session)
    assert found.attrs["n_blocks"] == 1 and np.isfinite(found["r"]).all()
    for name in ("r_interval", "mean_r_interval", "bits_per_spike_interval"):
        assert np.isnan(found[name]).all(), name


def test_r_against_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 4)) * 1e-3 + 50
    expected = [pearsonr(a[:, i], b[:, i]).statistic for i in range(4)]
    np.testing.assert_allclose(pearson(a, b), expected, rtol=1e-6)
    assert np.isnan(pearson(np.ones((20, 1)), b[:20, :1])).all()


def test_smoothing_keeps_only_whole_boxcars():
    values = np.random.default_rng(0).normal(size=(30, 2))
    expected = [np.convolve(values[:, i], np.ones(7) / 7, mode="valid") for i in range(2)]
    np.testing.assert_allclose(smooth(values, 7), np.transpose(expected), atol=1e-12)


def test_the_true_rate_scores_the_oracle(fitted, monkeypatch):
    session, truth, run = fitted
    pretend(monkeypatch, truth["rate"].values, session)
    scores = score(run, session, truth)
    np.testing.assert_allclose(scores["fraction_of_oracle"], 1)
    np.testing.assert_allclose(scores["r"], scores["oracle_r"])
    assert (scores["r_smooth"] > scores["r"]).all()  # smoothing takes out Poisson noise
    assert (scores["bits_per_spike"] > 0).all()
    for name in ("r", "r_smooth", "oracle_r"):
        low, high = scores[f"{name}_interval"].transpose("bound", "unit").values
        assert (low < scores[name]).all() and (scores[name] < high).all()
    assert list(scores["unit"].values) == [f"u{n:02d}" for n in range(5)]


def test_figures_over_the_oracle_and_the_training_mean(fitted, monkeypatch):
    session, truth, run = fitted
    rate = truth["rate"].values
    values = np.maximum(0.05, rate + np.random.default_rng(0).normal(size=rate.shape))
    pretend(monkeypatch, values, session)
    scores = score(run, session, truth)
    bins = np.concatenate(scored_bins(run))
    counts = session["activity"].values.astype(float)
    expected = pearson(values[bins], counts[bins]) / pearson(rate[bins], counts[bins])
    np.testing.assert_allclose(scores["fraction_of_oracle"], expected)
    assert (scores["fraction_of_oracle"] < 0.95).all()
    train_mean = counts[run.splits.bins("train")].mean(axis=0)
    assert not np.allclose(train_mean, counts[bins].mean(axis=0), rtol=1e-3)
    expected = bits_per_spike(values[bins], counts[bins], train_mean)
    np.testing.assert_allclose(scores["bits_per_spike"], expected)


def test_blocks_are_ten_seconds_long(fitted):
    session, _, run = fitted
    scores = score(run, session)
    for lost, name in ((0, "n_blocks"), (40, "n_blocks_smooth")):
        seconds = [(bins.size - lost) * 0.048 for bins in scored_bins(run)]
        assert scores.attrs[name] == sum(max(1, round(s / 10)) for s in seconds)


def test_intervals_of_means_count_the_differences_between_units(fitted, monkeypatch):
    """Means are of a population of units: where units differ much, their choice is the main doubt."""
    session, truth, run = fitted
    rate = truth["rate"].values
    noise = np.random.default_rng(0).normal(size=rate.shape) * np.array([0, 0.5, 2, 8, 30])
    values = {False: rate + noise, True: rate}
    calls = iter([False, False, True])
    made = lambda run, s, part=None: xr.DataArray(values[next(calls)], dims=("time", "unit"))  # noqa: E731
    monkeypatch.setattr(score_module, "predict", made)
    scores, difference = score(run, session), paired_difference(run, run, session)
    for found, name in ((scores, "r"), (difference, "difference")):
        own = np.diff(found[f"{name}_interval"].transpose("unit", "bound"), axis=1)
        of_mean = float(np.diff(found[f"mean_{name}_interval"])[0])
        # With the units fixed, the mean of five would vary less than the one that varies most.
        assert of_mean > 1.5 * own.max()
        spread = 2 * 1.96 * float(found[name].std()) / np.sqrt(5)
        assert 0.8 * spread < of_mean < 1.5 * spread


@pytest.mark.filterwarnings("error")
def test_a_silent_unit_has_no_score_and_no_part_in_means(fitted):
    session, truth, run = fitted
    silent = session.copy(deep=True)
    silent["activity"].values[run.splits.bins("test"), 2] = 0
    scores = score(run, silent, truth)
    difference = paired_difference(run, run, silent)
    others = [0, 1, 3, 4]
    for name in ("r", "r_smooth", "oracle_r", "fraction_of_oracle", "bits_per_spike"):
        assert np.isnan(scores[name][2]) and np.isfinite(scores[name][others]).all()
    assert np.isnan(scores["r_interval"][2]).all() and np.isfinite(scores["r_interval"][others]).all()
    np.testing.assert_allclose(scores["mean_r"], scores["r"].values[others].mean())
    assert np.isfinite(scores["mean_r_interval"]).all()
    assert np.isnan(difference["difference"][2]) and float(difference["mean_difference"]) == 0
    silent["activity"].values[run.splits.bins("test")] = 0
    scores = score(run, silent)
    assert np.isnan(scores["mean_r"]) and np.isnan(scores["mean_r_interval"]).all()


def test_only_whole_windows_of_test_bins_count(fitted, monkeypatch):
    session, truth, run = fitted
    clean = truth["rate"].values
    pretend(monkeypatch, clean, session)
    before = score(run, session)
    spoilt = np.full_like(clean, 1e6)
    for a, b in run.splits.test:
        spoilt[a + 3 : b] = clean[a + 3 : b]  # seq_len 3 and predict_offset 1: three bins of lead
    pretend(monkeypatch, spoilt, session)
    xr.testing.assert_identical(score(run, session), before)
    lengths = np.array([b - a - 3 for a, b in run.splits.test])
    assert before.attrs["n_bins"] == lengths.sum()
    assert before.attrs["n_bins_smooth"] == (lengths - 40).sum()
    bins = np.concatenate(scored_bins(run))
    expected = pearsonr(clean[bins, 1], session["activity"].values[bins, 1]).statistic
    np.testing.assert_allclose(before["r"][1], expected)


def test_bits_per_spike_against_scipy():
    rng = np.random.default_rng(0)
    rates, mean = rng.gamma(2, 0.4, size=(500, 2)), np.array([0.7, 0.9])
    counts = rng.poisson(rates)
    gain = poisson.logpmf(counts, rates).sum(0) - poisson.logpmf(counts, mean).sum(0)
    np.testing.assert_allclose(bits_per_spike(rates, counts, mean), gain / np.log(2) / counts.sum(0))
    assert np.isnan(bits_per_spike(rates, np.zeros((500, 2)), mean)).all()
    np.testing.assert_allclose(bits_per_spike(np.tile(mean, (500, 1)), counts, mean), 0, atol=1e-12)


def correlated(rng, n, rho):
    """Two traces with correlation rho whose neighbouring bins are alike, as counts of a slow rate are."""
    shared, own = (np.convolve(rng.normal(size=n + 19), np.ones(20) / np.sqrt(20), "valid") for _ in range(2))
    return shared, rho * shared + np.sqrt(1 - rho**2) * own


def test_intervals_cover_what_is_true():
    """95 % intervals of blocks hold the true r in about 95 of 100 recordings of slow signals."""
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(200):
        a, b = correlated(rng, 6000, 0.4)
        blocks = bootstrap.block_sums([a[:, None]], [b[:, None]], 208)
        low, high = bootstrap.interval(bootstrap.bootstrap_r(blocks, rng))[:, 0]
        covered += low < 0.4 < high
        low, high = pearsonr(a, b).confidence_interval()
        naive += low < 0.4 < high
    # Binomial spread of 200 tries at 0.95 is 0.015; percentile intervals of 29 blocks are a little narrow.
    assert 0.88 < covered / 200 <= 0.99
    assert naive / 200 < 0.6  # what counting bins as independent would promise


def test_paired_difference_finds_a_planted_one(fitted, monkeypatch):
    session, truth, run = fitted
    rng = np.random.default_rng(0)
    rate = truth["rate"].values
    better, worse = (rate + noise * rng.normal(size=rate.shape) for noise in (0.3, 0.6))
    outcomes = iter([better, worse, better, better, better, worse])
    made = lambda run, s, part=None: xr.DataArray(next(outcomes), dims=("time", "unit"))  # noqa: E731
    monkeypatch.setattr(score_module, "predict", made)
    found = paired_difference(run, run, session)
    low, high = found["mean_difference_interval"].values
    assert 0 < low < float(found["mean_difference"]) < high
    same = paired_difference(run, run, session)
    np.testing.assert_array_equal(same["mean_difference_interval"], 0)
    smoothed = paired_difference(run, run, session, smooth_s=2.0)
    assert smoothed.attrs["smooth_s"] == 2.0
    counts = session["activity"].values

    def r(values, width):
        pairs = [
            (smooth(values[bins], width), smooth(counts[bins], width))
            for bins in scored_bins(run)
            if bins.size >= width
        ]
        return pearson(*(np.concatenate(side) for side in zip(*pairs, strict=True)))

    np.testing.assert_allclose(found["difference"], r(better, 1) - r(worse, 1), atol=1e-9)
    np.testing.assert_allclose(smoothed["difference"], r(better, 41) - r(worse, 41), atol=1e-9)


def test_one_run_given_two_sessions(fitted, monkeypatch):
    session, truth, run = fitted
    blank = session.assign(activity=session["activity"] * 0)
    values = {id(session): truth["rate"].values, id(blank): truth["rate"].values[::-1]}
    made = lambda run, s, part=None: xr.DataArray(values[id(s)], dims=("time", "unit"))  # noqa: E731
    monkeypatch.setattr(score_module, "predict", made)
    found = paired_difference(run, run, session, session_b=blank)
    # The activity is the first session's: the rate of other moments is worth nothing, so all of r is lost.
    np.testing.assert_allclose(found["mean_difference"], score(run, session)["mean_r"], atol=0.05)
    assert float(found["mean_difference_interval"][0]) > 0


def others_of(session):
    """Sessions of the same sizes whose bins or units are not those of `session`."""
    later = session.assign_coords(time=session["time"] + 0.01)
    return {
        "another recording": planted_session(6000, 5, (8, 10), seed=1, n_stretches=2)[0],
        "later": later,
        "units in another order": session.isel(unit=[2, 1, 0, 3, 4]),
        "wider bins": session.assign_attrs(bin_width_s=0.05),
        "a gap": session.assign(stretch=session["stretch"] + (session["time"] > 100).astype("int32")),
    }


def test_only_the_bins_and_units_of_the_fit_are_scored(fitted, tmp_path):
    session, _, run = fitted
    for name, other in others_of(session).items():
        for call in (
            lambda other=other: score(run, other),
            lambda other=other: paired_difference(run, run, other),
            lambda other=other: paired_difference(run, run, session, session_b=other),
        ):
            with pytest.raises(InputError, match="the run was fitted to"):
                call()
                pytest.fail(name)
    kept = load_run(save_run(run, tmp_path / "run"))
    xr.testing.assert_identical(score(kept, session), score(run, session))
    with pytest.raises(InputError, match="the run was fitted to"):
        score(kept, session.isel(unit=[2, 1, 0, 3, 4]))
    unmarked = replace(run, provenance={k: v for k, v in run.provenance.items() if k != "bins_and_units"})
    xr.testing.assert_identical(score(unmarked, session), score(run, session))


def test_other_frames_and_behavior_on_the_same_bins_are_scored(fitted):
    session, _, run = fitted
    grey = session.assign(frames=xr.full_like(session["frames"], 128))
    late = session.assign(behavior=session["behavior"].roll(time=600, roll_coords=False))
    for given in (grey, late):
        changed = score(run, given)
        assert np.isfinite(changed["r"]).all()
        assert not np.allclose(changed["r"], score(run, session)["r"])
        assert np.isfinite(paired_difference(run, run, session, session_b=given)["difference"]).all()


def test_a_truth_of_other_units_or_bins_is_refused(fitted):
    session, truth, run = fitted
    for wrong, said in (
        (truth.isel(unit=[1, 0, 2, 3, 4]), "unit"),
        (truth.assign_coords(time=truth["time"] + 1), "time"),
        (truth.drop_vars("rate"), "rate"),
        (truth.transpose("unit", ...), "rate"),
    ):
        with pytest.raises(InputError, match=f"^truth: {said}: "):
            score(run, session, wrong)


@pytest.mark.parametrize("smooth_s", [np.nan, np.inf, -1.0])
def test_a_boxcar_has_a_length(fitted, smooth_s):
    session, truth, run = fitted
    with pytest.raises(InputError, match=r"^paired_difference: smooth_s: "):
        paired_difference(run, run, session, smooth_s=smooth_s)
    with pytest.raises(InputError, match=r"^r_within: smooth_s: "):
        score_module.r_within(truth["rate"], session, run.splits.test, smooth_s=smooth_s)


def test_refusals(fitted):
    session, truth, run = fitted
    other = fit(
        encoding_model(session, "S", **SMALL),
        session,
        split(session, "paper"),
        FitConfig(epochs=1, predict_offset=1, device="cpu"),
    )
    with pytest.raises(InputError, match="the same splits"):
        paired_difference(run, other, session)
    with pytest.raises(InputError, match="truth: unit: expected the session's 5 labels"):
        score(run, session, truth.isel(unit=[0]))
    with pytest.raises(InputError, match="the run was fitted to"):
        score(run, session.isel(time=slice(0, 3000)))
    other.splits = Splits(run.splits.train, run.splits.validation, ((50, 80),), "paper")
    with pytest.raises(InputError, match="at least 41 bins, the boxcar"):
        score(other, session)


def blocks_of(run):
    """Bins of each block of about 10 s, one array a block."""
    return [
        block
        for bins in scored_bins(run)
        for block in np.array_split(bins, max(1, round(bins.size * 0.048 / 10)))
    ]


def test_one_score_does_not_change_the_draws_of_another(fitted):
    session, truth, run = fitted
    alone, beside = score(run, session, seed=4), score(run, session, truth, seed=4)
    assert set(alone) < set(beside)
    xr.testing.assert_identical(alone, beside[list(alone)])
    # Raw r draws first, by the seed itself: what was published with a seed stays as it was.
    blocks, rng = blocks_of(run), np.random.default_rng(4)
    weights = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=2000)
    made, counts = score_module.predict(run, session).values, session["activity"].values
    r = []
    for weight in weights:
        bins = np.concatenate([blocks[n] for n in np.repeat(np.arange(len(blocks)), weight)])
        r.append(np.corrcoef(made[bins, 1], counts[bins, 1])[0, 1])
    np.testing.assert_allclose(alone["r_interval"][1], np.percentile(r, [2.5, 97.5]), atol=1e-6)


def test_bits_per_spike_of_resampled_blocks(fitted):
    session, _, run = fitted
    scores = score(run, session, seed=4)
    blocks = blocks_of(run)
    rng = np.random.default_rng(np.random.SeedSequence(4).spawn(3)[0])
    weights = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=2000)
    made, counts = (
        values.values.astype(float) for values in (score_module.predict(run, session), session["activity"])
    )
    mean = counts[run.splits.bins("train")].mean(axis=0)
    drawn = []
    for weight in weights:
        bins = np.concatenate([blocks[n] for n in np.repeat(np.arange(len(blocks)), weight)])
        drawn.append(bits_per_spike(made[bins], counts[bins], mean))
    expected = np.percentile(drawn, [2.5, 97.5], axis=0).T
    np.testing.assert_allclose(scores["bits_per_spike_interval"], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scores["mean_bits_per_spike"], scores["bits_per_spike"].mean())
    low, high = scores["mean_bits_per_spike_interval"].values
    assert low < float(scores["mean_bits_per_spike"]) < high


def test_intervals_of_bits_cover_what_is_true():
    """The gain of a slow rate over its mean, in 200 recordings of it."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        course = correlated(rng, 6000, 0.0)[0]
        rate = 0.5 * np.exp(0.5 * course - 0.125)[:, None]  # mean 0.5
        counts = rng.poisson(rate).astype(float)
        gain = score_module.poisson_gain(rate, counts, np.array([0.5]))
        low, high = bootstrap.interval(score_module._bootstrap_bits([gain], [counts], 208, rng))[:, 0]
        # E[λ ln(λ / 0.5)] / 0.5 of a lognormal λ is half the variance of its logarithm: 0.125 nats.
        covered += low < 0.125 / np.log(2) < high
    # Binomial spread of 200 tries at 0.95 is 0.015; percentile intervals of 29 blocks are a little narrow.
    assert 0.88 < covered / 200 <= 0.99


def test_the_fraction_of_the_oracle_is_paired(fitted, monkeypatch):
    session, truth, run = fitted
    rate = truth["rate"].values
    pretend(monkeypatch, rate, session)
    same = score(run, session, truth)
    # A model that is the oracle has its share in every draw, though both r are uncertain.
    np.testing.assert_allclose(same["fraction_of_oracle_interval"], 1.0)
    np.testing.assert_allclose(same["mean_fraction_of_oracle_interval"], 1.0)
    pretend(monkeypatch, rate + 0.5 * np.random.default_rng(0).normal(size=rate.shape), session)
    worse = score(run, session, truth)
    low, high = worse["fraction_of_oracle_interval"].values.T
    assert (low < worse["fraction_of_oracle"]).all() and (worse["fraction_of_oracle"] < high).all()
    assert (high < 1).all()
    r_low, r_high = worse["r_interval"].values.T
    assert ((high - low) < (r_high - r_low) / worse["oracle_r"]).all()
    np.testing.assert_allclose(worse["mean_fraction_of_oracle"], worse["fraction_of_oracle"].mean())
    low, high = worse["mean_fraction_of_oracle_interval"].values
    assert low < float(worse["mean_fraction_of_oracle"]) < high < 1


def test_the_poisson_ceiling_stands_beside_r(fitted, monkeypatch):
    session, truth, run = fitted
    pretend(monkeypatch, truth["rate"].values, session)
    scores = score(run, session, seed=2)
    ranges = tuple((int(bins[0]), int(bins[-1]) + 1) for bins in scored_bins(run))
    ceiling = poisson_ceiling(session, ranges)
    for name in ("r", "r_smooth"):
        np.testing.assert_array_equal(scores[f"ceiling_{name}"], ceiling[name])
        # Other draws of the same blocks: the ends of 2,000 draws agree to a tenth of the interval.
        width = np.diff(ceiling[f"{name}_interval"]).max()
        found = scores[f"ceiling_{name}_interval"]
        np.testing.assert_allclose(found, ceiling[f"{name}_interval"], atol=0.1 * width)
    np.testing.assert_allclose(scores["fraction_of_ceiling"], scores["r"] / ceiling["r"])
    low, high = scores["fraction_of_ceiling_interval"].values.T
    assert (low < scores["fraction_of_ceiling"]).all() and (scores["fraction_of_ceiling"] < high).all()


def test_the_true_rate_of_poisson_counts_reaches_their_ceiling(monkeypatch):
    session, truth = planted_session(9000, 80, (8, 10), rate=1.0)
    config = FitConfig(epochs=1, device="cpu")
    run = fit(encoding_model(session, "S", **SMALL), session, split(session), config)
    pretend(monkeypatch, truth["rate"].values, session)
    scores = score(run, session)
    fraction, (low, high) = (
        scores["fraction_of_ceiling"].values,
        scores["fraction_of_ceiling_interval"].values.T,
    )
    # 80 units that spread by 0.05: a standard error of the mean of 0.006.
    assert abs(fraction.mean() - 1) < 0.02 and fraction.std() < 0.05
    # Binomial spread of 80 units at 0.95 is 0.024; percentile intervals of 20 blocks are narrow.
    assert 0.8 <= ((low < 1) & (1 < high)).mean() <= 1
    assert (high - low).max() < 0.3


def test_a_ceiling_that_the_recording_does_not_bound(fitted, monkeypatch):
    session, truth, run = fitted
    pretend(monkeypatch, truth["rate"].values, session)
    odd = session.copy(deep=True)
    counts = odd["activity"].values
    counts[:, 0] = 4 + np.arange(len(counts)) % 2  # varies less than any Poisson counts
    # Poisson, and steady but for a little signal: some draws of blocks are below Poisson, some above.
    course = truth["rate"].values[:, 1]
    course = np.clip((course - course.mean()) / course.std(), -2, 2)
    counts[:, 1] = np.random.default_rng(3).poisson(1 + 0.25 * course)
    scores = score(run, odd)
    for name in ("ceiling_r", "fraction_of_ceiling", "ceiling_r_interval", "fraction_of_ceiling_interval"):
        assert np.isnan(scores[name][0]).all() and np.isfinite(scores[name][2:]).all(), name
    assert np.isfinite(scores["fraction_of_ceiling"][1]) and np.isnan(scores["ceiling_r_interval"][1, 0])
    assert np.isposinf(scores["fraction_of_ceiling_interval"][1, 1])


def test_fluorescence_has_no_poisson_scores():
    session, truth = planted_session(4000, 3, (8, 10), kind="fluorescence")
    config = FitConfig(epochs=1, device="cpu")
    run = fit(encoding_model(session, "S", **SMALL), session, split(session), config)
    scores = score(run, session, truth)
    assert "r" in scores and "fraction_of_oracle_interval" in scores
    assert not [name for name in scores if "ceiling" in name or "bits" in name]


def test_the_papers_figure_by_hand(fitted):
    session, _, run = fitted
    found = paper_score(run, session)
    bins = np.concatenate(scored_bins(run))
    made, counts = score_module.predict(run, session).values[bins], session["activity"].values[bins]
    n = bins.size
    assert found.attrs == {"n_bins": n, "boxcar_bins": 41}
    r, error = [], []
    for unit in range(5):
        traces = []
        for row in (made[:, unit], counts[:, unit]):
            smoothed = np.zeros(n)
            for t in range(n):
                for near in range(max(0, t - 20), min(n, t + 21)):
                    smoothed[t] += float(row[near]) / 41
            traces.append(smoothed)
        r.append(pearsonr(*traces).statistic)
        error.append(np.mean((traces[0] - traces[1]) ** 2))
    np.testing.assert_allclose(found["paper_r"], r, rtol=1e-6)
    np.testing.assert_allclose(found["paper_mse"], error, rtol=1e-6)
    np.testing.assert_allclose(found["mean_paper_r"], np.mean(r), rtol=1e-6)
    np.testing.assert_allclose(found["sd_paper_r"], np.std(r), rtol=1e-6)
    np.testing.assert_allclose(found["mean_paper_mse"], np.mean(error), rtol=1e-6)


def test_zeros_around_the_row_lend_r_to_a_constant_prediction(fitted, monkeypatch):
    session, _, run = fitted
    flat = np.full((6000, 5), 0.7)
    pretend(monkeypatch, flat, session)
    steady = session.copy(deep=True)
    steady["activity"].values[:] = np.random.default_rng(0).poisson(3.0, size=(6000, 5))
    published, guarded = paper_score(run, steady), score(run, steady)
    assert np.isnan(guarded["r_smooth"]).all()
    # Only 40 of some 1,700 bins feel the zeros, and yet both traces fall by half there.
    assert (published["paper_r"] > 0.3).all()
    silent = steady.copy(deep=True)
    silent["activity"].values[run.splits.bins("test"), 2] = 0
    found = paper_score(run, silent)
    assert np.isnan(found["paper_r"][2]) and np.isfinite(found["mean_paper_r"])
    np.testing.assert_allclose(found["sd_paper_r"], np.nanstd(found["paper_r"]))


def test_the_papers_boxcar_reaches_over_borders_and_the_guarded_one_does_not(fitted, monkeypatch):
    session, truth, run = fitted
    pretend(monkeypatch, truth["rate"].values, session)
    turned = replace(run, splits=replace(run.splits, test=run.splits.test[::-1]))
    first, second = paper_score(run, session), paper_score(turned, session)
    assert abs(first["paper_r"] - second["paper_r"]).max() > 1e-6
    np.testing.assert_allclose(score(run, session)["r_smooth"], score(turned, session)["r_smooth"])


def test_the_papers_figure_refusals(fitted):
    session, _, run = fitted
    with pytest.raises(InputError, match="the run was fitted to"):
        paper_score(run, session.isel(unit=[2, 1, 0, 3, 4]))
    short = replace(
        run, splits=Splits(run.splits.train, run.splits.validation, ((50, 70), (80, 90)), "paper")
    )
    with pytest.raises(
        InputError, match="paper_score: test: expected at least 41 bins, the boxcar, found 24"
    ):
        paper_score(short, session)
