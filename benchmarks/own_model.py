"""The project's own model beside the paper's, on a simulated mouse whose truth is known.

    python benchmarks/own_model.py own paper ablation [--mixture standard] [--animal 0] [--small]

A mouse of 30 minutes, 48 units, frames of 60 x 80, with guarded splits; ``--small`` is one of 10 minutes, 24
units, 30 x 40, on which the paper's network cannot be built. Every score is of the test part: the
mean over units of raw r, and its ratio to the mean of the oracle's. Fits are kept, and a second run of this
script prints them again; times are those of the fit when it was made.

``own``       three seeds of the model with its defaults; the error of its shift where the eye is tracked
``paper``     the paper's network, its fit and its behaviour columns; how long the own model takes to pass it
``ablation``  the own model, and what it loses without each of its parts; three seeds, half the epochs
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from v1lib import align, bin_truth, fit, load_truth, score, split
from v1lib.animals import MIXTURES
from v1lib.fit import FIELD_FIT, PAPER_FIT, Run
from v1lib.interpret.inside import learned_shift
from v1lib.models import field_model
from v1lib.models.gaze import GazeRotation
from v1lib.models.paper import paper_model
from v1lib.splits import Splits
from v1lib.store import kept_fit, kept_recording

STANDARD = {"minutes": 30, "n_units": 48, "frame_shape": (60, 80)}
SMALL = {"minutes": 10, "n_units": 24, "frame_shape": (30, 40)}
SEEDS = (0, 1, 2)
#: One part of the own model taken away at a time.
ABLATIONS: dict[str, dict] = {
    "as it is": {},
    "no division by contrast": {"normalize": False},
    "one field a unit": {"n_fields": 1},
    "no energies": {"n_energies": 0},
    "no windows": {"local": False},
    "two bins of memory": {"seq_len": 2},
    "the paper's shifter": {"shifter": "affine"},
    "no shifter": {"shifter": None},
    "no behaviour": {"behavior": None},
}


def ratio(scores: xr.Dataset) -> float:
    """Mean raw r over that of the oracle."""
    return float(scores["mean_r"] / scores["mean_oracle_r"])


def line(name: str, run: Run, scores: xr.Dataset) -> str:
    """One row: score, ratio, smoothed r, bits per spike, time of the fit and size."""
    values = [float(scores[f"mean_{name}"]) for name in ("r", "r_smooth", "bits_per_spike")]
    seconds, size = run.history["seconds"].sum(), run.provenance["parameters"]
    return (
        f"{name:<40}{values[0]:>8.3f}{ratio(scores):>8.3f}{values[1]:>8.3f}{values[2]:>8.3f}"
        f"{len(run.history):>8}{seconds:>9.0f}{size:>10}"
    )


HEAD = f"{'':<40}{'raw r':>8}{'ratio':>8}{'smooth':>8}{'bits':>8}{'epochs':>8}{'s':>9}{'weights':>10}"


def own(session: xr.Dataset, truth: xr.Dataset, splits: Splits) -> None:
    """The model with its defaults."""
    tracked = np.isfinite(session["behavior"].sel(variable="theta").values)
    for seed in SEEDS:
        config = replace(FIELD_FIT, seed=seed)
        run = kept_fit(lambda seed=seed: field_model(session, seed=seed), session, splits, config)
        scores = score(run, session, truth)
        print(line(f"own model, seed {seed}", run, scores), flush=True)
        shift = learned_shift(run, session)
        errors = [
            np.sqrt(np.mean((shift[name] - truth[f"retinal_{name}"]).values[tracked] ** 2))
            for name in ("shift_x", "shift_y", "rotation")
        ]
        print("    r.m.s. error of the shift: {:.2f} px, {:.2f} px, {:.2f} deg".format(*errors))
        if isinstance(run.model.shifter, GazeRotation):
            true = truth.attrs["focal_px"] / (session.sizes["x"] / 2)
            found = float(run.model.shifter.log_focal.detach().exp())
            print(f"    focal length in half widths: {found:.3f}, planted {true:.3f}")
        if seed == SEEDS[0]:
            by_class = scores.assign_coords(unit_class=("unit", truth["unit_class"].values))
            for name, group in by_class[["r", "oracle_r"]].groupby("unit_class"):
                print(
                    f"    {name:<14} {float(group['r'].mean()):.3f} of {float(group['oracle_r'].mean()):.3f}"
                )


def paper(session: xr.Dataset, truth: xr.Dataset, splits: Splits) -> None:
    """The paper's network, and how soon the own model is ahead of it."""
    config = replace(PAPER_FIT, scaling="training")
    run = kept_fit(lambda: paper_model(session), session, splits, config)
    scores = score(run, session, truth)
    print(line("the paper's model", run, scores), flush=True)
    for epochs in (1, 2, 3, 4, 6, 8, 12):
        short = fit(field_model(session), session, splits, replace(FIELD_FIT, epochs=epochs))
        made = score(short, session, truth)
        print(line(f"own model, {epochs} epochs", short, made), flush=True)
        if float(made["mean_r"]) > float(scores["mean_r"]):
            share = short.history["seconds"].sum() / run.history["seconds"].sum()
            print(f"    ahead of the paper's in 1/{1 / share:.0f} of its time")
            return


def ablation(session: xr.Dataset, truth: xr.Dataset, splits: Splits) -> None:
    """What each part of the own model is worth, over all units and for units of each planted class."""
    classes = truth["unit_class"].values
    config = replace(FIELD_FIT, epochs=FIELD_FIT.epochs // 2)
    whole: list[np.ndarray] = []
    for name, changes in ABLATIONS.items():
        found = []
        for seed in SEEDS:
            run = kept_fit(
                lambda seed=seed, changes=changes: field_model(session, seed=seed, **changes),
                session,
                splits,
                replace(config, seed=seed),
            )
            found.append(score(run, session, truth)["r"].values)
        whole = whole or found
        # Paired over seeds; of the model as it is, the spread of its own scores.
        each = found if name == "as it is" else [a - b for a, b in zip(whole, found, strict=True)]
        means = [float(np.nanmean(one)) for one in each]
        print(f"{name:<40}{np.nanmean(found):>8.4f}  {np.mean(means):+.4f} ± {np.std(means, ddof=1):.4f}")
        for kind in np.unique(classes):
            of_kind = np.nanmean(np.array(each)[:, classes == kind], axis=1)
            print(f"    {kind:<36}{of_kind.mean():+.3f} ± {of_kind.std(ddof=1):.3f}")
        sys.stdout.flush()


PARTS = {"own": own, "paper": paper, "ablation": ablation}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", nargs="+", choices=PARTS)
    parser.add_argument("--mixture", choices=MIXTURES, default="standard")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--animal", type=int, default=0, help="seed of the simulated mouse")
    arguments = parser.parse_args()
    recording = kept_recording(
        seed=arguments.animal,
        mixture=MIXTURES[arguments.mixture],
        **(SMALL if arguments.small else STANDARD),
    )
    session = align(recording)
    truth = bin_truth(load_truth(recording.path), session)
    splits = split(session)
    train, test = splits.bins("train").size, splits.bins("test").size
    print(
        f"{arguments.mixture} mixture, animal {arguments.animal}: {train} bins train, {test} test, ", end=""
    )
    print(f"{torch.get_num_threads()} threads")
    print(HEAD)
    for part in arguments.part:
        PARTS[part](session, truth, splits)


if __name__ == "__main__":
    main()
