"""Mice in the layout of the paper's archive, made here without the writer of v1lib."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

BEHAVIOR = ("speed", "pitch", "roll", "phi", "th", "eyerad")


def mouse_arrays(seed=0, *, bins=((7, 3), (8, 4), (6, 3)), n_units=5, shape=(3, 4), video="vid_mean"):
    """The arrays of a mouse by file name, `bins` of the train and test file of each segment.

    Units fire 0.5 to 1.5 spikes a bin, well above 3 Hz.
    """
    rng = np.random.default_rng(seed)
    files = {}
    for segment, lengths in enumerate(bins):
        for part, n in zip(("train", "test"), lengths, strict=True):

            def add(name, values, part=part, segment=segment):
                files[f"{part}_{name}_seg_{segment}.npy"] = values

            add("nsp", rng.poisson(np.linspace(0.5, 1.5, n_units), (n, n_units)).astype(np.int64))
            add(video, rng.integers(0, 256, (n, *shape)).astype(np.uint8))
            for name in BEHAVIOR:
                trace = rng.normal(size=n)
                trace[rng.random(n) < 0.2] = np.nan
                add(name, trace)
    return files


def save_mouse(folder: Path, files: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in files.items():
        np.save(folder / name, values)
    return folder


def zipped(folder: Path, path: Path, prefix: str = "") -> Path:
    """All files below a folder, deflated, under their relative names with `prefix` before them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.npy")):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path
