"""A user with a lab folder follows chapters 01 and 02 on it by changing one path."""

import papermill
import pytest

import v1lib
from book.progress import ROOT

#: Where a glued value lies in an output that is not displayed.
GLUED = "application/papermill.record/text/plain"


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory):
    """A folder as a laboratory has it: no truth beside the streams, another size of picture, another name."""
    folder = tmp_path_factory.mktemp("lab") / "111122_J000XX_control_fm1"
    v1lib.simulate_recording(
        folder, minutes=4, n_units=3, seed=31, frame_shape=(48, 64), clock_offset_s=-0.3, clock_drift_ppm=-50
    )
    (folder / f"{folder.name}_truth.nc").unlink()
    return folder


def executed(chapter, lab_folder, tmp_path, **parameters):
    """All outputs of the chapter on that folder, run from a folder that holds nothing."""
    done = papermill.execute_notebook(
        ROOT / "notebooks" / f"{chapter}.ipynb",
        tmp_path / "out.ipynb",
        {"lab_folder": str(lab_folder), **parameters},
        progress_bar=False,
        cwd=tmp_path,
    )
    return [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
def test_the_chapter_on_the_recording_describes_it(lab_folder, tmp_path):
    outputs = executed("01_recording", lab_folder, tmp_path)
    glued = {
        output.metadata["scrapbook"]["name"]: output
        for output in outputs
        if "scrapbook" in output.get("metadata", {})
    }
    assert glued["n_units"].data[GLUED] == "3"
    assert float(glued["n_eye_steps"].data[GLUED]) < 4 * 60 * 60


@pytest.mark.slow
def test_the_chapter_on_alignment_judges_and_aligns_it(lab_folder, tmp_path):
    outputs = executed("02_alignment", lab_folder, tmp_path, n_clocks=3)
    texts = [output.data["text/plain"] for output in outputs if "text/plain" in output.get("data", {})]
    [judged] = [text for text in texts if "verdict" in text]
    assert judged.count("good") > 8 and "bad\n" not in judged
    [summary] = [text for text in texts if "animal" in text]
    assert lab_folder.name in summary and "lab folder" in summary
