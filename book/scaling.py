"""What the page on scaling says in numbers, tables and a figure, from measured costs.

``{computed}`key` `` on the page stands for a value of :func:`values`; the build puts it there.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.schedule import WORKERS, Costs, lower_bounds, read_costs, simulate
from book.progress import ROOT

COSTS = ROOT / "book" / "costs.json"
FIGURE = "scaling.svg"
#: The plans that are compared: their short names, and how their tables call them.
PLANS = {"paper": "tables_paper", "simulated": "tables_simulated"}
#: A row of the plans that the paper does not print.
UNPRINTED = "Sensorium alone, no shifter"
#: Seconds that a job of the example for Slurm in v1lib.sweep may last.
JOB_S = 12 * 3600
TITLES = {"paper": "the paper's tables", "simulated": "the tables on simulated mice"}
STYLE: Any = {
    "svg.hashsalt": "scaling",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
#: Orders in which fits are handed out, by whether the longest comes first.
ORDERS = {True: "longest first", False: "in the plan's order"}
_COMPUTED = re.compile(r"\{computed\}`([^`]+)`")


def filled(text: str) -> str:
    """A page with the values in their places.

    Raises
    ------
    ValueError
        The page asks for a value that is not computed.
    """

    def value(found: re.Match) -> str:
        if found[1] not in values():
            raise ValueError(
                f"book/scaling.md asks for {found[1]!r}, which book/scaling.py does not compute."
            )
        return values()[found[1]]

    return _COMPUTED.sub(value, text)


def asks(text: str) -> bool:
    """Whether a page has places for values."""
    return bool(_COMPUTED.search(text))


def in_time(seconds: float) -> str:
    """Two digits and the unit that a person would take."""
    for unit, length, least in (("days", 86400, 2 * 86400), ("h", 3600, 5400), ("min", 60, 120), ("s", 1, 1)):
        if seconds >= least:
            return f"{_digits(seconds / length)} {unit}"
    return f"{_digits(1000 * seconds)} ms"


def _digits(value: float) -> str:
    """Two digits, all those before the point."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


@cache
def measured() -> dict:
    """The file of costs as it stands."""
    return json.loads(COSTS.read_text(encoding="utf-8"))


@cache
def costs_of(plan: str) -> Costs:
    """Costs of every fit of a plan by its short name."""
    return read_costs(COSTS, PLANS[plan])


def _bounds(plan: str, n_workers: int) -> dict[str, float]:
    """Seconds that no schedule can be faster than, by cause; of reading and the scheduler themselves."""
    costs = costs_of(plan)
    found = lower_bounds(costs, n_workers)
    return found | {cause: found[cause] - costs.before_s for cause in ("reading", "scheduler")}


@cache
def values() -> dict[str, str]:
    """All that the page says in numbers, as it says it."""
    found = {
        "table of fits": _table_of_fits(),
        "table of workers": _table_of_workers(),
        "table of limits": _table_of_limits(),
        "machine": measured()["measured"]["machine"],
        "torch": measured()["measured"]["torch"],
        "worker memory": f"{measured()['worker_memory_gib']:.1f} GiB",
        "overhead": in_time(measured()["overhead_s"]),
        "bandwidth": f"{measured()['bandwidth_bytes_s'] / 1e9:.1f} GB",
    }
    for plan in PLANS:
        found |= {f"{plan}: {key}": value for key, value in _of_plan(plan).items()}
    return found


def _of_plan(plan: str) -> dict[str, str]:
    costs, raw = costs_of(plan), measured()["plans"][PLANS[plan]]
    fits = costs.families
    bounds = _bounds(plan, 1)
    longest = max(fits, key=lambda name: fits[name].seconds)
    shares: dict[str, float] = defaultdict(float)
    for name, one in fits.items():
        shares[_row(name)] += one.seconds / sum(each.seconds for each in fits.values())
    most = max(fits, key=lambda name: fits[name].memory_gib)
    train = {_label(name): one["train_s"] for name, one in raw["variants"].items()}
    work = bounds["workers"]
    planned, first = (simulate(costs, 100, longest_first=order).seconds for order in (False, True))
    knee = math.ceil(work / bounds["longest fit"])
    bins = {name: session["bins"] for name, session in raw["sessions"].items()}
    ordered = sorted(fits, key=lambda name: -bins[name.partition(", ")[0]])
    by_length = replace(costs, families={name: fits[name] for name in ordered})
    return {
        "fits": f"{len(fits):,}",
        "rows": str(len(raw["variants"])),
        "animals": str(len(raw["sessions"])),
        "work": in_time(work),
        "longest": in_time(fits[longest].seconds),
        "longest row": _row(longest),
        "longest row's share": f"{shares[_row(longest)]:.0%}",
        "jobs": str(math.ceil(fits[longest].seconds / JOB_S)),
        "memory": f"{fits[most].memory_gib:.1f} GiB",
        "memory row": _row(most),
        "knee": str(knee),
        "at knee": in_time(simulate(costs, knee, longest_first=False).seconds),
        "unprinted share": f"{shares[UNPRINTED]:.0%}",
        "at 100": in_time(planned),
        "at 100, longest first": in_time(first),
        "at 100, longest recordings first": in_time(simulate(by_length, 100, longest_first=False).seconds),
        "read": f"{max(one.read_bytes for one in fits.values()) / 1e9:.1f} GB",
        "reading": in_time(bounds["reading"]),
        "scheduler": in_time(bounds["scheduler"]),
        "before": in_time(costs.before_s),
        "eight bins": f"{train['8 bins'] / train['1 bin']:.1f}",
        "epochs": " or ".join(str(n) for n in sorted({one["epochs"] for one in raw["variants"].values()})),
    }


def _row(fit: str) -> str:
    """The row of a fit that is called by animal, variant and seed."""
    return _label(fit.partition(", ")[2].rpartition(", ")[0])


def _label(variant: str) -> str:
    """A row of the tables, whatever network it is of."""
    if variant in ("published", "network"):
        return "1 bin" if variant == "published" else "4 bins"
    return variant.split(", ", 1)[1]


def _table_of_fits() -> str:
    """One line a row of the tables: hours of a fit and GiB, of both networks."""
    raw = {plan: measured()["plans"][name] for plan, name in PLANS.items()}
    sessions = {plan: one["sessions"] for plan, one in raw.items()}
    largest = {plan: max(own, key=lambda name: own[name]["train"]) for plan, own in sessions.items()}
    lines = [
        "| Row | the paper's network | GiB | a tenth of it | GiB |",
        "|---|--:|--:|--:|--:|",
    ]
    for pair in zip(*(one["variants"] for one in raw.values()), strict=True):
        cells = [_label(pair[0])]
        for plan, variant in zip(PLANS, pair, strict=True):
            fit = costs_of(plan).families[f"{largest[plan]}, {variant}, seed 0"]
            cells += [in_time(fit.seconds), f"{fit.memory_gib:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _table_of_workers() -> str:
    lines = [
        "| | Workers | in the plan's order | longest first | workers' time in fits | limit |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for plan, title in TITLES.items():
        for n_workers in WORKERS:
            planned, first = (simulate(costs_of(plan), n_workers, longest_first=o) for o in (False, True))
            name = title if n_workers == WORKERS[0] else ""
            cells = [name, f"{n_workers:,}", in_time(planned.seconds), in_time(first.seconds)]
            lines.append(f"| {' | '.join([*cells, f'{first.utilisation:.0%}', first.limit])} |")
    return "\n".join(lines)


def _table_of_limits() -> str:
    """What a thousand workers could not be faster than, by its cause."""
    bounds = {plan: _bounds(plan, WORKERS[-1]) for plan in PLANS}
    causes = {
        "longest fit": "the longest fit",
        "workers": "all work, shared evenly",
        "reading": "all reading, from one disk as fast as this machine's",
        "scheduler": "the scheduler, one task at a time",
    }
    lines = [f"| No faster than | {' | '.join(TITLES.values())} |", "|---|--:|--:|"]
    for cause, words in causes.items():
        cells = [in_time(bounds[plan][cause]) for plan in PLANS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(file: Path) -> None:
    """Time to finish against workers, and its limits, as an SVG, the same bytes from the same costs."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for ax, plan in zip(panels, PLANS, strict=True):
            _draw_plan(ax, plan)
        panels[0].set_ylabel("time to finish")
        panels[0].legend(frameon=False, loc="upper right")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _draw_plan(ax: Axes, plan: str) -> None:
    costs, bounds = costs_of(plan), _bounds(plan, 1)
    numbers = np.unique(np.geomspace(1, WORKERS[-1], 25).round().astype(int)).tolist()
    ax.plot(numbers, [bounds["workers"] / n for n in numbers], color="#999999", lw=0.9)
    for cause in ("longest fit", "reading", "scheduler"):
        ax.axhline(bounds[cause], color="#666666", lw=0.9, ls=":")
        ax.text(1, bounds[cause] * 1.12, cause, color="#444444", va="bottom", fontsize="small")
    for first, style in ((True, "-"), (False, "--")):
        seconds = [simulate(costs, n, longest_first=first).seconds for n in numbers]
        ax.plot(numbers, seconds, style, lw=1.8, color="black", label=ORDERS[first])
    ax.set(xscale="log", yscale="log", xlabel="workers", title=TITLES[plan])
    ax.set_xticks(WORKERS, [f"{n:,}" for n in WORKERS], minor=False)
    ax.set_yticks([1, 60, 3600, 86400, 8640000], ["1 s", "1 min", "1 h", "1 day", "100 days"])
    ax.yaxis.set_minor_locator(NullLocator())
