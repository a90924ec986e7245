"""What is published passes here first: a notebook or prose page that should not be read is refused.

``python -m book.gate FILE ...`` checks notebooks and Markdown pages of this repository; the build calls the
functions on what it has executed. Each finding is one line: where, and what is wrong with it.
"""

from __future__ import annotations

import argparse
import ast
import html
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from book.keys import code_hash, has_tag
from book.progress import ROOT

#: Longest code cell a reader should meet, in lines that are not empty.
LONGEST_CELL = 16
RECORD = "application/papermill.record/"
REMOVED = ("remove-cell", "remove-output")

_FOLDERS = [
    r"/home/\w",
    r"/Users/\w",
    r"/root/",
    r"/tmp/",
    r"/var/folders/",
    r"/private/",
    r"site-packages",
    r"\.venv\b",
    r"\b[A-Z]:\\\\?\w",
]
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
#: Not prose: inline code, math, roles and their content, directive options, addresses, identifiers.
_NOT_PROSE = [
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"\$\$.*?\$\$", re.S),
        (r"\{[\w:+-]+\}`[^`]*`", 0),
        (r"(`+)(?!`).*?\1", re.S),
        (r"(?<!\\)\$[^$\n]+(?<!\\)\$", 0),
        (r"^:[\w-]+:.*$", re.M),
        (r"<!--.*?-->", re.S),
        (r"<[^>\n]+>", 0),
        (r"\]\([^)]*\)", 0),
        (r"https?://\S+", 0),
        # The level of an interval is a convention, not a result.
        (r"\b\d+(\.\d+)?\s?(%|per\s?cent)\s+(\w+\s+)?intervals?\b", re.I),
        (r"\b10\.\d{4,}/\S+", 0),
        (r"\barXiv[: ]*\d{4}\.\d{4,5}", re.I),
    )
]
_TYPED = re.compile(r"(?<![\w.])(\d+\.\d+(?!\.?\d)(?:\s?(?:%|per\s?cent\b))?|\d+\s?(?:%|per\s?cent\b))", re.I)
_DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\{glue:figure\}\s*(?P<key>\S+)\s*\n(?P<body>.*?)^\1\s*$", re.M | re.S)


def read_literature(file: Path = ROOT / "book" / "literature_values.yml") -> list[dict[str, str]]:
    """Values that may stand in prose: each with ``value``, the ``page`` it stands on, and its ``source``."""
    entries = yaml.safe_load(file.read_text()) or []
    for entry in entries:
        if set(entry) != {"value", "page", "source"} or not all(isinstance(v, str) for v in entry.values()):
            raise ValueError(f"{file.name}: an entry needs value, page and source as text, found {entry}.")
    return entries


def typed_results(text: str, page: str, literature: list[dict[str, str]]) -> list[str]:
    """Decimals and percentages in `text` that are neither computed (glue) nor listed for this page."""
    text = _without_code(html.unescape(text))
    for pattern in _NOT_PROSE:
        text = pattern.sub(" ", text)
    allowed = {_bare(entry["value"]) for entry in literature if entry["page"] == page}
    return [token for token in _TYPED.findall(text) if _bare(token) not in allowed]


def check_prose(text: str, page: str, literature: list[dict[str, str]]) -> list[str]:
    """Findings of a Markdown page: an empty one, or one that has typed results."""
    if not re.sub(r"^#.*$", "", text, flags=re.M).strip():
        return [f"{page}: the page is empty."]
    return [_typed_finding(page, token) for token in typed_results(text, page, literature)]


def check_notebook(
    notebook: NotebookNode,
    page: str,
    literature: list[dict[str, str]],
    *,
    expected_key: dict[str, str] | None = None,
    executed: NotebookNode | None = None,
) -> list[str]:
    """Findings of an executed notebook; an empty list lets it pass.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs. What it was executed from stands in the metadata ``v1lib.executed``.
    page : str
        Its place in the book without suffix, such as ``notebooks/01_recording``; named in each finding.
    literature : list of dict
        See :func:`read_literature`.
    expected_key : dict, optional
        What it should have been executed from (:func:`book.keys.content_key`); without it the hash of
        its own code, which shows an edit after the execution.
    executed : NotebookNode, optional
        The notebook that papermill wrote, if `notebook` has its outputs under newer prose: the order of
        its cells and its record are judged.
    """
    code = [(number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if not code or not any(cell.outputs for _, cell in code):
        return [f"{page}: the notebook holds no output: execute it with `make notebooks`."]

    findings = _check_order((executed or notebook).cells, page)
    for number, cell in code:
        where = f"{page}, cell {number}"
        findings += _check_outputs(cell, where)
        findings += _check_figure(cell, where)
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        shown = not has_tag(cell, "remove-cell", "remove-input")
        if lines > LONGEST_CELL and shown and not _only_imports(cell.source):
            findings.append(f"{where}: {lines} lines of code, at most {LONGEST_CELL}: move some into v1lib.")

    prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption") or "" for _, cell in code]
    findings += _check_title(prose, page)
    for directive in _DIRECTIVE.finditer(prose):
        findings += _check_glued_figure(directive["key"], directive["body"], page)
        captions.append(directive["body"])
    for text in (prose, *captions):
        findings += [_typed_finding(page, token) for token in typed_results(text, page, literature)]

    record = (executed or notebook).metadata.get("v1lib", {}).get("executed", {})
    for name, value in (expected_key or {"code": code_hash(notebook)}).items():
        if record.get(name) != value:
            findings.append(f"{page}: stale, the {name} changed since it was executed: execute it again.")
    if notebook.metadata.get("v1lib", {}).get("data") not in ("simulated", "real", "both"):
        findings.append(f"{page}: the metadata v1lib.data must say simulated, real or both.")
    return findings


def _without_code(text: str) -> str:
    """`text` without fenced code; the body of a fenced directive, which is prose, stays."""
    kept: list[str] = []
    open_fences: list[tuple[str, bool]] = []  # the fence, and whether what it holds is prose
    for line in text.splitlines():
        fence = re.match(r"\s*(`{3,}|~{3,}|:{3,})\s*(.*)$", line)
        if fence and open_fences and fence[1].startswith(open_fences[-1][0]) and not fence[2]:
            open_fences.pop()
        elif fence and all(prose for _, prose in open_fences):
            prose = fence[2].startswith("{") and not re.match(r"\{(code|math|glue)", fence[2])
            open_fences.append((fence[1], prose))
        elif all(prose for _, prose in open_fences):
            kept.append(line)
    return "\n".join(kept)


def _only_imports(source: str) -> bool:
    try:
        return all(isinstance(part, ast.Import | ast.ImportFrom) for part in ast.parse(source).body)
    except SyntaxError:
        return False  # cell magics


def _bare(token: str) -> str:
    return re.sub(r"\s?(%|per\s?cent)$", "%", token.strip(), flags=re.I)


def _typed_finding(page: str, token: str) -> str:
    return (
        f"{page}: {token!r} is typed: glue a computed value, or list it with its source in "
        "book/literature_values.yml."
    )


def _check_order(cells: list[NotebookNode], page: str) -> list[str]:
    code = [cell for cell in cells if cell.cell_type == "code"]
    findings = [f"{page}: an empty code cell." for cell in code if not cell.source.strip()]
    counts = [cell.execution_count for cell in code if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        findings.append(f"{page}: cells were executed as {counts}, not 1 to {len(counts)} in order.")
    return findings


def _texts(output: NotebookNode) -> list[str]:
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue, *output.traceback]
    return [
        value if isinstance(value, str) else str(value)
        for mime, value in output.data.items()
        if not mime.removeprefix(RECORD).startswith("image/") or mime.endswith("svg+xml")
    ]


def _check_outputs(cell: NotebookNode, where: str) -> list[str]:
    findings = []
    here = [
        re.escape(str(folder))
        for folder in (ROOT, Path.home(), tempfile.gettempdir())
        if len(str(folder)) > 1
    ]
    machine_path = re.compile("|".join([*_FOLDERS, *here]))
    for output in cell.outputs:
        if output.output_type == "error":
            findings.append(f"{where}: ended in {output.ename}: {output.evalue}")
        if output.output_type == "stream" and output.name == "stderr":
            findings.append(f"{where}: wrote to stderr: {output.text.strip()[:80]!r}")
        for text in _texts(output):
            if found := machine_path.search(text):
                shown = text[max(found.start() - 20, 0) : found.end() + 20]
                findings.append(f"{where}: an output names a folder of a machine: {shown!r}")
            if found := _ADDRESS.search(text):
                findings.append(f"{where}: an output shows an object's address: assign the value to _.")
    return findings


def _check_figure(cell: NotebookNode, where: str) -> list[str]:
    if has_tag(cell, *REMOVED):
        return []
    images = [
        output
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
        and any(mime.startswith("image/") for mime in output.data)
    ]
    metadata = cell.metadata.get("mystnb", {})
    figure, image = metadata.get("figure", {}), metadata.get("image", {})
    if not images:
        return [f"{where}: has a caption and draws nothing."] if figure else []
    findings = []
    if len(images) > 1:
        findings.append(f"{where}: draws {len(images)} images: one figure a cell.")
    for what, value in (
        ("caption", figure.get("caption")),
        ("name", figure.get("name")),
        ("alt text", image.get("alt")),
    ):
        if not (value or "").strip():
            findings.append(f"{where}: the figure has no {what} in the cell's metadata.")
    return findings


def _check_glued_figure(key: str, body: str, page: str) -> list[str]:
    options = dict(re.findall(r"^:([\w-]+):\s*(.*)$", body, re.M))
    caption = re.sub(r"^:[\w-]+:.*$", "", body, flags=re.M).strip()
    missing = [
        what
        for what, value in (
            ("name", options.get("name")),
            ("alt text", options.get("alt")),
            ("caption", caption),
        )
        if not value
    ]
    return [f"{page}: the glued figure {key} has no {what}." for what in missing]


def _check_title(prose: str, page: str) -> list[str]:
    titles = re.findall(r"^# .+$", _without_code(prose), re.M)
    return (
        []
        if len(titles) == 1
        else [f"{page}: has {len(titles)} titles (lines that begin with '# '), not one."]
    )


def main() -> int:
    """Check the files named on the command line."""
    parser = argparse.ArgumentParser(description="Check executed notebooks and prose pages.")
    parser.add_argument("files", nargs="+", type=Path)
    literature = read_literature()
    findings = []
    for file in parser.parse_args().files:
        page = file.resolve().relative_to(ROOT).with_suffix("").as_posix()
        if file.suffix == ".ipynb":
            findings += check_notebook(nbformat.read(file, as_version=4), page, literature)
        else:
            findings += check_prose(file.read_text(), page, literature)
    print("\n".join(findings) or "The gate is open.")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
