"""Time and memory of simulating a recording and of aligning it, for several lengths: prints a table.

``.venv/bin/python benchmarks/simulate_and_align.py [minutes ...]`` (10, 20, 40 and 60 by default), each step
in a process of its own, so that its peak memory is its own. Both steps are meant to be linear in length: the
last column says how much longer a minute of recording takes than in the shortest one.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = {
    "simulate": "v1lib.simulate_recording({place!r}, minutes={minutes}, n_units={units}, seed=0)",
    "align": "v1lib.align(v1lib.open_recording({place!r}))",
}
UNITS = 60
#: What each is meant to stay below for an hour on two cores: seconds, and GB (the latter for align alone).
AIMS = {"simulate": (300, None), "align": (60, 1.5)}


def measure(statement: str) -> tuple[float, float]:
    """Seconds and peak memory in GB of a statement, without the import of v1lib."""
    script = (
        "import resource, sys, time, v1lib\n"
        "start = time.monotonic()\n"
        f"{statement}\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(time.monotonic() - start, peak / 1e9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak


def main() -> None:
    """Measure and print each step as it is done."""
    lengths = [float(word) for word in sys.argv[1:]] or [10.0, 20.0, 40.0, 60.0]
    print(f"60 × 80 px at 60 fields a second, {UNITS} units; {platform.processor() or platform.machine()}")
    print(f"{'step':10} {'minutes':>8} {'s':>8} {'s / minute':>11} {'GB':>6} {'against the first':>18}")
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for minutes in lengths:
            place = str(Path(folder) / f"mouse_{minutes:g}")
            for step, statement in STEPS.items():
                seconds, peak = measure(statement.format(place=place, minutes=minutes, units=UNITS))
                pace = seconds / minutes
                ratio = pace / first.setdefault(step, pace)
                print(
                    f"{step:10} {minutes:8g} {seconds:8.1f} {pace:11.2f} {peak:6.2f} {ratio:18.2f}",
                    flush=True,
                )
    for step, (seconds, gigabytes) in AIMS.items():
        memory = f" and {gigabytes} GB" if gigabytes else ""
        print(f"aim for 60 minutes: {step} within {seconds} s{memory}")


if __name__ == "__main__":
    main()
