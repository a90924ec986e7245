"""Run a command while one line says what runs, for how long, and about how long is left.

Durations of the last run are kept in ``_build/durations.json``; a command that ran before is timed by
its own past, one that did not by the estimate of the caller. The standard library alone is used here,
because the installation needs this module before anything is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DURATIONS = ROOT / "_build" / "durations.json"

#: Seconds between two lines where the output is a file and no line can be rewritten.
QUIET_INTERVAL_S = 30.0

#: The commands that run now, and what each says of itself.
_running: dict[subprocess.Popen, str] = {}


def past_duration(name: str, otherwise: float) -> float:
    """Seconds that the step `name` took the last time it finished, or `otherwise`."""
    return float(_durations().get(name, otherwise))


def remember_duration(name: str, seconds: float) -> None:
    """Keep `seconds` as the duration of the step `name`."""
    durations = _durations() | {name: round(seconds, 1)}
    DURATIONS.parent.mkdir(parents=True, exist_ok=True)
    beside = DURATIONS.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(durations, indent=1, sort_keys=True) + "\n")
    os.replace(beside, DURATIONS)


def in_words(seconds: float) -> str:
    """A duration as a person says it: ``"40 s"``, ``"3 min 20 s"``."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def end_running() -> None:
    """End the commands that other threads run now, each of which then reports its failure."""
    for child in list(_running):
        child.terminate()


def run(
    command: list[str],
    *,
    label: str,
    name: str,
    expected_s: float,
    after_s: float = 0.0,
    log: Path | None = None,
    env: dict[str, str] | None = None,
) -> int:
    """Run `command` and return its exit status; several threads may each run one.

    Parameters
    ----------
    command : list of str
        Program and arguments, run in the repository's root.
    label : str
        What the line says.
    name : str
        Under which the duration is remembered.
    expected_s : float
        Estimate of the duration in seconds, used until there is a remembered one.
    after_s : float
        Seconds that the steps after this one will take; added to the time left.
    log : Path, optional
        File that takes what the command prints; without it the output goes to the terminal and the
        line is printed once, before it.
    env : dict, optional
        Environment variables beside the present ones.
    """
    expected = past_duration(name, expected_s)
    environment = os.environ | (env or {})
    start = time.monotonic()
    print(f"{label}: about {in_words(expected + after_s)} left", flush=True)
    if log is None:
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as stream:
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
            try:
                status = _watch(child, label, expected, after_s, start)
            finally:
                _running.pop(child, None)
                if child.poll() is None:
                    child.terminate()
                    child.wait()
    seconds = time.monotonic() - start
    if status == 0:
        remember_duration(name, seconds)
    print(f"{label}: {'done' if status == 0 else 'failed'} after {in_words(seconds)}", flush=True)
    return status


def _watch(child: subprocess.Popen, label: str, expected: float, after_s: float, start: float) -> int:
    _running[child] = label
    interval = 1.0 if sys.stdout.isatty() else QUIET_INTERVAL_S
    while True:
        try:
            status = child.wait(timeout=interval)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - start
            # Past the estimate nothing is known about this step, so only the later ones are counted.
            rest = f"about {in_words(expected - elapsed + after_s)} left"
            if elapsed > expected:
                rest = f"longer than the {in_words(expected)} expected, then about {in_words(after_s)}"
            line = _running[child] = f"{label}: {in_words(elapsed)} so far, {rest}"
            if sys.stdout.isatty():
                print("\r\033[K" + " | ".join(list(_running.values())), end="", flush=True)
            else:
                print(line, flush=True)
            continue
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)
        return status


def _durations() -> dict[str, float]:
    try:
        return dict(json.loads(DURATIONS.read_text()))
    except (OSError, ValueError):
        return {}  # only estimates are lost
