"""Execute notebooks, one for each pair of cores at a time, and again only those that something changed for.

``python -m book.execute [STEM ...]`` executes the repository's notebooks in place with their own values
(``make notebooks``); the build executes them into ``_build/<profile>/executed``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from book.keys import code_cells, code_hash, content_key
from book.profile import chapters
from book.progress import ROOT, end_running, past_duration, run

#: Seconds a notebook is thought to take before it has ever run here.
FIRST_GUESS_S = 60.0

#: Exit status of :mod:`book.execute_one` where a real recording could be neither found nor downloaded.
NO_RECORDING = 69

#: Notebooks executed at a time, each on two threads; each may need 2 GB of memory.
LANES = max(1, min(4, (os.cpu_count() or 1) // 2))

KERNEL_ENVIRONMENT = {
    "TQDM_DISABLE": "1",  # a progress bar would be stderr on a page
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of .venv, whatever kernels the user has installed
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    # What a fit gives depends on its threads, so that they are the same on every machine.
    "OMP_NUM_THREADS": "2",
    # Threads that wait for each other by spinning slow a fit fivefold as soon as anything else wants a core.
    "OMP_WAIT_POLICY": "passive",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


class Failure(NamedTuple):
    """Why a notebook was not executed to its end, and whether all it lacks is a recording from elsewhere."""

    sentence: str
    lacks_recording: bool


def warm_up() -> None:
    """Let matplotlib find its fonts once, because it says on stderr when it does."""
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=True)


def is_current(executed: Path, key: dict[str, str]) -> bool:
    """Whether `executed` holds a finished execution of exactly `key`."""
    try:
        record = nbformat.read(executed, as_version=4).metadata["v1lib"]["executed"]
    except (OSError, ValueError, KeyError):
        return False
    return not record.get("kept") and all(record.get(name) == value for name, value in key.items())


def execute_all(
    notebooks: list[Path], folder: Path, parameters: dict[str, dict[str, object]]
) -> dict[Path, Failure]:
    """Execute each notebook into `folder`; return what failed, and why.

    A notebook whose code, parameters, library and lock are those of a finished execution is not executed
    again, so a build that was killed goes on where it stopped. One that fails does not stop the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = {path: content_key(nbformat.read(path, as_version=4), parameters[path.stem]) for path in notebooks}
    waiting = [path for path in notebooks if not is_current(folder / path.name, keys[path])]
    for path in notebooks:
        if path not in waiting:
            print(f"{path.stem}: nothing changed since it was executed")
    if waiting:
        warm_up()
    names = {path: f"{folder.parent.name}: {path.stem}" for path in waiting}

    def execute(path: Path) -> Failure | None:
        log, number = folder / f"{path.stem}.log", waiting.index(path) + 1
        command = [sys.executable, "-m", "book.execute_one", str(path), str(folder / path.name)]
        later = sum(past_duration(names[other], FIRST_GUESS_S) for other in waiting[number:])
        status = run(
            [*command, "--parameters", json.dumps(parameters[path.stem])],
            label=f"[{number}/{len(waiting)}] {path.stem}",
            name=names[path],
            expected_s=FIRST_GUESS_S,
            after_s=later / LANES,
            log=log,
            env=KERNEL_ENVIRONMENT,
        )
        if not status:
            return None
        said = log.read_text().strip().splitlines() or ["it was ended from outside"]
        sentence = f"{path.stem}: {said[-1]} (the whole log: {os.path.relpath(log)})"
        return Failure(sentence, status == NO_RECORDING)

    with ThreadPoolExecutor(LANES) as lanes:
        try:
            found = dict(zip(waiting, lanes.map(execute, waiting), strict=True))
        except BaseException:  # what the threads run would go on otherwise
            lanes.shutdown(wait=False, cancel_futures=True)
            end_running()
            raise
    return {path: failure for path, failure in found.items() if failure}


def with_outputs(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """A copy of `source` that carries the outputs of `executed`; both have the same code."""
    page = nbformat.from_dict(source)
    for cell, ran in zip(code_cells(page), code_cells(executed), strict=True):
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    return page


def use_kept_outputs(path: Path, executed: Path) -> str | None:
    """Put the repository's notebook in the place of an execution that lacks a recording.

    Its record is marked as ``kept``, so that it is never taken for an execution. The code alone decides
    whether the outputs are out of date: a library that moved on does not make them unreadable, and the page
    says so.

    Returns
    -------
    str or None
        A sentence that says why there is nothing to put there, None if it was done.
    """
    kept = nbformat.read(path, as_version=4)
    record = kept.metadata.get("v1lib", {}).get("executed", {})
    lacking = None
    if not any(cell.outputs for cell in code_cells(kept)):
        lacking = "the repository keeps no outputs of it"
    elif record.get("code") != code_hash(kept):
        lacking = "the outputs kept in the repository are not those of its present code"
    if lacking:
        return (
            f"{path.stem}: its recordings can be neither found nor downloaded, and {lacking}: "
            "name the recordings' folder in V1LIB_DATA, or connect to a network."
        )
    kept.metadata["v1lib"]["executed"] = {**record, "kept": True}
    nbformat.write(kept, executed)
    print(f"{path.stem}: its recordings cannot be fetched: its page shows the outputs kept in the repository")
    return None


def store_in_place(path: Path, executed: NotebookNode) -> None:
    """Write the outputs of a quick execution into the repository's notebook, without its timings."""
    page = with_outputs(nbformat.read(path, as_version=4), executed)
    page.metadata.pop("papermill", None)
    for cell in page.cells:
        for passing in ("papermill", "execution"):
            cell.metadata.pop(passing, None)
    record = executed.metadata["v1lib"]["executed"]
    page.metadata.setdefault("v1lib", {})["executed"] = {
        name: record[name] for name in ("code", "library", "lock")
    }
    beside = path.with_name(f".{path.name}")
    nbformat.write(page, beside)
    os.replace(beside, path)


def main() -> int:
    """Execute the repository's notebooks in place."""
    parser = argparse.ArgumentParser(description="Execute the repository's notebooks in place at quick.")
    parser.add_argument("stems", nargs="*", help="such as 01_recording; all of them if none is named")
    stems = parser.parse_args().stems
    notebooks = [ROOT / "notebooks" / f"{stem.removesuffix('.ipynb')}.ipynb" for stem in stems] or chapters()
    for path in notebooks:
        if not path.is_file():
            sys.exit(f"There is no notebook {path.name} in notebooks/.")
    folder = ROOT / "_build" / "quick" / "executed"
    failures = execute_all(notebooks, folder, {path.stem: {} for path in notebooks})
    for path in notebooks:
        executed = folder / path.name
        if is_current(executed, content_key(nbformat.read(path, as_version=4), {})):
            store_in_place(path, nbformat.read(executed, as_version=4))
        else:
            changed = f"{path.stem}: something it depends on changed while it ran: run it again."
            failures.setdefault(path, Failure(changed, lacks_recording=False))
    said = "\n".join(failure.sentence for failure in failures.values())
    print(said or f"{len(notebooks)} notebooks hold their quick outputs.")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
