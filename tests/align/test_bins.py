"""Bins conserve spikes, give edges to the later bin, and invent no samples."""

import numpy as np
import pytest

from v1lib.align.bins import bin_edges, count_spikes, mean_in_bins


def test_every_spike_is_counted_once_however_the_bins_lie():
    rng = np.random.default_rng(0)
    spikes = np.sort(rng.uniform(0, 100, 5000))
    for width in (0.048, 0.1, 0.333):
        edges = bin_edges(2.0, 97.0, width)
        inside = ((spikes >= edges[0]) & (spikes < edges[-1])).sum()
        assert count_spikes(spikes, edges).sum() == inside


def test_a_spike_on_an_edge_belongs_to_the_later_bin():
    np.testing.assert_array_equal(count_spikes(np.array([1.0]), np.arange(3.0)), [0, 1])
    np.testing.assert_array_equal(count_spikes(np.array([0.0, 2.0]), np.arange(3.0)), [1, 0])


def test_counts_agree_with_numpy():
    rng = np.random.default_rng(1)
    spikes, edges = np.sort(rng.uniform(0, 50, 2000)), bin_edges(1.0, 49.0, 0.048)
    np.testing.assert_array_equal(count_spikes(spikes, edges), np.histogram(spikes, edges)[0])


@pytest.mark.parametrize("n", [1, 10, 1000, 75_000])
def test_rounding_costs_no_bin(n):
    assert bin_edges(12.3, 12.3 + n * 0.048, 0.048).size == n + 1


def test_means_are_of_measured_samples_alone():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    time = np.array([-0.5, 0.0, 0.5, 1.2, 1.4, 3.0])
    values = np.array([99.0, 1.0, 3.0, np.nan, 7.0, 99.0])
    np.testing.assert_array_equal(mean_in_bins(time, values, edges), [2.0, 7.0, np.nan])
