"""The network as in Xu, Hou, Niell and Beyeler (NeurIPS 2023), untrained or with its published weights.

It turns frames about the point (30, 40), the middle of a 60 x 80 frame with its coordinates swapped, and
takes the statistics of BatchNorm bin by bin. It reads sessions scaled by their files and predicts the bin
after the last one that it sees: :data:`v1lib.fit.PAPER_FIT` says both.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from v1lib.errors import InputError, check_whole
from v1lib.features import GAZE_VARIABLES, PAPER_SETS, behavior_columns
from v1lib.models import encoding_model
from v1lib.models.encoding import EncodingModel
from v1lib.session import BEHAVIOR_UNITS

PAPER_FRAME = (60, 80)
#: What the paper's network does otherwise than :class:`EncodingModel` by itself.
PAPER_NETWORK: dict[str, Any] = {"center": (30.0, 40.0), "normalize_by_bin": True}
#: Translations reach frame size / divisor; the models of vision alone in Table 1 have a larger reach.
SHIFTER_DIVISOR, SHIFTER_DIVISOR_TABLE_1 = 5.5, 4.0

_FILE_NAME = re.compile(rf"val_.+?(?:_({'|'.join(PAPER_SETS)}))?_seq_(\d+)\.pth")


def paper_model(
    session: xr.Dataset,
    behavior: str | None = "all_prod",
    seq_len: int = 1,
    encoder: str = "cnn",
    seed: int = 0,
) -> EncodingModel:
    """The paper's network, untrained.

    A model without behaviour (Table 1) has the same recurrence as the others, and its shifter's
    translations reach a quarter of the frame. The paper gives no first weights: they are torch's, but for the
    shifter's last layer, which starts at zero.

    Parameters
    ----------
    session : xarray.Dataset
        Spike counts, frames of 60 x 80, and the paper's six variables in its order.
    behavior : str or None
        Name of a behaviour set (see :mod:`v1lib.features`); None for a model of vision alone.
    seq_len : int
        Bins of a window.
    encoder : str
        See :mod:`v1lib.models.encoders`.
    seed : int
        Of the initial weights.

    Raises
    ------
    InputError
        If the session has other variables, frames of another size or no counts.
    """
    variables = [str(variable) for variable in session["variable"].values]
    if variables != list(BEHAVIOR_UNITS):
        raise InputError("session", "variable", f"{list(BEHAVIOR_UNITS)}, the paper's", f"{variables}")
    shape = (session.sizes["y"], session.sizes["x"])
    if shape != PAPER_FRAME:
        raise InputError("session", "frames", f"frames of {PAPER_FRAME}, the paper's", f"{shape}")
    kind = session["activity"].attrs["kind"]
    if kind != "spike_count":
        raise InputError("session", "activity", "spike_count, the paper's", repr(kind))
    divisor = SHIFTER_DIVISOR_TABLE_1 if behavior is None and seq_len == 1 else SHIFTER_DIVISOR
    choices = PAPER_NETWORK | {"seq_len": seq_len, "encoder": encoder, "shifter_divisor": divisor}
    return encoding_model(session, behavior, seed=seed, **choices)


def load_paper_checkpoint(
    path: str | Path,
    n_units: int,
    *,
    seq_len: int | None = None,
    behavior: str | None = None,
    shifter_divisor: float = SHIFTER_DIVISOR,
) -> EncodingModel:
    """The network of a published checkpoint (``val_<mouse>_<set>_seq_<n>.pth``), in eval mode.

    The file is a state dict of the full model, with or without the shifter. Nothing in it is executed. What
    the argument says goes before what the file's name says.

    Parameters
    ----------
    path : str or Path
    n_units : int
        Units of the mouse: 68 (J553RT), 32 (J569LT) or 49 (J559NC).
    seq_len : int, optional
        Bins of a window, which the weights do not tell; from the file's name if not given.
    behavior : str, optional
        Behaviour set, where the number of inputs leaves it open (``orig`` and ``velo`` have both 6) and
        the file's name does not say.
    shifter_divisor : float
        Translations reach frame size / divisor.

    Raises
    ------
    InputError
        If there is no such file, torch reads no state dict of plain tensors from it, names or shapes are not
        those of the network, a weight is no finite number, or `seq_len` or `behavior` remain unknown.
    """
    path = Path(path)
    check_whole("load_paper_checkpoint", "n_units", n_units, 1)
    state = _read_state(path)
    name = _FILE_NAME.fullmatch(path.name)
    if seq_len is None:
        if name is None:
            expected = "it as an argument, or a file called val_<mouse>_<set>_seq_<n>.pth"
            raise InputError(path, "seq_len", expected, path.name)
        seq_len = int(name[2])
    model = EncodingModel(
        PAPER_FRAME,
        n_units,
        behavior_columns(_behavior_name(path, state, behavior or (name and name[1]))),
        GAZE_VARIABLES if any(entry.startswith("shifter.") for entry in state) else (),
        seq_len=seq_len,
        shifter_divisor=shifter_divisor,
        **PAPER_NETWORK,
    )
    _check_state(path, state, model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def _read_state(path: Path) -> dict[str, Tensor]:
    """A dict of tensors from a file of torch's, without running what a pickle may hold."""
    if not path.is_file():
        raise InputError(path, "file", "a state dict of torch", "no file")
    expected = "a state dict of tensors alone"
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reads any bytes as a pickle, which then fails in any way
        code = re.search(r"GLOBAL (\S+)", str(error))
        found = f"one that would run {code[1]}" if code else "another kind of file, or one cut short"
        raise InputError(path, "file", expected, found) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(path, "file", expected, f"{type(state).__name__} of other things")
    return {str(entry): value for entry, value in state.items()}


def _behavior_name(path: Path, state: dict[str, Tensor], name: str | None) -> str:
    """The behaviour set of a state dict: `name`, or the only one with as many columns."""
    entry = "behav_encoder.layers.1.weight"
    weight = state.get(entry)
    if weight is None or weight.ndim != 2:
        found = "none" if weight is None else f"shape {tuple(weight.shape)}"
        raise InputError(path, entry, "the weights (unit, input) of the full model's behaviour", found)
    n = weight.shape[1]
    fitting = [known for known in PAPER_SETS if len(behavior_columns(known)) == n]
    if name is None and len(fitting) > 1:
        found = f"{n} inputs in a file whose name does not say"
        raise InputError(path, "behavior", f"{' or '.join(fitting)} as an argument", found)
    if name is None and fitting:
        return fitting[0]
    if name not in fitting:
        expected = "as many inputs as a behaviour set has" if name is None else f"the inputs of {name!r}"
        raise InputError(path, "behavior", expected, f"{n} inputs")
    return name


def _check_state(path: Path, state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The names and shapes of the network, and finite numbers."""
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unknown:
        found = f"{missing or 'none'} missing and {unknown or 'none'} unknown"
        raise InputError(path, "names", "those of the paper's network", found)
    for name, own in expected.items():
        given = state[name]
        if given.shape != own.shape:
            raise InputError(path, name, f"shape {tuple(own.shape)}", f"{tuple(given.shape)}")
        if given.is_floating_point() != own.is_floating_point() or given.is_complex():
            raise InputError(path, name, str(own.dtype), str(given.dtype))
        if not torch.isfinite(given).all():
            raise InputError(path, name, "finite numbers", "NaN or infinity")
