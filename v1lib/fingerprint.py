"""What makes two files the same bytes, two sessions the same, and two fits the same fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from v1lib.session import stretch_ranges

#: Modules and packages that only read what is kept, so that a change of them makes nothing anew.
READERS_OF_RESULTS = (
    "compare",
    "hierarchy",
    "interpret",
    "plots",
    "power",
    "published",
    "samples",
    "sweep",
    "tables",
)


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def source_hash() -> str:
    """sha256 of the Python source of v1lib, but for :data:`READERS_OF_RESULTS`."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    made_by = [
        path
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0].removesuffix(".py") not in READERS_OF_RESULTS
    ]
    for path in made_by:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def session_hash(session: xr.Dataset) -> str:
    """sha256 of the values and labels of a session, whatever file it came from."""
    digest = hashlib.sha256()
    for name in sorted(map(str, session.variables)):
        values = session[name].values
        text = values.dtype.kind in "OUT"
        data = (
            "\0".join(map(str, values.ravel())).encode() if text else np.ascontiguousarray(values).tobytes()
        )
        digest.update(f"{name} {session[name].dims} {values.shape} {values.dtype.kind}".encode() + data)
    digest.update(f"{session['activity'].attrs['kind']} {session.attrs['bin_width_s']}".encode())
    return digest.hexdigest()


def bins_and_units(session: xr.Dataset) -> str:
    """sha256 of animal, session, time stamps, bin width, stretches, and the labels of the units in order.

    Frames, behaviour and activity are left out, so a control with other frames or behaviour has the
    fingerprint of the session that it was made from.
    """
    digest = hashlib.sha256(session["time"].values.astype("<f8").tobytes())
    width, units = float(session.attrs["bin_width_s"]), session["unit"].values.tolist()
    names = [str(session.attrs[name]) for name in ("animal", "session")]
    digest.update(repr((names, width, stretch_ranges(session), units)).encode())
    return digest.hexdigest()


def fit_key(model: Any, session: xr.Dataset, splits: Any, config: Any) -> dict[str, Any]:
    """What a fit of an untrained model is made from, as plain values.

    The session and the model's weights stand there as hashes; the model's class and arguments, the splits
    and the configuration as they are. The source of v1lib and torch's version are not in it.
    """
    weights = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        weights.update(name.encode() + tensor.cpu().numpy().tobytes())
    key = {
        "session": session_hash(session),
        "class": type(model).__name__,
        "arguments": model.arguments,
        "weights": weights.hexdigest(),
        "splits": asdict(splits),
        "config": asdict(config),
    }
    return json.loads(json.dumps(key, default=plain))


def plain(value: object) -> object:
    """NumPy scalars as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
