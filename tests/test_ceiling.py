"""The noise ceiling is what the true rate scores: against formulas, and against a recording itself."""

import numpy as np
import pytest
import xarray as xr

import v1lib
from v1lib.ceiling import noise_ceiling, noise_share, poisson_ceiling
from v1lib.errors import InputError
from v1lib.score import r_within
from v1lib.simulate.neurons import STEP_S

WIDTH = 0.05  # three steps, so that a bin's expected count is a plain sum here
LEAD = 5.0


def slow(n, seed):
    """A course that stays the same for half a second, (n,) steps."""
    return np.repeat(np.random.default_rng(seed).standard_normal(n // 30 + 1), 30)[:n]


def made(rate, n_skipped=0):
    """A truth of these rates and a session of its bins, the first `n_skipped` bins of it left out."""
    n_units = rate.shape[1]
    truth = xr.Dataset(
        {"rate": (("step", "unit"), rate)},
        {"step": (np.arange(len(rate)) + 0.5) * STEP_S, "unit": np.arange(n_units)},
        {"start_s": LEAD},
    )
    n_bins = len(rate) // 3 - n_skipped
    session = xr.Dataset(
        {
            "activity": (("time", "unit"), np.zeros((n_bins, n_units), np.uint16), {"kind": "spike_count"}),
            "stretch": ("time", np.zeros(n_bins, np.int32)),
        },
        {"time": (np.arange(n_bins) + 0.5) * WIDTH, "unit": np.arange(n_units)},
        {"bin_width_s": WIDTH, "start_s": LEAD + n_skipped * WIDTH},
    )
    return truth, session, rate.reshape(-1, 3, n_units).sum(1)[n_skipped:] * STEP_S


@pytest.fixture(scope="module")
def poisson():
    """Five units so slow that the refractory period hardly matters, ten minutes."""
    rate = np.stack([2.0 * np.exp(0.3 * (1 + k) * slow(36_000, k)).clip(0, 12) for k in range(5)], axis=1)
    return made(rate, n_skipped=7)


def test_raw_r_is_that_of_poisson_counts(poisson):
    truth, session, expected = poisson
    ceiling = noise_ceiling(truth, session, n_draws=30)
    signal = expected.var(axis=0)
    # 30 draws of 12,000 bins: the standard error of the mean r is below 1 / sqrt(360,000).
    np.testing.assert_allclose(ceiling["r"], np.sqrt(signal / (signal + expected.mean(axis=0))), atol=0.01)
    np.testing.assert_allclose(ceiling["mean_r"], ceiling["r"].mean())


def test_smoothed_r_and_bits_per_spike_are_those_of_poisson_counts(poisson):
    truth, session, expected = poisson
    ceiling = noise_ceiling(truth, session, n_draws=30)
    box = np.stack([np.convolve(unit, np.full(40, 1 / 40), "valid") for unit in expected.T], axis=1)
    signal = box.var(axis=0)
    # The mean of 40 independent counts; 300 independent boxes in ten minutes, times 30 draws.
    smooth = np.sqrt(signal / (signal + expected.mean(axis=0) / 40))
    np.testing.assert_allclose(ceiling["r_smooth"], smooth, atol=0.02)
    bits = (expected * np.log2(expected / expected.mean(axis=0))).sum(axis=0) / expected.sum(axis=0)
    np.testing.assert_allclose(ceiling["bits_per_spike"], bits, atol=0.03)


def test_refractory_counts_are_better_predicted_than_poisson_ones():
    rate = np.stack([60 + 30 * np.tanh(slow(36_000, 1)), 150 + 30 * np.tanh(slow(36_000, 2))], axis=1)
    truth, session, expected = made(rate)
    found = noise_ceiling(truth, session)["r"].values
    signal, noise = expected.var(axis=0), expected.mean(axis=0)
    assert (found > np.sqrt(signal / (signal + noise)) + 0.01).all()
    # Variance over mean is (1 − r · 1.5 ms)² of long windows, and up to 4 % more of bins of 50 ms.
    noise = (expected * (1 - 0.0015 * rate.reshape(-1, 3, 2).mean(1)) ** 2).mean(axis=0)
    np.testing.assert_allclose(found, np.sqrt(signal / (signal + noise)), atol=0.02)


def test_ranges_are_what_is_scored():
    rate = np.full((12_000, 2), 6.0)
    rate[:6000, 0] += 4 * np.tanh(slow(6000, 3))
    rate[6000:, 1] += 4 * np.tanh(slow(6000, 4))
    truth, session, _ = made(rate)
    first = noise_ceiling(truth, session, ((0, 2000),), n_draws=3)
    second = noise_ceiling(truth, session, ((2000, 3000), (3000, 4000)), n_draws=3)
    for ceiling, varying in ((first, 0), (second, 1)):
        np.testing.assert_array_equal(np.isfinite(ceiling["r"]), np.arange(2) == varying)
        np.testing.assert_array_equal(np.isfinite(ceiling["r_smooth"]), np.arange(2) == varying)
        assert float(ceiling["mean_r"]) == float(ceiling["r"][varying])
        np.testing.assert_allclose(ceiling["bits_per_spike"][1 - varying], 0.0, atol=1e-9)
    assert np.isnan(noise_ceiling(*made(np.full((3000, 1), 5.0))[:2], n_draws=2)["mean_r"])


def test_intervals_hold_the_draws_and_the_seed_decides_them(poisson):
    truth, session, _ = poisson
    first, again, other = (noise_ceiling(truth, session, n_draws=5, seed=seed) for seed in (1, 1, 2))
    assert first.identical(again) and not first["r"].equals(other["r"])
    for name in ("r", "r_smooth", "bits_per_spike"):
        low, high = first[f"{name}_interval"].values.T
        assert (low < first[name]).all() and (first[name] < high).all()
        low, high = first[f"mean_{name}_interval"].values
        assert low < first[f"mean_{name}"] < high
        # Units are drawn independently, so their mean varies less than they do.
        assert high - low < np.diff(first[f"{name}_interval"], axis=1).mean()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Truth and session of a simulated mouse, two minutes of 24 units."""
    path = tmp_path_factory.mktemp("ceiling") / "m"
    recording = v1lib.simulate_recording(path, minutes=2, n_units=24, seed=3, frame_shape=(16, 20))
    truth = v1lib.load_truth(path).load()
    return truth, v1lib.align(recording, clock=v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0)).load()


def test_the_ceiling_brackets_the_oracle_of_the_recording_itself(simulated):
    truth, session = simulated
    ceiling = noise_ceiling(truth, session, n_draws=40)
    rate, everything = v1lib.bin_truth(truth, session)["rate"], ((0, session.sizes["time"]),)
    for name, smooth_s in (("r", 0.0), ("r_smooth", 2.0)):
        oracle = r_within(rate, session, everything, smooth_s=smooth_s)
        low, high = ceiling[f"{name}_interval"].values.T
        # The recording is one more draw: 93 % of them fall inside, 24 units give 18 or more in all but 1e-3.
        assert ((low <= oracle) & (oracle <= high)).sum() >= 18
        low, high = ceiling[f"mean_{name}_interval"].values
        assert low - (high - low) / 2 < oracle.mean() < high + (high - low) / 2
    # The truth's own figures, of all bins from the first step on.
    np.testing.assert_allclose(ceiling["r"], truth["ceiling_r"], atol=0.03)


def test_refusals(poisson):
    truth, session, _ = poisson
    with pytest.raises(InputError, match="truth: rate: expected one over"):
        noise_ceiling(v1lib.bin_truth(truth, session), session)
    with pytest.raises(InputError, match="unit: expected the truth's 5 units"):
        noise_ceiling(truth, session.isel(unit=[0]))
    with pytest.raises(InputError, match="n_draws"):
        noise_ceiling(truth, session, n_draws=1)
    for wrong in ({"n_draws": 2.5}, {"seed": -1}, {"seed": 2**63}, {"seed": True}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            noise_ceiling(truth, session, **wrong)


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        ((5, 5),),
        ((9, 5),),
        ((-3, 5),),
        ((0, 10**6),),
        ((20, 30), (0, 10)),
        ((0, 20), (10, 30)),
        ((0.0, 9.0),),
        ((0, 9, 12),),
        ((0, 9), (12,)),
        (0, 9),
        "test",
    ],
)
def test_ranges_that_are_none_of_the_sessions_are_refused(poisson, ranges):
    with pytest.raises(InputError, match="ranges"):
        noise_ceiling(*poisson[:2], ranges, n_draws=2)


def counted(counts):
    """A session of these counts (time, unit), one stretch."""
    n, n_units = counts.shape
    return xr.Dataset(
        {
            "activity": (("time", "unit"), counts.astype(np.uint16), {"kind": "spike_count"}),
            "stretch": ("time", np.zeros(n, np.int32)),
        },
        {"time": (np.arange(n) + 0.5) * WIDTH, "unit": np.arange(n_units)},
        {"bin_width_s": WIDTH},
    )


def rates_of(n_bins, n_units, depth=0.6):
    """Expected counts whose logarithm moves over half seconds, (n_bins, n_units)."""
    course = np.stack([slow(3 * n_bins, 100 + unit)[::3] for unit in range(n_units)], axis=1)
    return np.exp(depth * course) * np.linspace(0.1, 1.2, n_units)


def test_the_poisson_ceiling_is_what_is_more_than_poisson():
    counts = np.random.default_rng(0).poisson(rates_of(3000, 4))
    ranges = ((0, 1000), (1500, 1900), (1900, 1930))
    found = poisson_ceiling(counted(counts), ranges)
    inside = np.concatenate([counts[a:b] for a, b in ranges])
    variance = inside.var(axis=0, ddof=1)
    np.testing.assert_allclose(found["r"], np.sqrt((variance - inside.mean(axis=0)) / variance))
    # The boxcar of 40 bins fits into the first two; what its own mean takes off is about 2 % of the noise.
    boxes = [[counts[t : t + 40].mean(axis=0) for t in range(a, b - 39)] for a, b in ranges[:2]]
    boxes = np.concatenate(boxes)
    variance = boxes.var(axis=0)
    for share, exact in ((1.0, False), (noise_share([np.arange(b - a) for a, b in ranges], 40) * 40, True)):
        by_hand = np.sqrt((variance - share * boxes.mean(axis=0) / 40) / variance)
        assert np.allclose(found["r_smooth"], by_hand, rtol=1e-9) == exact


@pytest.mark.parametrize("bins", [1, 7])
def test_the_noise_of_boxcars_is_that_of_their_covariance(bins):
    lengths = (30, 5, 12)
    rows = []
    for start, length in zip(np.cumsum((0, *lengths)), lengths, strict=False):
        for place in range(start, start + length - bins + 1):
            row = np.zeros(sum(lengths))
            row[place : place + bins] = 1 / bins
            rows.append(row)
    about_mean = np.array(rows) - np.mean(rows, axis=0)
    expected = np.trace(about_mean @ about_mean.T) / len(rows)
    assert noise_share([np.arange(length) for length in lengths], bins) == pytest.approx(expected, rel=1e-12)


def test_poisson_counts_are_not_biased():
    rate, rng = rates_of(2400, 30), np.random.default_rng(1)
    errors = {"r": [], "r_smooth": []}
    made = xr.DataArray(rate, dims=("time", "unit"))
    for _ in range(8):
        session = counted(rng.poisson(rate))
        found = poisson_ceiling(session)
        for name, smooth_s in (("r", 0.0), ("r_smooth", 2.0)):
            error = found[name].values - r_within(made, session, ((0, 2400),), smooth_s=smooth_s)
            errors[name].append(error)
    for name, values in errors.items():
        # 240 estimates that spread by less than 0.05 each: a standard error of the mean below 0.0033.
        assert np.isfinite(values).all() and np.std(values) < 0.05, name
        assert abs(np.mean(values)) < 0.008, name


def test_intervals_of_the_poisson_ceiling_hold_it():
    """95 % intervals hold the true figure in about 95 of 100 units of ten minutes."""
    rate, rng = rates_of(12_000, 60), np.random.default_rng(2)
    found = poisson_ceiling(counted(rng.poisson(rate)))
    # ln rate is normal, cut by nothing: its moments are known, those of this stretch of it are not.
    mean = np.linspace(0.1, 1.2, 60) * np.exp(0.18)
    signal = mean**2 * (np.exp(0.36) - 1)
    low, high = found["r_interval"].values.T
    covered = ((low < np.sqrt(signal / (signal + mean))) & (np.sqrt(signal / (signal + mean)) < high)).mean()
    # Binomial spread of 60 units at 0.95 is 0.03.
    assert 0.85 <= covered <= 1
    assert (high - low < 0.2).all()


def test_counts_that_vary_less_than_poisson_have_no_ceiling():
    rng = np.random.default_rng(3)
    regular = np.tile([5, 6], 600)
    still = np.full(1200, 3)
    found = poisson_ceiling(counted(np.stack([regular, still, 0 * still], axis=1)))
    for name in ("r", "r_smooth"):
        assert np.isnan(found[name]).all() and np.isnan(found[f"{name}_interval"]).all()
    # Without any rate in them the variance of Poisson counts is above their mean as often as not.
    flat = poisson_ceiling(counted(rng.poisson(0.7, size=(1200, 200))))
    assert 0.35 < float(np.isnan(flat["r"]).mean()) < 0.65
    assert np.isnan(flat["r_interval"][:, 0]).mean() > 0.9
    # An end of the interval is there though the estimate is not: the recording bounds what can be hoped for.
    assert np.isfinite(flat["r_interval"][:, 1]).mean() > 0.9


def test_the_poisson_ceiling_of_refractory_units_is_a_little_low(simulated):
    truth, session = simulated
    rate, everything = v1lib.bin_truth(truth, session)["rate"], ((0, session.sizes["time"]),)
    bounds = {"r": (0.0, -0.05, -0.015), "r_smooth": (2.0, -0.03, 0.01)}  # as the docstring says
    poisson = session.assign(
        activity=session["activity"].copy(data=np.random.default_rng(0).poisson(rate).astype(np.uint16))
    )
    for name, (smooth_s, least, most) in bounds.items():
        for counts, low, high in ((session, least, most), (poisson, -0.012, 0.012)):
            ceiling = poisson_ceiling(counts)[name].values
            there = np.isfinite(ceiling)
            assert there.sum() >= 20
            error = (ceiling - r_within(rate, counts, everything, smooth_s=smooth_s))[there]
            assert low < error.mean() < high, (name, error.mean())


def test_poisson_ceiling_refusals():
    session = counted(np.random.default_rng(0).poisson(1.0, size=(300, 2)))
    fluorescence = session.copy()
    fluorescence["activity"] = fluorescence["activity"].astype(np.float32).assign_attrs(kind="fluorescence")
    with pytest.raises(InputError, match="poisson_ceiling: activity: expected spike counts"):
        poisson_ceiling(fluorescence)
    for wrong in (((0, 301),), ((9, 5),), "test"):
        with pytest.raises(InputError, match="poisson_ceiling: ranges"):
            poisson_ceiling(session, wrong)
    with pytest.raises(InputError, match="at least 40 bins, the boxcar"):
        poisson_ceiling(session, ((0, 39), (50, 80)))
    with pytest.raises(InputError, match="seed"):
        poisson_ceiling(session, seed=-1)


def test_the_seed_decides_the_intervals_of_the_poisson_ceiling_alone():
    session = counted(np.random.default_rng(0).poisson(rates_of(2400, 3)))
    first, again, other = (poisson_ceiling(session, seed=seed) for seed in (1, 1, 2))
    assert first.identical(again) and not first["r_interval"].equals(other["r_interval"])
    assert first["r"].equals(other["r"])


@pytest.mark.slow
def test_the_bias_of_the_poisson_ceiling_is_what_its_docstring_says(tmp_path):
    errors = {"r": [], "r_smooth": []}
    for seed in range(5):
        path = tmp_path / str(seed)
        recording = v1lib.simulate_recording(path, minutes=4, n_units=24, seed=seed, frame_shape=(16, 20))
        session = v1lib.align(recording, clock=v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0))
        rate, ceiling = v1lib.bin_truth(v1lib.load_truth(path), session)["rate"], poisson_ceiling(session)
        for name, smooth_s in (("r", 0.0), ("r_smooth", 2.0)):
            oracle = r_within(rate, session, ((0, session.sizes["time"]),), smooth_s=smooth_s)
            errors[name].append(ceiling[name].values - oracle)
    for name, mean, spread in (("r", -0.032, 0.038), ("r_smooth", -0.006, 0.019)):
        # To the last digit that the docstring gives, and one for rounding elsewhere.
        assert np.nanmean(errors[name]) == pytest.approx(mean, abs=0.002), name
        assert np.sqrt(np.nanmean(np.square(errors[name]))) == pytest.approx(spread, abs=0.002), name
