"""Hashes that tell whether a result still belongs to its source."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from nbformat import NotebookNode

from book.progress import ROOT

INJECTED = "injected-parameters"


def sha256(text: str | bytes) -> str:
    """Hexadecimal SHA-256 of a text (UTF-8) or of bytes."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def has_tag(cell: NotebookNode, *tags: str) -> bool:
    """Whether a cell carries any of `tags`."""
    return bool(set(tags) & set(cell.metadata.get("tags", [])))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that the author wrote, in order: without the cell that papermill injects."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not has_tag(cell, INJECTED)]


def code_hash(notebook: NotebookNode) -> str:
    """Hash of the code; prose, captions and outputs may change without a new execution."""
    return sha256("\0".join(cell.source for cell in code_cells(notebook)))


def library_hash(root: Path = ROOT) -> str:
    """Hash of every source file and plan of ``v1lib``, names and bytes."""
    files = sorted(file for kind in ("*.py", "*.yml") for file in (root / "v1lib").rglob(kind))
    return sha256("\n".join(f"{file.relative_to(root)} {sha256(file.read_bytes())}" for file in files))


def lock_hash(root: Path = ROOT) -> str:
    """Hash of ``requirements.lock``."""
    return sha256((root / "requirements.lock").read_bytes())


def content_key(notebook: NotebookNode, parameters: dict[str, object]) -> dict[str, str]:
    """All that an execution depends on, by name, so that a stale page can say which of them changed."""
    return {
        "code": code_hash(notebook),
        "parameters": sha256(json.dumps(parameters, sort_keys=True)),
        "library": library_hash(),
        "lock": lock_hash(),
    }


def default_parameters(notebook: NotebookNode) -> dict[str, object]:
    """Names and values of the cell tagged ``parameters``; empty where there is none.

    Raises
    ------
    ValueError
        A line of that cell is not ``name = literal``.
    """
    cells = [cell for cell in code_cells(notebook) if has_tag(cell, "parameters")]
    values: dict[str, object] = {}
    for cell in cells:
        for statement in ast.parse(cell.source).body:
            if not (isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)):
                raise ValueError(f"the parameters cell holds more than literals: {ast.unparse(statement)}")
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
    return values
