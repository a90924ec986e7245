"""What a sweep gains from a second worker, and what a fit costs more in a sweep than by itself.

    python benchmarks/sweep.py [--minutes 5] [--epochs 6] [--repeats 3]

Both on one simulated mouse (24 units, frames of 30 x 40) that is made beforehand, with the small network, one
thread a fit.

``workers``   a plan of eight fits by one worker and by two, each into an empty store: seconds from the first
              fit's start to the last result, as a caller waits for them, with the start of the workers and
              without it (workers of a cluster are there already)
``overhead``  one fit, and what a row of a plan does: the fit, its place in the store, scores and the file of
              the result; in turn, in this process, by its processor time
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dask.distributed import Client, LocalCluster

from v1lib import animals, fit, split, sweep
from v1lib.plan import read_plan
from v1lib.results import make_result
from v1lib.variants import fit_config, make_model

SEEDS = 8


def plan_of(minutes: float, epochs: int, n_seeds: int) -> dict[str, Any]:
    """A plan of one animal and one variant."""
    mouse = {"seed": 0, "minutes": minutes, "n_units": 24, "frame_shape": [30, 40]}
    return {
        "name": "benchmark",
        "protocol": "guarded",
        "warmup_bins": 8,
        "seeds": list(range(n_seeds)),
        "animals": {"mouse": {"simulate": mouse}},
        "variants": [{"fitted": {"base": "network", "fit": {"epochs": epochs, "patience": epochs}}}],
    }


@contextmanager
def empty_store(recordings: Path) -> Iterator[None]:
    """A store with the recordings alone."""
    with tempfile.TemporaryDirectory(dir=recordings.parent) as folder:
        os.environ["V1LIB_CACHE"] = folder
        os.symlink(recordings, Path(folder) / "recordings")
        yield


def swept(plan: dict[str, Any], workers: int) -> tuple[float, float]:
    """Seconds of a plan with the start of the workers, and without."""
    begun = time.perf_counter()
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(animals.opened, read_plan(plan).animals[0][1])  # the library and the animal are there
        there = time.perf_counter()
        reasons = sweep(plan, scheduler=client)["reason"]
        done = time.perf_counter()
    assert (reasons == "").all(), reasons.values
    return done - begun, done - there


def bare(plan: dict[str, Any]) -> float:
    """Processor seconds of one fit."""
    (row,) = read_plan(plan).rows()
    session, _ = animals.opened(row.animal)
    splits = split(session, row.protocol, seq_len=row.warmup_bins)
    begun = time.process_time()
    fit(make_model(row.variant, session, row.seed), session, splits, fit_config(row.variant, row.seed))
    return time.process_time() - begun


def in_row(plan: dict[str, Any]) -> float:
    """Processor seconds of one row, whose animal another row has opened before."""
    (row,) = read_plan(plan).rows()
    animals.opened(row.animal)
    begun = time.process_time()
    make_result(row)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", nargs="*", default=["workers", "overhead"])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    os.environ["V1LIB_PROGRESS"] = "0"
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    try:
        os.environ["V1LIB_CACHE"] = str(folder)
        plan = plan_of(given.minutes, given.epochs, SEEDS)
        animals.simulate(read_plan(plan).animals[0][1])
        recordings = folder / "recordings"
        if "workers" in given.part:
            for workers in (1, 2):
                with empty_store(recordings):
                    whole, without_start = swept(plan, workers)
                print(
                    f"{workers} workers, {SEEDS} fits: {without_start:.1f} s ({whole:.1f} s with their start)"
                )
        if "overhead" in given.part:
            times = []
            for _ in range(given.repeats):
                with empty_store(recordings):
                    one = plan_of(given.minutes, given.epochs, 1)
                    times.append((bare(one), in_row(one)))
            alone, row = np.array(times).min(axis=0)  # other work on the machine only ever slows one down
            print(f"bare fit {alone:.2f} s, row {row:.2f} s: {row / alone - 1:+.1%}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
