"""What the build adds to a page: what data made it, where it comes from, and the table of all runs."""

from __future__ import annotations

import ast
import datetime
import html
import re
import subprocess

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from book.keys import INJECTED, code_cells, default_parameters, has_tag, library_hash, lock_hash
from book.progress import ROOT, in_words

DATA_LABELS = {
    "simulated": "Simulated recording",
    "real": "Real recording",
    "both": "Simulated and real recordings",
    "given": "Recording given by its path",
}
STATUS_MARK = "<!-- the build puts the table of runs here -->"
UNKNOWN = "–"
KEPT_ROWS = f"""\
A row with {UNKNOWN} in it is an exception: that notebook was not executed for this book, because the
recordings it reads could not be fetched, and its page shows the outputs that the repository keeps."""
KEPT_NOTICE = """\
:::{{admonition}} Not computed when this page was built
:class: warning
The recordings that this chapter reads could not be fetched when this page was built.
It shows the outputs that the repository keeps, those of the profile quick{instead}.{changed}

To execute the chapter, name a folder that holds the recordings in the environment variable `V1LIB_DATA`,
or connect to a network, and run `{command}` again.
:::"""


def commit() -> str:
    """The commit that is built, and whether files that matter differ from it."""
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if head.returncode:
        return "none (not a git checkout)"
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "v1lib", "notebooks", "book", "requirements.lock"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return head.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


def glued(notebook: NotebookNode, key: str) -> object:
    """The value glued under `key`, or None; only literals are read."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == key:
                return ast.literal_eval(output.data["application/papermill.record/text/plain"])
    return None


def show_values_used(page: NotebookNode, profile: str, values: dict[str, object]) -> None:
    """Below the folded cell of defaults, a cell with the values that this page was made with."""
    if not values:
        return
    position = next(number for number, cell in enumerate(page.cells) if has_tag(cell, "parameters"))
    defaults = page.cells[position]
    defaults.metadata["tags"] = [*defaults.metadata["tags"], "hide-input"]
    defaults.metadata.setdefault("mystnb", {})["code_prompt_show"] = "Defaults, replaced on this page"
    lines = [f"# The values used for this page: profile {profile}"]
    lines += [f"{name} = {value!r}" for name, value in values.items()]
    tags = [INJECTED, *(tag for tag in defaults.metadata["tags"] if tag not in ("parameters", "hide-input"))]
    page.cells.insert(position + 1, new_code_cell("\n".join(lines), metadata={"tags": tags}))


def is_kept(executed: NotebookNode) -> bool:
    """Whether these are outputs that the repository keeps, in the place of an execution."""
    return bool(executed.metadata["v1lib"]["executed"].get("kept"))


def announce_kept(page: NotebookNode, executed: NotebookNode, profile: str) -> None:
    """Under the title, that the outputs below are kept ones, why, and how to make them anew."""
    record = executed.metadata["v1lib"]["executed"]
    present = {"library": library_hash(), "lock": lock_hash()}
    changed = any(record.get(name, value) != value for name, value in present.items())
    notice = KEPT_NOTICE.format(
        instead="" if profile == "quick" else f", although this book was built at the profile {profile}",
        changed=" The library or its environment has changed since they were computed." if changed else "",
        command="make book" if profile == "quick" else f"make book PROFILE={profile}",
    )
    _put_below_title(page, notice)


def data_of(notebook: NotebookNode) -> str:
    """The key in :data:`DATA_LABELS`: glued as ``data_shown`` where a parameter decides, else in metadata."""
    return str(glued(notebook, "data_shown") or notebook.metadata["v1lib"]["data"])


def label_data(page: NotebookNode) -> None:
    """Under the title, in colour and in words, whether the recording is simulated or real."""
    data = data_of(page)
    _put_below_title(page, f'<p class="v1-data v1-data-{data}">{DATA_LABELS[data]}</p>')


def add_provenance(
    page: NotebookNode, executed: NotebookNode, profile: str, values: dict[str, object]
) -> None:
    """As the last thing on a chapter, all that is needed to make it again."""
    record = executed.metadata["v1lib"]["executed"]
    used = default_parameters(page) | values
    checksums = glued(executed, "data_checksums")
    rows = {
        "Profile": _profile(executed, profile),
        "Data": DATA_LABELS[data_of(page)].lower(),
        "Parameters": ", ".join(f"{name} = {value!r}" for name, value in used.items()) or "none",
        "Input files": _checksums(checksums) if isinstance(checksums, dict) else "none",
        "Commit": commit(),
        "Library": f"v1lib sources sha256 {record.get('library', UNKNOWN)[:12]}",
        "Environment": f"requirements.lock sha256 {record.get('lock', UNKNOWN)[:12]}",
        "Computed": _computed(executed),
    }
    page.cells.append(new_markdown_cell(_block(rows)))


def prose_provenance(profile: str) -> str:
    """The same for a page on which nothing is computed."""
    return _block(
        {
            "Profile": profile,
            "Commit": commit(),
            "Environment": f"requirements.lock sha256 {lock_hash()[:12]}",
            "Built": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
    )


def status_table(executed: dict[str, NotebookNode], profile: str) -> str:
    """A Markdown table of every notebook's run."""
    lines = [
        "| Notebook | Profile | Data | Duration | Peak memory | Last run |",
        "|---|---|---|--:|--:|---|",
    ]
    total = 0.0
    for stem, notebook in executed.items():
        record = notebook.metadata["v1lib"]["executed"]
        run = [UNKNOWN, UNKNOWN, UNKNOWN]
        if not is_kept(notebook):
            total += record["duration_s"]
            memory = f"{record['peak_memory_mb'] / 1000:.2f} GB"
            run = [in_words(record["duration_s"]), memory, record["finished"]]
        data = data_of(notebook)
        cells = [f"{{doc}}`/notebooks/{stem}`", _profile(notebook, profile), data, *run]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| All | {profile} | | {in_words(total)} | | |")
    if any(is_kept(notebook) for notebook in executed.values()):
        lines += ["", KEPT_ROWS]
    return "\n".join(lines)


def _put_below_title(page: NotebookNode, block: str) -> None:
    for cell in page.cells:
        if cell.cell_type == "markdown" and (title := re.search(r"^# .+$", cell.source, re.M)):
            end = title.end()
            cell.source = f"{cell.source[:end]}\n\n{block}\n\n{cell.source[end:].lstrip()}"
            return


def _profile(executed: NotebookNode, profile: str) -> str:
    return "quick, kept in the repository" if is_kept(executed) else profile


def _computed(executed: NotebookNode) -> str:
    if is_kept(executed):
        return f"{UNKNOWN} (the recordings could not be fetched when this page was built)"
    record = executed.metadata["v1lib"]["executed"]
    return f"{record['finished']}, in {in_words(record['duration_s'])}, on {record['device']}"


def _checksums(files: dict[str, str]) -> str:
    return ", ".join(f"{name} sha256 {digest[:12]}" for name, digest in files.items())


def _block(rows: dict[str, str]) -> str:
    items = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>" for name, text in rows.items()
    )
    return f'<dl class="v1-provenance" aria-label="Where this page comes from">{items}</dl>'
