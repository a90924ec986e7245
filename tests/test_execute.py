"""Executing notebooks: what is finished stays, what changed runs again, what fails is told in a sentence."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import pages, progress
from book.execute import execute_all, store_in_place
from book.gate import check_notebook
from book.keys import INJECTED, content_key, has_tag

pytestmark = pytest.mark.slow  # each starts kernels

METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "v1lib": {"data": "simulated"},
}


@pytest.fixture(autouse=True)
def own_durations(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "DURATIONS", tmp_path / "durations.json")


def write(path, *code):
    cells = [new_markdown_cell("# A title"), new_code_cell("seed = 0", metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=[*cells, *map(new_code_cell, code)], metadata=METADATA)
    nbformat.write(notebook, path)
    return path


def test_reuse_failure_and_repair(tmp_path, capsys):
    folder = tmp_path / "executed"
    good = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    bad = write(tmp_path / "02_bad.ipynb", "print(1)", "raise ValueError('no unit fired')")
    values = {"01_good": {}, "02_bad": {}}

    (failure,) = execute_all([good, bad], folder, values).values()
    assert "02_bad: code cell 3: ValueError: no unit fired" in failure
    assert sorted(file.name for file in folder.glob("[!.]*.ipynb")) == ["01_good.ipynb"]
    first = (folder / "01_good.ipynb").read_bytes()
    record = nbformat.reads(first.decode(), as_version=4).metadata.v1lib.executed
    assert record.peak_memory_mb > 20, "an empty kernel alone holds more"

    write(bad, "print(1)")
    capsys.readouterr()
    assert execute_all([good, bad], folder, values) == {}
    assert "01_good: nothing changed" in capsys.readouterr().out
    assert (folder / "01_good.ipynb").read_bytes() == first

    store_in_place(good, nbformat.reads(first.decode(), as_version=4))
    stored = nbformat.read(good, as_version=4)
    assert check_notebook(stored, "notebooks/01_good", []) == []
    assert stored.cells[2].outputs[0].text == "1\n"


def test_parameters_of_a_profile_reach_the_page(tmp_path):
    folder = tmp_path / "executed"
    path = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    assert execute_all([path], folder, {"01_good": {"seed": 41}}) == {}
    executed = nbformat.read(folder / "01_good.ipynb", as_version=4)
    original = nbformat.read(path, as_version=4)
    key = content_key(original, {"seed": 41})
    assert check_notebook(executed, "notebooks/01_good", [], expected_key=key) == []
    assert executed.cells[-1].outputs[0].text == "42\n"

    pages.show_values_used(original, "standard", {"seed": 41})
    folded, shown = original.cells[1:3]
    assert has_tag(folded, "parameters") and has_tag(folded, "hide-input")
    assert has_tag(shown, INJECTED) and not has_tag(shown, "hide-input")
    assert shown.source.splitlines() == ["# The values used for this page: profile standard", "seed = 41"]


def test_half_written_result_is_not_used(tmp_path):
    folder = tmp_path / "executed"
    folder.mkdir()
    path = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    (folder / "01_good.ipynb").write_text('{"cells": [')
    assert execute_all([path], folder, {"01_good": {}}) == {}
    assert nbformat.read(folder / "01_good.ipynb", as_version=4).cells[2].outputs[0].text == "1\n"


def test_notebook_may_not_rely_on_its_folder(tmp_path):
    path = write(tmp_path / "01_bad.ipynb", "open('01_bad.ipynb')")
    (failure,) = execute_all([path], tmp_path / "executed", {"01_bad": {}}).values()
    assert "FileNotFoundError" in failure
