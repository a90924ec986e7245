"""The gate refuses every notebook that should not be published, and only those."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book.execute import with_outputs
from book.gate import LONGEST_CELL, check_notebook, check_prose, read_literature, typed_results
from book.keys import code_hash, content_key, default_parameters, library_hash
from book.profile import read_profile

PAGE = "notebooks/01_example"
CAPTION = {"figure": {"name": "fig-line", "caption": "A line rises."}, "image": {"alt": "A rising line."}}


def printed(text: str, name: str = "stdout"):
    return new_output("stream", name=name, text=text)


def drawn():
    return new_output("display_data", data={"image/png": "iVBORw0KGgo/tmp/", "text/plain": "<Figure>"})


def good_notebook():
    """A title, the parameters, a printed line, a figure; executed in order and recorded as such."""
    cells = [
        new_markdown_cell("# A title\n\nThe slope is {glue:text}`slope:.2f`."),
        new_code_cell("seed = 0", metadata={"tags": ["parameters"]}, execution_count=1),
        new_code_cell("print(2)", execution_count=2, outputs=[printed("2\n")]),
        new_code_cell("fig = plot()", execution_count=3, outputs=[drawn()], metadata={"mystnb": CAPTION}),
    ]
    return recorded(new_notebook(cells=cells, metadata={"v1lib": {"data": "simulated"}}))


def recorded(notebook):
    notebook.metadata.v1lib["executed"] = {"code": code_hash(notebook)}
    return notebook


def findings(notebook, **options):
    return check_notebook(notebook, PAGE, [], **options)


def test_good_notebook_passes():
    assert findings(good_notebook()) == []


def test_without_outputs():
    notebook = good_notebook()
    for cell in notebook.cells[1:]:
        cell.outputs = []
    assert findings(notebook) == [f"{PAGE}: the notebook holds no output: execute it with `make notebooks`."]


def test_without_cells():
    assert "holds no output" in findings(new_notebook(metadata={"v1lib": {"data": "real"}}))[0]


@pytest.mark.parametrize("counts", [(1, 3, 2), (2, 3, 4), (1, 2, None), (1, 2, 2)])
def test_out_of_order(counts):
    notebook = good_notebook()
    for cell, count in zip(notebook.cells[1:], counts, strict=True):
        cell.execution_count = count
    (finding,) = findings(notebook)
    assert "not 1 to 3 in order" in finding


def test_error_output():
    notebook = good_notebook()
    notebook.cells[2].outputs = [new_output("error", ename="ValueError", evalue="no unit", traceback=["..."])]
    (finding,) = findings(notebook)
    assert finding == f"{PAGE}, cell 2: ended in ValueError: no unit"


def test_stderr():
    notebook = good_notebook()
    notebook.cells[2].outputs.append(printed("UserWarning: something", "stderr"))
    (finding,) = findings(notebook)
    assert "wrote to stderr" in finding


@pytest.mark.parametrize(
    "text",
    [
        "saved in /home/ada/data",
        "/Users/ada/data",
        "/root/.cache",
        "/tmp/abc/run.nc",
        "lib/python3.11/site-packages/torch/nn.py:3",
        r"C:\Users\ada",
        str(Path(__file__).parent.parent / "v1lib"),
        str(Path.home() / "file"),
    ],
)
def test_machine_path(text):
    notebook = good_notebook()
    notebook.cells[2].outputs = [printed(text)]
    assert any("names a folder of a machine" in finding for finding in findings(notebook))


def test_machine_path_in_a_table():
    notebook = good_notebook()
    data = {"text/plain": "a table", "text/html": "<td>/home/ada/x.nc</td>"}
    notebook.cells[2].outputs = [new_output("execute_result", data=data, execution_count=2)]
    assert "names a folder" in findings(notebook)[0]


def test_object_address():
    notebook = good_notebook()
    data = {"text/plain": "<matplotlib.lines.Line2D at 0x7f3a2c1b9d50>"}
    notebook.cells[2].outputs = [new_output("execute_result", data=data, execution_count=2)]
    assert "an object's address" in findings(notebook)[0]


def test_images_are_not_searched_for_paths():
    # good_notebook's image holds "/tmp/" by chance, as base64 can
    assert findings(good_notebook()) == []


def test_long_cell():
    notebook = good_notebook()
    notebook.cells[2].source = "\n".join(f"x{number} = {number}" for number in range(LONGEST_CELL + 1))
    (finding,) = findings(recorded(notebook))
    assert f"{LONGEST_CELL + 1} lines of code" in finding


def test_long_list_of_imports_is_no_long_cell():
    notebook = good_notebook()
    notebook.cells[2].source = "\n".join(f"import module_{number}" for number in range(LONGEST_CELL + 1))
    assert findings(recorded(notebook)) == []


def test_empty_cell():
    notebook = good_notebook()
    notebook.cells.append(new_code_cell(" \n"))
    assert any("an empty code cell" in finding for finding in findings(recorded(notebook)))


@pytest.mark.parametrize(
    ("group", "field", "what"),
    [("figure", "caption", "caption"), ("figure", "name", "name"), ("image", "alt", "alt text")],
)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_figure_without_words(group, field, what, value):
    notebook = good_notebook()
    metadata = nbformat.from_dict({key: dict(part) for key, part in CAPTION.items()})
    metadata[group][field] = value
    notebook.cells[3].metadata["mystnb"] = metadata
    assert findings(notebook) == [f"{PAGE}, cell 3: the figure has no {what} in the cell's metadata."]


def test_two_images_in_one_cell():
    notebook = good_notebook()
    notebook.cells[3].outputs.append(drawn())
    assert "one figure a cell" in findings(notebook)[0]


def test_caption_without_figure():
    notebook = good_notebook()
    notebook.cells[3].outputs = []
    assert "draws nothing" in findings(notebook)[0]


def test_removed_figure_needs_no_caption():
    notebook = good_notebook()
    notebook.cells[3].metadata = nbformat.from_dict({"tags": ["remove-cell"]})
    assert findings(notebook) == []


def test_glued_figure():
    notebook = good_notebook()
    block = "```{glue:figure} answer\n:name: fig-answer\n:alt: A line.\n\nIt rises.\n```"
    notebook.cells[0].source += f"\n\n{block}"
    assert findings(notebook) == []
    notebook.cells[0].source = (
        notebook.cells[0].source.replace(":alt: A line.\n", "").replace("It rises.", "")
    )
    assert findings(notebook) == [
        f"{PAGE}: the glued figure answer has no alt text.",
        f"{PAGE}: the glued figure answer has no caption.",
    ]


@pytest.mark.parametrize("titles", ["no title", "# One\n\n# Two"])
def test_title(titles):
    notebook = good_notebook()
    notebook.cells[0].source = titles
    assert "titles" in findings(notebook)[0]


def test_edited_after_execution():
    notebook = good_notebook()
    notebook.cells[2].source = "print(3)"
    (finding,) = findings(notebook)
    assert "stale, the code changed" in finding


@pytest.mark.parametrize("name", ["code", "parameters", "library", "lock"])
def test_stale(name):
    notebook = good_notebook()
    key = content_key(notebook, {"seed": 1})
    notebook.metadata.v1lib["executed"] = dict(key)
    assert findings(notebook, expected_key=key) == []
    notebook.metadata.v1lib.executed[name] = "of another time"
    assert findings(notebook, expected_key=key) == [
        f"{PAGE}: stale, the {name} changed since it was executed: execute it again."
    ]


def test_never_executed_by_the_project():
    notebook = good_notebook()
    del notebook.metadata.v1lib["executed"]
    assert "stale" in findings(notebook)[0]


def test_data_must_be_named():
    notebook = good_notebook()
    notebook.metadata.v1lib["data"] = "unknown"
    assert "v1lib.data" in findings(notebook)[0]


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("It reaches 0.65 here.", ["0.65"]),
        ("It loses 12 % of them.", ["12 %"]),
        ("It loses 12.5% of them.", ["12.5%"]),
        ("About 3 per cent.", ["3 per cent"]),
        ("About 3&nbsp;% of them.", ["3\xa0%"]),
        ("Bands are 95 % intervals, or a 99.9 % bootstrap interval.", []),
        (":::{note}\nr = 0.41\n:::", ["0.41"]),
        ("```{admonition} Solution\nr = 0.41\n```", ["0.41"]),
        ("r is {glue:text}`r:.2f`, twice {glue:text}`x`.", []),
        ("Version 1.0.4 of 2024, chapter 3, 48 ms.", []),
        ("The symbol $a = 0.5$ and `rate=0.2`.", []),
        ("$$\na = 0.5\n$$", []),
        ("```python\nx = 0.5\n```\n", []),
        ("doi 10.1101/2023.05.30.542912", []),
        ("[a link](page-0.5.html)", []),
    ],
)
def test_typed_results(text, typed):
    assert typed_results(text, PAGE, []) == typed


def test_typed_result_in_a_caption():
    notebook = good_notebook()
    metadata = nbformat.from_dict({key: dict(part) for key, part in CAPTION.items()})
    metadata.figure.caption = "A line with slope 1.97."
    notebook.cells[3].metadata["mystnb"] = metadata
    (finding,) = findings(notebook)
    assert "'1.97' is typed" in finding


def test_literature_value_may_stand_on_its_page_only():
    listed = [{"value": "0.646", "page": PAGE, "source": "a paper, its table"}]
    assert typed_results("They report 0.646.", PAGE, listed) == []
    assert typed_results("They report 0.646.", "notebooks/02_other", listed) == ["0.646"]
    assert typed_results("We find 0.647.", PAGE, listed) == ["0.647"]


def test_literature_file_needs_sources(tmp_path):
    file = tmp_path / "values.yml"
    file.write_text('- {value: "0.6", page: notebooks/01_example}\n')
    with pytest.raises(ValueError, match="needs value, page and source"):
        read_literature(file)


def test_empty_prose_page():
    assert check_prose("# Only a title\n", "book/page", []) == ["book/page: the page is empty."]
    assert check_prose("# A title\n\nAnd text.\n", "book/page", []) == []


def test_prose_may_change_without_a_new_execution():
    executed = good_notebook()
    edited = good_notebook()
    edited.cells[0].source = "# Another title\n\nOther words."
    for cell in edited.cells[1:]:
        cell.outputs, cell.execution_count = [], None
    page = with_outputs(edited, executed)
    assert findings(page, executed=executed) == []
    assert page.cells[2].outputs == executed.cells[2].outputs
    assert page.cells[0].source.startswith("# Another title")


def test_library_hash_sees_every_byte_and_name(tmp_path):
    folder = tmp_path / "v1lib"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    before = library_hash(tmp_path)
    (folder / "a.py").write_text("x = 2\n")
    changed = library_hash(tmp_path)
    (folder / "a.py").rename(folder / "b.py")
    renamed = library_hash(tmp_path)
    (tmp_path / "v1lib" / "plan.yml").write_text("name: a night")
    assert len({before, changed, renamed, library_hash(tmp_path)}) == 4


def test_parameters_are_literals():
    notebook = good_notebook()
    assert default_parameters(notebook) == {"seed": 0}
    notebook.cells[1].source = "import os\nseed = 0"
    with pytest.raises(ValueError, match="more than literals"):
        default_parameters(notebook)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("02_other: {seed: 1}", "02_other is not a notebook of the book"),
        ("01_example: {sede: 1}", "has no parameter 'sede'; it has seed"),
    ],
)
def test_profile_with_an_unknown_name(tmp_path, profile, message):
    (tmp_path / "book" / "profiles").mkdir(parents=True)
    (tmp_path / "book" / "profiles" / "standard.yml").write_text(profile)
    path = tmp_path / "01_example.ipynb"
    nbformat.write(good_notebook(), path)
    with pytest.raises(ValueError, match=message):
        read_profile("standard", [path], tmp_path)


def test_unknown_profile(tmp_path):
    with pytest.raises(ValueError, match="no profile 'huge': choose one of quick, standard, paper"):
        read_profile("huge", [], tmp_path)
