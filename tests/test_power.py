"""The smallest detectable difference is found as often as it says, from variances that were planted."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t as student

from benchmarks.interval_coverage import SPREAD, crossed_effects, simulated_results
from v1lib.errors import InputError
from v1lib.hierarchy import mean_squares, t_interval
from v1lib.power import COMPONENTS, detectable_difference, variance_components

SIZES = {"n_animals": 3, "n_units": 20, "n_seeds": 3, "n_blocks": 12}
SD = {"animal": 0.02, "unit": 0.03, "block": 0.01, "seed": 0.004, "seed_unit": 0.01, "seed_unit_block": 0.1}
VARIANCES = {name: size**2 for name, size in SD.items()}


def found_share(difference, animals, sizes, n, level):
    """Share of `n` sweeps with this true difference whose p is at most `level`."""
    shape, found = (sizes["n_seeds"], sizes["n_units"], sizes["n_blocks"]), 0
    inside = {name: size for name, size in SD.items() if name != "animal"}
    for number in range(n):
        rng = np.random.default_rng([11, number])
        moved = rng.normal(0, SD["animal"] if animals == "random" else 0.0, sizes["n_animals"])
        each = [difference + move + crossed_effects(rng, inside, shape) for move in moved]
        means = [float(values.mean()) for values in each]
        squares = [mean_squares(values) for values in each]
        found += t_interval(means, squares, animals, 0.05)[1] <= level
    return found / n


@pytest.mark.parametrize(("animals", "n_animals"), [("random", 3), ("random", 8), ("fixed", 1), ("fixed", 3)])
@pytest.mark.parametrize("n_comparisons", [1, 5])
def test_the_detectable_difference_is_found_four_times_in_five(animals, n_animals, n_comparisons):
    sizes = SIZES | {"n_animals": n_animals}
    smallest = detectable_difference(VARIANCES, **sizes, animals=animals, n_comparisons=n_comparisons)
    share = found_share(smallest, animals, sizes, 200, 0.05 / n_comparisons)
    # 200 sweeps: standard error 2.8 %, three of them; Satterthwaite's t is a few % off where seeds are few.
    assert 0.8 - 0.085 - 0.03 <= share <= 0.8 + 0.085 + 0.03
    assert found_share(smallest / 2, animals, sizes, 200, 0.05 / n_comparisons) < 0.5


def test_more_of_anything_detects_less_and_more_comparisons_detect_more():
    def smallest(**changed):
        return detectable_difference(VARIANCES, **({**SIZES, "animals": "fixed"} | changed))

    plan = smallest()
    for name in SIZES:
        assert smallest(**{name: 2 * SIZES[name]}) < plan, name
    assert (
        smallest(n_comparisons=10) > plan and smallest(power=0.9) > plan and smallest(animals="random") > plan
    )
    # With random animals, units without end do not help beyond what animals differ by.
    endless = smallest(animals="random", n_units=10**6, n_seeds=10**6, n_blocks=10**6)
    error = SD["animal"] / np.sqrt(3)
    assert student.ppf(0.975, 2) * error < endless < smallest(animals="random")


def test_a_known_case_is_the_textbooks():
    """One-sample t test of 16 units at an effect of 0.75 standard deviations has a power of 0.8."""
    found = detectable_difference(
        {"unit": 1.0}, n_animals=1, n_units=16, n_seeds=1, n_blocks=1, animals="fixed", power=0.8
    )
    # Cohen 1988 and every table of the noncentral t: n = 16 for d = 0.75 to two digits.
    np.testing.assert_allclose(found, 0.75, atol=0.006)


def test_components_of_pilot_results_are_those_that_were_planted():
    found = []
    for number in range(30):
        results = simulated_results(np.random.default_rng([12, number]), n_animals=5, n_seeds=4, n_blocks=6)
        found.append(variance_components(results, "a").isel(comparison=0))
    mean = xr.concat(found, "pilot").mean("pilot")
    # 30 pilots of 4 and 15 degrees: relative errors of sqrt(2 / 120) and sqrt(2 / (30 · 75)), three of them;
    # the second holds what the noise of 120 tested bins adds and takes off again.
    np.testing.assert_allclose(mean["animal"], SPREAD["animal"] ** 2, rtol=0.4)
    np.testing.assert_allclose(mean["unit"], SPREAD["unit"] ** 2, rtol=0.2)
    assert mean["seed"] < 3 * SPREAD["seed"] ** 2


def test_what_a_pilot_cannot_tell_is_not_a_number_and_is_refused():
    results = simulated_results(np.random.default_rng(0), n_animals=1, n_seeds=1)
    found = variance_components(results, "a").isel(comparison=0)
    unknown = {name for name in COMPONENTS if np.isnan(found[name])}
    assert unknown == {"animal"} | {name for name in COMPONENTS if "seed" in name}
    with pytest.raises(InputError, match="seed: expected a number from 0"):
        detectable_difference(found, **SIZES, animals="fixed")
    known = found.drop_vars(unknown)
    assert 0 < detectable_difference(known, **SIZES, animals="fixed") < 0.1


@pytest.mark.parametrize(
    ("variances", "changed", "message"),
    [
        ({"units": 1.0}, {}, "variances: expected names of animal, seed, unit"),
        ({"unit": -1.0}, {}, "unit: expected a number from 0 to inf, found -1.0"),
        ({"unit": 1.0}, {"n_animals": 1}, "n_animals: expected at least 2 where animals are random"),
        ({"unit": 1.0}, {"n_units": 0}, "n_units: expected a whole number"),
        ({"unit": 1.0}, {"animals": "some"}, "animals: expected random or fixed"),
        ({"unit": 1.0}, {"power": 1.0}, "power: expected a number from 0.5 to 0.99"),
        (
            {"unit": 1.0},
            {"n_animals": 1, "animals": "fixed", "n_units": 1, "n_seeds": 1, "n_blocks": 1},
            "n_units: expected more than one unit, seed or block",
        ),
    ],
)
def test_a_plan_that_means_nothing_is_refused(variances, changed, message):
    with pytest.raises(InputError, match=message):
        detectable_difference(variances, **(SIZES | changed))
