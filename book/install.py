"""Make ``.venv`` hold exactly ``requirements.lock`` and this package: ``make env``.

Run by the system's Python, so the standard library alone is used. Everything pip says goes into
``.venv/install.log``; what a reader sees is progress, and one sentence where something fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from book.progress import ROOT, run

VENV = ROOT / ".venv"
LOG = VENV / "install.log"
LOCK = ROOT / "requirements.lock"

#: Removes what neither the lock names nor a locked package pins exactly (torch's own build parts).
PRUNE = """
import re, subprocess, sys
from importlib.metadata import distributions
canonical = lambda name: re.sub(r"[-_.]+", "-", name).lower()
locked = {canonical(line.split("==")[0]) for line in open(sys.argv[1]) if "==" in line}
present = {canonical(d.metadata["Name"]): d for d in distributions()}
exact = set()
for name in locked & present.keys():
    for need in present[name].requires or []:
        if "==" in need.split(";")[0]:
            exact.add(canonical(re.match(r"[A-Za-z0-9._-]+", need).group()))
extra = sorted(present.keys() - locked - exact - {"pip", "v1lib"})
if extra:
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "uninstall", "--yes", *extra]))
"""


def venv_python() -> Path:
    """The interpreter of the environment."""
    return VENV / "bin" / "python"


def make_venv() -> None:
    """Create ``.venv``, or make it again where its interpreter does not start."""
    if venv_python().exists():
        works = subprocess.run(
            [str(venv_python()), "-m", "pip", "--version"], capture_output=True, check=False
        )
        if works.returncode == 0:
            return
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "Python's venv module does not work here: install it (on Debian or Ubuntu the package "
            "python3-venv) and run `make env` again."
        )


def reason() -> str:
    """One sentence on why pip stopped, from the end of its log."""
    text = LOG.read_text()
    if any(
        sign in text for sign in ("NewConnectionError", "name resolution", "ConnectTimeout", "ProxyError")
    ):
        return "The package index cannot be reached: connect to the network and run `make env` again."
    if "No space left" in text:
        return "The disk is full: make room (about 3 GB are needed) and run `make env` again."
    errors = [line for line in text.splitlines() if line.startswith("ERROR")]
    last = errors[-1] if errors else "no reason given"
    return f"A package could not be installed ({last}): see .venv/install.log and run `make env` again."


def main() -> int:
    """Install; a second run after a failure goes on where the first one stopped."""
    make_venv()
    pip = [str(venv_python()), "-m", "pip"]
    packages = sum("==" in line for line in LOCK.read_text().splitlines())
    steps = [
        (
            f"Installing {packages} packages",
            [*pip, "install", "--only-binary", ":all:", "--requirement", str(LOCK)],
            120.0,
        ),
        ("Removing what the lock does not name", [str(venv_python()), "-c", PRUNE, str(LOCK)], 2.0),
        (
            "Installing v1lib itself",
            [*pip, "install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
            5.0,
        ),
    ]
    for number, (label, command, expected) in enumerate(steps):
        after = sum(seconds for _, _, seconds in steps[number + 1 :])
        if run(command, label=label, name=f"env: {label}", expected_s=expected, after_s=after, log=LOG):
            print(reason(), file=sys.stderr)
            return 1
    (VENV / ".installed").touch()
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
