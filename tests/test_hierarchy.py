"""The variance of a mean over fits, units and time, against formulas and against simulated draws."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from benchmarks.interval_coverage import crossed_effects, moments
from v1lib.hierarchy import (
    LEVELS,
    bootstrap_mean,
    components,
    mean_squares,
    r_by_block,
    t_interval,
    variance_of_mean,
)
from v1lib.metrics import pearson

SHAPE = (3, 16, 24)


def held(sd, shape, n, seed=0):
    """Share of intervals of normal values with these standard deviations that hold their mean, 0."""
    inside = 0
    for number in range(n):
        values = crossed_effects(np.random.default_rng([seed, number]), sd, shape)
        half, _ = t_interval([values.mean()], [mean_squares(values)], "fixed", 0.05)
        inside += abs(values.mean()) <= half
    return inside / n


def test_mean_squares_of_one_level_and_of_two_are_those_of_the_textbook():
    values = np.random.default_rng(0).standard_normal((4, 7, 1))
    found = mean_squares(values)
    table = values[..., 0]
    by_seed, by_unit = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_seed[:, None] - by_unit + table.mean()
    np.testing.assert_allclose(found["seed",][0], by_seed.var(ddof=1) / 4)
    np.testing.assert_allclose(found["unit",][0], by_unit.var(ddof=1) / 7)
    np.testing.assert_allclose(found["seed", "unit"][0], (rest**2).sum() / (3 * 6) / 28)
    assert {levels: df for levels, (_, df) in found.items()} == {
        ("seed",): 3,
        ("unit",): 6,
        ("seed", "unit"): 18,
    }


def test_components_are_those_that_were_planted():
    sd = {"seed": 0.5, "unit": 1.0, "block": 0.3, "seed_unit": 0.7, "unit_block": 0.4, "seed_unit_block": 0.6}
    shape = (6, 20, 20)
    found = dict.fromkeys(mean_squares(np.zeros(shape)), (0.0, 1.0))
    n = 60
    for number in range(n):
        one = mean_squares(crossed_effects(np.random.default_rng([7, number]), sd, shape))
        found = {levels: (found[levels][0] + one[levels][0] / n, 1.0) for levels in found}
    for levels, share in components(found).items():
        cells = np.prod([shape[LEVELS.index(level)] for level in levels])
        planted = sd.get("_".join(levels), 0.0) ** 2
        # The worst known is that of seeds: 60 estimates of 5 degrees each, relative error sqrt(2 / 300).
        assert abs(share * cells - planted) < 0.03 + 3 * 0.082 * planted, levels


def test_variance_is_that_of_the_mean_and_does_not_count_noise_twice():
    sd = {"unit": 0.2, "seed_unit": 0.2, "unit_block": 1.0, "seed_unit_block": 1.0}
    means, variances = [], []
    for number in range(300):
        values = crossed_effects(np.random.default_rng([3, number]), sd, SHAPE)
        means.append(values.mean())
        variances.append(variance_of_mean(mean_squares(values))[0])
    # The variance of 300 means is known to sqrt(2 / 300) = 8 %, so 25 % is three of these; what is taken in
    # place of an estimate below one of its parts may add some. Summing single levels would give 1.9.
    assert 0.75 < np.mean(variances) / np.var(means) < 1.45


@pytest.mark.parametrize(
    ("sd", "low", "high"),
    [
        # 300 intervals of 95 %: standard error 1.3 %. Where noise is all, the larger of two estimates of it
        # is taken, which is on the safe side; Satterthwaite is a few % short where seeds are few and matter.
        ({"unit": 1.0, "seed_unit_block": 0.5}, 0.91, 0.99),
        ({"seed": 1.0}, 0.91, 0.99),
        ({"block": 1.0, "unit_block": 1.0}, 0.91, 0.99),
        ({"seed": 0.3, "unit": 0.5, "seed_unit": 0.3, "seed_unit_block": 1.0}, 0.89, 0.99),
        ({"seed_unit_block": 1.0}, 0.95, 1.0),
    ],
)
def test_intervals_of_one_animal_hold_the_truth_as_often_as_they_say(sd, low, high):
    assert low <= held(sd, SHAPE, 300) <= high


def test_a_single_level_leaves_one_sample_t():
    values = np.random.default_rng(1).standard_normal((1, 9, 1))
    variance, df = variance_of_mean(mean_squares(values))
    np.testing.assert_allclose([variance, df], [values.var(ddof=1) / 9, 8])
    assert np.isnan(variance_of_mean(mean_squares(values[:, :1]))).all()


def test_random_animals_give_the_t_test_of_their_means_and_never_less_than_fixed_ones():
    means = [0.01, 0.05, 0.03]
    tiny, large = ([{("unit",): (variance, 10.0)}] * 3 for variance in (1e-9, 1e-2))
    expected = ttest_1samp(means, 0)
    half, p = t_interval(means, tiny, "random", 0.05)
    np.testing.assert_allclose(p, expected.pvalue)
    np.testing.assert_allclose(half, np.ptp(expected.confidence_interval(0.95)) / 2)
    # What is unknown of these animals is unknown of all.
    assert t_interval(means, large, "random", 0.05) == t_interval(means, large, "fixed", 0.05)
    # Three animals of 10 degrees each: 30, and a third of the mean variance.
    np.testing.assert_allclose(
        t_interval(means, large, "fixed", 0.05)[0], student.ppf(0.975, 30) * np.sqrt(1e-2 / 3)
    )


def test_nothing_that_varies_leaves_nothing_to_say():
    assert t_interval([0.1], [{}], "fixed", 0.05) == (np.inf, 1.0)
    assert t_interval([0.0], [{("unit",): (0.0, 5.0)}], "fixed", 0.05) == (0.0, 1.0)
    one, other = {("unit",): (0.1, 5.0)}, {}
    assert t_interval([0.1, 0.2], [one, other], "fixed", 0.05) == (np.inf, 1.0)


def test_pseudo_values_give_r_and_its_jackknife_variance():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((20, 30))
    b = a + rng.standard_normal((20, 30))
    values = r_by_block(moments(a, b))
    without = [
        pearson(np.delete(a, k, 0).reshape(-1, 1), np.delete(b, k, 0).reshape(-1, 1))[0] for k in range(20)
    ]
    r = pearson(a.reshape(-1, 1), b.reshape(-1, 1))[0]
    np.testing.assert_allclose(values, 20 * r - 19 * np.array(without))
    # 600 independent bins of r near 0.7: standard error (1 - r²) / sqrt(600) = 0.02, its estimate to 16 %.
    np.testing.assert_allclose(values.std(ddof=1) / np.sqrt(20), (1 - r**2) / np.sqrt(600), rtol=0.5)
    np.testing.assert_allclose(r_by_block(moments(a, b)[:1]), pearson(a[:1].T, b[:1].T))


def test_bootstrap_of_units_and_seeds_varies_as_their_formula_says():
    rng = np.random.default_rng(4)
    values = crossed_effects(rng, {"unit": 1.0, "seed": 1.0}, (4, 12, 1))[..., 0]
    draws = bootstrap_mean([values], [()], "fixed", 0)
    expected = values.mean(axis=0).var() / 12 + values.mean(axis=1).var() / 4
    # 2000 draws know a variance to sqrt(2 / 2000) = 3 %.
    np.testing.assert_allclose(draws.var(), expected, rtol=0.1)
    np.testing.assert_allclose(draws.mean(), values.mean(), atol=4 * np.sqrt(expected / 2000))


def test_bootstrap_of_random_animals_varies_more_than_that_of_fixed_ones():
    values = [np.full((2, 5), mean) for mean in (0.0, 1.0, 2.0)]
    fixed, random = (bootstrap_mean(values, [()] * 3, animals, 0) for animals in ("fixed", "random"))
    assert np.ptp(fixed) == 0
    np.testing.assert_allclose(random.var(), np.var([0, 1, 2]) / 3, rtol=0.1)
