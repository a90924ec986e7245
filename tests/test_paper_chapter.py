"""A reader with a copy of the paper's archive follows chapter 13 on it by changing one parameter."""

import nbformat
import papermill
import pytest
import torch
from planted import planted_session

import v1lib
from book import pages
from book.progress import ROOT
from v1lib.models.paper import paper_model
from v1lib.published import ANIMALS, TABLE_2, TABLE_2_SD
from v1lib.readers.osf_archive import PAPER_DROPPED, PAPER_KEPT

MOUSE = "110421_J569LT"
CHAPTER = ROOT / "notebooks" / "13_paper_data.ipynb"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A small archive in three segments, with as many columns of counts as the real mouse's files have."""
    n_units = PAPER_KEPT[MOUSE] + len(PAPER_DROPPED[MOUSE])
    session, _ = planted_session(1500, n_units, (60, 80), rate=1.0)
    session["behavior"].values[700:730, 3:5] = float("nan")
    root = tmp_path_factory.mktemp("archive") / "mouse-data"
    v1lib.write_osf_archive(session, root, MOUSE, n_segments=3)
    return root


@pytest.mark.slow
def test_the_chapter_runs_on_an_archive_given_by_its_path(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / f"val_{MOUSE}_all_prod_seq_1.pth"
    torch.save(paper_model(v1lib.open_session(archive), seed=5).state_dict(), weights)
    paths, quick = {"archive": str(archive), "weights": str(weights)}, {"epochs": 1, "own_epochs": 1}
    done = papermill.execute_notebook(
        CHAPTER,
        tmp_path / "out.ipynb",
        paths | quick,
        progress_bar=False,
        cwd=tmp_path,
    )
    assert not (tmp_path / "cache" / "recordings").exists(), "a stand-in was simulated all the same"
    assert pages.data_of(done) == "given"
    assert pages.glued(done, "n_units") == PAPER_KEPT[MOUSE] and pages.glued(done, "n_segments") == 3
    assert MOUSE in pages.glued(done, "shown")
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = [output.data.get("text/plain", "") for output in outputs if "data" in output]
    beside, *_ = [text for text in texts if "published (Table 2" in text]
    place = ANIMALS.index(MOUSE)
    assert all(f"{table['all_prod'][place]:.3f}" in beside for table in (TABLE_2, TABLE_2_SD))
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "bit by bit" in printed and "published weights on these files: " in printed


def test_published_figures_are_of_the_mice_whose_units_are_known():
    assert set(ANIMALS) == set(PAPER_KEPT)


def test_the_label_says_what_was_computed_on():
    """The metadata alone would call a given recording simulated."""
    page = nbformat.v4.new_notebook(metadata={"v1lib": {"data": "simulated"}})
    page.cells = [nbformat.v4.new_markdown_cell("# A title\n\nText."), nbformat.v4.new_code_cell("")]
    assert pages.data_of(page) == "simulated"
    record = {"application/papermill.record/text/plain": "'given'"}
    page.cells[1].outputs = [
        nbformat.v4.new_output("display_data", data=record, metadata={"scrapbook": {"name": "data_shown"}})
    ]
    pages.label_data(page)
    assert pages.DATA_LABELS["given"] in page.cells[0].source
    assert pages.DATA_LABELS["simulated"] not in page.cells[0].source
