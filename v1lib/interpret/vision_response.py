"""What a fitted model answers to the picture alone: behaviour at its mean, gaze as it was."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
import xarray as xr
from torch import Tensor, nn

from v1lib.fit import Run, predict
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel
from v1lib.models.joint import JointModel


def vision_response(run: Run, session: xr.Dataset) -> xr.DataArray:
    """The rates that a run predicts with behaviour at its mean of training and the picture as it was.

    The picture is turned by the gaze as it was recorded; of behaviour only what the model reads besides the
    gaze is held. Of a model that sees nothing this is a constant.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset

    Returns
    -------
    xarray.DataArray, dims (time, unit)
        As :func:`v1lib.fit.predict` gives it.

    Raises
    ------
    InputError
        If session and model do not match.
    """
    return predict(replace(run, model=without_behavior(run.model)), session)


def without_behavior(model: nn.Module) -> nn.Module:
    """A copy of a model that takes all behaviour but the gaze to be at its mean."""
    held = copy.deepcopy(model)
    if isinstance(held, FieldModel) and held.modulation is not None:
        held.modulation.register_forward_pre_hook(_at_the_mean)
    if isinstance(held, EncodingModel) and held.behav_encoder is not None:
        held.behav_encoder.register_forward_pre_hook(_at_the_mean)
    if isinstance(held, JointModel) and held.behavior_weights is not None:
        nn.init.zeros_(held.behavior_weights)
    return held


def _at_the_mean(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Columns are scaled to a mean of 0 in training.
    return tuple(torch.zeros_like(each) for each in given)
