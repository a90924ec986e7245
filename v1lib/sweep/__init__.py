"""Every row of a plan, fitted by the workers of a scheduler: this machine's own, or a cluster's.

The workers open the sessions, fit, and write each result at once into the store, which they and the caller
share; the scheduler passes nothing but names and reasons. What is in the store is never computed again, so a
plan that was stopped, by whatever, goes on when it is run again: whole rows are there, and a fit that was
under way goes on after its last whole epoch.

On a cluster with Slurm, with `dask-jobqueue`_, the store on a disk that all nodes see::

    import v1lib
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory="8GB",
        walltime="12:00:00",
        job_script_prologue=["export OMP_NUM_THREADS=1"],
    )
    cluster.scale(jobs=100)
    results = v1lib.sweep("plan.yml", scheduler=cluster)

The environment variable ``V1LIB_CACHE`` of the caller, or its default, names the store.
``python -m v1lib.sweep plan.yml`` does the same from a terminal.

.. _dask-jobqueue: https://jobqueue.dask.org
"""

from __future__ import annotations

import inspect
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch
import xarray as xr
from tqdm import tqdm

from v1lib.align import align
from v1lib.animals import Animal, outline, simulate
from v1lib.cache import cache_root
from v1lib.errors import InputError, check_whole
from v1lib.fit import quiet
from v1lib.plan import Plan, Row, read_plan
from v1lib.results import forget_failure, gathered, load_results, make_result, note_failure, read_result

__all__ = ["load_results", "sweep"]

#: How long a scheduler may take to answer, s.
TIMEOUT_S = 20.0
#: What a worker of this machine is given: so much, and so many times the frames of the largest session.
_BASE_GIB, _FRAME_COPIES = 2.0, 6
#: Of the sessions of simulated animals, which are aligned with the default, s.
_BIN_WIDTH_S: float = inspect.signature(align).parameters["bin_width_s"].default
#: Torch's generator and the C library's settings belong to the process, so one fit is made at a time in it.
_ONE_FIT = threading.Lock()


def sweep(
    plan: str | Path | Mapping | Plan, *, scheduler: Any = None, workers: int | None = None
) -> xr.Dataset:
    """Fit and score what a plan asks for and the store does not hold yet.

    Parameters
    ----------
    plan : str, Path, mapping or Plan
        See :func:`v1lib.plan.read_plan`.
    scheduler : str, cluster or dask.distributed.Client, optional
        Address of a scheduler (``tcp://host:port``), a cluster object such as one of dask-jobqueue, or a
        client. Its workers have one thread each and see the files of the animals and the store under the
        same paths. By default processes on this machine, for whose time a script needs
        ``if __name__ == "__main__":``.
    workers : int, optional
        Processes on this machine; by default one a core, or fewer where memory does not suffice.

    Returns
    -------
    xarray.Dataset
        See :func:`load_results`. A row that failed has NaN, and its reason in one sentence; it is tried again
        when the plan is run again. A fit that always diverges costs its time at every run: change its variant
        or take it out of the plan.

    Raises
    ------
    InputError
        What :func:`v1lib.plan.read_plan` raises; or if the scheduler does not answer within 20 s, has
        workers of more than one thread, or is lost on the way, after which what is finished is kept.

    Notes
    -----
    Each fit has one thread. A row whose worker dies is given to another one, three times
    (``distributed.scheduler.allowed-failures``), before it counts as failed. A link to the live dashboard is
    printed, unless ``V1LIB_PROGRESS`` is 0.
    """
    plan = read_plan(plan)
    if workers is not None:
        check_whole("sweep", "workers", workers, 1)
        if scheduler is not None:
            raise InputError("sweep", "workers", "none where a scheduler has its own", repr(workers))
    missing = [row for row in plan.rows() if not _finished(row)]
    reasons: dict[Row, str] = {}
    if missing:
        with _connected(plan, scheduler, workers, len(missing)) as client:
            if os.environ.get("V1LIB_PROGRESS") != "0":
                print(
                    f"{len(missing)} of {len(plan.rows())} fits to make; dashboard: {client.dashboard_link}"
                )
            reasons = _fit_all(client, missing)
    return gathered(plan, reasons)


def _finished(row: Row) -> bool:
    """Whether there is a result; a damaged one is named and removed."""
    try:
        return read_result(row) is not None
    except InputError as error:
        warnings.warn(f"{error} It is made again.", stacklevel=3)
        row.place().unlink(missing_ok=True)
        return False


@contextmanager
def _connected(plan: Plan, scheduler: Any, workers: int | None, n_rows: int) -> Iterator[Any]:
    """A client of the scheduler; what was made here ends here."""
    from dask.distributed import Client  # slow to import

    if isinstance(scheduler, Client):
        yield scheduler
    elif scheduler is not None:
        with _client(scheduler) as client:
            yield client
    else:
        number, memory = local_workers(plan, workers)
        with _local_cluster(min(number, n_rows), memory) as cluster, _client(cluster) as client:
            client.register_plugin(_silent_end())
            yield client


def _local_cluster(n_workers: int, memory: int) -> Any:
    """So many processes of this machine, each with one thread and so many bytes."""
    from dask.distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            silence_logs=logging.ERROR,
            memory_limit=memory,
            dashboard_address="127.0.0.1:0",
            env={"V1LIB_PROGRESS": "0"},
        )
    except RuntimeError as error:
        expected = 'ones that start (in a script, call sweep under `if __name__ == "__main__":`)'
        raise InputError(
            "sweep", "workers", expected, f"none ({' '.join(str(error).split()):.80})"
        ) from error


def _silent_end() -> Any:
    """A plugin for workers of this terminal, which Ctrl-C reaches too: they end and say nothing."""
    from dask.distributed import WorkerPlugin

    class SilentEnd(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    return SilentEnd()


def _client(scheduler: Any) -> Any:
    from dask.distributed import Client

    try:
        return Client(scheduler, timeout=TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        expected = f"one that answers within {TIMEOUT_S:g} s"
        reason = " ".join(str(error).split())
        raise InputError("sweep", "scheduler", expected, f"{scheduler!r:.80} ({reason:.160})") from error


def local_workers(plan: Plan, workers: int | None = None) -> tuple[int, int]:
    """How many processes this machine has cores and memory for, and how many bytes each may take.

    A process that takes more is ended, and its row tried again.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = psutil.virtual_memory().available
    needed = int(_BASE_GIB * 2**30) + _FRAME_COPIES * max(_frame_bytes(animal) for _, animal in plan.animals)
    number = workers if workers is not None else max(1, min(cores, free // needed))
    return number, free // number


def _frame_bytes(animal: Animal) -> int:
    """About as much as the frames of a session take."""
    if not animal.simulated:
        path = Path(animal.path)
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    shape = outline(animal).session["frames"].shape
    return int(dict(animal.simulated)["minutes"] * 60 / _BIN_WIDTH_S) * shape[1] * shape[2]


def _fit_all(client: Any, rows: list[Row]) -> dict[Row, str]:
    """Have every row made; the reasons of those that failed."""
    from dask.distributed import as_completed

    _check_threads(client)
    store = str(cache_root().absolute())
    # Each animal is simulated once, before its rows; those of one animal follow each other on a worker.
    ready: dict[Animal, Any] = {}
    futures = {}
    for number, row in enumerate(rows):
        order = {"pure": False, "priority": -number}
        if row.animal not in ready:
            ready[row.animal] = client.submit(_simulate, row.animal, store, **order)
        place = str(row.place().absolute())
        futures[client.submit(_make, row, place, store, ready[row.animal], **order)] = row
    reasons: dict[Row, str] = {}
    try:
        with tqdm(total=len(rows), unit="fit", disable=quiet()) as bar:
            for number, future in enumerate(as_completed(futures, loop=client.loop), start=1):
                row = futures[future]
                if reason := _reason(client, future):
                    reasons[row] = reason
                    note_failure(row, reason)
                else:
                    forget_failure(row)
                running = 0 if bar.disable else _n_running(client)
                bar.set_postfix(done=number - len(reasons), running=running, failed=len(reasons))
                bar.update()
    except BaseException:
        if client.status == "running":
            with suppress(OSError):  # a scheduler that has gone has nothing left to cancel
                client.cancel([*futures, *ready.values()])
        raise
    return reasons


def _n_running(client: Any) -> int:
    """Workers that make a row now."""
    with suppress(OSError):  # of a lost scheduler the next future tells
        return sum(map(bool, client.processing().values()))
    return 0


def _check_threads(client: Any) -> None:
    """Refuse workers that would make several fits in one process."""
    for address, threads in client.nthreads().items():
        if threads > 1:
            expected = "workers of one thread each (dask worker --nthreads 1)"
            raise InputError("sweep", "scheduler", expected, f"{threads} threads at {address}")


def _reason(client: Any, future: Any) -> str:
    """Why the row of a future that has ended has no result; empty where it has one."""
    from dask.distributed import CancelledError

    if future.status == "finished":
        # The scheduler may go between the end of a row and this question.
        with suppress(CancelledError, OSError):
            return future.result()
    if future.status == "error":
        return _sentence(future.exception())
    expected = "a scheduler that answers to the end (what is finished is kept: run the plan again)"
    raise InputError("sweep", "scheduler", expected, f"the connection to {client.scheduler.address} lost")


def _sentence(error: BaseException) -> str:
    """An error in one sentence."""
    from dask.distributed import KilledWorker

    if isinstance(error, KilledWorker):
        died = f"{error.allowed_failures + 1} that died, the last at {error.last_worker.address}"
        return str(InputError("sweep", "worker", "one that lives until the row is made", died))
    if isinstance(error, InputError):
        return str(error)
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def _simulate(animal: Animal, store: str) -> str:
    """On a worker: the recording of a simulated animal; returns the reason if there can be none."""
    os.environ["V1LIB_CACHE"] = store
    try:
        with _ONE_FIT:
            simulate(animal)
    except Exception as error:  # whatever it is, other animals go on
        return _sentence(error)
    return ""


def _make(row: Row, place: str, store: str, reason: str) -> str:
    """On a worker: the result of a row, written into the store; returns the reason if there can be none."""
    if reason:
        return reason
    os.environ["V1LIB_CACHE"] = store
    try:
        if str(row.place()) != place:
            expected = "the caller's version of v1lib and torch, and the caller's files of the animal"
            raise InputError("worker", f"row {row}", expected, "others")
        with _ONE_FIT:
            torch.set_num_threads(1)
            make_result(row)
    except Exception as error:  # whatever it is, other rows go on
        return _sentence(error)
    return ""
