"""A recording as a laboratory stores it: raw streams in one folder, each with its own clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pynapple as nap
import xarray as xr

from v1lib.errors import InputError

_ELLIPSE = ("longaxis", "shortaxis", "X0", "Y0")
_INERTIAL = tuple(f"{sensor}_{axis}" for sensor in ("acc", "gyro") for axis in "xyz")
#: A camera slower than this saves both of its interlaced fields in one picture, Hz.
_INTERLACED_BELOW_HZ = 45.0


@dataclass(frozen=True)
class Recording:
    """Raw streams of one recording; times are s from the start of the ephys, each stream's on its own clock.

    Attributes
    ----------
    path : Path
        The folder; its name is the recording's.
    world : xarray.Dataset
        ``video`` (frame, y, x) uint8, read from disk when it is asked for, over ``time`` (frame), camera
        clock. Attribute ``interlaced``: whether even rows were exposed first and odd rows half a period
        later.
    eye : xarray.Dataset
        ``longaxis``, ``shortaxis``, ``X0``, ``Y0`` of the pupil (px, NaN where not tracked) over ``time``,
        camera clock. Attributes ``center_x``, ``center_y``: where the camera's axis meets the picture.
    top : xarray.Dataset
        ``speed`` (cm/s) over ``time``, camera clock.
    imu : xarray.Dataset
        ``acc`` (g) and ``gyro`` (deg/s), (time, axis), axes forward, left, up; ephys clock.
    spikes : pynapple.TsGroup
        Spike times of the good units, ephys clock, in order of their channel.
    """

    path: Path
    world: xr.Dataset
    eye: xr.Dataset
    top: xr.Dataset
    imu: xr.Dataset
    spikes: nap.TsGroup

    @property
    def source(self) -> str:
        """``simulated`` where the truth lies beside the streams, otherwise ``lab folder``."""
        return "simulated" if any(file.name.endswith("_truth.nc") for file in self.files) else "lab folder"

    @property
    def files(self) -> list[Path]:
        """The files of the recording."""
        return sorted(
            file for file in self.path.iterdir() if file.is_file() and not file.name.startswith(".")
        )


def summarize_recording(recording: Recording) -> pd.DataFrame:
    """What each stream of a recording holds: one row a stream."""
    streams = {
        "head camera": (recording.world, "camera", recording.world.sizes["frame"], 0.0),
        "eye camera": (recording.eye, "camera", recording.eye.sizes["time"], recording.eye["X0"]),
        "camera above": (recording.top, "camera", recording.top.sizes["time"], recording.top["speed"]),
        "inertial sensor": (recording.imu, "ephys", recording.imu.sizes["time"], recording.imu["gyro"]),
    }
    rows = []
    for name, (data, clock, n, values) in streams.items():
        time = data["time"].values
        rows.append(
            {
                "stream": name,
                "clock": clock,
                "samples": n,
                "rate (Hz)": round(1 / float(np.median(np.diff(time))), 1),
                "first stamp (s)": round(float(time[0]), 3),
                "last stamp (s)": round(float(time[-1]), 3),
                "missing (%)": round(100 * float(np.isnan(np.asarray(values)).mean()), 1),
            }
        )
    return pd.DataFrame(rows).set_index("stream")


def open_recording(path: str | Path) -> Recording:
    """Open a lab folder, simulated or real.

    Parameters
    ----------
    path : str or Path
        A folder ``<rec>`` with ``<rec>_world.nc``, ``<rec>_REYE.nc`` (older: ``_Reye.nc``),
        ``<rec>_TOP1.nc``, ``<rec>_imu.nc`` and ``<rec>_ephys_merge.json``, as the FreelyMovingEphys pipeline
        leaves them. Where the folder has another name than the files, their common prefix counts.

    Returns
    -------
    Recording

    Raises
    ------
    InputError
        A stream that is missing, cut short, of the wrong shape, or whose time stamps do not rise: one
        sentence that names file, variable, what was expected and what was found.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(path, "folder", "a folder with a recording", "none")
    spikes, start = _open_units(_stream(path, "ephys_merge.json"))
    return Recording(
        path=path,
        world=_open_world(_stream(path, "world.nc"), start),
        eye=_open_eye(_stream(path, "REYE.nc", "Reye.nc"), start),
        top=_open_top(_stream(path, "TOP1.nc"), start),
        imu=_open_imu(_stream(path, "imu.nc"), start),
        spikes=spikes,
    )


def _stream(path: Path, *endings: str) -> Path:
    for ending in endings:
        found = sorted(path.glob(f"*_{ending}"))
        if len(found) > 1:
            raise InputError(path, f"*_{ending}", "one such file", ", ".join(file.name for file in found))
        if found:
            return found[0]
    raise InputError(path, f"*_{endings[0]}", "a file of that name", "none")


def _open(file: Path) -> xr.Dataset:
    try:
        return xr.open_dataset(file, engine="h5netcdf")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            file, "file", "a complete NetCDF-4 file", f"one that does not open ({reason})"
        ) from error


def _variable(data: xr.Dataset, file: Path, name: str, n_dims: int) -> xr.DataArray:
    if name not in data.variables:
        raise InputError(file, name, "a variable of that name", f"only {sorted(map(str, data.variables))}")
    if data[name].ndim != n_dims:
        raise InputError(file, name, f"{n_dims} dimensions", f"shape {data[name].shape}")
    if 0 in data[name].shape:
        raise InputError(file, name, "at least one entry", f"shape {data[name].shape}")
    return data[name]


def _labelled(
    data: xr.Dataset, file: Path, name: str, dim: str, wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The wanted columns of a two-dimensional variable, found by their labels and never by their place."""
    variable = _variable(data, file, name, 2)
    if dim not in variable.dims or dim not in data.coords:
        raise InputError(file, name, f"a labelled dimension {dim}", str(variable.dims))
    labels = [str(label) for label in data[dim].values]
    for label in wanted:
        if labels.count(label) != 1:
            raise InputError(file, f"{name}, {dim} {label}", "one column of that name", f"only {labels}")
    table = variable.transpose(..., dim).values.astype(float)
    return {label: table[:, labels.index(label)] for label in wanted}


def _rising(file: Path, name: str, time: np.ndarray, n: int) -> np.ndarray:
    """Time stamps that can be trusted: as many as there are samples, finite, rising."""
    if time.shape != (n,):
        raise InputError(file, name, f"{n} time stamps, one a sample", f"shape {time.shape}")
    if not np.isfinite(time).all():
        raise InputError(file, name, "finite times", f"{int((~np.isfinite(time)).sum())} that are not")
    back = np.flatnonzero(np.diff(time) <= 0)
    if back.size:
        first = int(back[0])
        found = f"{time[first + 1]:.6f} s after {time[first]:.6f} s at sample {first + 1}"
        raise InputError(file, name, "times that rise", found)
    if n < 2:
        raise InputError(file, name, "at least two samples", str(n))
    return time


def _camera_time(data: xr.Dataset, file: Path, n: int, start: float) -> np.ndarray:
    """Times of a camera's frames: `timestamps` is the clock; the `*_times` variable is only a placeholder."""
    return _rising(file, "timestamps", _variable(data, file, "timestamps", 1).values.astype(float), n) - start


def _open_world(file: Path, start: float) -> xr.Dataset:
    data = _open(file)
    video = _variable(data, file, "WORLD_video", 3)
    if video.dtype == np.int8:
        # The pipeline has saved bytes as signed ones: what reads as −1 was 255.
        video = video.astype(np.uint8)
    if video.dtype != np.uint8:
        raise InputError(file, "WORLD_video", "8-bit pixels", str(video.dtype))
    video = video.rename(dict(zip(video.dims, ("frame", "y", "x"), strict=True))).drop_vars(
        [name for name in video.coords if name != "timestamps"]
    )
    time = _camera_time(data, file, video.sizes["frame"], start)
    rate = 1 / float(np.median(np.diff(time)))
    world = xr.Dataset({"video": video.drop_vars("timestamps", errors="ignore")}, {"time": ("frame", time)})
    return world.assign_attrs(interlaced=rate < _INTERLACED_BELOW_HZ)


def _open_eye(file: Path, start: float) -> xr.Dataset:
    with _open(file) as data:
        columns = _labelled(data, file, "REYE_ellipse_params", "ellipse_params", _ELLIPSE)
        time = _camera_time(data, file, columns["X0"].size, start)
        attributes = data["REYE_ellipse_params"].attrs
    for name in ("cam_center_x", "cam_center_y"):
        if name not in attributes:
            raise InputError(file, f"REYE_ellipse_params attribute {name}", "a value in px", "none")
    if np.isnan(columns["X0"]).all():
        raise InputError(
            file, "REYE_ellipse_params", "some frames with a tracked pupil", "NaN in every frame"
        )
    center = {f"center_{axis}": float(attributes[f"cam_center_{axis}"]) for axis in "xy"}
    return xr.Dataset({name: ("time", values) for name, values in columns.items()}, {"time": time}, center)


def _open_top(file: Path, start: float) -> xr.Dataset:
    with _open(file) as data:
        speed = _labelled(data, file, "TOP1_props", "prop", ("speed",))["speed"]
        time = _camera_time(data, file, speed.size, start)
    return xr.Dataset({"speed": ("time", speed)}, {"time": time})


def _open_imu(file: Path, start: float) -> xr.Dataset:
    with _open(file) as data:
        # The pipeline stores an unnamed array, which NetCDF then names like this.
        name = "__xarray_dataarray_variable__" if "__xarray_dataarray_variable__" in data else "IMU_data"
        columns = _labelled(data, file, name, "channel", _INERTIAL)
        time = _rising(file, "sample", data["sample"].values.astype(float), columns["acc_x"].size) - start
    for label, values in columns.items():
        if np.isnan(values).all():
            raise InputError(file, label, "some measured values", "NaN in every sample")
    sensors = {
        sensor: (("time", "axis"), np.stack([columns[f"{sensor}_{axis}"] for axis in "xyz"], axis=1))
        for sensor in ("acc", "gyro")
    }
    return xr.Dataset(sensors, {"time": time, "axis": ["forward", "left", "up"]})


def _open_units(file: Path) -> tuple[nap.TsGroup, float]:
    """Good units in order of channel, and the start of the ephys in s since midnight."""
    try:
        table = pd.DataFrame(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            file, "file", "a table of units in JSON", f"what does not parse ({reason})"
        ) from error
    for name in ("group", "ch", "spikeT", "t0"):
        if name not in table:
            raise InputError(file, name, "a column of that name", f"only {list(table.columns)}")
    good = table[table["group"] == "good"].sort_values("ch", kind="stable")
    if good.empty:
        raise InputError(file, "group", "at least one unit that is good", f"{len(table)} units, none good")
    starts = good["t0"].astype(float).unique()
    if starts.size != 1 or not np.isfinite(starts[0]):
        raise InputError(file, "t0", "one start of the ephys, the same for all units", str(starts.tolist()))
    trains = {}
    for number, (channel, times) in enumerate(zip(good["ch"], good["spikeT"], strict=True)):
        spikes = np.asarray(times, dtype=float)
        if spikes.size == 0:
            raise InputError(file, f"spikeT of channel {channel}", "at least one spike", "none")
        if spikes.ndim != 1 or not np.isfinite(spikes).all() or (np.diff(spikes) < 0).any():
            raise InputError(file, f"spikeT of channel {channel}", "finite rising times", "others")
        trains[number] = nap.Ts(spikes)
    span = nap.IntervalSet(0.0, max(float(train.t[-1]) for train in trains.values()))
    return nap.TsGroup(trains, time_support=span, metadata={"ch": good["ch"].to_numpy()}), float(starts[0])
