"""The simulated mouse: a recording whose truth is known, in the layout of a lab folder."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from v1lib.errors import InputError, check_real, check_whole
from v1lib.recording import Recording, open_recording
from v1lib.session import write_netcdf
from v1lib.simulate.arena import camera_of
from v1lib.simulate.drive import draw_excitability, expected_rate, retinal_drive
from v1lib.simulate.kinematics import simulate_motion
from v1lib.simulate.measured import motion_from_table
from v1lib.simulate.mixture import SIMPLE_MIXTURE, STANDARD_MIXTURE, allot
from v1lib.simulate.neurons import plant_units
from v1lib.simulate.oracle import true_scores
from v1lib.simulate.spikes import draw_spikes, rejected_trains
from v1lib.simulate.streams import CAMERA_LEAD_S, write_eye, write_imu, write_top, write_units, write_world
from v1lib.simulate.truth import behavior_at_steps, behavior_correlation, bin_truth, load_truth, true_movement

__all__ = [
    "SIMPLE_MIXTURE",
    "STANDARD_MIXTURE",
    "bin_truth",
    "complete_arguments",
    "load_truth",
    "simulate_recording",
]

FIELD_OF_VIEW_DEG = 100.0
#: Rows and columns of the retinal image that the receptive fields are drawn on, whatever the camera's.
RETINA_SHAPE = (30, 40)
LONGEST_LAG_S = 0.1
MOST_MINUTES = 24 * 60
MOST_UNITS = 10_000
MOST_DRIFT_PPM = 1000.0


def simulate_recording(
    path: str | Path,
    *,
    minutes: float,
    n_units: int,
    seed: int,
    frame_shape: tuple[int, int] = (60, 80),
    clock_offset_s: float = 0.12,
    clock_drift_ppm: float = 114.0,
    eye_lag_s: float = 0.0,
    eye_scale: float = 1.0,
    rate_scale: float = 1.0,
    motion: pd.DataFrame | xr.Dataset | None = None,
    mixture: Mapping[str, float] | None = None,
) -> Recording:
    """Simulate a freely moving mouse and write what a laboratory would have recorded of it.

    The same arguments give the same bytes on the same machine.

    Parameters
    ----------
    path : str or Path
        The lab folder to make; it must not exist. Its name becomes the recording's name.
    minutes : float
        Length of the recording, 0.5 to 1440 min.
    n_units : int
        Number of good units, 1 to 10,000.
    seed : int
        Everything that is drawn is drawn from it; 0 to 2⁶³ − 1.
    frame_shape : (int, int)
        Rows and columns of the head camera, both even and 16 or more.
    clock_offset_s, clock_drift_ppm : float
        ``t_cam = t_ephys − (offset + drift · t_ephys)``, times counted from the start of the ephys.
    eye_lag_s : float
        How long the eye lags the head, s. No clock estimate can tell it from an offset of as much.
    eye_scale : float
        How far theta goes before a saccade brings it back, and how far phi goes, as a multiple of what they
        do by default, 0.2 to 1.5: the larger, the more the frame has to be turned.
    rate_scale : float
        Factor of all units' rates, 0.1 to 10.
    motion : pandas.DataFrame or xarray.Dataset, optional
        A table of measured head and eye movement, at least `minutes` long, which the simulated mouse then
        moves by; its columns are those of :func:`v1lib.simulate.measured.motion_from_table`. By default it
        moves by the statistics of freely moving mice.
    mixture : mapping of str to float, optional
        What the units depend on: formulae such as ``"complex * speed + pitch"``, whose grammar stands in
        :mod:`v1lib.simulate.mixture`, each with its share of the units. Without one,
        :data:`v1lib.simulate.mixture.STANDARD_MIXTURE`.

    Returns
    -------
    Recording
        The folder, opened; its truth is read by :func:`load_truth`.

    Raises
    ------
    InputError
        One sentence on an argument that makes no recording, or a folder that cannot be made.
    """
    check_arguments(
        minutes=minutes,
        n_units=n_units,
        seed=seed,
        frame_shape=frame_shape,
        clock_offset_s=clock_offset_s,
        clock_drift_ppm=clock_drift_ppm,
        eye_lag_s=eye_lag_s,
        eye_scale=eye_scale,
        rate_scale=rate_scale,
        motion=motion,
        mixture=mixture,
    )
    minutes, n_units, seed = float(minutes), int(n_units), int(seed)
    frame_shape = (int(frame_shape[0]), int(frame_shape[1]))
    formulae = allot(STANDARD_MIXTURE if mixture is None else mixture, n_units)
    path, beside = _new_folder(path)
    try:
        motion_rng, unit_rng, spike_rng, world_rng, eye_rng, top_rng, imu_rng, table_rng = (
            np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(8)
        )
        movement = (
            simulate_motion(motion_rng, 60 * minutes, eye_lag_s=eye_lag_s, eye_scale=eye_scale)
            if motion is None
            else motion_from_table(motion_rng, motion, 60 * minutes)
        )
        camera = camera_of(frame_shape, FIELD_OF_VIEW_DEG)
        retina = camera_of(RETINA_SHAPE, FIELD_OF_VIEW_DEG)
        units = plant_units(unit_rng, formulae, retina, rate_scale)
        behavior = behavior_at_steps(movement)
        excitability = draw_excitability(unit_rng, behavior["yaw"].size, n_units)
        rate = expected_rate(units, retinal_drive(movement, units, retina), behavior, excitability)
        good = draw_spikes(spike_rng, rate)
        trains = {"good": good, **rejected_trains(spike_rng, rate)}
        truth = xr.merge([true_movement(movement, camera), units, true_scores(spike_rng, rate, good)])
        truth = truth.assign(
            rate=(("step", "unit"), rate),
            excitability=(("step", "unit"), excitability),
            behavior_correlation=(("variable", "variable_2"), behavior_correlation(behavior)),
        ).assign_coords(variable_2=truth["variable"].values)
        truth.attrs |= {
            "clock_offset_s": clock_offset_s,
            "clock_drift_ppm": clock_drift_ppm,
            "eye_lag_s": eye_lag_s,
            "eye_scale": eye_scale,
            "rate_scale": rate_scale,
            "start_s": CAMERA_LEAD_S,
            "field_of_view_deg": FIELD_OF_VIEW_DEG,
            "focal_px": camera.focal_px,
            "seed": seed,
        }

        stem = str(beside / path.name)
        fields = write_world(Path(f"{stem}_world.nc"), world_rng, movement, camera)
        write_eye(Path(f"{stem}_REYE.nc"), eye_rng, movement)
        write_top(Path(f"{stem}_TOP1.nc"), top_rng, movement)
        write_imu(Path(f"{stem}_imu.nc"), imu_rng, movement, clock_offset_s, clock_drift_ppm)
        write_units(Path(f"{stem}_ephys_merge.json"), table_rng, trains, clock_offset_s, clock_drift_ppm)
        write_netcdf(truth.assign(field_time=(("frame", "field"), fields)), f"{stem}_truth.nc")
        beside.chmod(0o755)
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return open_recording(path)


def _new_folder(path: object) -> tuple[Path, Path]:
    """The recording's path and a folder made beside it, to become it once everything is written."""
    if not isinstance(path, (str, Path)):
        raise InputError("simulate_recording", "path", "a str or a Path", type(path).__name__)
    path = Path(path)
    try:
        there = path.exists()
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path, Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(path)!r:.200}", "folder", "a path where a folder can be made", f"none ({reason})"
        ) from error
    raise InputError(
        path,
        "folder",
        "a path where nothing is yet",
        "something there (v1lib.open_recording opens a recording)",
    )


def complete_arguments(**given: Any) -> dict[str, Any]:
    """The arguments of :func:`simulate_recording` but for the path, checked and with their defaults.

    The same recording has the same ones: numbers of one kind, the mixture with its formulae.
    """
    bound = inspect.signature(simulate_recording).bind("", **given)
    bound.apply_defaults()
    full = {name: value for name, value in bound.arguments.items() if name != "path"}
    check_arguments(**full)
    mixture = STANDARD_MIXTURE if full["mixture"] is None else full["mixture"]
    for name in ("minutes", "clock_offset_s", "clock_drift_ppm", "eye_lag_s", "eye_scale", "rate_scale"):
        full[name] = float(full[name])
    return full | {
        "n_units": int(full["n_units"]),
        "seed": int(full["seed"]),
        "frame_shape": tuple(map(int, full["frame_shape"])),
        "mixture": {formula: float(share) for formula, share in mixture.items()},
    }


def check_arguments(
    *,
    minutes: float,
    n_units: int,
    seed: int,
    frame_shape: tuple[int, int],
    clock_offset_s: float,
    clock_drift_ppm: float,
    eye_lag_s: float,
    eye_scale: float,
    rate_scale: float,
    motion: pd.DataFrame | xr.Dataset | None,
    mixture: Mapping[str, float] | None,
) -> None:
    """Refuse arguments of :func:`simulate_recording` that make no recording, before anything is simulated.

    The table of a measured movement is not looked into.
    """
    _check(minutes, n_units, seed, frame_shape)
    _check_clock(clock_offset_s, clock_drift_ppm)
    _check_eye(eye_lag_s, eye_scale, motion is None)
    check_real("simulate_recording", "rate_scale", rate_scale, 0.1, 10)
    allot(STANDARD_MIXTURE if mixture is None else mixture, n_units)


def _check(minutes: object, n_units: object, seed: object, frame_shape: object) -> None:
    where = "simulate_recording"
    check_real(where, "minutes", minutes, 0.5, MOST_MINUTES)
    check_whole(where, "n_units", n_units, 1)
    check_real(where, "n_units", n_units, 1, MOST_UNITS)
    check_whole(where, "seed", seed, 0)
    check_real(where, "seed", seed, 0, 2**63 - 1)  # what an attribute of the truth can hold
    if not isinstance(frame_shape, (tuple, list)) or len(frame_shape) != 2:
        raise InputError(where, "frame_shape", "two even numbers of 16 or more", f"{frame_shape!r:.80}")
    for side in frame_shape:
        check_whole(where, "frame_shape", side, 16)
        if side % 2:
            raise InputError(where, "frame_shape", "two even numbers of 16 or more", repr(frame_shape))


def _check_clock(offset_s: float, drift_ppm: float) -> None:
    check_real("simulate_recording", "clock_drift_ppm", drift_ppm, -MOST_DRIFT_PPM, MOST_DRIFT_PPM)
    check_real("simulate_recording", "clock_offset_s", offset_s, -CAMERA_LEAD_S, CAMERA_LEAD_S)
    if abs(offset_s) == CAMERA_LEAD_S:
        expected = f"less than {CAMERA_LEAD_S} s either way"
        raise InputError("simulate_recording", "clock_offset_s", expected, f"{offset_s} s")


def _check_eye(lag_s: float, scale: float, own_movement: bool) -> None:
    check_real("simulate_recording", "eye_lag_s", lag_s, 0, LONGEST_LAG_S)
    check_real("simulate_recording", "eye_scale", scale, 0.2, 1.5)
    for name, value, still in (("eye_lag_s", lag_s, 0), ("eye_scale", scale, 1)):
        if value != still and not own_movement:
            expected = f"{still} with a measured movement, which has its own"
            raise InputError("simulate_recording", name, expected, f"{value}")
