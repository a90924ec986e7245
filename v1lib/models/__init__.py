"""Models of V1. One so far: :class:`~v1lib.models.encoding.EncodingModel`, the paper's."""

from __future__ import annotations

import torch
import xarray as xr

from v1lib.features import behavior_set, gaze_set
from v1lib.models.encoding import EncodingModel


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
    columns = behavior_set(session, behavior) if behavior is not None else ()
    gaze = gaze_set(session) if vision and shifter else ()
    output = "softplus" if session["activity"].attrs["kind"] == "spike_count" else "identity"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return EncodingModel(
            (session.sizes["y"], session.sizes["x"]),
            session.sizes["unit"],
            columns,
            gaze,
            vision=vision,
            output=output,
            **sizes,
        )
