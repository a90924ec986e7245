"""The README keeps its word: its picture, its links, its code and its commands."""

import ast
import re

import nbformat
import pytest

import v1lib
from book.progress import ROOT
from book.readme_picture import PICTURE, stored_picture

README = (ROOT / "README.md").read_text()


def test_the_picture_is_the_result_that_the_notebook_holds():
    assert PICTURE.read_bytes() == stored_picture()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_to_a_file(target):
    assert (ROOT / target).is_file()


def test_the_code_uses_names_and_arguments_that_exist():
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "v1lib"
    }
    assert used and used <= set(v1lib.__all__)


def test_every_make_target_named_is_in_the_makefile():
    targets = set(re.findall(r"make ([a-z]+)", README))
    assert targets >= {"book", "test", "help"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_every_chapter_of_the_book_is_listed_with_its_question_and_data():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        question = re.search(r"^\*(.+\?)\*$", notebook.cells[0].source, re.M).group(1)
        data = {"simulated": "simulated", "real": "real"}[notebook.metadata["v1lib"]["data"]]
        row = f"| [{path.stem[:2]}](notebooks/{path.name}) | {question} | {data} |"
        assert row in README
