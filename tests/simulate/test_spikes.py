"""Spike trains: refractory, with the mean rate that was asked for, and rejected ones that deserve it."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import v1lib
from v1lib.errors import InputError
from v1lib.simulate.drive import draw_excitability
from v1lib.simulate.neurons import STEP_S
from v1lib.simulate.spikes import REFRACTORY_S, draw_spikes, rejected_trains


def drawn(rate, seed=0):
    return draw_spikes(np.random.default_rng(seed), rate)


def test_no_two_spikes_are_closer_than_the_refractory_period():
    rng = np.random.default_rng(1)
    trains = drawn(rng.uniform(0, 200, (30_000, 5)) * (rng.random((30_000, 5)) < 0.5))
    for train in trains:
        gaps = np.diff(train)
        # The sum of a step and a part of a step is rounded to some 1e-13 s.
        assert gaps.min() > REFRACTORY_S - 1e-12
        assert (gaps < 1.5 * REFRACTORY_S).sum() > 100  # and it is no longer than that
        assert train[0] >= 0 and train[-1] <= 30_000 * STEP_S


@pytest.mark.parametrize("rate", [5.0, 60.0, 190.0])
def test_intervals_are_exponential_after_the_refractory_period(rate):
    """With a constant rate r the hazard is r / (1 − r · refractory period)."""
    gaps = np.diff(drawn(np.full((60_000, 1), rate))[0]) - REFRACTORY_S
    hazard = rate / (1 - rate * REFRACTORY_S)
    assert kstest(gaps, "expon", args=(0, 1 / hazard)).pvalue > 0.01


def test_the_mean_rate_is_kept_also_right_after_it_changes():
    """Spikes in each millisecond of a step that follows a lower, an equal or a higher rate."""
    n = 400_000
    pattern = np.tile([0.0, 180.0, 180.0, 20.0], n // 4)
    (train,) = drawn(pattern[:, None])
    step = np.minimum((train / STEP_S).astype(int), n - 1)
    within = train - step * STEP_S
    for position, rate in enumerate((0.0, 180.0, 180.0, 20.0)):
        parts = np.histogram(within[step % 4 == position], np.arange(0, 0.0161, 0.001))[0]
        expected = rate * 0.001 * n / 4
        # Five standard deviations of a Poisson count, whose variance refractory counts stay below.
        assert np.abs(parts - expected).max() <= 5 * np.sqrt(expected)


def test_counts_vary_less_than_poisson_at_high_rates_as_renewal_theory_says():
    """Over long windows variance over mean is (1 − r · refractory period)²; 1 for rare spikes."""
    for rate in (2.0, 60.0, 150.0):
        seconds = 8000 if rate < 10 else 4000
        (train,) = drawn(np.full((60 * seconds, 1), rate))
        counts = np.histogram(train, np.arange(0, seconds + 0.1, 0.5))[0]
        expected = (1 - rate * REFRACTORY_S) ** 2
        # 5 standard errors of a variance of n counts, sqrt(2 / n), and the windows' ends.
        assert abs(counts.var() / counts.mean() - expected) < 5 * expected * np.sqrt(2 / counts.size) + 0.005


def test_a_silent_unit_has_no_spikes_and_units_are_independent():
    rate = np.full((60_000, 3), 30.0)
    rate[:, 1] = 0.0
    first, silent, third = drawn(rate)
    assert silent.size == 0
    counts = [np.histogram(train, np.arange(0, 1000.1, 0.1))[0] for train in (first, third)]
    assert abs(np.corrcoef(*counts)[0, 1]) < 5 / np.sqrt(10_000)


def test_the_same_seed_draws_the_same_spikes():
    rate = np.full((600, 2), 30.0)
    for one, same, other in zip(drawn(rate, 3), drawn(rate, 3), drawn(rate, 4), strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.size != other.size or (one != other).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 1 / REFRACTORY_S])
def test_rates_that_no_unit_has_are_refused(wrong):
    rate = np.full((600, 2), 30.0)
    rate[300, 1] = wrong
    with pytest.raises(InputError, match="draw_spikes: rate"):
        drawn(rate)


def test_excitability_is_log_normal_with_its_spread_and_memory():
    drift = draw_excitability(np.random.default_rng(5), 216_000, 40)
    log = np.log(drift)
    # 40 units of an hour, 12 time constants each: about 240 independent values, 5 % of a standard deviation.
    assert abs(log.std() - 0.15) < 0.02
    centred = log - log.mean()
    for seconds in (60, 300):
        lag = seconds * 60
        r = (centred[lag:] * centred[:-lag]).mean() / centred.var()
        assert abs(r - np.exp(-seconds / 300)) < 0.12
    assert np.abs(np.diff(log, axis=0)).max() < 0.01  # slow
    start = draw_excitability(np.random.default_rng(6), 2, 20_000)
    np.testing.assert_allclose(np.log(start).std(axis=1), 0.15, rtol=0.03)  # stationary from the first step
    assert abs(start.mean() - 1) < 0.005  # 0.15 / sqrt(20,000) is 0.001


def phase_locking(times, hz=60.0):
    return np.abs(np.exp(2j * np.pi * hz * times).mean())


def test_rejected_trains_are_what_a_sorter_rejects():
    rate = np.full((60 * 120, 6), 12.0)
    trains = rejected_trains(np.random.default_rng(7), rate)
    assert {name: len(units) for name, units in trains.items()} == {"mua": 3, "noise": 2}
    for train in trains["mua"]:
        # 26 Hz of independent events: some 4 % of the intervals are below the refractory period.
        assert 0.02 < (np.diff(train) < REFRACTORY_S).mean() < 0.06
        assert abs(train.size / 120 - 26) < 5 * np.sqrt(26 / 120)
        assert phase_locking(train) < 0.1
    for train in trains["noise"]:
        assert phase_locking(train) > 0.95
        assert abs(train.size / 120 - 12) < 5 * np.sqrt(12 / 120)
    for train in trains["mua"] + trains["noise"]:
        assert (np.diff(train) >= 0).all() and train[0] >= 0 and train[-1] <= 120


def test_a_recordings_table_has_the_rejected_beside_the_good(tmp_path):
    recording = v1lib.simulate_recording(tmp_path / "m", minutes=0.5, n_units=3, seed=2, frame_shape=(16, 20))
    table = pd.DataFrame(json.loads((tmp_path / "m" / "m_ephys_merge.json").read_text()))
    assert table["group"].value_counts().to_dict() == {"good": 3, "mua": 3, "noise": 2}
    assert table["ch"].is_unique and (table["n_spikes"] == table["spikeT"].map(len)).all()
    assert len(recording.spikes) == 3
    for _, row in table.iterrows():
        closest = np.diff(row["spikeT"]).min()
        # Stamps have nine digits after the point, and the ephys clock runs 114 ppm fast.
        assert (closest > REFRACTORY_S - 1e-8) == (row["group"] != "mua")
