"""Saliency of behaviour: what each method finds of planted dependence, and what it costs.

    python benchmarks/saliency.py methods [--model own network]
    python benchmarks/saliency.py cost

``methods`` prints the AUROC of planted against absent dependence (the truth's ``depends_on``) over pairs of
unit and variable (unit and group for ``shapley``) of a simulated mouse of 30 minutes, and seconds.

``cost`` sets the small network of that mouse and the paper's network, untrained, with 68 units on random
frames of 60 x 80, against one forward and backward pass of everything for each unit and batch of 256
bins. Those passes are timed for a few units in one batch and multiplied by units and batches.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import xarray as xr
from mouse import MODELS, auroc, fitted, simulated_mouse
from training_speed import session_of

from v1lib import split
from v1lib.features import scaled_behavior, scaled_frames
from v1lib.fit import FitConfig, Run, adopt
from v1lib.interpret.paper_saliency import paper_saliency
from v1lib.interpret.saliency import METHODS, behavior_saliency
from v1lib.interpret.selectivity import GROUPS
from v1lib.models import encoding_model

BATCH, TIMED_UNITS = 256, 3


def seconds(work) -> tuple[float, xr.Dataset]:
    """How long it takes, and what comes of it."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def methods(names: list[str]) -> None:
    """Method x AUROC x seconds."""
    session, truth, splits = simulated_mouse()
    depends = truth["depends_on"].sel(variable=session["variable"].values).astype(bool)
    groups = np.stack([depends.sel(variable=list(m)).any("variable").values for m in GROUPS.values()], axis=1)
    for name in names:
        run = fitted(name, session, splits)
        print(f"{name}: {session.sizes['unit']} units, {run.splits.bins('test').size} test bins")
        print(f"{'method':<34}{'AUROC':>8}{'s':>9}")
        for method in METHODS:
            took, found = seconds(lambda run=run, method=method: behavior_saliency(run, session, method))
            planted = groups if method == "shapley" else depends.values
            scores = {method: found["saliency"].values}
            if method == "permutation":
                scores[f"{method}, change of rate"] = found["change"].values
            for label, values in scores.items():
                # Likelihood that is won by a permutation tells against dependence; signs of slopes do not.
                size = values if label == "permutation" else np.abs(values)
                print(f"{label:<34}{auroc(size, planted):>8.3f}{took:>9.1f}", flush=True)
        for through in (True, False):
            took, found = seconds(
                lambda run=run, through=through: paper_saliency(run, session, through_shifter=through)
            )
            # Of its columns those that are variables.
            size = np.abs(found["saliency"].sel(column=session["variable"].values).values)
            label = f"paper's, {'through' if through else 'without'} the shifter"
            print(f"{label:<34}{auroc(size, depends.values):>8.3f}{took:>9.1f}", flush=True)


def naive_seconds(run: Run, session: xr.Dataset) -> float:
    """A forward and a backward pass of everything for each unit and batch, from a few units in one batch."""
    model, first = run.model, int(run.splits.bins("test")[0])
    bins = np.arange(first, first + BATCH + model.seq_len - 1)
    frames = torch.from_numpy(scaled_frames(session, run.scaling, bins))[None, :, None]
    columns = torch.from_numpy(scaled_behavior(session, run.scaling)[bins])[None].requires_grad_()
    begun = 0.0
    for unit in range(TIMED_UNITS + 1):
        if unit == 1:  # the first warms up
            begun = time.perf_counter()
        rates = model(frames, columns)[0, model.seq_len - 1 :, unit]
        torch.autograd.grad(rates.sum(), columns)
    each = (time.perf_counter() - begun) / TIMED_UNITS
    return each * model.n_units * run.splits.bins("test").size / BATCH


def cost() -> None:
    """Seconds for all units, the naive way and here."""
    print(f"{'':<24}{'units':>6}{'bins':>7}{'naive':>9}{'gradient':>10}{'ratio':>7}{'paper':>9}{'ratio':>7}")
    mouse, _, splits = simulated_mouse()
    noise = session_of(4000)
    paper = encoding_model(noise, center=(30.0, 40.0))
    untrained = adopt(paper, noise, split(noise), FitConfig(predict_offset=1, device="cpu"))
    for name, session, run in (
        ("small network", mouse, fitted("network", mouse, splits)),
        ("the paper's, untrained", noise, untrained),
    ):
        slow = naive_seconds(run, session)
        fast, _ = seconds(lambda run=run, session=session: behavior_saliency(run, session, "gradient"))
        exact, _ = seconds(lambda run=run, session=session: paper_saliency(run, session))
        n = run.splits.bins("test").size
        print(
            f"{name:<24}{session.sizes['unit']:>6}{n:>7}{slow:>9.1f}{fast:>10.2f}{slow / fast:>7.0f}"
            f"{exact:>9.1f}{slow / exact:>7.0f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["methods", "cost"])
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    if arguments.part == "methods":
        methods(arguments.model)
    else:
        cost()


if __name__ == "__main__":
    main()
