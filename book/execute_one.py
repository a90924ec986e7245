"""Execute one notebook in a process of its own, so that its kernel's peak memory can be read off.

Started by :mod:`book.execute`; what it prints goes to that notebook's log, and its last line says in a
sentence why it failed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import resource
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

from book.execute import NO_RECORDING
from book.keys import content_key


def device() -> str:
    """What torch computes on, named as it names itself."""
    import torch  # only here: it takes seconds to import

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return f"CPU, {torch.get_num_threads()} threads"


def peak_memory_mb() -> float:
    """Largest resident memory of the kernel that has ended, in MB."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kilobytes elsewhere


def execute(source: Path, target: Path, parameters: dict[str, object]) -> None:
    """Execute `source` with `parameters` and write it to `target`, whole or not at all."""
    key = content_key(nbformat.read(source, as_version=4), parameters)
    beside = target.with_name(f".{target.stem}.partial.ipynb")
    # A folder that is empty and goes away: a notebook that relies on where it runs must fail here.
    with tempfile.TemporaryDirectory() as nowhere:
        papermill.execute_notebook(
            source, beside, parameters, kernel_name="python3", progress_bar=False, cwd=nowhere
        )
    executed = nbformat.read(beside, as_version=4)
    executed.metadata.setdefault("v1lib", {})["executed"] = {
        **key,
        "device": device(),
        "peak_memory_mb": round(peak_memory_mb()),
        "duration_s": round(executed.metadata.papermill.duration, 1),
        "finished": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    nbformat.write(executed, beside)
    os.replace(beside, target)


def lacks_recording(name: str, message: str) -> bool:
    """Whether an error that ended a notebook is :func:`v1lib.readers.fetch.fetch`'s for a failed download.

    A kernel hands over an error's name and its message alone, so the message's two first parts, which
    :class:`v1lib.errors.InputError` puts there, have to say it.
    """
    return name == "InputError" and re.match(r"https://\S+: download: expected ", message) is not None


def main() -> int:
    """Execute the notebook named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--parameters", type=json.loads, default={})
    arguments = parser.parse_args()
    try:
        execute(arguments.source, arguments.target, arguments.parameters)
    except papermill.PapermillExecutionError as error:
        print("\n".join(error.traceback))
        print(f"code cell {error.exec_count}: {error.ename}: {error.evalue}")
        return NO_RECORDING if lacks_recording(error.ename, error.evalue) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
