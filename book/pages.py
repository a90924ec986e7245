"""What the build adds to a page: what data made it, where it comes from, and the table of all runs."""

from __future__ import annotations

import ast
import datetime
import html
import re
import subprocess

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from book.keys import INJECTED, code_cells, default_parameters, has_tag, lock_hash
from book.progress import ROOT, in_words

DATA_LABELS = {
    "simulated": "Simulated recording",
    "real": "Real recording",
    "both": "Simulated and real recordings",
}
STATUS_MARK = "<!-- the build puts the table of runs here -->"


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


def label_data(page: NotebookNode) -> None:
    """Under the title, in colour and in words, whether the recording is simulated or real."""
    data = page.metadata["v1lib"]["data"]
    label = f'<p class="v1-data v1-data-{data}">{DATA_LABELS[data]}</p>'
    for cell in page.cells:
        if cell.cell_type == "markdown" and re.search(r"^# ", cell.source, re.M):
            cell.source = re.sub(r"^(# .+)$", rf"\1\n\n{label}", cell.source, count=1, flags=re.M)
            return


def add_provenance(
    page: NotebookNode, executed: NotebookNode, profile: str, values: dict[str, object]
) -> None:
    """As the last thing on a chapter, all that is needed to make it again."""
    record = executed.metadata["v1lib"]["executed"]
    used = default_parameters(page) | values
    checksums = glued(executed, "data_checksums")
    rows = {
        "Profile": profile,
        "Data": DATA_LABELS[page.metadata["v1lib"]["data"]].lower(),
        "Parameters": ", ".join(f"{name} = {value!r}" for name, value in used.items()) or "none",
        "Input files": _checksums(checksums) if isinstance(checksums, dict) else "none",
        "Commit": commit(),
        "Library": f"v1lib sources sha256 {record['library'][:12]}",
        "Environment": f"requirements.lock sha256 {record['lock'][:12]}",
        "Computed": f"{record['finished']}, in {in_words(record['duration_s'])}, on {record['device']}",
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
        total += record["duration_s"]
        cells = [
            f"{{doc}}`/notebooks/{stem}`",
            profile,
            notebook.metadata["v1lib"]["data"],
            in_words(record["duration_s"]),
            f"{record['peak_memory_mb'] / 1000:.2f} GB",
            record["finished"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| All | {profile} | | {in_words(total)} | | |")
    return "\n".join(lines)


def _checksums(files: dict[str, str]) -> str:
    return ", ".join(f"{name} sha256 {digest[:12]}" for name, digest in files.items())


def _block(rows: dict[str, str]) -> str:
    items = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>" for name, text in rows.items()
    )
    return f'<dl class="v1-provenance" aria-label="Where this page comes from">{items}</dl>'
