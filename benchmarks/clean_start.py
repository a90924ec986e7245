"""How long the two commands take on a fresh clone, and how much memory: prints a table, tests nothing.

``.venv/bin/python benchmarks/clean_start.py`` clones the committed state into a temporary folder, with
an empty home folder, and runs ``make env``, ``make book`` and ``make test`` there in turn and from cold.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "make env": "install",
    "make book": "book at quick, after the installation",
    "make test": "all checks",
}
#: What each is meant to stay below, in minutes on two cores; and all of them in GB.
AIMS_MIN = {"make env": 3, "make book": 10, "make test": 30}
AIM_GB = 4
SAMPLE_EVERY_S = 0.5


def memory_gb(process: psutil.Process) -> float:
    """Memory of a process and all it started, in GB; shared pages count once where the system can tell."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            info = member.memory_full_info()
            total += getattr(info, "pss", info.uss)
        except psutil.Error:
            continue  # it ended since the list was made
    return total / 1e9


def measure(command: str, folder: Path, env: dict[str, str], log: Path) -> tuple[int, float, float]:
    """Exit status, minutes, and peak memory in GB of a command."""
    start, peak = time.monotonic(), 0.0
    with log.open("a") as stream:
        child = subprocess.Popen(
            command.split(), cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        process = psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, memory_gb(process))
            time.sleep(SAMPLE_EVERY_S)
    return child.returncode, (time.monotonic() - start) / 60, peak


def main() -> int:
    """Measure all three and print the table."""
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        clone, home, log = Path(place) / "clone", Path(place) / "home", Path(place) / "log"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=clone, capture_output=True, text=True, check=True
        )
        ours = ("V1LIB_", "MPL", "IPYTHON", "JUPYTER", "OMP_", "VIRTUAL_ENV", "MAKE", "MFLAGS")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env["HOME"] = str(home)
        if "V1LIB_DATA" in os.environ:
            env["V1LIB_DATA"] = os.environ["V1LIB_DATA"]
        print(f"Commit {head.stdout.strip()}, {os.cpu_count()} cores, {platform.platform()}\n")
        print("| Command | What | Minutes | Aim | Peak memory (GB) | Aim |\n|---|---|--:|--:|--:|--:|")
        for command, what in COMMANDS.items():
            status, minutes, peak = measure(command, clone, env, log)
            outcome = "" if status == 0 else f" (failed with status {status})"
            row = [f"`{command}`", what + outcome, f"{minutes:.1f}", AIMS_MIN[command], f"{peak:.2f}", AIM_GB]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
            if status:
                failed += 1
                print("\n".join(log.read_text().splitlines()[-15:]), file=sys.stderr)
        left = [file.name for file in home.iterdir()]
        print(f"\nLeft in the home folder: {', '.join(left) or 'nothing'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
