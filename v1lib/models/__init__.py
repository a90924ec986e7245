"""Models of V1: :class:`~v1lib.models.encoding.EncodingModel`, with the encoders of
:mod:`v1lib.models.encoders`; exactly as the paper has it, and with its weights, in :mod:`v1lib.models.paper`;
:class:`~v1lib.models.field.FieldModel`, this project's own; and the textbook models below them, from a
constant rate to linear filters with position, :class:`~v1lib.models.joint.JointModel`.
"""

from __future__ import annotations

from typing import Any

import torch
import xarray as xr

from v1lib.errors import InputError
from v1lib.features import behavior_set, gaze_set
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel
from v1lib.models.joint import JointModel
from v1lib.session import check_is_session

#: The models by the name that a stored run gives them.
MODELS = {"EncodingModel": EncodingModel, "FieldModel": FieldModel, "JointModel": JointModel}

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
    sizes = {"pool": _fitting_pool(session)} | sizes
    return _for_session(FieldModel, session, behavior, vision, shifter is not None, seed, sizes)


def joint_model(
    session: xr.Dataset,
    behavior: str | None = "position",
    *,
    vision: bool = True,
    combine: str = "additive",
    shifter: str | None = "rotation",
    seed: int = 0,
    **sizes,
) -> JointModel:
    """An untrained :class:`JointModel` of the right shape for a session: one of the textbook models.

    ======================  ===========================================================
    mean rate               ``joint_model(session, None, vision=False)``
    behaviour-only GLM      ``joint_model(session, "orig", vision=False)``
    LNP                     ``joint_model(session, None)``
    LNP, local field        ``joint_model(session, None, local=True)``
    additive joint          ``joint_model(session, combine="additive", local=True)``
    multiplicative joint    ``joint_model(session, combine="multiplicative", local=True)``
    ======================  ===========================================================

    Parameters
    ----------
    session : xarray.Dataset
    behavior : str or None
        Name of a behaviour set (see :mod:`v1lib.features`); None for a model without behaviour.
    vision : bool
    combine : str
        ``additive`` or ``multiplicative``.
    shifter : str or None
        ``rotation``; None for a model that takes frames as they are.
    seed : int
        Of the initial weights.
    **sizes
        Passed on to :class:`JointModel`. Without `pool`, as :func:`field_model`.

    Raises
    ------
    InputError
        If the session has no variable of the behaviour set, the shifter is another one, or as
        :class:`JointModel`.
    """
    check_is_session("joint_model", session)
    if shifter not in ("rotation", None):
        raise InputError("joint_model", "shifter", "rotation or None", repr(shifter))
    if behavior is not None and not behavior_set(session, behavior):
        raise InputError("session", "variable", f"one of the behaviour set {behavior!r}", "none")
    sizes = {"combine": combine, "pool": _fitting_pool(session)} | sizes
    return _for_session(JointModel, session, behavior, vision, shifter is not None, seed, sizes)


def _fitting_pool(session: xr.Dataset) -> int:
    """The most pixels to be pooled that leave 40 or more across and divide both sides of the frame."""
    height, width = session.sizes["y"], session.sizes["x"]
    fitting = [pool for pool in range(2, width // 40 + 1) if not (height % pool or width % pool)]
    return fitting[-1] if fitting else 1


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
