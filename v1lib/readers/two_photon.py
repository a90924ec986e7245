"""Two-photon recordings of drifting gratings (Park et al. 2024): MATLAB 5 file → session.

The file holds a struct ``D`` (``neuron1`` … ``neuronN``, ``pupil_zscore``, ``speed``: one cell array of
trials each), a struct ``TE`` (``direction`` in degrees, one a trial; ``dt`` in s) and the times ``t`` of a
trial's samples, with the grating on from t = 0. The animal is head-fixed, and the activity is fluorescence,
not a spike count.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.io import loadmat

from v1lib.errors import InputError
from v1lib.fingerprint import sha256
from v1lib.session import SCHEMA_VERSION, validate_session

#: The stored names of the behaviour, by the names that a session gives them.
_BEHAVIOR = {"speed": "speed", "pupil": "pupil_zscore"}
_GREY = 0.5


def open_two_photon(
    path: str | Path,
    *,
    frame_shape: tuple[int, int] = (30, 40),
    degrees_per_pixel: float = 2.5,
    spatial_frequency_cpd: float = 0.04,
    temporal_frequency_hz: float = 2.0,
    contrast: float = 1.0,
) -> xr.Dataset:
    """Read a two-photon grating recording as a session.

    Frames are not in the file. They are drawn from each trial's direction at the nominal values given here,
    grey before the grating comes on. Speed and pupil are kept as they are stored, scaled by their source to
    about 0 to 1. The time between trials is not in the file either: trials are laid end to end, each its own
    stretch.

    Parameters
    ----------
    path : str or Path
        The ``.mat`` file.
    frame_shape : (int, int)
        Height and width of a frame in pixels.
    degrees_per_pixel : float
        Visual angle of a pixel, degrees.
    spatial_frequency_cpd : float
        Nominal spatial frequency, cycles per degree.
    temporal_frequency_hz : float
        Nominal temporal frequency, Hz.
    contrast : float
        Michelson contrast of the grating, 0 to 1.

    Returns
    -------
    xarray.Dataset
        A valid session (see :mod:`v1lib.session`) with the coordinates ``condition`` (direction of drift,
        degrees), ``trial`` (number) and ``trial_time`` (s from the onset of the grating) on ``time``.

    Raises
    ------
    InputError
        For a file that is cut short or not of this kind, a missing field, a cell array of the wrong shape,
        values that are not finite, or a choice out of its range.
    """
    path = Path(path)
    nominal = {
        "degrees_per_pixel": degrees_per_pixel,
        "spatial_frequency_cpd": spatial_frequency_cpd,
        "temporal_frequency_hz": temporal_frequency_hz,
        "contrast": contrast,
    }
    _check_choices(frame_shape, nominal)
    content = _load(path)
    sample_time = _numbers(path, "t", content["t"])
    direction = _numbers(path, "TE.direction", _field(path, "TE", content["TE"], "direction"))
    width = float(_numbers(path, "TE.dt", _field(path, "TE", content["TE"], "dt"))[0])
    _check_times(path, sample_time, width)

    struct = content["D"]
    shape = (direction.size, sample_time.size)
    neurons = sorted(
        (name for name in getattr(struct, "_fieldnames", ()) if re.fullmatch(r"neuron\d+", name)),
        key=lambda name: int(name.removeprefix("neuron")),
    )
    if not neurons:
        raise InputError(path, "D", "at least one field neuron1 … neuronN", "none")
    activity = np.stack([_trials(path, struct, name, shape) for name in neurons], axis=-1)
    behavior = np.stack([_trials(path, struct, name, shape) for name in _BEHAVIOR.values()], axis=-1)
    frames = draw_gratings(direction, sample_time, frame_shape=frame_shape, **nominal)

    n_bins = direction.size * sample_time.size
    trial = np.repeat(np.arange(direction.size), sample_time.size)
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), frames.reshape(n_bins, *frame_shape)),
            "behavior": (("time", "variable"), behavior.reshape(n_bins, -1).astype("float32")),
            "activity": (("time", "unit"), activity.reshape(n_bins, -1).astype("float32")),
            "stretch": ("time", trial.astype("int32")),
        },
        coords={
            "time": (np.arange(n_bins) + 0.5) * width,
            "variable": list(_BEHAVIOR),
            "unit": np.arange(len(neurons)),
            "condition": ("time", np.repeat(direction, sample_time.size)),
            "trial": ("time", trial),
            "trial_time": ("time", np.tile(sample_time, direction.size)),
        },
    )
    session["time"].attrs.update(
        units="s", note="trials laid end to end: the time between them is not stored"
    )
    session["condition"].attrs.update(units="degrees", long_name="direction of drift")
    session["trial_time"].attrs.update(units="s", long_name="time from the onset of the grating")
    session["activity"].attrs.update(kind="fluorescence", units="as stored: fluorescence change, scaled")
    session["behavior"].attrs.update(
        units_speed="as stored: scaled to about 0 to 1, not cm/s",
        units_pupil="as stored: scaled to about 0 to 1, not px or mm",
    )
    session["frames"].attrs.update(
        {**nominal, "note": "drawn from the direction; values nominal, not in the file"}
    )
    animal, name = _names(path)
    session.attrs.update(
        schema_version=SCHEMA_VERSION,
        animal=animal,
        session=name,
        source=f"two-photon gratings: {path.name}",
        source_sha256=sha256(path),
        bin_width_s=width,
        v1lib_version=version("v1lib"),
        head_fixed="yes: pitch, roll and eye position are absent, not zero",
    )
    return validate_session(session, source=path)


def draw_gratings(
    direction: np.ndarray,
    sample_time: np.ndarray,
    *,
    frame_shape: tuple[int, int],
    degrees_per_pixel: float,
    spatial_frequency_cpd: float,
    temporal_frequency_hz: float,
    contrast: float,
) -> np.ndarray:
    """Draw drifting gratings, grey before time 0.

    A direction of 0 degrees drifts to the right, 90 degrees upward. The phase is 0 at the centre of the frame
    when the grating comes on.

    Parameters
    ----------
    direction : ndarray, shape (trial,)
        Degrees.
    sample_time : ndarray, shape (sample,)
        Seconds from the onset of the grating.

    Returns
    -------
    ndarray of uint8, shape (trial, sample, y, x)
    """
    height, width = frame_shape
    up = ((height - 1) / 2 - np.arange(height))[:, None] * degrees_per_pixel
    right = (np.arange(width) - (width - 1) / 2)[None, :] * degrees_per_pixel
    angle = np.deg2rad(direction)[:, None, None]
    along = right * np.cos(angle) + up * np.sin(angle)
    phase = spatial_frequency_cpd * along[:, None] - temporal_frequency_hz * sample_time[None, :, None, None]
    on = (sample_time >= 0)[None, :, None, None]
    luminance = _GREY + np.where(on, _GREY * contrast * np.cos(2 * np.pi * phase), 0.0)
    return np.round(255 * luminance).astype(np.uint8)


def _check_choices(frame_shape: tuple[int, int], nominal: dict[str, float]) -> None:
    sides = np.asarray(frame_shape)
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1:
        raise InputError("argument", "frame_shape", "two positive whole numbers of px", str(frame_shape))
    for name, value in nominal.items():
        if not (isinstance(value, Real) and np.isfinite(value) and value >= 0):
            raise InputError("argument", name, "a finite number of at least 0", repr(value))
    if nominal["contrast"] > 1:
        raise InputError("argument", "contrast", "a number from 0 to 1", str(nominal["contrast"]))
    if nominal["spatial_frequency_cpd"] * nominal["degrees_per_pixel"] > 0.5:
        raise InputError(
            "argument",
            "spatial_frequency_cpd",
            f"at least two pixels a cycle at {nominal['degrees_per_pixel']} degrees a pixel",
            str(nominal["spatial_frequency_cpd"]),
        )


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(path, "file", "a MATLAB 5 file", "no file")
    try:
        content = loadmat(path, squeeze_me=True, struct_as_record=False)
    except MemoryError:
        raise
    except Exception as error:
        # A damaged file fails at whatever byte is wrong, in the reader, in zlib or in numpy, each with an
        # error of its own; none of them is more than "this file cannot be read".
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, "file", "a complete MATLAB 5 file", f"one that does not open ({reason})"
        ) from error
    for name in ("D", "TE", "t"):
        if name not in content:
            raise InputError(path, name, "a variable of that name", "none")
    return content


def _field(path: Path, where: str, struct: Any, name: str) -> Any:
    if name not in getattr(struct, "_fieldnames", ()):
        raise InputError(path, where, f"a struct with the field {name}", "none")
    return getattr(struct, name)


def _numbers(path: Path, name: str, value: Any) -> np.ndarray:
    array = np.atleast_1d(np.asarray(value))
    if array.dtype.kind not in "iuf" or array.ndim != 1 or array.size == 0:
        raise InputError(path, name, "a row of numbers", f"{array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(path, name, "finite values", f"{int((~np.isfinite(array)).sum())} NaN or infinite")
    return array.astype(float)


def _check_times(path: Path, sample_time: np.ndarray, width: float) -> None:
    if not width > 0:
        raise InputError(path, "TE.dt", "a positive number of seconds", str(width))
    steps = np.diff(sample_time)
    if steps.size == 0 or np.abs(steps - width).max() > 1e-3 * width:
        found = "one sample" if steps.size == 0 else f"steps from {steps.min():.6f} to {steps.max():.6f} s"
        raise InputError(path, "t", f"steps of TE.dt = {width} s", found)


def _trials(path: Path, struct: Any, name: str, shape: tuple[int, int]) -> np.ndarray:
    """One cell array of `shape[0]` trials of `shape[1]` samples each, as an array."""
    cells = np.atleast_1d(_field(path, "D", struct, name))
    if cells.dtype == object:
        lengths = [np.size(cell) for cell in cells]
        found = f"{len(lengths)} cells of {min(lengths, default=0)} to {max(lengths, default=0)}"
        if len(lengths) != shape[0] or set(lengths) != {shape[1]}:
            raise InputError(path, f"D.{name}", f"{shape[0]} trials of {shape[1]} samples", found)
        cells = np.stack([np.ravel(cell) for cell in cells])
    if cells.shape != shape or cells.dtype.kind not in "iuf":
        found = f"{cells.dtype} of shape {cells.shape}"
        raise InputError(path, f"D.{name}", f"{shape[0]} trials of {shape[1]} samples", found)
    if not np.isfinite(cells).all():
        where = np.argwhere(~np.isfinite(cells))[0]
        raise InputError(path, f"D.{name}", "finite values", f"NaN or infinity in trial {where[0] + 1}")
    return cells.astype(float)


def _names(path: Path) -> tuple[str, str]:
    """Animal and session, which the file itself does not hold, from a name like date_animal_field_…"""
    match = re.match(r"(\d{6}_([^_]+)_[^_]+)_", path.name)
    return (match[2], match[1]) if match else (path.stem, path.stem)
