"""How often the intervals of :mod:`v1lib.tables` hold the truth, over sweeps simulated with known spreads.

``.venv/bin/python benchmarks/interval_coverage.py [N]`` prints, for 1, 3 and 10 animals and 1 and 3 seeds,
the share of N (default 400) simulated sweeps whose 95 % interval of a mean difference of r holds the true
one, and the interval's median width: of ``interval`` and of ``bootstrap_interval``, for animals that are
random (the truth is the mean of all animals) and fixed (the mean of those animals): with spread at all
levels, with animals that differ much, and with two equal models, whose r differ by the noise of fits and of
the tested time alone. ``.venv/bin/python benchmarks/interval_coverage.py N KIND`` prints one of these three,
and of KIND ``seeds`` the first share for 1, 2, 3 and 8 seeds where seeds matter as much as units.
"""

from __future__ import annotations

import sys

import numpy as np
import xarray as xr

from v1lib.hierarchy import mean_squares, t_interval
from v1lib.tables import differences

#: Standard deviations of the difference of r between two variants, by what it varies with.
SPREAD = {"animal": 0.02, "unit": 0.03, "seed": 0.008, "seed_unit": 0.01}
KINDS = {
    "levels": SPREAD,
    "animals": SPREAD | {"animal": 0.05},
    "equal": {"animal": 0.0, "unit": 0.0, "seed": 0.0, "seed_unit": 0.01},
}
#: Seeds that move all units together by as much as units differ.
SEEDS_MATTER = {"seed": 0.01, "unit": 0.01, "seed_unit_block": 0.1}


def crossed_effects(rng: np.random.Generator, sd: dict[str, float], shape: tuple[int, ...]) -> np.ndarray:
    """A normal effect for each set of levels in `sd`, such as ``seed_unit``; shape (seed, unit, block)."""
    found = np.zeros(shape)
    for name, size in sd.items():
        dims = [
            n if level in name.split("_") else 1
            for level, n in zip(("seed", "unit", "block"), shape, strict=True)
        ]
        found = found + rng.normal(0, size, dims)
    return found


def simulated_results(
    rng: np.random.Generator,
    *,
    n_animals: int = 3,
    n_seeds: int = 3,
    n_units: int = 16,
    n_blocks: int = 24,
    effects: tuple[float, ...] = (0.0, 0.03),
    sd: dict[str, float] = SPREAD,
    block_bins: int = 20,
) -> xr.Dataset:
    """Results of a sweep whose variants, named a, b and so on, have an expected r of 0.4 and their effects.

    Traces are normal. Their strength varies from block to block in all units of an animal, so that blocks
    are not alike. All variants but the first also differ from it by random effects of standard deviations
    `sd`. ``true_effect`` (variant, animal): the expected r of that animal's units less 0.4.
    """
    n_variants = len(effects)
    shape = (n_seeds, n_units)
    sums, truth = [], np.zeros((n_variants, n_animals))
    for animal in range(n_animals):
        strength = np.exp(rng.normal(0, 0.3, (n_blocks, 1))) * np.exp(-0.09)
        signal = strength * rng.standard_normal((n_units, n_blocks, block_bins))
        counts = signal + rng.standard_normal(signal.shape)
        base = np.clip(0.4 + rng.normal(0, 0.05, n_units), 0.2, 0.6)
        for variant, effect in enumerate(effects):
            inside = {name: size for name, size in sd.items() if name != "animal"}
            moved = np.zeros(shape)
            truth[variant, animal] = effect
            if variant:
                truth[variant, animal] += rng.normal(0, sd["animal"])
                moved = crossed_effects(rng, inside, (*shape, 1))[..., 0]
            r = base + truth[variant, animal] + moved
            # Signal and noise of the counts both have a variance of 1.
            noise = np.sqrt(np.maximum(1 / (2 * r**2) - 1, 0.0))[..., None, None]
            made = signal + noise * rng.standard_normal((*shape, *signal.shape[1:]))
            pair = np.broadcast_arrays(made, counts)
            sums.append(moments(*pair))
    stacked = np.concatenate(
        [np.stack(sums[k * n_variants : (k + 1) * n_variants]) for k in range(n_animals)], axis=2
    )
    return as_results(stacked, n_animals, truth)


def moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What :func:`v1lib.metrics.pair_sums` gives of the last axis, in place of it."""
    n = np.full(a.shape[:-1], float(a.shape[-1]))
    return np.stack([n, a.sum(-1), b.sum(-1), (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)], axis=-1)


def as_results(sums: np.ndarray, n_animals: int, truth: np.ndarray) -> xr.Dataset:
    """The Dataset of a sweep from block sums (variant, seed, unit, block, 6), units of animals in a row."""
    n, a, b, aa, bb, ab = np.moveaxis(sums.sum(axis=3), -1, 0)
    r = (ab - a * b / n) / np.sqrt((aa - a * a / n) * (bb - b * b / n))
    names = [f"animal {k}" for k in range(n_animals)]
    n_units = sums.shape[2] // n_animals
    return xr.Dataset(
        {
            "r": (("variant", "seed", "unit"), r),
            "bits_per_spike": (("variant", "seed", "unit"), r**2),
            "oracle_r": ("unit", r.max(axis=(0, 1)) + 0.1),
            "block_sums": (("variant", "seed", "unit", "block", "moment"), sums),
            "n_blocks": ("animal", np.full(n_animals, sums.shape[3])),
            "true_effect": (("variant", "animal"), truth),
        },
        {
            "variant": [chr(97 + k) for k in range(len(sums))],
            "seed": range(sums.shape[1]),
            "animal": names,
            "unit_animal": ("unit", np.repeat(names, n_units)),
            "unit_label": ("unit", np.tile(np.arange(n_units), n_animals)),
        },
    )


def covered(
    n: int, sizes: dict[str, int], sd: dict[str, float], effect: float, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Share of `n` sweeps whose interval holds the truth, and the median width, by animals and interval."""
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for number in range(n):
        results = simulated_results(
            np.random.default_rng([seed, number]), sd=sd, effects=(0.0, effect), **sizes
        )
        of_these = float(results["true_effect"].sel(variant="b").mean())
        for animals, truth in (("random", effect), ("fixed", of_these)):
            if animals == "random" and sizes["n_animals"] == 1:
                continue
            found = differences(results, "a", animals=animals, seed=number)
            for name in ("interval", "bootstrap_interval"):
                low, high = found[name].values[0]
                held.setdefault(f"{animals} {name}", []).append(bool(low <= truth <= high))
                widths.setdefault(f"{animals} {name}", []).append(float(high - low))
    return {name: (float(np.mean(held[name])), float(np.median(widths[name]))) for name in held}


def covered_by_seeds(n: int, n_seeds: int, sd: dict[str, float]) -> float:
    """Share of `n` intervals of one animal, from normal values of 16 units and 24 blocks, that hold 0."""
    held = 0
    for number in range(n):
        values = crossed_effects(np.random.default_rng([8, number]), sd, (n_seeds, 16, 24))
        half, _ = t_interval([float(values.mean())], [mean_squares(values)], "fixed", 0.05)
        held += bool(abs(values.mean()) <= half)
    return held / n


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(f"{n} sweeps a row: share of 95 % intervals that hold the truth, and their median width")
    for kind in sys.argv[2:] or [*KINDS, "seeds"]:
        if kind == "seeds":
            print(f"\nseeds: one fixed animal, {SEEDS_MATTER}\n{'seeds':>8}")
            for n_seeds in (1, 2, 3, 8):
                print(f"{n_seeds:>8}{covered_by_seeds(n, n_seeds, SEEDS_MATTER):10.3f}", flush=True)
            continue
        print(f"\n{kind}: {KINDS[kind]}\n{'animals':>8}{'seeds':>6}")
        for n_animals in (1, 3, 10):
            for n_seeds in (1, 3):
                effect = 0.0 if kind == "equal" else 0.03
                found = covered(n, {"n_animals": n_animals, "n_seeds": n_seeds}, KINDS[kind], effect)
                for name, (share, width) in found.items():
                    print(f"{n_animals:>8}{n_seeds:>6}  {name:28}{share:8.3f}{width:10.4f}", flush=True)


if __name__ == "__main__":
    main()
