"""Models of V1: :class:`~v1lib.models.encoding.EncodingModel`, with the encoders of
:mod:`v1lib.models.encoders`; exactly as the paper has it, and with its weights, in :mod:`v1lib.models.paper`;
and :class:`~v1lib.models.field.FieldModel`, this project's own.
"""

from __future__ import annotations

from typing import Any

import torch
import xarray as xr

from v1lib.features import behavior_set, gaze_set
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel
from v1lib.session import check_is_session

#: The models by the name that a stored run gives them.
MODELS = {"EncodingModel": EncodingModel, "FieldModel": FieldModel}

#: A tenth of the paper's network, for frames of 30 x 40 and a few minutes on two cores.
SMALL_NETWORK: dict[str, Any] = {
    "channels": (16, 32, 32),
    "kernels": (7, 5, 3),
    "strides": (2, 2, 1),
    "dropout": 0.2,
    "hidden": 64,
    "seq_len": 4,
    "behavior_l1": 0.1,
}


def encoding_model(
    session: xr.Dataset,
    behavior: str | None = "all_prod",
    *,
    vision: bool = True,
    shifter: bool = True,
    seed: int = 0,
    **sizes,
) -> EncodingModel:
    """An untrained :class:`EncodingModel` of the right shape for a session.

    Parameters
    ----------
    session : xarray.Dataset
    behavior : str or None
        Name of a behaviour set (see :mod:`v1lib.features`); None for a model without behaviour.
    vision, shifter : bool
    seed : int
        Of the initial weights.
    **sizes
        Passed on to :class:`EncodingModel`.
    """
    check_is_session("encoding_model", session)
    return _for_session(EncodingModel, session, behavior, vision, shifter, seed, sizes)


def field_model(
    session: xr.Dataset,
    behavior: str | None = "orig",
    *,
    vision: bool = True,
    shifter: str | None = "rotation",
    seed: int = 0,
    **sizes,
) -> FieldModel:
    """An untrained :class:`FieldModel` of the right shape for a session.

    Parameters
    ----------
    session : xarray.Dataset
    behavior : str or None
        Name of a behaviour set (see :mod:`v1lib.features`); None for a model without behaviour.
    vision : bool
    shifter : str or None
        ``rotation`` or ``affine``; None for a model that takes frames as they are.
    seed : int
        Of the initial weights.
    **sizes
        Passed on to :class:`FieldModel`. Without `pool`, frames are pooled as far as leaves a retinal image
        of 40 px or more across and divides both sides.
    """
    check_is_session("field_model", session)
    if shifter is not None:
        sizes = {"shifter": shifter} | sizes
    sides = (session.sizes["y"], session.sizes["x"])
    fitting = [
        1,
        *(pool for pool in range(2, sides[1] // 40 + 1) if not (sides[0] % pool or sides[1] % pool)),
    ]
    sizes = {"pool": fitting[-1]} | sizes
    return _for_session(FieldModel, session, behavior, vision, shifter is not None, seed, sizes)


def _for_session(
    make: type,
    session: xr.Dataset,
    behavior: str | None,
    vision: bool,
    shifter: bool,
    seed: int,
    sizes: dict[str, Any],
) -> Any:
    columns = behavior_set(session, behavior) if behavior is not None else ()
    gaze = gaze_set(session) if vision and shifter else ()
    output = "softplus" if session["activity"].attrs["kind"] == "spike_count" else "identity"
    shape = (session.sizes["y"], session.sizes["x"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(shape, session.sizes["unit"], columns, gaze, vision=vision, output=output, **sizes)
