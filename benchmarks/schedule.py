"""What 1, 10, 100 and 1,000 workers give: a simulation of a sweep's schedule with measured costs.

``.venv/bin/python benchmarks/schedule.py book/costs.json PLAN [N_WORKERS ...]`` prints for a plan that comes
with the library the time to finish in the plan's order and with the longest fits first, the share of the
workers' time that is spent on fits, and what limits it. ``benchmarks/costs.py`` measures the costs::

    {"overhead_s": 0.002, "bandwidth_bytes_s": 1.0e9, "worker_memory_gib": 7.45,
     "plans": {"tables_paper": {
         "sessions": {"070921_J553RT": {"train": 30120, "validation": 7540, "bins": 53800,
                                        "open_s": 2.0, "read_bytes": 1.2e9}},
         "variants": {"published": {"epochs": 50, "train_s": 0.004, "predict_s": 0.001, "setup_s": 1.0,
                                    "memory_gib": 2.0}},
         "before_s": 0.0}}}

``train_s`` is of one target, ``predict_s`` of one bin, ``setup_s`` of what a fit does besides its epochs.
``overhead_s``: of the scheduler, which hands out one task at a time. ``bandwidth_bytes_s``: of the storage,
shared by all workers that read at the same time. ``before_s``: to simulate an animal, which is done once for
each before its fits. A fit is taken to last all of its epochs and to be the first of its worker, so that it
opens its session.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from v1lib.errors import InputError, check_real, check_whole
from v1lib.plan import PLANS

WORKERS = (1, 10, 100, 1000)
#: What is known of the machines, of a session and of a variant's fit, each a number of at least 0.
GENERAL_COSTS = ("overhead_s", "bandwidth_bytes_s", "worker_memory_gib")
SESSION_COSTS = ("train", "validation", "bins", "open_s", "read_bytes")
VARIANT_COSTS = ("epochs", "train_s", "predict_s", "setup_s", "memory_gib")


@dataclass(frozen=True)
class Family:
    """Fits that cost the same: seconds of each, bytes it reads first, GiB it needs, and how many."""

    seconds: float
    read_bytes: float
    memory_gib: float
    n_fits: int


@dataclass(frozen=True)
class Costs:
    """Families by name in the order of the plan, the scheduler's seconds a task, bytes a second that can be
    read, GiB of a worker, and what is made before the first fit: how many things, and seconds of each."""

    families: dict[str, Family]
    overhead_s: float
    bandwidth_bytes_s: float
    worker_memory_gib: float
    n_before: int = 0
    before_s: float = 0.0


@dataclass(frozen=True)
class Finished:
    """A simulated schedule: seconds to the end, share of all workers' time in fits, and what limits it."""

    seconds: float
    utilisation: float
    limit: str


def read_costs(path: str | Path, plan: str) -> Costs:
    """Costs of every fit of a plan of the library, from a JSON file as the module describes it.

    Raises
    ------
    InputError
        If there is no such plan or file, or a number is missing or cannot be.
    """
    if plan not in PLANS:
        raise InputError("read_costs", "plan", " or ".join(PLANS), repr(plan))
    entries = yaml.safe_load(PLANS[plan].read_text(encoding="utf-8"))
    # A variant is a name, or a new name with its base and changes.
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries["variants"]]
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        measured = found["plans"][plan]
        before, general = measured["before_s"], {name: found[name] for name in GENERAL_COSTS}
        sessions, variants = (
            {name: {field: measured[kind][name][field] for field in fields} for name in asked}
            for kind, asked, fields in (
                ("sessions", entries["animals"], SESSION_COSTS),
                ("variants", names, VARIANT_COSTS),
            )
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"costs of {plan}", "the fields that the benchmark describes", f"{error!r:.120}"
        ) from error
    for name, one in (sessions | variants | {plan: general | {"before_s": before}}).items():
        for field, value in one.items():
            check_real(path, f"{field} of {name}", value, 1 if field == "bandwidth_bytes_s" else 0, 1e15)
    families = {
        f"{animal}, {variant}, seed {seed}": _family(sessions[animal], variants[variant])
        for animal in entries["animals"]
        for seed in entries["seeds"]
        for variant in names
    }
    return Costs(families, **general, n_before=len(sessions) if before else 0, before_s=before)


def _family(session: dict[str, float], variant: dict[str, float]) -> Family:
    """One fit: its session opened, all epochs, and the predictions that are scored."""
    epoch = session["train"] * variant["train_s"] + session["validation"] * variant["predict_s"]
    rest = session["open_s"] + variant["setup_s"] + session["bins"] * variant["predict_s"]
    return Family(variant["epochs"] * epoch + rest, session["read_bytes"], variant["memory_gib"], 1)


def simulate(costs: Costs, n_workers: int, *, longest_first: bool = True) -> Finished:
    """The schedule of all fits on so many workers, the longest fits first or in the order of the plan.

    A worker that is free waits for the scheduler, which serves one at a time; reads its session, at an equal
    share of the bandwidth with all others that read then; and fits. All of it begins when what has to be made
    before is made, by all workers.

    Raises
    ------
    InputError
        If a fit needs more memory than a worker has.
    """
    check_whole("simulate", "n_workers", n_workers, 1)
    families = costs.families
    for name, one in families.items():
        if one.memory_gib > costs.worker_memory_gib:
            expected = f"at most {costs.worker_memory_gib:g} GiB, a worker's memory"
            raise InputError("simulate", f"memory of {name}", expected, f"{one.memory_gib:g} GiB")
    waiting = [one for one in families.values() for _ in range(one.n_fits)][::-1]  # the next one last
    if longest_first:
        waiting.sort(key=lambda one: one.seconds)
    now = math.ceil(costs.n_before / n_workers) * costs.before_s
    scheduler_free, served, n_free = now, 0.0, n_workers
    handed: list[tuple[float, int, Family]] = []  # when the scheduler has handed a fit out
    fitting: list[float] = []  # when fits end
    # Each reader gets the same share, so that it ends when what every reader was served reaches this.
    reading: list[tuple[float, int, Family]] = []
    number = 0
    while waiting or handed or reading or fitting:
        while waiting and n_free:
            scheduler_free = max(scheduler_free, now) + costs.overhead_s
            heapq.heappush(handed, (scheduler_free, number, waiting.pop()))
            number, n_free = number + 1, n_free - 1
        share = costs.bandwidth_bytes_s / max(1, len(reading))
        read_at = now + max(0.0, reading[0][0] - served) / share if reading else float("inf")
        next_at = min(
            read_at, handed[0][0] if handed else float("inf"), fitting[0] if fitting else float("inf")
        )
        if reading:
            served = reading[0][0] if next_at == read_at else served + (next_at - now) * share
        now = next_at
        while reading and reading[0][0] <= served:
            heapq.heappush(fitting, now + heapq.heappop(reading)[2].seconds)
        while handed and handed[0][0] <= now:
            _, mark, one = heapq.heappop(handed)
            heapq.heappush(reading, (served + one.read_bytes, mark, one))
        while fitting and fitting[0] <= now:
            heapq.heappop(fitting)
            n_free += 1
    work = sum(one.seconds * one.n_fits for one in families.values())
    return Finished(now, work / (now * n_workers) if now else 1.0, limit(costs, n_workers))


def lower_bounds(costs: Costs, n_workers: int) -> dict[str, float]:
    """Seconds that no schedule can be faster than, by what would limit it."""
    check_whole("lower_bounds", "n_workers", n_workers, 1)
    families = costs.families.values()
    n_fits = sum(one.n_fits for one in families)
    alone = [costs.overhead_s + one.read_bytes / costs.bandwidth_bytes_s + one.seconds for one in families]
    before = costs.before_s if costs.n_before else 0.0
    work = sum(each * one.n_fits for each, one in zip(alone, families, strict=True))
    return {
        "workers": (costs.n_before * before + work) / n_workers,
        "longest fit": before + max(alone),
        "reading": before + sum(one.read_bytes * one.n_fits for one in families) / costs.bandwidth_bytes_s,
        "scheduler": before + costs.overhead_s * n_fits,
    }


def limit(costs: Costs, n_workers: int) -> str:
    """The largest of the lower bounds."""
    bounds = lower_bounds(costs, n_workers)
    return max(bounds, key=lambda name: bounds[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("costs", type=Path)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("n_workers", nargs="*", type=int, default=WORKERS)
    arguments = parser.parse_args()
    costs = read_costs(arguments.costs, arguments.plan)
    n_fits = sum(one.n_fits for one in costs.families.values())
    print(f"{n_fits} fits\n{'workers':>8}{'h, as planned':>15}{'longest first':>15}{'in fits':>9}  limit")
    for n_workers in arguments.n_workers:
        done, first = (simulate(costs, n_workers, longest_first=order) for order in (False, True))
        hours = f"{done.seconds / 3600:>15.2f}{first.seconds / 3600:>15.2f}"
        print(f"{n_workers:>8}{hours}{done.utilisation:>9.1%}  {done.limit}")


if __name__ == "__main__":
    main()
