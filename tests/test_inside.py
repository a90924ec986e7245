"""The learned shift is the shifter's own, and the stages add up to what the model computes."""

import numpy as np
import pytest
import torch
from planted import planted_session

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.interpret.inside import learned_shift, look_inside
from v1lib.models import encoding_model, field_model
from v1lib.models.encoding import warp
from v1lib.splits import split

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8)


@pytest.fixture(scope="module")
def session():
    return planted_session(900, 2, (8, 10))[0]


def fitted(session, *choices, **flags):
    model = encoding_model(session, *choices, **flags, **SMALL)
    config = FitConfig(epochs=1, learning_rate=1e-2, device="cpu")
    return fit(model, session, split(session, "paper"), config)


def test_the_shift_is_what_moves_the_frame(session):
    run = fitted(session, "orig")
    bins = np.array([5, 300, 899])
    shift = learned_shift(run, session)
    inside = look_inside(run, session, bins)
    columns = np.stack([shift[name].values[bins] for name in ("shift_x", "shift_y", "rotation")], axis=1)
    assert np.abs(columns).max() > 0.01
    moved = warp(torch.from_numpy(inside["frame"].values)[:, None], torch.from_numpy(columns))[:, 0]
    np.testing.assert_allclose(inside["shifted"], moved, atol=1e-5)
    np.testing.assert_allclose(inside["vb"], inside["v"] * inside["b"], rtol=1e-6)
    assert inside["maps"].shape == (3, 4, 2, 2) and float(inside["maps"].min()) >= 0
    frames = session["frames"].values[bins]
    back = inside["frame"].values * run.scaling.frame_sd + run.scaling.frame_mean
    np.testing.assert_allclose(back, frames, atol=1e-3)


def test_frames_of_a_session_in_files(session):
    parts = np.repeat(["train", "test"], 450)
    files = session.assign(stretch=("time", np.repeat([0, 1], 450).astype(np.int32)))
    files = files.assign_coords(part=("time", parts), time=session["time"].values + np.repeat([0, 9], 450))
    model = encoding_model(files, "orig", **SMALL)
    config = FitConfig(epochs=1, scaling="paper", device="cpu")
    run = fit(model, files, split(files, "paper"), config)
    inside = look_inside(run, files, np.arange(440, 460))
    frames = files["frames"].values.astype(float)
    for part, here in ((slice(0, 450), slice(0, 10)), (slice(450, 900), slice(10, 20))):
        low, high = frames[part].min(), frames[part].max()
        expected = (frames[440:460][here] - low) / (high - low)
        np.testing.assert_allclose(inside["frame"].values[here], expected, atol=1e-6)


def test_the_own_model_has_other_stages(session):
    model = field_model(session)
    run = fit(model, session, split(session, "paper"), FitConfig(epochs=1, device="cpu"))
    with pytest.raises(InputError, match="an EncodingModel, found FieldModel"):
        look_inside(run, session, np.arange(5, 9))


def test_refusals(session):
    with pytest.raises(InputError, match="a model with a shifter"):
        learned_shift(fitted(session, "S", shifter=False), session)
    with pytest.raises(InputError, match="one of them alone"):
        look_inside(fitted(session, None), session, np.array([5]))
    run = fitted(session, "orig")
    for bins in ([900], [-1], [0.5], [[1, 2]], [], [True, False]):
        with pytest.raises(InputError, match=r"^look_inside: bins: "):
            look_inside(run, session, np.array(bins))
    with pytest.raises(InputError, match=r"^look_inside: frames: .*\(8, 10\).*\(7, 10\)"):
        look_inside(run, session.isel(y=slice(7)), np.array([5]))
