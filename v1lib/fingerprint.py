"""What makes two files the same bytes, and two sessions the same bins of the same units."""

from __future__ import annotations

import hashlib
from pathlib import Path

import xarray as xr

from v1lib.session import stretch_ranges


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bins_and_units(session: xr.Dataset) -> str:
    """sha256 of the time stamps, the bin width, the stretches and the labels of the units in their order.

    Frames, behaviour and activity are left out, so a control with other frames or behaviour has the
    fingerprint of the session that it was made from.
    """
    digest = hashlib.sha256(session["time"].values.astype("<f8").tobytes())
    width, units = float(session.attrs["bin_width_s"]), session["unit"].values.tolist()
    digest.update(repr((width, stretch_ranges(session), units)).encode())
    return digest.hexdigest()
