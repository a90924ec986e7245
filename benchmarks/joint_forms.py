"""Which joint model of vision and position a planted product and a planted sum prefer.

    python benchmarks/joint_forms.py [--seeds 10] [--first 0]

For each seed one mouse of simple cells, each multiplied by one variable of position, and one of simple cells
to which one adds: 10 minutes, 24 units, frames of 30 x 40, guarded splits, one thread, one fit of each form
with a local field. Scores are means over units of the test part. Printed is how often the form that was
planted has the better score. Fits are kept, and a second run prints them again.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import xarray as xr
from mouse import simulated_mouse

from v1lib import joint_model, score
from v1lib.fit import JOINT_FIT
from v1lib.models.joint import COMBINATIONS
from v1lib.splits import Splits
from v1lib.store import kept_fit

MOUSE = {"minutes": 10, "n_units": 24}
POSITION = ("theta", "phi", "pitch", "roll")
PLANTED = {
    "multiplicative": {f"simple * {name}": 1.0 for name in POSITION},
    "additive": {f"simple + {name}": 1.0 for name in POSITION},
}
SCORES = ("r", "bits_per_spike")


def scores_of(form: str, session: xr.Dataset, truth: xr.Dataset, splits: Splits) -> np.ndarray:
    """Means over units of raw r and bits per spike of a joint form, and the oracle's raw r."""
    run = kept_fit(lambda: joint_model(session, combine=form, local=True), session, splits, JOINT_FIT)
    found = score(run, session, truth)
    return np.array([float(found[f"mean_{name}"]) for name in (*SCORES, "oracle_r")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="mice of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ahead: dict[str, list[np.ndarray]] = {form: [] for form in PLANTED}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for planted, mixture in PLANTED.items():
            found = {
                form: scores_of(form, *simulated_mouse(seed, **MOUSE, mixture=mixture))
                for form in COMBINATIONS
            }
            (other,) = set(COMBINATIONS) - {planted}
            ahead[planted].append((found[planted] - found[other])[:2])
            print(
                f"seed {seed}, planted {planted:<15}"
                + "".join(f"{form:>16} r {r:.4f} bits {bits:.4f}" for form, (r, bits, _) in found.items())
                + f"   oracle r {found[planted][2]:.3f}",
                flush=True,
            )
    for planted, rows in ahead.items():
        margins = np.array(rows)
        for name, margin in zip(SCORES, margins.T, strict=True):
            print(
                f"planted {planted}: preferred by {name} in {(margin > 0).sum()} of {len(margin)}, "
                f"ahead by {margin.min():+.4f} to {margin.max():+.4f}"
            )


if __name__ == "__main__":
    main()
