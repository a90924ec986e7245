"""A plan from a terminal: ``python -m v1lib.sweep plan.yml [--scheduler ADDRESS] [--workers N] [--show]``."""

from __future__ import annotations

import argparse
import sys

import xarray as xr

from v1lib.errors import InputError
from v1lib.results import NOT_RUN, load_results
from v1lib.sweep import sweep


def summary(results: xr.Dataset) -> str:
    """Lines of how many rows of each variant are done and failed, and why."""
    reasons = results["reason"].astype(str)
    width = max(len("variant"), *(len(str(name)) for name in results["variant"].values))
    lines = [f"{'variant':<{width}}{'done':>7}{'failed':>8}{'not run':>9}"]
    for name, own in reasons.groupby("variant", squeeze=False):
        done, waiting = int((own == "").sum()), int((own == NOT_RUN).sum())
        lines.append(f"{name:<{width}}{done:>7}{own.size - done - waiting:>8}{waiting:>9}")
    failed = reasons.stack(row=("animal", "variant", "seed"))
    failed = failed[((failed != "") & (failed != NOT_RUN)).values]
    for (animal, variant, seed), reason in zip(failed["row"].values, failed.values, strict=True):
        lines.append(f"{animal}, {variant}, seed {seed}: {reason}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run a plan, print what became of its rows; 0 if all are done."""
    parser = argparse.ArgumentParser(prog="python -m v1lib.sweep", description="Run a plan of fits.")
    parser.add_argument("plan", help="YAML file; `pydoc v1lib.plan.read_plan` says what stands in it")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a dask scheduler, such as tcp://host:8786")
    parser.add_argument("--workers", type=int, metavar="N", help="processes on this machine")
    parser.add_argument("--show", action="store_true", help="print what is there, and compute nothing")
    given = parser.parse_args(arguments)
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
    return int(bool((results["reason"] != "").any()))


if __name__ == "__main__":
    sys.exit(main())
