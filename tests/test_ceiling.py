"""The noise ceiling is what the true rate scores: against formulas, and against a recording itself."""

import numpy as np
import pytest
import xarray as xr

import v1lib
from v1lib.ceiling import noise_ceiling
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


def test_the_ceiling_brackets_the_oracle_of_the_recording_itself(tmp_path):
    recording = v1lib.simulate_recording(tmp_path / "m", minutes=2, n_units=24, seed=3, frame_shape=(16, 20))
    truth = v1lib.load_truth(tmp_path / "m")
    session = v1lib.align(recording, clock=v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0))
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
