"""The head camera: two fields out of each interlaced picture, and the mean picture of each bin."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import xarray as xr
from skimage.transform import resize_local_mean

from v1lib.errors import InputError
from v1lib.recording import read_values

#: A bin whose exposures cover less than this part of it has no frame.
LEAST_COVERAGE = 0.5
_BINS_AT_ONCE = 512


def field_period(world: xr.Dataset) -> float:
    """Time between two exposures of the camera, s: half a frame's where frames are interlaced."""
    period = float(np.median(np.diff(world["time"].values)))
    return period / 2 if world.attrs["interlaced"] else period


def split_fields(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two fields of interlaced pictures, each at full height.

    Parameters
    ----------
    picture : (n, y, x) array
        Even rows were exposed first, odd rows half a period later.

    Returns
    -------
    first, second : (n, y, x) float arrays
        The rows that a field lacks are the mean of their neighbours, or the neighbour at the border.
    """
    return _fill_rows(picture, 0), _fill_rows(picture, 1)


def _fill_rows(picture: np.ndarray, first: int) -> np.ndarray:
    """Keep rows `first`, `first` + 2, … and put the mean of their neighbours between them."""
    full = picture.astype(np.float32)
    kept, missing = full[:, first::2], full[:, 1 - first :: 2]
    above = np.arange(missing.shape[1]) - first
    last = kept.shape[1] - 1
    missing[:] = 0.5 * (kept[:, above.clip(0)] + kept[:, (above + 1).clip(0, last)])
    return full


def exposure_weights(time: np.ndarray, period: float, edges: np.ndarray) -> scipy.sparse.csr_matrix:
    """How long each exposure lasts in each bin, s, (bin, exposure).

    An exposure is taken to last one `period`, with its time stamp in the middle.
    """
    start, stop = time - period / 2, time + period / 2
    first = np.searchsorted(edges, start, side="right") - 1
    last = np.searchsorted(edges, stop, side="left") - 1
    rows, columns, overlaps = [], [], []
    for step in range(int((last - first).max()) + 1):
        number = first + step
        inside = (number <= last) & (number >= 0) & (number < edges.size - 1)
        bin_, exposure = number[inside], np.flatnonzero(inside)
        overlap = np.minimum(stop[exposure], edges[bin_ + 1]) - np.maximum(start[exposure], edges[bin_])
        rows.append(bin_)
        columns.append(exposure)
        overlaps.append(overlap)
    entries = (np.concatenate(overlaps), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.csr_matrix(entries, shape=(edges.size - 1, time.size))


def mean_frames(
    world: xr.Dataset, edges: np.ndarray, frame_shape: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The mean picture of each bin, each exposure weighted by how long it lasts in the bin.

    Parameters
    ----------
    world : xarray.Dataset
        As in :class:`v1lib.recording.Recording`.
    edges : (n + 1,) array
        Edges of the bins, s, camera clock.
    frame_shape : (int, int), optional
        Rows and columns to average the pictures down to; the camera's own by default.

    Returns
    -------
    frames : (n, y, x) uint8 array
        Zero where the bin is not covered.
    coverage : (n,) array
        Part of each bin that exposures cover, 0 to 1.
    n_constant : int
        Frames of one grey level all over, such as a grabber delivers when it has lost the camera; they count
        as no exposure. Damage that leaves some picture (a torn frame) cannot be told from a scene.

    Raises
    ------
    InputError
        Where a part of the video cannot be read, with the numbers of its frames.
    """
    shape = (world.sizes["y"], world.sizes["x"])
    wanted = shape if frame_shape is None else frame_shape
    whole = isinstance(wanted, (tuple, list)) and all(isinstance(size, (int, np.integer)) for size in wanted)
    if not whole or len(wanted) != 2 or not (1 <= wanted[0] <= shape[0] and 1 <= wanted[1] <= shape[1]):
        raise InputError("align", "frame_shape", f"two whole numbers up to the camera's {shape}", str(wanted))
    wanted = (int(wanted[0]), int(wanted[1]))
    period, time = field_period(world), world["time"].values
    weights = [exposure_weights(time, period, edges)]
    if world.attrs["interlaced"]:
        weights.append(exposure_weights(time + period, period, edges))
    total = np.zeros(edges.size - 1)
    constant = np.zeros(time.size, bool)
    frames = np.zeros((edges.size - 1, *wanted), np.uint8)
    for start in range(0, edges.size - 1, _BINS_AT_ONCE):
        part = slice(start, start + _BINS_AT_ONCE)
        used = np.unique(np.concatenate([weight[part].indices for weight in weights]))
        if used.size == 0:
            continue
        block = slice(int(used[0]), int(used[-1]) + 1)
        video = _read_frames(world, block).reshape(block.stop - block.start, -1)
        constant[block] = (video == video[:, :1]).all(axis=1)
        shown = [weight[part, block].multiply(~constant[block]).tocsr() for weight in weights]
        total[part] = np.sum([weight.sum(axis=1).ravel() for weight in shown], axis=0)
        # Filling in a field's missing rows is linear, so it is done once a bin, after the weighted sum.
        single = video.astype(np.float32)
        sums = [(weight.astype(np.float32) @ single).reshape(-1, *shape) for weight in shown]
        if len(sums) == 2:
            sums = [_fill_rows(field_sum, first) for first, field_sum in enumerate(sums)]
        mean = np.sum(sums, axis=0) / np.maximum(total[part], 1e-9)[:, None, None]
        if wanted != shape:
            mean = resize_local_mean(mean, wanted, channel_axis=0, preserve_range=True)
        frames[part] = np.rint(mean)
    return frames, np.minimum(total / np.diff(edges), 1.0), int(constant.sum())


def _read_frames(world: xr.Dataset, block: slice) -> np.ndarray:
    """Frames of the video, (n, y, x) uint8; damaged ones are named by their numbers."""
    file = world.attrs["file"]
    try:
        return read_values(file, "WORLD_video", world["video"][block])
    except InputError as error:
        damaged = [frame for frame in range(block.start, block.stop) if not _reads(world, frame)]
        name = f"WORLD_video, frames {damaged[0]} to {damaged[-1]}" if damaged else "WORLD_video"
        raise InputError(file, name, error.expected, error.found) from error


def _reads(world: xr.Dataset, frame: int) -> bool:
    try:
        read_values(world.attrs["file"], "WORLD_video", world["video"][frame])
    except InputError:
        return False
    return True
