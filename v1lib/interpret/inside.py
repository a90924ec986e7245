"""What passes through a fitted model: the shift it has learned, and each stage of a few bins."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError
from v1lib.features import scaled_behavior, scaled_frames
from v1lib.fit import Run
from v1lib.interpret.receptive_fields import check_bins
from v1lib.models.encoders import VisualEncoder
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel


def learned_shift(run: Run, session: xr.Dataset) -> xr.Dataset:
    """How a run's shifter moves the frame of each bin.

    Returns
    -------
    xarray.Dataset over time
        ``shift_x``, ``shift_y`` (px of the session's frames, right and down) and ``rotation`` (deg, from x
        towards y): a point p of the frame goes to R(rotation)(p - c) + c + shift, c the model's centre of
        rotation (the middle of the frame, unless it was built with another).

    Raises
    ------
    InputError
        If the run's model has no shifter.
    """
    behavior = torch.from_numpy(scaled_behavior(session, run.scaling))
    with torch.no_grad():
        shift = run.model.gaze_shift(behavior)
    if shift is None:
        raise InputError("learned_shift", "run", "a model with a shifter", "one without")
    names = ("shift_x", "shift_y", "rotation")
    columns = {name: ("time", column) for name, column in zip(names, shift.numpy().T, strict=True)}
    return xr.Dataset(columns, {"time": session["time"]})


def look_inside(run: Run, session: xr.Dataset, bins: np.ndarray) -> xr.Dataset:
    """The stages of some bins on their way through a model of vision and behaviour.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
    bins : (n,) array of bin numbers

    Returns
    -------
    xarray.Dataset
        ``frame`` and ``shifted`` (time, y, x), scaled as the model sees them;
        ``maps`` (time, channel, map_y, map_x), the first convolution after its ReLU; ``v``, ``b`` and
        ``vb`` (time, unit).

    Raises
    ------
    InputError
        If it is another model, sees nothing or reads no behaviour, its encoder does not begin with a
        convolution and its ReLU, the session has frames of another size, or `bins` are not bins of it.
    """
    model, scaling = run.model, run.scaling
    if not isinstance(model, EncodingModel):
        raise InputError("look_inside", "run", "an EncodingModel", type(model).__name__)
    if model.visual_encoder is None or model.behav_encoder is None:
        raise InputError("look_inside", "run", "a model with vision and behaviour", "one of them alone")
    if not isinstance(model.visual_encoder, VisualEncoder):
        raise InputError("look_inside", "encoder", "cnn or autoencoder", repr(model.arguments["encoder"]))
    shape = session["frames"].shape[1:]
    if shape != model.frame_shape:
        raise InputError("look_inside", "frames", f"frames of {model.frame_shape}, the model's", f"{shape}")
    bins = check_bins("look_inside", bins, session)
    frames = torch.from_numpy(scaled_frames(session, scaling, bins))[:, None]
    behavior = torch.from_numpy(scaled_behavior(session, scaling)[bins])
    with torch.no_grad():
        parts = model.parts(frames, behavior)
        maps = model.visual_encoder.layers[:3](parts["shifted"])
    planes = ("time", "y", "x")
    units = {name: (("time", "unit"), parts[name].numpy()) for name in ("v", "b", "vb")}
    return xr.Dataset(
        {
            "frame": (planes, frames[:, 0].numpy()),
            "shifted": (planes, parts["shifted"][:, 0].numpy()),
            "maps": (("time", "channel", "map_y", "map_x"), maps.numpy()),
            **units,
        },
        {"time": session["time"].values[bins], "unit": session["unit"].values},
    )


def unit_fields(run: Run, session: xr.Dataset) -> xr.Dataset:
    """What each unit of the project's own model looks at, and what it makes of it in time.

    Parameters
    ----------
    run : Run
        Of a :class:`~v1lib.models.field.FieldModel` that sees.
    session : xarray.Dataset
        Of the same units.

    Returns
    -------
    xarray.Dataset
        ``field`` (unit, field, y, x) on the retinal image; ``kernel`` (unit, term, field, lag), the first
        term linear, the others summed as energy, lag in s before the bin that is predicted; ``linear``
        (unit, y, x), the linear term's fields times its kernels at one lag, the attribute ``lag_s``, in drive
        for each standard deviation of the training frames. That lag is the strongest of all units
        together: a unit's own strongest may be its rebound, whose field has the other sign.
        ``energy_share`` (unit): the energies' part of the summed squares of both terms' weights, each field
        counted with its norm; it does not say what part of a rate they explain.

    Raises
    ------
    InputError
        If the model is another one or sees nothing, or the session is of other units.
    """
    model = run.model
    if not isinstance(model, FieldModel) or not model.sees:
        raise InputError("unit_fields", "run", "a FieldModel that sees", type(model).__name__)
    if session.sizes["unit"] != model.n_units:
        found = f"{session.sizes['unit']} units"
        raise InputError("unit_fields", "session", f"the model's {model.n_units} units", found)
    with torch.no_grad():
        fields, kernels = model.fields().numpy(), model.kernels.numpy()[..., ::-1]
        energy = 0.0 if model.energy_weight is None else model.energy_weight.abs().numpy()
    squares = np.square(kernels * np.linalg.norm(fields, axis=(2, 3))[:, None, :, None])
    strongest = int(squares[:, 0].sum((0, 1)).argmax())
    through = squares.sum((2, 3))
    summed = np.square(energy) * through[:, 1:].sum(1)
    lag = float(session.attrs["bin_width_s"]) * (np.arange(kernels.shape[-1]) + run.config.predict_offset)
    return xr.Dataset(
        {
            "field": (("unit", "field", "y", "x"), fields),
            "kernel": (("unit", "term", "field", "lag"), kernels),
            "linear": (("unit", "y", "x"), np.einsum("uf,ufyx->uyx", kernels[:, 0, :, strongest], fields)),
            "energy_share": ("unit", summed / (summed + through[:, 0])),
        },
        {"unit": session["unit"].values, "lag": lag},
        {"lag_s": float(lag[strongest])},
    )
