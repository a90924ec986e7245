"""Sessions that differ in one thing from what was recorded, for controls.

Each keeps the bins, units and activity. What is moved in time is moved inside one part of the splits, so that
training never sees what belongs to a test bin.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.models.gaze import GazeRotation
from v1lib.splits import PARTS, Splits

#: Frames that stay together when vision is shuffled, s: longer than the memory of any model here.
SHUFFLE_BLOCK_S = 1.0
#: Frames turned at once.
_PIECE = 512


def shuffle_vision(
    session: xr.Dataset, splits: Splits, *, seed: int = 0, block_s: float = SHUFFLE_BLOCK_S
) -> xr.Dataset:
    """The session with the frames of each part in another order, a block of about a second at a time.

    Parameters
    ----------
    session : xarray.Dataset
    splits : Splits
        The bins of a part are put in one row, which is cut into blocks; bins of no part keep their frames.
    seed : int
        Of the order, in which no block stays where it was.
    block_s : float
        Length of a block, s.

    Raises
    ------
    InputError
        If a part has fewer than two blocks.
    """
    width = float(session.attrs["bin_width_s"])
    check_real("shuffle_vision", "block_s", block_s, width, 3600)
    rng, block = np.random.default_rng(seed), round(block_s / width)
    frames = session["frames"].values.copy()
    for part in PARTS:
        bins = splits.bins(part)
        frames[bins] = frames[bins[_shuffled(len(bins), block, part, rng)]]
    return session.assign(frames=(session["frames"].dims, frames, session["frames"].attrs))


def _shuffled(n: int, block: int, part: str, rng: np.random.Generator) -> np.ndarray:
    """Numbers from 0 to n - 1 with their blocks in one random cycle."""
    whole = n // block
    if whole < 2:
        raise InputError("shuffle_vision", part, f"at least {2 * block} bins, two blocks", str(n))
    cycle = rng.permutation(whole)
    source = np.empty(whole, int)
    source[cycle] = np.roll(cycle, 1)
    order = np.concatenate(
        [(block * source[:, None] + np.arange(block)).ravel(), np.arange(block * whole, n)]
    )
    # What is left over at the end is no block: it changes places with as much from the beginning.
    rest = n - block * whole
    order[:rest], order[n - rest :] = order[n - rest :].copy(), order[:rest].copy()
    return order


def shift_behavior(session: xr.Dataset, splits: Splits, *, seed: int = 0) -> xr.Dataset:
    """The session with all behaviour, gaze included, shifted circularly inside each part.

    The bins of a part are put in one row. Each trace keeps its values, its autocorrelation and its
    correlation with the other traces, but for the seams at the ends of ranges.

    Parameters
    ----------
    session : xarray.Dataset
    splits : Splits
        Bins of no part keep their behaviour.
    seed : int
        Of the shifts, which are from a quarter to three quarters of a part.

    Raises
    ------
    InputError
        If a part has fewer than four bins.
    """
    rng = np.random.default_rng(seed)
    behavior = session["behavior"].values.copy()
    for part in PARTS:
        bins = splits.bins(part)
        if len(bins) < 4:
            raise InputError("shift_behavior", part, "at least 4 bins", str(len(bins)))
        shift = int(rng.integers(len(bins) // 4, 3 * len(bins) // 4 + 1))
        behavior[bins] = np.roll(behavior[bins], shift, axis=0)
    return session.assign(behavior=(session["behavior"].dims, behavior, session["behavior"].attrs))


def true_retinal_image(session: xr.Dataset, truth: xr.Dataset, splits: Splits) -> xr.Dataset:
    """The session with its frames turned by the true angles of the eye, torsion included.

    Parameters
    ----------
    session : xarray.Dataset
        Of a simulated recording.
    truth : xarray.Dataset
        On the session's bins, from :func:`v1lib.simulate.bin_truth`.
    splits : Splits
        What the camera did not see is the mean grey value of the training part.

    Returns
    -------
    xarray.Dataset
        With frames (time, y, x) in float32, grey values.

    Raises
    ------
    InputError
        If the truth has no angles of the eye, or other bins.
    """
    names = ["theta", "phi", "torsion"]
    missing = [name for name in names if name not in truth]
    if missing or "focal_px" not in truth.attrs:
        expected = "angles of the eye and a focal length, as a simulated recording has them"
        raise InputError(
            "truth", "variables", expected, f"none called {' or '.join(missing or ['focal_px'])}"
        )
    if not np.array_equal(truth["time"], session["time"]):
        raise InputError("truth", "time", "the session's bins", "others")
    angles = np.stack([truth[name].values for name in names], axis=1)
    frames = session["frames"].values
    grey = float(np.mean([frame.mean(dtype=np.float64) for frame in frames[splits.bins("train")]]))
    seen = turned(frames, angles, truth.attrs["focal_px"], grey)
    return session.assign(frames=(session["frames"].dims, seen, session["frames"].attrs))


def turned(frames: np.ndarray, angles: np.ndarray, focal_px: float, grey: float) -> np.ndarray:
    """Frames as an eye sees them that is turned by these angles.

    Parameters
    ----------
    frames : array, shape (n, y, x)
        Of a pinhole camera that looks straight ahead.
    angles : array, shape (n, 3)
        theta, phi and torsion, deg.
    focal_px : float
        The camera's focal length, px.
    grey : float
        What stands where the camera saw nothing.

    Returns
    -------
    numpy.ndarray, shape (n, y, x), float32

    Raises
    ------
    InputError
        If there are not three finite angles a frame, or the focal length is no length.
    """
    if frames.ndim != 3 or angles.shape != (len(frames), 3) or not np.isfinite(angles).all():
        found = f"{angles.shape} for frames of {frames.shape}, or NaN"
        raise InputError("turned", "angles", "finite theta, phi and torsion of each frame", found)
    check_real("turned", "focal_px", focal_px, 1e-3, 1e6)
    eye = GazeRotation(3, frames.shape[1:], pool=1)
    seen = np.empty(frames.shape, np.float32)
    with torch.no_grad():
        eye.linear.weight.copy_(torch.eye(3) * math.radians(1) / 0.3)  # it takes thirds of a radian
        eye.log_focal.copy_(torch.tensor(math.log(focal_px / (frames.shape[2] / 2))))
        for first in range(0, len(frames), _PIECE):
            piece = slice(first, first + _PIECE)
            filmed = torch.from_numpy(frames[piece]).float()[:, None] - grey
            seen[piece] = eye(filmed, torch.from_numpy(angles[piece]).float())[:, 0].numpy() + grey
    return seen
