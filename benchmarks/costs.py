"""What one fit of each row of the paper's tables costs on this machine, for :mod:`benchmarks.schedule`.

    nice .venv/bin/python benchmarks/costs.py book/costs.json

Some minutes on one core. What the file holds already is not measured again; with ``--again`` it is, and the
fastest of both and the most memory of both stay, which is what to do where other work ran beside it.

Measured, each variant in a process of its own with one thread: processor seconds of training per target and
of prediction per bin, and the most memory that the process held, with a session of noise in memory as long as
the longest of the plan and with as many units as the most; processor seconds and bytes to open a session;
seconds of the scheduler per empty task; bytes a second of a file that the system was asked to forget.

Extrapolated from that: an epoch, from the targets and validation bins of the session, and a fit, from the
epochs that it may have. It may stop before, so that its seconds are an upper bound.

Other work on the machine does not count into processor seconds and yet slows them a little, so that of
several steps the fastest is taken; of scheduler and disk, timed by the clock on the wall, the fastest run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import torch
import xarray as xr
import yaml
from dask.distributed import Client, LocalCluster, as_completed

from v1lib import align, simulate_recording, write_osf_archive
from v1lib.animals import Animal, content, opened, read_animal
from v1lib.fingerprint import session_hash
from v1lib.fit import fit
from v1lib.models.paper import PAPER_FRAME
from v1lib.plan import PLANS
from v1lib.readers.osf_archive import BIN_WIDTH_S, PAPER_DROPPED, PAPER_KEPT
from v1lib.splits import PAPER_SEGMENTS, Splits, split
from v1lib.variants import VARIANTS, fit_config, make_model

#: Training and validation samples of the paper's mice with windows of one bin (Xu et al. 2023).
PAPER_SAMPLES = {
    "070921_J553RT": (30_120, 7_540),
    "110421_J569LT": (32_940, 8_240),
    "101521_J559NC": (42_410, 10_610),
}
#: Share of a mouse's bins that are not for testing.
TRAINING_SHARE = 0.7
#: What is timed of each plan's variants: batches an epoch, epochs, and bins that are predicted after each.
TIMED = {"tables_paper": (1, 2, 512), "tables_simulated": (2, 6, 128)}
#: Minutes that are simulated to tell what a minute costs.
MINUTES = 2
#: What the example for Slurm in v1lib.sweep asks for, 8 GB.
WORKER_MEMORY_GIB = 8e9 / 2**30
HOW = (
    "benchmarks/costs.py: a session of noise; processor seconds of one thread, the fewest of several steps; "
    "scheduler and disk by the clock on the wall, the fastest of several runs"
)


def noise(n_bins: int, n_units: int, shape: tuple[int, int], in_files: bool) -> xr.Dataset:
    """A session of noise, since no cost depends on what frames show; in files like the archive's or not."""
    rng = np.random.default_rng(0)
    edges = [0]
    for number in range(1, PAPER_SEGMENTS + 1):
        stop = number * n_bins // PAPER_SEGMENTS
        edges += [edges[-1] + round(TRAINING_SHARE * (stop - edges[-1])), stop]
    files = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), rng.integers(0, 256, (n_bins, *shape), np.uint8)),
            "behavior": (("time", "variable"), rng.normal(size=(n_bins, 6)).astype(np.float32)),
            "activity": (
                ("time", "unit"),
                rng.poisson(0.4, (n_bins, n_units)).astype(np.uint16),
                {"kind": "spike_count"},
            ),
            "stretch": ("time", (files if in_files else 0 * files).astype(np.int32)),
        },
        {
            "time": (np.arange(n_bins) + 0.5) * BIN_WIDTH_S,
            "variable": ["speed", "pitch", "roll", "phi", "theta", "pupil"],
            "unit": np.arange(n_units),
        },
        {
            "schema_version": 1,
            "animal": "noise",
            "session": "noise",
            "source": "benchmark",
            "bin_width_s": BIN_WIDTH_S,
            "v1lib_version": "0",
        },
    )
    if in_files:
        session.coords["part"] = ("time", np.array(["train", "test"])[files % 2])
    return session


def paper_bins(name: str) -> int:
    """Bins of one of the paper's mice."""
    return round(sum(PAPER_SAMPLES[name]) / TRAINING_SHARE)


def simulated_animals() -> dict[str, dict[str, Any]]:
    """Arguments of the plan's animals."""
    entries = yaml.safe_load(PLANS["tables_simulated"].read_text(encoding="utf-8"))["animals"]
    animals = {name: read_animal(entry, "plan", name, Path.cwd()) for name, entry in entries.items()}
    return {name: _arguments(animal) for name, animal in animals.items()}


def _arguments(animal: Animal) -> dict[str, Any]:
    arguments = dict(animal.simulated)
    return arguments | {"mixture": dict(arguments["mixture"])}


@cache
def stand_in(plan: str) -> xr.Dataset:
    """Noise as long as the longest session of a plan, with as many units as the most."""
    if plan == "tables_paper":
        return noise(max(map(paper_bins, PAPER_SAMPLES)), max(PAPER_KEPT.values()), PAPER_FRAME, True)
    animals = simulated_animals().values()
    n_bins = max(int(one["minutes"] * 60 / BIN_WIDTH_S) for one in animals)
    (shape,) = {tuple(one["frame_shape"]) for one in animals}
    return noise(n_bins, max(one["n_units"] for one in animals), shape, False)


def measure_variants(plan: str, *names: str) -> Iterator[dict[str, dict[str, float]]]:
    """What a fit of each variant costs, each in a process of its own, whose largest memory is its own."""
    torch.set_num_threads(1)
    stand_in(plan)  # made once: the processes have it from this one
    with get_context("fork").Pool(1, maxtasksperchild=1) as apart:
        for name in names:
            yield {name: apart.apply(measure_variant, (plan, name))}


def measure_variant(plan: str, name: str) -> dict[str, float]:
    """What a fit of a variant costs."""
    session, variant = stand_in(plan), VARIANTS[name]
    config, (n_batches, n_epochs, n_predicted) = fit_config(variant, 0), TIMED[plan]
    model = make_model(variant, session, 0)
    lead = model.seq_len - 1 + config.predict_offset
    parts = split(session, "paper")
    (train, _), (validation, _) = parts.train[0], parts.validation[0]
    splits = Splits(
        ((train, train + lead + n_batches * config.chunk_bins * config.batch_chunks),),
        ((validation, validation + lead + n_predicted),),
        parts.test,
        "benchmark",
    )
    # By the processor's time instead of the wall's, a fit's own record of its epochs says what is asked for.
    processor = SimpleNamespace(perf_counter=time.process_time)
    begun = time.process_time()
    session_hash(session)  # of the key under which a sweep keeps the fit
    with patch.object(import_module("v1lib.fit"), "time", processor):
        run = fit(model, session, splits, replace(config, epochs=n_epochs, patience=n_epochs))
    whole = time.process_time() - begun
    epochs = run.history
    return {
        "epochs": config.epochs,
        "train_s": float((epochs["training_seconds"] / epochs["targets"]).min()),
        "predict_s": float((epochs["seconds"] - epochs["training_seconds"]).min()) / n_predicted,
        "setup_s": whole - float(epochs["seconds"].sum()),
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def measure_sessions(plan: str) -> Iterator[dict[str, Any]]:
    """What it takes to open the sessions of a plan and, where they are simulated, to make them."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if plan == "tables_paper":
            yield {"before_s": 0.0, "sessions": archive_sessions(Path(folder))}
        else:
            yield simulated_sessions(Path(folder))


def archive_sessions(folder: Path) -> dict[str, dict[str, float]]:
    """From one mouse, written here: a worker reads all files of the archive to know that they are the same
    (which one mouse tells for three), and those of its mouse to open it."""
    n_bins = paper_bins("070921_J553RT")
    n_columns = PAPER_KEPT["070921_J553RT"] + len(PAPER_DROPPED["070921_J553RT"])
    root = folder / "archive"
    place = write_osf_archive(noise(n_bins, n_columns, PAPER_FRAME, True), root, "070921_J553RT")
    bytes_a_bin = sum(file.stat().st_size for file in place.iterdir()) / n_bins
    animal = Animal(path=str(root), choices=(("animal", "070921_J553RT"),))
    check_s = processor_seconds(lambda: content(animal)) / n_bins
    open_s = processor_seconds(lambda: opened(animal)) / n_bins
    all_bins = sum(map(paper_bins, PAPER_SAMPLES))
    return {
        name: {
            "train": train,
            "validation": validation,
            "bins": paper_bins(name),
            "open_s": all_bins * check_s + paper_bins(name) * open_s,
            "read_bytes": (all_bins + paper_bins(name)) * bytes_a_bin,
        }
        for name, (train, validation) in PAPER_SAMPLES.items()
    }


def simulated_sessions(folder: Path) -> dict[str, Any]:
    """From a few minutes of the first animal."""
    animals = simulated_animals()
    arguments = next(iter(animals.values())) | {"minutes": MINUTES}
    longest = max(one["minutes"] for one in animals.values())
    made: list[Any] = []
    simulate_s = processor_seconds(lambda: made.append(simulate_recording(folder / "mouse", **arguments)))
    align_s = processor_seconds(lambda: align(made[0]))
    n_bytes = sum(file.stat().st_size for file in (folder / "mouse").rglob("*") if file.is_file())
    session = stand_in("tables_simulated")
    parts = split(session, "guarded", seq_len=8)
    train, validation = (len(parts.bins(part)) for part in ("train", "validation"))
    one = {
        "train": train,
        "validation": validation,
        "bins": session.sizes["time"],
        "open_s": align_s / MINUTES * longest,
        "read_bytes": n_bytes / MINUTES * longest,
    }
    return {"before_s": simulate_s / MINUTES * longest, "sessions": {name: one for name in animals}}


def processor_seconds(action: Callable[[], object]) -> float:
    begun = time.process_time()
    action()
    return time.process_time() - begun


def scheduler_seconds(n_tasks: int = 500, repeats: int = 3) -> Iterator[dict[str, float]]:
    """Seconds a task of a scheduler with one worker that has nothing to do."""
    best = float("inf")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.submit(int).result()
        for _ in range(repeats):
            begun = time.perf_counter()
            for future in as_completed([client.submit(int, pure=False) for _ in range(n_tasks)]):
                future.result()
            best = min(best, (time.perf_counter() - begun) / n_tasks)
    yield {"overhead_s": best}


def bytes_a_second(n_bytes: int = 2**28, repeats: int = 3) -> Iterator[dict[str, float]]:
    """Of a file on the disk of temporary files that the system was asked to forget before."""
    best = float("inf")
    with tempfile.NamedTemporaryFile() as file:
        file.write(np.random.default_rng(0).bytes(n_bytes))
        file.flush()
        os.fsync(file.fileno())
        for _ in range(repeats):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            begun = time.perf_counter()
            with open(file.name, "rb", buffering=0) as again:
                while again.read(2**23):
                    pass
            best = min(best, time.perf_counter() - begun)
    yield {"bandwidth_bytes_s": n_bytes / best}


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores {platform.machine()}, {memory:.0f} GiB, one thread a fit"


#: Of what the larger of two measurements is taken.
#: Measured as often as one likes and never better by chance; all else that is no time is counted.
MORE_IS_BEST = ("bandwidth_bytes_s", "memory_gib")
PARTS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "scheduler": scheduler_seconds,
    "disk": bytes_a_second,
    "sessions": measure_sessions,
    "variants": measure_variants,
}


def measured(part: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """What a part measures, one thing after another, in a process with one thread and an empty store."""
    command = [sys.executable, __file__, "-", "--part", part, *arguments]
    print(f"{time.strftime('%H:%M:%S')} {part} {', '.join(arguments):.60}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as store:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "V1LIB_PROGRESS": "0", "V1LIB_CACHE": store}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as made:
            assert made.stdout is not None
            for line in made.stdout:
                found = json.loads(line)
                print(f"{time.strftime('%H:%M:%S')} {', '.join(found):.60}", file=sys.stderr, flush=True)
                yield found
    if made.returncode:
        raise SystemExit(f"{part} ended with status {made.returncode}; what was measured is kept.")


def best(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Of two measurements the fewest seconds, the most bytes a second and memory, and the newer counts."""
    found = {}
    for name, value in new.items():
        before = old.get(name, value)
        if isinstance(value, dict):
            found[name] = best(before, value)
        elif name in MORE_IS_BEST:
            found[name] = max(before, value)
        else:
            found[name] = min(before, value) if name.endswith("_s") else value
    return found


def rounded(value: Any) -> Any:
    """Four digits of every measured number."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        for found in PARTS[given.part[0]](*given.part[1:]):
            print(json.dumps(found), flush=True)
        return
    costs = json.loads(given.file.read_text(encoding="utf-8")) if given.file.exists() else {}
    costs["measured"] = {"how": HOW, "machine": machine(), "torch": str(torch.__version__)}
    costs.setdefault("worker_memory_gib", WORKER_MEMORY_GIB)
    plans = costs.setdefault("plans", {})

    def measure(place: dict[str, Any], *part: str) -> None:
        """Write each thing as soon as it is known, beside the file and then in its place."""
        for found in measured(*part):
            place |= best(place, found)
            beside = given.file.with_name(f".{given.file.name}")
            beside.write_text(json.dumps(rounded(costs), indent=1) + "\n", encoding="utf-8")
            os.replace(beside, given.file)

    for name, part in (("overhead_s", "scheduler"), ("bandwidth_bytes_s", "disk")):
        if given.again or name not in costs:
            measure(costs, part)
    for plan in TIMED:
        own = plans.setdefault(plan, {})
        if given.again or "sessions" not in own:
            measure(own, "sessions", plan)
        there = own.setdefault("variants", {})
        names = yaml.safe_load(PLANS[plan].read_text(encoding="utf-8"))["variants"]
        if missing := [name for name in names if given.again or name not in there]:
            measure(there, "variants", plan, *missing)


if __name__ == "__main__":
    main()
