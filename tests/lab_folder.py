"""Changing the files of a lab folder one at a time, and the sentence that opening it then ends in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import v1lib
from v1lib.errors import InputError

#: The clock that recordings are simulated with unless told otherwise; given to align, it needs no estimate.
CLOCK = v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0)


def aligned(folder: Path) -> xr.Dataset:
    """The folder's session under the clock that it was simulated with."""
    return v1lib.align(v1lib.open_recording(folder), clock=CLOCK)


def rewrite(folder: Path, ending: str, change: Callable[[xr.Dataset], xr.Dataset], encoding=None) -> None:
    """Read one stream's file, change the dataset, write it back."""
    [file] = folder.glob(f"*_{ending}")
    with xr.open_dataset(file, engine="h5netcdf") as data:
        data = change(data.load())
    file.unlink()
    data.to_netcdf(file, engine="h5netcdf", encoding=encoding)


def rewrite_units(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    [file] = folder.glob("*_ephys_merge.json")
    table = pd.DataFrame(json.loads(file.read_text()))
    change(table).to_json(file)


def stamps(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[xr.Dataset], xr.Dataset]:
    """A change of a camera's file, from a function of its time stamps."""
    return lambda data: data.assign_coords(timestamps=("frame", values(data["timestamps"].values.copy())))


def samples(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[xr.Dataset], xr.Dataset]:
    """The same of the inertial sensor's file."""
    return lambda data: data.assign_coords(sample=values(data["sample"].values.copy()))


def channel(name: str, values: Callable[[np.ndarray], np.ndarray]) -> Callable[[xr.Dataset], xr.Dataset]:
    """A change of the inertial sensor's file, from a function of one channel's values."""

    def change(data):
        data["IMU_data"].loc[{"channel": name}] = values(data["IMU_data"].sel(channel=name).values.copy())
        return data

    return change


def refusal(folder: Path) -> str:
    """The one sentence that opening the folder ends in."""
    with pytest.raises(InputError) as caught:
        v1lib.open_recording(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and ": expected " in sentence
    assert ", found " in sentence and "mouse" in sentence
    return sentence
