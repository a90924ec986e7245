"""Points tracked in a video, in the table that DeepLabCut writes: three header rows, then a row a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from v1lib.errors import InputError

_COORDINATES = ("x", "y", "likelihood")


def open_edge_points(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read tracked points as :func:`v1lib.align.eye.fit_pupil` takes them.

    Parameters
    ----------
    path : str or Path
        CSV with the header rows scorer, bodyparts, coords, and x, y, likelihood of every point.

    Returns
    -------
    x, y, likelihood : ndarray, shape (frame, point)
        Pixels, y down; likelihood from 0 to 1. Empty fields are NaN.

    Raises
    ------
    InputError
        For a file of another kind, or one without frames.
    """
    expected = "three header rows (scorer, bodyparts, coords) and x, y, likelihood of each point"
    try:
        table = pd.read_csv(path, header=[1, 2], index_col=0).astype(float)
    except (OSError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, "file", expected, f"one that does not open so ({reason})") from error
    kinds = table.columns.get_level_values(1)
    if len(table) == 0 or len(kinds) == 0 or list(kinds) != list(_COORDINATES) * (len(kinds) // 3):
        raise InputError(path, "columns", expected, f"{len(table)} rows of {list(kinds)[:6]}")
    x, y, likelihood = (table.loc[:, kinds == kind].to_numpy() for kind in _COORDINATES)
    return x, y, likelihood
