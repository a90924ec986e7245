"""Execute, gate and build the book at one profile: ``make book``.

Everything is made below ``_build/<profile>``: ``executed`` (the notebooks with their outputs), ``source``
(what jupyter-book reads), and ``html``, replaced only when the whole book was built without a warning.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import nbformat

from book import pages, scaling
from book.execute import execute_all, use_kept_outputs, with_outputs
from book.gate import check_notebook, check_prose, read_literature
from book.keys import content_key
from book.profile import PROFILES, chapters, read_profile
from book.progress import ROOT, run


def compose(
    build: Path, profile: str, notebooks: list[Path], values: dict[str, dict[str, object]]
) -> list[str]:
    """Write ``source`` from the executed notebooks and the prose; return what the gate finds."""
    literature = read_literature()
    source = build / "source"
    shutil.rmtree(source, ignore_errors=True)
    (source / "notebooks").mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("*.py", "__pycache__"))

    findings: list[str] = []
    executed = {}
    for path in notebooks:
        original = nbformat.read(path, as_version=4)
        ran = executed[path.stem] = nbformat.read(build / "executed" / path.name, as_version=4)
        kept = pages.is_kept(ran)
        used = {} if kept else values[path.stem]
        page = with_outputs(original, ran)
        key = None if kept else content_key(original, used)
        found = check_notebook(page, f"notebooks/{path.stem}", literature, expected_key=key, executed=ran)
        findings += found
        if found:
            continue  # what follows relies on what the gate asks for
        pages.show_values_used(page, profile, used)
        if kept:
            pages.announce_kept(page, ran, profile)
        pages.label_data(page)
        pages.add_provenance(page, ran, profile, used)
        nbformat.write(page, source / "notebooks" / path.name)

    for file in sorted((source / "book").glob("*.md")):
        text = file.read_text()
        findings += check_prose(text, f"book/{file.stem}", literature)
        text = text.replace(pages.STATUS_MARK, pages.status_table(executed, profile))
        if scaling.asks(text):
            text = scaling.filled(text)
            scaling.draw(source / "book" / scaling.FIGURE)
        file.write_text(f"{text.rstrip()}\n\n{pages.prose_provenance(profile)}\n")
    return findings


def render(build: Path) -> list[str]:
    """Build the HTML from scratch with warnings as errors; return jupyter-book's complaints."""
    rendered = build / "rendered"
    shutil.rmtree(rendered, ignore_errors=True)
    log = build / "render.log"
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", str(build / "source"), "--path-output", str(rendered)]
    command += ["--all", "-n", "-W", "--keep-going"]
    if run(command, label="Rendering", name=f"{build.name}: rendering", expected_s=30.0, log=log):
        said = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text())
        complaints = [line for line in said.splitlines() if re.search(r"WARNING|ERROR|Error", line)]
        return [*complaints, f"jupyter-book refused the pages above; the whole log: {os.path.relpath(log)}"]
    html = build / "html"
    shutil.rmtree(html, ignore_errors=True)
    os.replace(rendered / "_build" / "html", html)
    return []


def execute_chapters(notebooks: list[Path], folder: Path, values: dict[str, dict[str, object]]) -> list[str]:
    """Fill `folder` with the executed notebooks; return a line for each that is missing there.

    Where all that a notebook lacks is a recording from elsewhere, the outputs kept in the repository take
    its place: a book must not need a network to be built.
    """
    problems = []
    for path, failure in execute_all(notebooks, folder, values).items():
        problem: str | None = failure.sentence
        if failure.lacks_recording:
            problem = use_kept_outputs(path, folder / path.name)
        problems += [problem] if problem else []
    return problems


def build_book(profile: str) -> list[str]:
    """Build the book at `profile`; return a line for each thing that is wrong, none if it was built."""
    notebooks = chapters()
    values = read_profile(profile, notebooks)
    build = ROOT / "_build" / profile
    problems = execute_chapters(notebooks, build / "executed", values)
    return problems or compose(build, profile, notebooks, values) or render(build)


def main() -> int:
    """Build the book, and end in what stands or in what to mend."""
    parser = argparse.ArgumentParser(description="Execute, gate and build the book.")
    parser.add_argument("--profile", default="quick", help=", ".join(PROFILES))
    profile = parser.parse_args().profile
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The build was ended; `make book` goes on from here."))
    try:
        problems = build_book(profile)
    except (FileNotFoundError, ValueError) as error:
        problems = [str(error)]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        print("The book was not built: mend what is listed above and run `make book` again.", file=sys.stderr)
        return 1
    serve = "make serve" if profile == "quick" else f"make serve PROFILE={profile}"
    print(f"The book is built: open _build/{profile}/html/index.html, or run `{serve}`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
