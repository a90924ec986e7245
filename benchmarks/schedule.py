"""What 1, 10, 100 and 1,000 workers give: a simulation of a sweep's schedule with measured costs.

``.venv/bin/python benchmarks/schedule.py COSTS.json [N_WORKERS ...]`` prints the time to finish, the share of
it that workers spend on fits, and what limits it. COSTS.json holds what was measured::

    {"families": {"network": {"seconds": 900.0, "read_bytes": 2.1e8, "memory_gib": 1.5, "n_fits": 36}},
     "overhead_s": 0.01, "bandwidth_bytes_s": 1.0e8, "worker_memory_gib": 4.0}

``seconds``: of one fit with its session in memory. ``overhead_s``: of the scheduler, which hands out one task
at a time. ``bandwidth_bytes_s``: of the storage, shared by all workers that read at the same time.
"""

from __future__ import annotations

import argparse
import heapq
import json
from dataclasses import dataclass
from pathlib import Path

from v1lib.errors import InputError, check_real, check_whole

WORKERS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Family:
    """Fits that cost the same: seconds of each, bytes it reads first, GiB it needs, and how many."""

    seconds: float
    read_bytes: float
    memory_gib: float
    n_fits: int


@dataclass(frozen=True)
class Costs:
    """Families by name, the scheduler's seconds a task, bytes a second that can be read, GiB of a worker."""

    families: dict[str, Family]
    overhead_s: float
    bandwidth_bytes_s: float
    worker_memory_gib: float


@dataclass(frozen=True)
class Finished:
    """A simulated schedule: seconds to the end, share of all workers' time in fits, and what limits it."""

    seconds: float
    utilisation: float
    limit: str


def read_costs(path: str | Path) -> Costs:
    """Costs from a JSON file as the module describes it; every number must be there."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        families = {name: Family(**one) for name, one in found.pop("families").items()}
        costs = Costs(families=families, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            path, "costs", "the fields that the benchmark describes", f"{error!r:.120}"
        ) from error
    for name, one in families.items():
        for variable in ("seconds", "read_bytes", "memory_gib"):
            check_real(path, f"{name} {variable}", getattr(one, variable), 0, 1e15)
        check_whole(path, f"{name} n_fits", one.n_fits, 1)
    check_real(path, "overhead_s", costs.overhead_s, 0, 1e6)
    check_real(path, "bandwidth_bytes_s", costs.bandwidth_bytes_s, 1, 1e15)
    check_real(path, "worker_memory_gib", costs.worker_memory_gib, 0, 1e6)
    return costs


def simulate(costs: Costs, n_workers: int) -> Finished:
    """The schedule of all fits on so many workers, the longest fits first.

    A worker that is free waits for the scheduler, which serves one at a time; reads its session, at an equal
    share of the bandwidth with all others that read then; and fits.

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
    waiting = [one for one in families.values() for _ in range(one.n_fits)]
    waiting.sort(key=lambda one: one.seconds)
    now, scheduler_free, served, n_free = 0.0, 0.0, 0.0, n_workers
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
    families = costs.families.values()
    n_fits = sum(one.n_fits for one in families)
    alone = [costs.overhead_s + one.read_bytes / costs.bandwidth_bytes_s + one.seconds for one in families]
    return {
        "workers": sum(each * one.n_fits for each, one in zip(alone, families, strict=True)) / n_workers,
        "longest fit": max(alone),
        "reading": sum(one.read_bytes * one.n_fits for one in families) / costs.bandwidth_bytes_s,
        "scheduler": costs.overhead_s * n_fits,
    }


def limit(costs: Costs, n_workers: int) -> str:
    """The largest of the lower bounds."""
    bounds = lower_bounds(costs, n_workers)
    return max(bounds, key=lambda name: bounds[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("costs", type=Path)
    parser.add_argument("n_workers", nargs="*", type=int, default=WORKERS)
    arguments = parser.parse_args()
    costs = read_costs(arguments.costs)
    n_fits = sum(one.n_fits for one in costs.families.values())
    print(f"{n_fits} fits\n{'workers':>8}{'hours':>10}{'in fits':>9}  limit")
    for n_workers in arguments.n_workers:
        done = simulate(costs, n_workers)
        print(f"{n_workers:>8}{done.seconds / 3600:>10.2f}{done.utilisation:>9.1%}  {done.limit}")


if __name__ == "__main__":
    main()
