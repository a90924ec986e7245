"""A plan from a terminal: ``python -m v1lib.sweep PLAN [--scheduler ADDRESS] [--workers N] [--show]``."""

from __future__ import annotations

import argparse
import sys
from itertools import takewhile
from textwrap import fill

import xarray as xr

from v1lib.errors import InputError
from v1lib.plan import PLANS
from v1lib.results import NOT_RUN, load_results
from v1lib.sweep import sweep


def failed(reasons: xr.DataArray) -> xr.DataArray:
    """True where a row was tried and has no result."""
    return (reasons != "") & (reasons != NOT_RUN)


def summary(results: xr.Dataset) -> str:
    """Lines of how many rows of each variant are done and failed, and why."""
    reasons = results["reason"].astype(str)
    width = max(len("variant"), *(len(str(name)) for name in results["variant"].values))
    lines = [f"{'variant':<{width}}{'done':>7}{'failed':>8}{'not run':>9}"]
    for name in reasons["variant"].values:
        own = reasons.sel(variant=name)
        done, waiting = int((own == "").sum()), int((own == NOT_RUN).sum())
        lines.append(f"{name:<{width}}{done:>7}{int(failed(own).sum()):>8}{waiting:>9}")
    rows = reasons.stack(row=("animal", "variant", "seed"))
    rows = rows[failed(rows).values]
    for (animal, variant, seed), reason in zip(rows["row"].values, rows.values, strict=True):
        lines.append(f"{animal}, {variant}, seed {seed}: {reason}")
    return "\n".join(lines)


def shipped() -> str:
    """A paragraph on each plan of the library: its name, and the comment that its file begins with."""
    paragraphs = []
    for name, file in PLANS.items():
        lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
        said = " ".join(line.lstrip("# ") for line in lines)
        paragraphs.append(fill(f"{name}: {said}", width=90, subsequent_indent="    ", break_on_hyphens=False))
    return "\n".join(paragraphs)


def main(arguments: list[str] | None = None) -> int:
    """Run a plan and print what became of its rows; the status that the epilogue of the help explains."""
    parser = argparse.ArgumentParser(
        prog="python -m v1lib.sweep",
        description="Fit and score every row of a plan that is not done yet, and print what became of each.",
        epilog="Ends with 0 if no row failed, 1 if one did, 2 if the plan cannot be run, 130 if stopped. "
        "A row that failed is tried again at each run: one that always fails costs its time each time.",
    )
    parser.add_argument(
        "plan",
        nargs="?",
        help="YAML file (`pydoc v1lib.plan.read_plan` says what stands in it), or the name of a plan that "
        f"comes with the library: {', '.join(PLANS)}",
    )
    parser.add_argument("--plans", action="store_true", help="list the plans that come with the library")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a dask scheduler, such as tcp://host:8786")
    parser.add_argument("--workers", type=int, metavar="N", help="processes on this machine")
    parser.add_argument("--show", action="store_true", help="print what is done, and compute nothing")
    given = parser.parse_args(arguments)
    if given.plans:
        print(shipped())
        return 0
    if given.plan is None:
        parser.error("a plan is needed: a YAML file, or a name that --plans lists")
    try:
        if given.show:
            results = load_results(given.plan)
        else:
            results = sweep(given.plan, scheduler=given.scheduler, workers=given.workers)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What is finished is kept; run the plan again for the rest.", file=sys.stderr)
        return 130
    print(summary(results))
    # What a run leaves undone for whatever reason is a failure; what was never run yet is none.
    missing = failed(results["reason"]) if given.show else results["reason"] != ""
    return int(bool(missing.any()))


if __name__ == "__main__":
    sys.exit(main())
