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
from v1lib.session import open_netcdf

_ELLIPSE = ("longaxis", "shortaxis", "X0", "Y0")
_INERTIAL = tuple(f"{sensor}_{axis}" for sensor in ("acc", "gyro") for axis in "xyz")
#: A camera slower than this saves both of its interlaced fields in one picture, Hz.
_INTERLACED_BELOW_HZ = 45.0
_DAY_S = 86400.0
#: Two neighbouring samples farther apart than this lie on both sides of a clock that was set, s.
_LONGEST_GAP_S = 600.0
#: Where a stream may begin, s from the start of the ephys; the pipeline has left clocks 8 hours off.
_FIRST_STAMP_S = (-600.0, 6 * 3600.0)
#: So many identical samples in a row are none: at the end of a channel's range, and anywhere.
_RUN_AT_FULL_SCALE, _RUN_ANYWHERE = 3, 15
#: A sensor that lost more than this part of its samples is refused.
_MOST_MASKED = 0.5


@dataclass(frozen=True, repr=False)
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
        ``acc`` (g) and ``gyro`` (deg/s), (time, axis), axes forward, left, up; ephys clock. NaN where not
        measured, which a channel at full scale or stuck is not; attribute ``masked`` is the share of samples
        that one channel or more lost so.
    spikes : pynapple.TsGroup
        Spike times of the good units, ephys clock, in order of their channel.
    """

    path: Path
    world: xr.Dataset
    eye: xr.Dataset
    top: xr.Dataset
    imu: xr.Dataset
    spikes: nap.TsGroup

    def __repr__(self) -> str:
        frames, rows, columns = self.world["video"].shape
        time = self.world["time"].values
        return (
            f"Recording {self.path.name} ({self.source}), {(time[-1] - time[0]) / 60:.1f} min: "
            f"{frames} frames of {rows} × {columns}, {self.eye.sizes['time']} of the eye, "
            f"{self.top.sizes['time']} from above, {self.imu.sizes['time']} samples of the inertial sensor, "
            f"{len(self.spikes)} units"
        )

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
        leaves them. Where the folder has another name than the files, their common prefix counts. A
        head-fixed folder's ``<rec>_speed.nc`` is not read: its time stamps are fewer or more than its speeds.

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
        found = "a file (v1lib.open_session opens files)" if path.is_file() else "none"
        raise InputError(path, "folder", "a folder with a recording", found)
    world, eye, top, imu, units = _streams(path)
    spikes, start = _open_units(units)
    recording = Recording(
        path=path,
        world=_open_world(world, start),
        eye=_open_eye(eye, start),
        top=_open_top(top, start),
        imu=_open_imu(imu, start),
        spikes=spikes,
    )
    # One system records both, so that spikes long after the sensor's end are in samples or ms.
    latest = float(recording.imu["time"][-1]) + _LONGEST_GAP_S
    for unit in spikes.keys():
        if spikes[unit].t[-1] > latest:
            name = f"spikeT of channel {spikes['ch'][unit]}"
            expected = f"times in s from the start of the ephys, up to {latest:.0f}"
            raise InputError(units, name, expected, f"{spikes[unit].t[-1]:.15g} (in samples or ms?)")
    return recording


def _streams(path: Path) -> list[Path]:
    """The five files of a recording, which all begin with the recording's name."""
    files, names = [], set()
    for endings in (("world.nc",), ("REYE.nc", "Reye.nc"), ("TOP1.nc",), ("imu.nc",), ("ephys_merge.json",)):
        found = sorted((file, ending) for ending in endings for file in path.glob(f"*_{ending}"))
        if not found:
            treadmill = [file.name for file in path.glob("*_speed.nc")]
            also = f" (and {treadmill[0]}, of a head-fixed animal, which is not read)" if treadmill else ""
            raise InputError(path, f"*_{endings[0]}", "a file of that name", f"none{also}")
        if len(found) > 1:
            several = ", ".join(file.name for file, _ in found)
            raise InputError(path, f"*_{endings[0]}", "one such file", several)
        [(file, ending)] = found
        files.append(file)
        names.add(file.name.removesuffix(f"_{ending}"))
    if len(names) > 1:
        raise InputError(path, "folder", "files of one recording", f"files of {sorted(names)}")
    return files


def _variable(data: xr.Dataset, file: Path, name: str, n_dims: int) -> xr.DataArray:
    if name not in data.variables:
        raise InputError(file, name, "a variable of that name", f"only {sorted(map(str, data.variables))}")
    if data[name].ndim != n_dims:
        raise InputError(file, name, f"{n_dims} dimensions", f"shape {data[name].shape}")
    if 0 in data[name].shape:
        raise InputError(file, name, "at least one entry", f"shape {data[name].shape}")
    if data[name].dtype.kind not in "iuf":
        raise InputError(file, name, "numbers", f"values of type {data[name].dtype}")
    return data[name]


def read_values(file: str | Path, name: str, variable: xr.DataArray) -> np.ndarray:
    """The values of a variable that still lies on disk; a damaged part of the file ends in one sentence."""
    try:
        return variable.values
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(file, name, "readable values", f"damaged ones ({reason})") from error


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
    table = read_values(file, name, variable.transpose(..., dim)).astype(float, copy=False)
    return {label: table[:, labels.index(label)] for label in wanted}


def _since_start(file: Path, name: str, stamps: xr.DataArray, n: int, start: float) -> np.ndarray:
    """Time stamps in s since midnight as s from the start of the ephys: one a sample, finite, rising."""
    time = read_values(file, name, stamps).astype(float)
    if time.shape != (n,):
        raise InputError(file, name, f"{n} time stamps, one a sample", f"shape {time.shape}")
    if n < 2:
        raise InputError(file, name, "at least two samples", str(n))
    wrong = np.flatnonzero(~np.isfinite(time))
    if wrong.size:
        raise InputError(file, name, "finite times", f"{wrong.size} that are not, first at sample {wrong[0]}")
    wrong = np.flatnonzero((time < 0) | (time >= 2 * _DAY_S))
    if wrong.size:
        expected = f"seconds since midnight, 0 to {2 * _DAY_S:.0f}"
        found = f"{time[wrong[0]]:.15g} at sample {wrong[0]} (in ms, µs or ns?)"
        raise InputError(file, name, expected, found)
    # Stamps that fall by most of a day have passed midnight.
    time = time + _DAY_S * np.cumsum(np.diff(time, prepend=time[0]) < -0.5 * _DAY_S)
    back = np.flatnonzero(np.diff(time) <= 0)
    if back.size:
        first = int(back[0])
        found = f"{time[first + 1]:.6f} s after {time[first]:.6f} s at sample {first + 1}"
        raise InputError(file, name, "times that rise", found)
    far = np.flatnonzero(np.diff(time) >= _LONGEST_GAP_S)
    if far.size:
        first = int(far[0])
        found = f"{time[first + 1] - time[first]:.3f} s between samples {first} and {first + 1}"
        expected = f"steps below {_LONGEST_GAP_S:.0f} s"
        raise InputError(file, name, expected, f"{found} (a clock that was set, or stamps in ms?)")
    time = time - start
    # Midnight may have passed between the start of the ephys and the first stamp.
    time = time - _DAY_S * np.rint(time[0] / _DAY_S)
    if not _FIRST_STAMP_S[0] <= time[0] <= _FIRST_STAMP_S[1]:
        expected = "a first stamp {:.0f} to {:.0f} s from t0, the start of the ephys".format(*_FIRST_STAMP_S)
        found = f"{time[0]:.3f} s, {time[0] / 3600:+.2f} hours (is the clock hours off?)"
        raise InputError(file, name, expected, found)
    return time


def _camera_time(data: xr.Dataset, file: Path, n: int, start: float) -> np.ndarray:
    """Times of a camera's frames: `timestamps` is the clock; the `*_times` variable is only a placeholder."""
    return _since_start(file, "timestamps", _variable(data, file, "timestamps", 1), n, start)


def _open_world(file: Path, start: float) -> xr.Dataset:
    data = open_netcdf(file)
    video = _variable(data, file, "WORLD_video", 3)
    if video.dtype == np.int8:
        # The pipeline has saved bytes as signed ones: what reads as −1 was 255. Decoded by this attribute of
        # NetCDF, the video stays on disk, where astype would read all of it.
        video = xr.decode_cf(xr.Dataset({"video": video.assign_attrs(_Unsigned="true")}))["video"]
    if video.dtype != np.uint8:
        raise InputError(file, "WORLD_video", "8-bit pixels", str(video.dtype))
    video = video.rename(dict(zip(video.dims, ("frame", "y", "x"), strict=True))).drop_vars(
        [name for name in video.coords if name != "timestamps"]
    )
    time = _camera_time(data, file, video.sizes["frame"], start)
    rate = 1 / float(np.median(np.diff(time)))
    world = xr.Dataset({"video": video.drop_vars("timestamps", errors="ignore")}, {"time": ("frame", time)})
    interlaced = rate < _INTERLACED_BELOW_HZ
    if interlaced and world.sizes["y"] < 2:
        raise InputError(file, "WORLD_video", "two rows or more, for two fields", "one")
    return world.assign_attrs(interlaced=interlaced, file=str(file))


def _open_eye(file: Path, start: float) -> xr.Dataset:
    with open_netcdf(file) as data:
        columns = _labelled(data, file, "REYE_ellipse_params", "ellipse_params", _ELLIPSE)
        time = _camera_time(data, file, columns["X0"].size, start)
        attributes = data["REYE_ellipse_params"].attrs
    for name in ("cam_center_x", "cam_center_y"):
        if not isinstance(attributes.get(name), (int, float, np.number)):
            found = repr(attributes.get(name))
            raise InputError(file, f"REYE_ellipse_params attribute {name}", "a value in px", found)
    for name in ("X0", "Y0"):
        _refuse_infinite(file, f"REYE_ellipse_params, {name}", columns[name])
    short, long = columns["shortaxis"], columns["longaxis"]
    impossible = ((short <= 0) | (short > long * 1.001) | np.isinf(long)) & np.isfinite(columns["X0"])
    if impossible.any():
        found = f"short {short[impossible][0]} and long {long[impossible][0]} px"
        raise InputError(file, "REYE_ellipse_params", "0 < shortaxis <= longaxis", found)
    if np.isnan(columns["X0"]).all():
        raise InputError(
            file, "REYE_ellipse_params", "some frames with a tracked pupil", "NaN in every frame"
        )
    about = {f"center_{axis}": float(attributes[f"cam_center_{axis}"]) for axis in "xy"} | {"file": str(file)}
    return xr.Dataset({name: ("time", values) for name, values in columns.items()}, {"time": time}, about)


def _open_top(file: Path, start: float) -> xr.Dataset:
    with open_netcdf(file) as data:
        speed = _labelled(data, file, "TOP1_props", "prop", ("speed",))["speed"]
        time = _camera_time(data, file, speed.size, start)
    _refuse_infinite(file, "TOP1_props, prop speed", speed)
    if np.isnan(speed).all():
        raise InputError(file, "TOP1_props, prop speed", "some measured values", "NaN in every frame")
    if (speed < 0).any():
        raise InputError(file, "TOP1_props, prop speed", "speeds of 0 or more", f"{np.nanmin(speed)} cm/s")
    return xr.Dataset({"speed": ("time", speed)}, {"time": time})


def _refuse_infinite(file: Path, name: str, values: np.ndarray) -> None:
    wrong = np.flatnonzero(np.isinf(values))
    if wrong.size:
        found = f"{wrong.size} infinite ones, first at sample {wrong[0]}"
        raise InputError(file, name, "finite values, or NaN where not measured", found)


def _open_imu(file: Path, start: float) -> xr.Dataset:
    with open_netcdf(file) as data:
        # The pipeline stores an unnamed array, which NetCDF then names like this.
        name = "__xarray_dataarray_variable__" if "__xarray_dataarray_variable__" in data else "IMU_data"
        columns = _labelled(data, file, name, "channel", _INERTIAL)
        if "sample" not in data.coords:
            raise InputError(file, "sample", "a coordinate with the samples' times", "none")
        time = _since_start(file, "sample", _variable(data, file, "sample", 1), columns["acc_x"].size, start)
    for label, values in columns.items():
        _refuse_infinite(file, label, values)
        if np.isnan(values).all():
            raise InputError(file, label, "some measured values", "NaN in every sample")
    held = {label: _held(values) for label, values in columns.items()}
    for label, lost in held.items():
        if lost.mean() > _MOST_MASKED:
            found = f"{100 * lost.mean():.1f} % of its samples at full scale or stuck"
            raise InputError(file, label, "a channel that is mostly within its range", found)
        columns[label] = np.where(lost, np.nan, columns[label])
    sensors = {
        sensor: (("time", "axis"), np.stack([columns[f"{sensor}_{axis}"] for axis in "xyz"], axis=1))
        for sensor in ("acc", "gyro")
    }
    masked = float(np.any(list(held.values()), axis=0).mean())
    return xr.Dataset(sensors, {"time": time, "axis": ["forward", "left", "up"]}, {"masked": masked})


def _held(values: np.ndarray) -> np.ndarray:
    """Which samples of a channel are none, (n,): it stands at the end of its range, or does not change.

    Noise moves a working sensor by several steps of its converter from sample to sample, so that it repeats
    its highest or lowest value several times in a row only where it cannot go beyond, and any value many
    times only where it is stuck.
    """
    starts = np.r_[0, np.flatnonzero(np.diff(values) != 0) + 1]
    lengths = np.diff(np.r_[starts, values.size])
    held = np.repeat(lengths >= _RUN_ANYWHERE, lengths)
    for end in (np.nanmin(values), np.nanmax(values)):
        if (lengths[values[starts] == end] >= _RUN_AT_FULL_SCALE).any():
            held |= values == end
    return held


def _open_units(file: Path) -> tuple[nap.TsGroup, float]:
    """Good units in order of channel, and the start of the ephys in s since midnight."""
    try:
        table = pd.DataFrame(json.loads(file.read_text()))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        found = f"what does not parse ({reason})"
        raise InputError(file, "file", "a table of units in JSON", found) from error
    for name in ("group", "ch", "spikeT", "t0"):
        if name not in table:
            raise InputError(file, name, "a column of that name", f"only {list(table.columns)}")
    good = table[table["group"] == "good"]
    if good.empty:
        raise InputError(file, "group", "at least one unit that is good", f"{len(table)} units, none good")
    channels = _numbers(file, "ch", good["ch"].tolist())
    good = good.iloc[np.argsort(channels, kind="stable")]
    starts = np.unique(_numbers(file, "t0", good["t0"].tolist()))
    if starts.size != 1:
        raise InputError(file, "t0", "one start of the ephys, the same for all units", str(starts.tolist()))
    trains = {}
    for number, (channel, times) in enumerate(zip(good["ch"], good["spikeT"], strict=True)):
        name = f"spikeT of channel {channel}"
        spikes = _numbers(file, name, times)
        if spikes.size == 0:
            raise InputError(file, name, "at least one spike", "none")
        if (np.diff(spikes) < 0).any() or spikes[0] < 0:
            raise InputError(file, name, "times that rise, from the start of the ephys", "others")
        trains[number] = nap.Ts(spikes)
    span = nap.IntervalSet(0.0, max(float(train.t[-1]) for train in trains.values()) + 1.0)
    return nap.TsGroup(trains, time_support=span, metadata={"ch": good["ch"].to_numpy()}), float(starts[0])


def _numbers(file: Path, name: str, values: object) -> np.ndarray:
    """A JSON list of finite numbers as an array."""
    if not isinstance(values, list):
        raise InputError(file, name, "a list of numbers", type(values).__name__)
    wrong = [value for value in values if type(value) not in (int, float)]
    if wrong:
        raise InputError(file, name, "numbers", f"{str(wrong[0])[:40]!r}")
    numbers = np.array(values, dtype=float)
    if not np.isfinite(numbers).all():
        raise InputError(file, name, "finite numbers", "NaN or infinity")
    return numbers
