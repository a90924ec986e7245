"""Saliency and mixed selectivity as Xu, Hou, Niell and Beyeler (NeurIPS 2023) have them.

The rule calls about a third of all units modulated by a column whatever the data, because each column is
z-scored over units: of a normal variable 32 % lies beyond one standard deviation. It stands here as
written, to be compared with others.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.fit import Run
from v1lib.interpret.behavior_path import BehaviorPath
from v1lib.interpret.selectivity import GROUPS, places_of_groups


def paper_saliency(
    run: Run, session: xr.Dataset, *, part: str = "test", through_shifter: bool = True
) -> xr.Dataset:
    """The mean gradient of each unit's output with respect to each column of behaviour, with its sign.

    Parameters
    ----------
    run : Run
        Of an EncodingModel, a FieldModel or a JointModel that reads behaviour.
    session : xarray.Dataset
        With the bins and units that it was fitted to.
    part : str
        Whose bins are averaged over, those with a whole window inside one range.
    through_shifter : bool
        True, as in the paper: a gaze column counts with what it does to the picture. False leaves that out.

    Returns
    -------
    xarray.Dataset, ``saliency`` (unit, column)
        Spikes per bin (or fluorescence) for a step of one of the column as the model reads it: in its own
        unit for the paper's scaling, else in standard deviations. Each column by itself: one that is the
        difference or product of others does not move with them. In a model with windows the column is
        moved in all bins of the window, so that the gradients of the window's bins are summed.

    Raises
    ------
    InputError
        If `run` is not a Run of such a model, the session is not the one fitted to, or a rate is not finite.
    """
    path = BehaviorPath(run, session, part, through_shifter, "paper_saliency")
    columns = path.columns(path.values)
    each = torch.eye(columns.shape[1], device=columns.device)[:, None]
    total = sum(piece.sum(axis=1) for piece in path.derivatives(columns, each))
    return xr.Dataset(
        {"saliency": (("unit", "column"), np.transpose(total) / path.bins.size)},
        {"unit": session["unit"].values, "column": list(run.model.columns)},
        {"part": part, "n_bins": path.bins.size, "through_shifter": int(through_shifter)},
    )


def paper_selectivity(
    saliency: xr.Dataset, r: xr.DataArray, *, beyond: float = 1.0, least_r: float = 0.25
) -> xr.Dataset:
    """The paper's rule: which units are modulated by which groups of variables, and by several at once.

    Each column of saliency is z-scored over all units. A unit is modulated by a group (head: pitch, roll;
    eye: phi, theta; locomotion: speed; arousal: pupil; each with its difference) where any member is beyond
    `beyond`, up or down, and mixed where more than one group modulates it. Products belong to no group.

    Parameters
    ----------
    saliency : xarray.Dataset
        From :func:`paper_saliency`: ``saliency`` (unit, column).
    r : xarray.DataArray, dim unit
        How well each unit is predicted (the paper's is the smoothed r); NaN counts as not predicted.
    beyond : float
        Standard deviations over units.
    least_r : float
        Units with so much count.

    Returns
    -------
    xarray.Dataset
        ``z`` (unit, column), 0 in a column that is the same for all units; ``modulated`` (unit, group);
        ``mixed`` and ``counts`` (unit); ``prevalence`` (group) and ``mixed_prevalence``: shares of the units
        that count, NaN if none does. Groups without a column are left out.

    Raises
    ------
    InputError
        If saliency is not finite or of fewer than two units, or `r` is of other units.
    """
    where = "paper_selectivity"
    check_real(where, "beyond", beyond, 0, 1e6)
    check_real(where, "least_r", least_r, -1, 1)
    if "saliency" not in saliency or saliency["saliency"].dims != ("unit", "column"):
        raise InputError(where, "saliency", "a variable saliency (unit, column)", "none")
    if saliency["unit"].values.tolist() != np.asarray(r["unit"]).tolist():
        raise InputError(where, "r", "the units of the saliency", "others")
    values = saliency["saliency"].values
    if len(values) < 2 or not np.isfinite(values).all():
        raise InputError(where, "saliency", "finite numbers of two units or more", f"shape {values.shape}")
    spread = values.std(axis=0)
    flat = spread <= 1e-12 * np.abs(values).max(axis=0)
    z = np.where(flat, 0.0, (values - values.mean(axis=0)) / np.where(flat, 1.0, spread))
    columns = [str(name) for name in saliency["column"].values]
    members = places_of_groups([name.removeprefix("d_") for name in columns])
    if not members:
        raise InputError(where, "column", f"variables of the groups {list(GROUPS)}", f"{columns}")
    modulated = np.stack([(np.abs(z[:, places]) > beyond).any(axis=1) for places in members.values()], axis=1)
    mixed, counts = modulated.sum(axis=1) > 1, np.asarray(r) >= least_r
    share = modulated[counts].mean(axis=0) if counts.any() else np.full(len(members), np.nan)
    return xr.Dataset(
        {
            "z": (("unit", "column"), z),
            "modulated": (("unit", "group"), modulated),
            "mixed": ("unit", mixed),
            "counts": ("unit", counts),
            "prevalence": ("group", share),
            "mixed_prevalence": ((), mixed[counts].mean() if counts.any() else np.nan),
        },
        {"unit": saliency["unit"].values, "column": columns, "group": list(members)},
        {"beyond": beyond, "least_r": least_r},
    )
