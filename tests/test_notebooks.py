"""The repository's notebooks as they are stored: fit to be read where they lie, and for nbval to compare."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from book.gate import RECORD, check_notebook, check_prose, read_literature, typed_results
from book.keys import INJECTED, code_cells, default_parameters, has_tag
from book.profile import PROFILES, chapters, read_profile
from book.progress import ROOT

STORED = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMPARED = "nbval-check-output"
each_notebook = pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def is_compared(cell: nbformat.NotebookNode) -> bool:
    lines = [line.replace(" ", "") for line in cell.source.splitlines()]
    return has_tag(cell, COMPARED) or "#NBVAL_CHECK_OUTPUT" in lines


def test_book_lists_every_notebook():
    assert chapters() == STORED


@each_notebook
def test_stored_notebook_passes_the_gate(path):
    assert check_notebook(read(path), f"notebooks/{path.stem}", read_literature()) == []


@each_notebook
def test_something_is_compared(path):
    compared = [cell for cell in code_cells(read(path)) if is_compared(cell)]
    assert compared, f"{path.name}: no cell carries the tag {COMPARED}, so nbval would compare nothing"
    for cell in compared:
        assert cell.outputs, f"{path.name}: a compared cell has no stored output:\n{cell.source}"
        # A glued number has all of its digits, and the last of them are the machine's.
        glued = [
            kind for output in cell.outputs for kind in output.get("data", {}) if kind.startswith(RECORD)
        ]
        assert not glued, f"{path.name}: a compared cell glues what no other machine repeats:\n{cell.source}"


@each_notebook
def test_stored_at_quick_without_traces_of_a_run(path):
    notebook = read(path)
    assert not [cell for cell in notebook.cells if has_tag(cell, INJECTED)]
    assert "papermill" not in notebook.metadata
    for cell in notebook.cells:
        assert not {"papermill", "execution"} & set(cell.metadata), "timings make a change where none is"


@each_notebook
def test_kernel_and_parameters(path):
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert default_parameters(notebook), f"{path.name}: no cell with the tag parameters"


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_names_only_what_there_is(profile):
    values = read_profile(profile, chapters())
    for path in chapters():
        defaults = default_parameters(read(path))
        for name, value in values[path.stem].items():
            assert isinstance(value, type(defaults[name])) or isinstance(defaults[name], float), (
                f"{profile}: {path.stem}: {name} is {value!r} and its default {defaults[name]!r}"
            )


def test_quick_is_what_the_notebooks_say():
    assert not any(read_profile("quick", chapters()).values())


def test_prose_pages_pass_the_gate():
    literature = read_literature()
    pages = sorted((ROOT / "book").glob("*.md"))
    assert [
        line for page in pages for line in check_prose(page.read_text(), f"book/{page.stem}", literature)
    ] == []


def test_listed_literature_is_used():
    """An entry that no page needs any more would let a typed result of the same digits pass."""
    unused = []
    for entry in read_literature():
        suffixes = [
            file for file in (ROOT / f"{entry['page']}.md", ROOT / f"{entry['page']}.ipynb") if file.exists()
        ]
        assert suffixes, f"{entry['page']} is not a page of the book"
        text = "\n\n".join(words(file) for file in suffixes)
        if not set(typed_results(text, entry["page"], [])) & {entry["value"]}:
            unused.append(entry)
    assert unused == []


def words(file: Path) -> str:
    """The prose of a page: its Markdown, and captions."""
    if file.suffix == ".md":
        return file.read_text()
    cells = read(file).cells
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    markdown = [
        cell.source.replace("{glue:figure}", "{figure}") for cell in cells if cell.cell_type == "markdown"
    ]
    return "\n\n".join([*markdown, *captions])
