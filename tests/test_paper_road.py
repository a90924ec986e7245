"""From an archive in the paper's layout to its figure, by the road that a reader's own copy takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import planted_session

import v1lib
from v1lib.fit import PAPER_FIT
from v1lib.models.paper import paper_model

N_UNITS = 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A planted mouse of 60 x 80 frames, written as the archive is, with an eye that is lost at times."""
    session, _ = planted_session(540, N_UNITS, (60, 80), rate=1.0)
    session["behavior"].values[50:60, 4] = np.nan
    root = tmp_path_factory.mktemp("archive")
    v1lib.write_osf_archive(session, root, "a_mouse", n_segments=3)
    return root


@pytest.fixture(scope="module")
def opened(archive):
    session = v1lib.open_session(archive, animal="a_mouse")
    return session, v1lib.split(session, "paper")


def test_train_and_score_as_the_paper_does(opened, tmp_path):
    session, splits = opened
    model = paper_model(session, seq_len=2)
    config = replace(PAPER_FIT, epochs=1, batch_chunks=64, device="cpu")
    run = v1lib.fit(model, session, splits, config)
    scores = v1lib.paper_score(run, session)
    assert scores["paper_r"].shape == (N_UNITS,) and run.scaling.kind == "paper"
    again = v1lib.load_run(v1lib.save_run(run, tmp_path / "run"))
    np.testing.assert_array_equal(v1lib.paper_score(again, session)["paper_r"], scores["paper_r"])


def test_published_weights_are_used_like_any_run(opened, tmp_path):
    """A state dict with the published names, written by torch, predicts what the model it came from does."""
    session, splits = opened
    torch.manual_seed(1)
    model = paper_model(session, seq_len=2).eval()
    torch.nn.init.normal_(model.shifter.layers[7].weight, std=0.1)
    path = tmp_path / "val_a_mouse_all_prod_seq_2.pth"
    torch.save(model.state_dict(), path)
    run = v1lib.adopt(v1lib.load_paper_checkpoint(path, N_UNITS), session, splits, PAPER_FIT)
    expected = v1lib.adopt(model, session, splits, PAPER_FIT)
    np.testing.assert_array_equal(v1lib.predict(run, session), v1lib.predict(expected, session))
    assert np.isfinite(v1lib.predict(run, session).values[2:60]).all()
    assert len(run.history) == 0
    again = v1lib.load_run(v1lib.save_run(run, tmp_path / "run"))
    np.testing.assert_array_equal(v1lib.predict(again, session), v1lib.predict(run, session))
    found = v1lib.score(again, session)
    assert found.attrs["n_bins"] > 0


def test_adopting_checks_what_fitting_checks(opened):
    session, splits = opened
    model = paper_model(session)
    with pytest.raises(v1lib.InputError, match="3 units, the model's"):
        v1lib.adopt(model, session.isel(unit=[0]), splits, PAPER_FIT)
    with pytest.raises(v1lib.InputError, match="part: expected a coordinate"):
        v1lib.adopt(model, session.drop_vars("part"), splits, PAPER_FIT)
