"""Renew ``requirements.lock`` from ``pyproject.toml`` with pip's own resolver: ``make lock``."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

from book.progress import ROOT

HEADER = """\
# Every package of the environment, pinned. Written by `make lock` from pyproject.toml; not edited by hand.
"""


def requirements() -> list[str]:
    """What ``pyproject.toml`` asks for: to build, to run, for the book and for the checks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    return [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(requirement for extra in extras.values() for requirement in extra),
    ]


def pins(report: dict) -> list[str]:
    """Sorted ``name==version`` lines of a pip report.

    A local version (``2.13.0+cpu``) names a build of a release, which differs between machines, and is
    left out: pip accepts any build of the release for the pin without it.
    """
    found = {
        item["metadata"]["name"].lower().replace("_", "-").replace(".", "-"): item["metadata"]["version"]
        for item in report["install"]
    }
    return [f"{name}=={version.split('+')[0]}" for name, version in sorted(found.items())]


def main() -> int:
    """Resolve, and write the lock only when everything was found."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--only-binary", ":all:", "--report", "-", *requirements()]
    resolved = subprocess.run(command, capture_output=True, text=True, check=False)
    if resolved.returncode:
        last = (resolved.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"The lock is left as it was, because pip found no solution: {last}", file=sys.stderr)
        return 1
    lines = pins(json.loads(resolved.stdout))
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"requirements.lock pins {len(lines)} packages; `make env` installs them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
