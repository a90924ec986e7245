"""Which joint model of vision and position a planted product and a planted sum prefer, and the ladder.

    python benchmarks/joint_forms.py forms [--seeds 10] [--first 0] [--starts 2]
    python benchmarks/joint_forms.py ladder [--mixture simple] [--animal 0]

Mice of 10 minutes, 24 units, frames of 30 x 40, guarded splits, one thread. Scores are means over units of
the test part. Fits are kept, and a second run of this script prints them again.

``forms``   for each seed one mouse of simple cells, each multiplied by one variable of position, and one of
            simple cells to which one adds; how often the form that was planted has the better score. Of
            several starts the fit with the lowest validation loss is taken: a shifter can miss the eye
``ladder``  the textbook models, the networks without recurrence and the own model on one mouse
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from v1lib import align, bin_truth, encoding_model, field_model, joint_model, load_truth, score, split
from v1lib.animals import MIXTURES
from v1lib.fit import FIELD_FIT, JOINT_FIT, SHORT_FIT, FitConfig, Model, Run
from v1lib.models import SMALL_NETWORK
from v1lib.models.joint import COMBINATIONS
from v1lib.splits import Splits
from v1lib.store import kept_fit, kept_recording

MINUTES, N_UNITS, FRAME_SHAPE = 10, 24, (30, 40)
POSITION = ("theta", "phi", "pitch", "roll")
PLANTED = {
    "multiplicative": {f"simple * {name}": 1.0 for name in POSITION},
    "additive": {f"simple + {name}": 1.0 for name in POSITION},
}
#: The networks' sizes without recurrence, which windows need.
NO_RECURRENCE = SMALL_NETWORK | {"hidden": None, "seq_len": 1}
#: From the least to the most: how a model of a session is made, and its fit.
LADDER: dict[str, tuple[Callable[[xr.Dataset], Model], FitConfig]] = {
    "mean rate": (lambda s: joint_model(s, None, vision=False), JOINT_FIT),
    "GLM of behaviour": (lambda s: joint_model(s, "orig", vision=False, behavior_lags=5), JOINT_FIT),
    "LNP, no shifter": (lambda s: joint_model(s, None, shifter=None), JOINT_FIT),
    "LNP": (lambda s: joint_model(s, None), JOINT_FIT),
    "additive, position": (lambda s: joint_model(s), JOINT_FIT),
    "multiplicative, position": (lambda s: joint_model(s, combine="multiplicative"), JOINT_FIT),
    "additive, all behaviour": (lambda s: joint_model(s, "orig"), JOINT_FIT),
    "multiplicative, all behaviour": (lambda s: joint_model(s, "orig", combine="multiplicative"), JOINT_FIT),
    "CNN": (lambda s: encoding_model(s, None, **NO_RECURRENCE), SHORT_FIT),
    "CNN and behaviour": (lambda s: encoding_model(s, **NO_RECURRENCE), SHORT_FIT),
    "small network": (lambda s: encoding_model(s, **SMALL_NETWORK), SHORT_FIT),
    "own model": (lambda s: field_model(s), FIELD_FIT),
}


def mouse(seed: int, mixture: dict[str, float]) -> tuple[xr.Dataset, xr.Dataset, Splits]:
    """A simulated session, its truth, and its splits."""
    recording = kept_recording(
        seed=seed, minutes=MINUTES, n_units=N_UNITS, frame_shape=FRAME_SHAPE, mixture=mixture
    )
    session = align(recording)
    return session, bin_truth(load_truth(recording.path), session), split(session)


def best_of(starts: int, session: xr.Dataset, splits: Splits, form: str) -> Run:
    """The fit of a joint form with the lowest validation loss, of so many first weights."""
    runs = [
        kept_fit(
            lambda k=k: joint_model(session, combine=form, seed=k),
            session,
            splits,
            replace(JOINT_FIT, seed=k),
        )
        for k in range(starts)
    ]
    return min(runs, key=lambda run: run.history["validation_loss"].min())


def forms(first: int, n_seeds: int, starts: int) -> None:
    """How often the planted form is the one with the better score, by r and by bits per spike."""
    wins = {form: np.zeros(2, int) for form in PLANTED}
    for seed in range(first, first + n_seeds):
        for planted, mixture in PLANTED.items():
            session, truth, splits = mouse(seed, mixture)
            found = {}
            for form in COMBINATIONS:
                scores = score(best_of(starts, session, splits, form), session, truth)
                found[form] = np.array([float(scores[f"mean_{name}"]) for name in ("r", "bits_per_spike")])
            (other,) = set(COMBINATIONS) - {planted}
            wins[planted] += found[planted] > found[other]
            print(
                f"seed {seed}, planted {planted:<15}"
                + "".join(f"{form:>16} r {r:.4f} bits {bits:.4f}" for form, (r, bits) in found.items())
                + f"   oracle r {float(scores['mean_oracle_r']):.3f}",
                flush=True,
            )
    for planted, (by_r, by_bits) in wins.items():
        print(f"planted {planted}: preferred by r in {by_r} of {n_seeds}, by bits in {by_bits}")


def ladder(mixture: str, animal: int) -> None:
    """Raw r, bits per spike and seconds of each model on one mouse."""
    session, truth, splits = mouse(animal, MIXTURES[mixture])
    print(f"{'':<32}{'raw r':>8}{'smooth':>8}{'bits':>8}{'s':>8}{'weights':>10}")
    for name, (make, config) in LADDER.items():
        run = kept_fit(lambda make=make: make(session), session, splits, config)
        scores = score(run, session, truth)
        values = [float(scores[f"mean_{key}"]) for key in ("r", "r_smooth", "bits_per_spike")]
        seconds, weights = run.history["seconds"].sum(), run.provenance["parameters"]
        print(
            f"{name:<32}" + "".join(f"{v:>8.3f}" for v in values) + f"{seconds:>8.0f}{weights:>10}",
            flush=True,
        )
    print(
        f"{'oracle':<32}{float(scores['mean_oracle_r']):>8.3f}{float(scores['mean_oracle_r_smooth']):>8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("forms", "ladder"))
    parser.add_argument("--seeds", type=int, default=10, help="mice of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--starts", type=int, default=2, help="fits of each, with other first weights")
    parser.add_argument("--mixture", choices=MIXTURES, default="standard")
    parser.add_argument("--animal", type=int, default=0, help="seed of the simulated mouse")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.part == "forms":
        forms(arguments.first, arguments.seeds, arguments.starts)
    else:
        ladder(arguments.mixture, arguments.animal)


if __name__ == "__main__":
    main()
