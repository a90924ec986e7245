"""What maximally activating stimuli cost by the paper's recipe and by this project's, and what they recover.

    python benchmarks/stimuli.py cost [--mouse]     # the paper's network; with --mouse the own model too
    python benchmarks/stimuli.py recovery [--network] [--paper-units 12]

``cost`` times both ways on one run: the stimuli of all units at once as they are; of the paper's recipe a few
steps of 64 images for one unit, from which 100 starts of 100 steps for each unit are extrapolated. A step of
the recipe costs the same for every unit and at every time. The paper's network has its sizes (68 units,
frames of 60 x 80, 66 columns of behaviour) and untrained weights, with which a climb may end sooner than with
trained ones: beside what was measured stands what it would be if every start took all of its steps.

``recovery`` compares fields of the standard simulated mouse (30 minutes, 40 units, frames of 30 x 40) with
the planted ones: of units whose raw r on the test part is above half of the true rate's. With --paper-units,
so many of them, of one linear field each, have stimuli by the paper's recipe too, of few starts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import xarray as xr
from mouse import fitted, simulated_mouse
from training_speed import session_of

from v1lib import score, split
from v1lib.fit import PAPER_FIT, Run, adopt
from v1lib.interpret.inside import unit_fields
from v1lib.interpret.paper_stimuli import BEHAVIORS, paper_stimuli
from v1lib.interpret.showing import natural_frames
from v1lib.interpret.stimuli import synthesize_stimuli
from v1lib.interpret.stimulus_match import match_planted, regressed_fields, strongest_frames
from v1lib.models.paper import paper_model

#: Steps of the paper's recipe that are timed, and those that it takes for a unit.
TIMED_STEPS, PAPER_STEPS = 5, 100 * 100
#: Steps of a stimulus here, at most.
MOST_STEPS = 60
CLASSES = ("simple", "normalized", "complex", "direction")
#: Starts of 64 images each, in place of the recipe's 100: with 16 the correlations differ by less than 0.05.
FEW_STARTS = 2


def cost(name: str, run: Run, session: xr.Dataset) -> None:
    """Both ways on one run."""
    unit = session["unit"].values[0]
    paper_stimuli(run, session, unit, n_starts=1, n_steps=1)  # what is done once is done
    begun = time.perf_counter()
    paper_stimuli(run, session, unit, n_starts=1, n_steps=1)
    once = time.perf_counter() - begun
    begun = time.perf_counter()
    paper_stimuli(run, session, unit, n_starts=1, n_steps=1 + TIMED_STEPS)
    step = (time.perf_counter() - begun - once) / TIMED_STEPS
    begun = time.perf_counter()
    found = synthesize_stimuli(run, session, n_steps=MOST_STEPS)
    fast = time.perf_counter() - begun
    n_units = session.sizes["unit"]
    slow = step * PAPER_STEPS * n_units
    # Two kinds and the default's four starts, 64 of them as one step of the paper's.
    most = step * MOST_STEPS * 2 * 4 * n_units / 64
    print(
        f"{name}, {n_units} units\n"
        f"    paper's recipe: {step:.3f} s for 64 images (measured), {slow / 3600:.1f} h (extrapolated)\n"
        f"    all at once: {fast:.1f} s (measured), {slow / fast:.0f} times less, best starts took "
        f"{float(found['steps'].mean()):.1f} steps in the mean\n"
        f"    if all took {MOST_STEPS} steps: {most:.0f} s (extrapolated), {slow / most:.0f} times less",
        flush=True,
    )


def costs(mouse: bool) -> None:
    session = session_of(4000)
    run = adopt(paper_model(session), session, split(session), PAPER_FIT)
    cost("the paper's network", run, session)
    if mouse:
        session, _, splits = simulated_mouse()
        cost("own model", fitted("own", session, splits), session)


def recovery(network: bool, paper_units: int) -> None:
    session, truth, splits = simulated_mouse()
    run = fitted("own", session, splits)
    found = synthesize_stimuli(run, session)
    fields = {
        "synthesised stimulus": strongest_frames(found),
        "the model's own filter": unit_fields(run, session)["linear"],
        "regression, learned gaze": regressed_fields(run, session),
    }
    heads = ("r", "least", "failed", "deg", "turn", "freq")
    print(f"{'own model':<26}{'class':<12}{'units':>6}" + "".join(f"{head:>8}" for head in heads))
    rows(fields, truth, score(run, session, truth))
    better = [
        (sign * (found["response"] - found["response_natural"]).sel(kind=kind) > 0).sum().item()
        for kind, sign in (("exciting", 1), ("inhibiting", -1))
    ]
    print(f"beyond the best natural window of the test part: {better} of {session.sizes['unit']} units")
    if paper_units:
        by_paper(run, session, truth, found, paper_units)
    if network:
        run = fitted("network", session, splits)
        fields = {"network, stimulus": strongest_frames(synthesize_stimuli(run, session))}
        rows(fields, truth, score(run, session, truth))


def by_paper(run: Run, session: xr.Dataset, truth: xr.Dataset, found: xr.Dataset, n_units: int) -> None:
    """The paper's stimuli of some units beside the synthesised ones of the same units."""
    scores = score(run, session, truth)
    linear = np.isin(truth["unit_class"].values, ("simple", "normalized"))
    chosen = session["unit"].values[linear & (scores["r"] > 0.5 * scores["oracle_r"]).values][:n_units]
    mean, natural = found.attrs["mean_frame"], natural_frames(run, session)
    rows({"the same, synthesised": strongest_frames(found).sel(unit=chosen)}, truth, scores)
    for behavior in BEHAVIORS:
        made = [paper_stimuli(run, session, unit, behavior=behavior, n_starts=FEW_STARTS) for unit in chosen]
        stimuli = xr.concat(made, "unit")
        shown = {"stimulus": f"paper, {behavior}", "low_passed": f"paper, {behavior}, low-passed"}
        rows({label: stimuli[name] - mean for name, label in shown.items()}, truth, scores)
        outside = (stimuli["stimulus"] < natural.low) | (stimuli["stimulus"] > natural.high)
        n_outside = int(outside.any(("y", "x")).sum())
        print(
            f"    {n_outside} of {len(chosen)} stimuli leave the range of the training frames; "
            f"behaviour ends up to {float(np.abs(stimuli['behavior']).max()):.1f} s.d. from its mean",
            flush=True,
        )


def rows(fields: dict[str, xr.DataArray], truth: xr.Dataset, scores: xr.Dataset) -> None:
    """Medians for each class over units above half of what the true rate reaches."""
    fitted = scores["r"] > 0.5 * scores["oracle_r"]
    for name, each in fields.items():
        match = match_planted(each, truth)
        known = fitted.sel(unit=match["unit"]).values
        for kind in CLASSES:
            of = match.isel(unit=known & (match["unit_class"].values == kind))
            if not of.sizes["unit"]:
                continue
            r = of["correlation"].values
            names = ("position_error", "orientation_error", "frequency_ratio")
            errors = [float(np.nanmedian(of[error])) for error in names]
            print(
                f"{name:<26}{kind:<12}{r.size:>6}{np.median(r):>8.3f}{r.min():>8.3f}{int(of['failed'].sum()):>8}"
                f"{errors[0]:>8.2f}{errors[1]:>8.1f}{errors[2]:>8.3f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("cost", "recovery"))
    parser.add_argument("--mouse", action="store_true")
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--paper-units", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads")
    if arguments.part == "cost":
        costs(arguments.mouse)
    else:
        recovery(arguments.network, arguments.paper_units)


if __name__ == "__main__":
    main()
