"""What it takes to show a fitted model pictures of one's own, beside the natural ones that it knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v1lib.errors import InputError
from v1lib.features import scaled_behavior, scaled_frames
from v1lib.fit import Model, Run, choose_device
from v1lib.score import check_session, scored_segments

#: Frames that pass the model at once; more would only take memory.
MOST_FRAMES = 512


class Natural(NamedTuple):
    """Of the scaled frames of the training part: mean, r.m.s. deviation from it, darkest and brightest."""

    mean: float
    rms: float
    low: float
    high: float


def natural_frames(run: Run, session: xr.Dataset) -> Natural:
    """Figures of the scaled frames of the training part."""
    train, sums = run.splits.bins("train"), []
    for first in range(0, len(train), 1024):
        frames = scaled_frames(session, run.scaling, train[first : first + 1024]).astype(np.float64)
        sums.append((frames.size, frames.sum(), np.square(frames).sum(), frames.min(), frames.max()))
    n, total, squares, low, high = np.array(sums).T
    mean = total.sum() / n.sum()
    rms = np.sqrt(max(squares.sum() / n.sum() - mean**2, 0.0))
    if not (np.isfinite(rms) and rms > 0):
        found = "all alike" if rms == 0 else "NaN or infinity"
        raise InputError("session", "frames", "finite frames that vary in the training part", found)
    return Natural(float(mean), float(rms), float(low.min()), float(high.max()))


def in_units(run: Run, session: xr.Dataset, rates: np.ndarray, unit: int | None = None) -> np.ndarray:
    """Outputs as :func:`v1lib.fit.predict` gives them, (unit, ...) or any shape of one unit."""
    if session["activity"].attrs["kind"] != "fluorescence":
        return rates
    mean, sd = np.array([run.scaling.activity_mean, run.scaling.activity_sd])
    if unit is not None:
        return rates * sd[unit] + mean[unit]
    return rates * sd[:, None] + mean[:, None]


def check_fitted(where: str, run: Run, session: xr.Dataset) -> None:
    """A fitted run, and the session it was fitted to, with frames as the model sees them if it sees."""
    if not isinstance(run, Run):
        raise InputError(where, "run", "a Run, as fit gives it", type(run).__name__)
    check_session(where, run, session)
    model, shape = run.model, (session.sizes["y"], session.sizes["x"])
    if model.sees and shape != tuple(model.frame_shape):
        raise InputError(where, "frames", f"frames of {model.frame_shape}, the model's", f"{shape}")
    if session.sizes["unit"] != model.n_units:
        found = f"{session.sizes['unit']}"
        raise InputError(where, "session", f"{model.n_units} units, the model's", found)


def check_run(where: str, run: Run, session: xr.Dataset) -> None:
    """As :func:`check_fitted`, of a model that sees."""
    check_fitted(where, run, session)
    if not run.model.sees:
        raise InputError(where, "run", "a model that sees", "one without vision")


@contextmanager
def model_on(run: Run, device: str) -> Iterator[tuple[Model, torch.device]]:
    """The model in eval mode on a device, and back on the CPU after it.

    cuDNN refuses the backward pass of a recurrent layer in eval mode, so torch's own kernels do it.
    """
    place = choose_device(device)
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield run.model.to(place).eval(), place
    finally:
        run.model.cpu()


def mean_behavior(run: Run, session: xr.Dataset, place: torch.device) -> Tensor:
    """Scaled behaviour at its mean over the training part, (column,), on a device."""
    columns = scaled_behavior(session, run.scaling)[run.splits.bins("train")]
    return torch.from_numpy(columns.mean(axis=0)).to(place)


def natural_windows(run: Run, session: xr.Dataset, behavior: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames (1, bin, 1, y, x) of the test part as models read them, with behaviour (column,) held.

    Each run of frames begins with the lead of its first window.
    """
    lead, offset = run.model.seq_len - 1, run.config.predict_offset
    for segment in scored_segments(run, session, "test"):
        for first in range(0, len(segment), MOST_FRAMES):
            targets = segment[first : first + MOST_FRAMES]
            bins = np.arange(targets[0] - lead - offset, targets[-1] - offset + 1)
            frames = torch.from_numpy(scaled_frames(session, run.scaling, bins)).to(behavior.device)
            yield frames[None, :, None], behavior.expand(1, len(bins), -1)


@torch.no_grad()
def natural_extremes(run: Run, session: xr.Dataset, model: Model, behavior: Tensor) -> np.ndarray:
    """Highest and lowest output for windows of the test part's frames, (unit, kind)."""
    extremes = []
    for frames, held in natural_windows(run, session, behavior):
        made = model(frames, held)[0, model.seq_len - 1 :]
        extremes.append(torch.stack([made.amax(0), made.amin(0)]).cpu())
    found = torch.stack(extremes)
    return torch.stack([found[:, 0].amax(0), found[:, 1].amin(0)], dim=1).numpy()
