"""How often the calibrated rule finds planted dependence on behaviour, and how often one that is not there.

    python benchmarks/selectivity.py [--first 1] [--mice 3] [--minutes 30] [--units 40]

Mice of the standard mixture, frames of 30 x 40, one thread, the own model fitted to each. For each mouse and
all together: AUROC of p over units and variables; planted dependences found; false positives where nothing
was planted, and in units that depend on no variable at all, at p < level and after the correction; kind and
sign of each unit's largest planted dependence. Fits are kept, and a second run prints them again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import xarray as xr
from mouse import auroc, fitted, simulated_mouse

from v1lib.interpret.dependence_kind import KINDS, dependence_kind
from v1lib.interpret.selectivity import classify_selectivity


def largest(truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units with a gain or an offset; of the largest in each its variable's number, its kind and its sign."""
    share = truth["share"].values[:, None]
    weights = np.stack([truth["gain_weight"] * (1 - share), truth["offset_weight"] * share], axis=1)
    units = np.flatnonzero(weights.any((1, 2)))
    flat = weights[units].reshape(len(units), -1)
    place = np.abs(flat).argmax(1)
    n_variables = weights.shape[2]
    kinds = np.array(KINDS)[place // n_variables]
    return units, place % n_variables, kinds, np.sign(flat[np.arange(len(units)), place])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=int, default=1, help="seed of the first mouse")
    parser.add_argument("--mice", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--units", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.mice):
        session, truth, splits = simulated_mouse(seed, minutes=arguments.minutes, n_units=arguments.units)
        run = fitted("own", session, splits)
        begun = time.perf_counter()
        found, kinds = classify_selectivity(run, session), dependence_kind(run, session)
        seconds = time.perf_counter() - begun
        planted = truth["depends_on"].sel(variable=found["variable"]).values
        units, variables, kind, sign = largest(truth.sel(variable=found["variable"]))
        made = kinds["kind"].values[units, variables] == kind
        signed = np.sign(kinds["weight"].values[units, variables]) == sign
        rows.append((planted, found["p"].values, found["verdict"].values, made, signed))
        print(f"mouse {seed}: {summary([rows[-1]], found.attrs['level'])}; {seconds:.0f} s", flush=True)
    print(f"together: {summary(rows, found.attrs['level'])}")


def summary(rows: list[tuple[np.ndarray, ...]], level: float) -> str:
    """The figures of some mice in a line."""
    planted, p, verdict, made, signed = (np.concatenate(part) for part in zip(*rows, strict=True))
    depends, none = verdict == "depends", ~planted.any(1)
    return (
        f"AUROC {auroc(-p, planted):.4f}, found {depends[planted].mean():.3f} of {planted.sum()}, "
        f"false {depends[~planted].mean():.3f} of {(~planted).sum()}; in {none.sum()} units "
        f"without behaviour p < {level:g} in {(p[none] < level).mean():.3f}, "
        f"corrected {depends[none].mean():.3f}; "
        f"kind {made.mean():.2f} and sign {signed.mean():.2f} of {len(made)}"
    )


if __name__ == "__main__":
    main()
