"""Bins conserve spikes, give edges to the later bin, and invent no samples."""

from fractions import Fraction

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


STARTS_AND_WIDTHS = [
    (0.0, 0.048),
    (5.1234567, 0.048),
    (12.3, 0.1),
    (1 / 3, 1 / 60),
    (37_800.05, 0.05),
    (0.1, 0.3),
    (-2.7, 0.0167),
]


def bin_of(spike, edges):
    """The last edge that is not after the spike, found by exact comparison of rational numbers."""
    exact = [Fraction(edge) for edge in edges]
    if not exact[0] <= Fraction(spike) < exact[-1]:
        return None
    return max(k for k, edge in enumerate(exact) if edge <= Fraction(spike))


@pytest.mark.parametrize(("start", "width"), STARTS_AND_WIDTHS)
def test_spikes_on_edges_and_beside_them_go_where_exact_arithmetic_puts_them(start, width):
    edges = bin_edges(start, start + 40 * width, width)
    spikes = np.sort(
        np.concatenate(
            [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), edges[:-1] + width / 2]
        )
    )
    expected = np.zeros(edges.size - 1, int)
    for spike in spikes:
        number = bin_of(spike, edges)
        if number is not None:
            expected[number] += 1
    counts = count_spikes(spikes, edges)
    np.testing.assert_array_equal(counts, expected)
    # In each bin: its edge, the double after it, its middle, and the double before the next edge.
    np.testing.assert_array_equal(counts, 4)
    assert counts.sum() == sum(Fraction(edges[0]) <= Fraction(t) < Fraction(edges[-1]) for t in spikes)
    np.testing.assert_array_equal(mean_in_bins(spikes, np.ones(spikes.size), edges), 1.0)


@pytest.mark.parametrize(("start", "width"), STARTS_AND_WIDTHS)
@pytest.mark.parametrize("n", [7, 75_000])
def test_edges_do_not_drift_from_the_exact_ones(start, width, n):
    """Edge k is start + k · width to two roundings, however many bins come before it."""
    edges = bin_edges(start, start + n * width, width)
    assert edges.size == n + 1
    for k in {0, 1, n // 3, n - 1, n}:
        exact = Fraction(start) + k * Fraction(width)
        assert abs(Fraction(edges[k]) - exact) <= Fraction(np.spacing(abs(edges[k]))) * 3 / 2 + Fraction(
            1, 2**60
        )


@pytest.mark.parametrize("seed", range(5))
def test_bins_are_the_whole_ones_that_fit(seed):
    rng = np.random.default_rng(seed)
    start, width, length = rng.uniform(-5, 50), rng.uniform(0.02, 0.5), rng.uniform(1, 100)
    edges = bin_edges(start, start + length, width)
    whole = (Fraction(start + length) - Fraction(start)) / Fraction(width)
    # A thousandth of a bin's slack.
    assert edges.size - 1 == (whole + Fraction(1, 1000)).__floor__()


@pytest.mark.parametrize("seed", range(5))
def test_spikes_are_conserved_over_bins_and_over_the_stretches_that_are_left(seed):
    """What a session keeps and what it leaves out with bins without frames are all spikes, each once."""
    rng = np.random.default_rng(seed)
    edges = bin_edges(rng.uniform(0, 10), 100.0, rng.uniform(0.01, 0.2))
    spikes = np.concatenate([rng.uniform(-5, 110, 3000), rng.choice(edges, 300)])
    kept = np.repeat(rng.random(edges.size // 20 + 1) < 0.7, 20)[: edges.size - 1]
    counts = count_spikes(spikes, edges)
    left_out = sum(
        not kept[number] for number in (bin_number(t, edges) for t in spikes) if number is not None
    )
    inside = int(((spikes >= edges[0]) & (spikes < edges[-1])).sum())
    assert counts.sum() == inside and counts[kept].sum() + left_out == inside
    assert 0 < left_out < inside
    np.testing.assert_array_equal(count_spikes(rng.permutation(spikes), edges), counts)


def bin_number(spike, edges):
    """Bin of a spike by halving, or None outside."""
    low, high = 0, edges.size - 1
    if not edges[low] <= spike < edges[high]:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if edges[middle] <= spike else (low, middle)
    return low


@pytest.mark.parametrize("seed", range(8))
def test_means_over_random_gaps_agree_with_a_slow_loop(seed):
    """Nothing is carried into a bin from its neighbours: gaps in stamps and in values, also at both ends."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 20, 700))
    values = rng.normal(size=time.size)
    for first in [0, time.size - 30, *rng.integers(0, time.size, 5)]:
        values[first : first + rng.integers(5, 40)] = np.nan
    present = np.ones(time.size, bool)
    for first in rng.integers(0, time.size, 4):
        present[first : first + rng.integers(5, 60)] = False
    time, values = time[present], values[present]
    edges = bin_edges(-1.0, 21.0, rng.uniform(0.02, 0.3))
    means = mean_in_bins(time, values, edges)
    for k in range(edges.size - 1):
        inside = [v for t, v in zip(time, values, strict=True) if edges[k] <= t < edges[k + 1] and v == v]
        if inside:
            assert means[k] == pytest.approx(sum(inside) / len(inside), abs=1e-12)
        else:
            assert np.isnan(means[k])
    assert np.isnan(means).any() and np.isfinite(means).any() and np.isnan(means[[0, -1]]).all()
