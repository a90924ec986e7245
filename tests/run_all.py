"""All checks, one after the other, to the end: ``make test``; with ``--quick`` those of ``make check``.

A failing check does not hide the ones after it. The last line counts every test and check.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from book.execute import KERNEL_ENVIRONMENT
from book.progress import ROOT, in_words, past_duration, run

REPORTS = ROOT / "_build" / "reports"
#: These look at notebooks and pages, so they come after the build.
AFTER_BUILD = ["tests/test_notebooks.py", "tests/test_rendered_book.py"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # two workers share the cores
PYTEST = ["-m", "pytest", "--no-header", "-q"]
NBVAL = ["--nbval-lax", "-p", "no:cacheprovider"]


@dataclass(frozen=True)
class Check:
    """A command with the interpreter in front, and the seconds it is thought to take the first time."""

    name: str
    arguments: list[str]
    expected_s: float
    env: dict[str, str]

    @property
    def is_pytest(self) -> bool:
        """Whether it reports single tests."""
        return self.arguments[:2] == ["-m", "pytest"]

    @property
    def report(self) -> Path:
        """Where pytest writes what it counted."""
        return REPORTS / f"{self.name.replace(' ', '_')}.xml"


def checks(quick: bool) -> list[Check]:
    """The checks in their order."""
    ignored = [f"--ignore={file}" for file in AFTER_BUILD]
    fast = ["-m", "not slow"] if quick else []
    first = [
        Check("lint", ["-m", "ruff", "check", "."], 2, {}),
        Check("format", ["-m", "ruff", "format", "--check", "."], 2, {}),
        Check("types", ["-m", "mypy"], 30, {}),
        Check(
            "fast unit tests" if quick else "unit tests",
            [*PYTEST, "-n", "2", "tests", *ignored, *fast],
            40 if quick else 180,
            ONE_THREAD,
        ),
    ]
    if quick:
        return first
    notebooks = [str(file.relative_to(ROOT)) for file in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    return [
        *first,
        Check("book", ["-m", "book.build", "--profile", "quick"], 600, {}),
        Check(
            "stored notebooks",
            [*PYTEST, "-p", "tests.skip_without_recordings", *NBVAL, *notebooks],
            180,
            KERNEL_ENVIRONMENT,
        ),
        Check("notebooks and pages", [*PYTEST, *AFTER_BUILD], 60, {"V1LIB_REQUIRE_BOOK": "1"}),
    ]


def count(check: Check, status: int) -> tuple[int, int, int]:
    """How many passed, failed, and were skipped; a check without single tests counts as one."""
    if not check.is_pytest or not check.report.exists():
        return int(status == 0), int(status != 0), 0
    suites = ElementTree.parse(check.report).getroot().iter("testsuite")
    totals = [
        [int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites
    ]
    tests, failures, errors, skipped = (sum(column) for column in zip(*totals, strict=True))
    failed = failures + errors
    # pytest can fail without a failing test: nothing collected, or a worker that died.
    return tests - failed - skipped, failed or int(status != 0), skipped


def main() -> int:
    """Run every check and count."""
    parser = argparse.ArgumentParser(description="Run all checks of the repository.")
    parser.add_argument("--quick", action="store_true", help="the loop of a minute")
    todo = checks(parser.parse_args().quick)
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    start = time.monotonic()
    passed = failed = skipped = 0
    broken = []
    for number, check in enumerate(todo, start=1):
        extra = [f"--junitxml={check.report}"] if check.is_pytest else []
        status = run(
            [sys.executable, *check.arguments, *extra],
            label=f"[{number}/{len(todo)}] {check.name}",
            name=f"check: {check.name}",
            expected_s=check.expected_s,
            after_s=sum(past_duration(f"check: {later.name}", later.expected_s) for later in todo[number:]),
            env=check.env,
        )
        good, bad, left_out = count(check, status)
        passed, failed, skipped = passed + good, failed + bad, skipped + left_out
        if status:
            broken.append(check.name)
    print(f"\nAll checks took {in_words(time.monotonic() - start)}; {skipped} tests were skipped.")
    if broken:
        print(f"Mend what is reported above under: {', '.join(broken)}.")
    summary = f"{passed} passed, {failed} failed"
    (REPORTS / "summary.txt").write_text(summary + "\n")  # for those who print something after this
    print(summary, flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
