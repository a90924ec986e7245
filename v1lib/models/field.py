"""This project's own model: each unit looks at the retinal image through a few small, smooth fields.

::

    frames ──turned by the gaze──▶ local fields ──▶ kernels in time ──▶ one linear term, some energies ┐
                 ▲ gaze                 ▲ divided by the contrast around them                          ▼
    behavior ──▶ small network ──▶ gain, offset ───────────────────────▶ rate = gain·softplus(drive) + offset

What it knows of V1 beforehand stands in its form. A field is local: it is multiplied by a Gaussian window
whose place and size are learned. It is smooth: it is made of cosines, none of them finer than `finest`. What
a unit makes of its fields in time is a linear term (as in simple cells) and energies, roots of summed squares
(as in complex and direction-selective cells; Adelson and Bergen 1985), divided by the local contrast (Heeger
1992). The picture on the retina is the camera's, turned as the eye turns (:mod:`v1lib.models.gaze`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v1lib.errors import InputError, check_flag, check_real, check_whole
from v1lib.models.encoding import OUTPUTS, Shifter, column_places, warp
from v1lib.models.gaze import GazeRotation, retinal_places

SHIFTERS = ("rotation", "affine")
#: Behaviour multiplies a drive by a factor from exp(-3) to exp(3).
_MOST_LOG_GAIN = 3.0
#: Sizes of the paper's shifter here: hidden width, and the share of the frame that it reaches.
_AFFINE_WIDTH, _AFFINE_DIVISOR = 32, 5.5
#: Energies start here, so that their root has a slope at nothing seen.
_LEAST_ENERGY = 1e-2
#: What a step of one in a window's place stands for, in half widths of the frame.
_PLACE_STEP = 0.25


def cosine_basis(shape: tuple[int, int], finest: float) -> tuple[Tensor, Tensor]:
    """Cosines over a picture up to `finest` cycles a width, but for the constant one, each of unit norm.

    Returns
    -------
    basis : Tensor, shape (cosine, pixel)
    frequency : Tensor, shape (cosine, 1)
        In cycles a width.
    """
    height, width = shape
    ky, kx = np.mgrid[:height, :width]
    frequency = np.hypot(kx / 2, ky / 2 * width / height)
    chosen = (frequency > 0) & (frequency <= finest)
    along_y = np.cos(np.pi * ky[chosen][:, None] * (np.arange(height) + 0.5) / height)
    along_x = np.cos(np.pi * kx[chosen][:, None] * (np.arange(width) + 0.5) / width)
    basis = (along_y[:, :, None] * along_x[:, None, :]).reshape(chosen.sum(), -1)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    return torch.from_numpy(basis).float(), torch.from_numpy(frequency[chosen][:, None]).float()


def gaussian_windows(places: Tensor, place: Tensor, log_width: Tensor, window: float) -> Tensor:
    """Gaussians of height 1 around the places of units.

    Parameters
    ----------
    places : Tensor, shape (2, pixel)
        From :func:`v1lib.models.gaze.retinal_places`.
    place : Tensor, shape (unit, 2)
        x right and y down, in eighths of the frame's width.
    log_width : Tensor, shape (unit,)
        Logarithm of the width in units of `window`.
    window : float
        Standard deviation in half widths of the frame.

    Returns
    -------
    Tensor, shape (unit, pixel)
    """
    width = window * torch.exp(log_width)
    away = places[None] - _PLACE_STEP * place[:, :, None]
    return torch.exp(-away.square().sum(1) / (2 * width[:, None] ** 2))


class FieldModel(nn.Module):
    """Rates of units from small fields on the retina and from behaviour.

    Parameters
    ----------
    frame_shape : (y, x)
    n_units : int
    behavior : names of the behaviour columns that give gain and offset; () for a model without
    gaze : names of the behaviour columns that turn the picture; () for one that takes it as it is
    vision : False for a model that sees nothing
    seq_len : bins of a unit's kernels in time; the first bins of a stretch are as in
        :class:`~v1lib.models.encoding.EncodingModel`
    output : ``softplus`` for counts, ``identity`` for fluorescence, whose offset may be negative
    shifter : ``rotation`` (:class:`v1lib.models.gaze.GazeRotation`), or ``affine`` for the paper's
    pool : a pixel of the retinal image is the mean of so many by so many of the camera's
    n_fields : fields of a unit, which share a window
    n_energies : squares that a unit's energy sums; 0 for a unit with the linear term alone
    normalize : whether the contrast around a unit's fields divides what they see
    finest : finest cosine of a field, cycles a width of the frame
    local : whether fields have windows
    window : first size of windows and surrounds, standard deviation in half widths of the frame
    hidden : width of the network over behaviour
    field_penalty, behavior_penalty : weights of the summed squares of the fields' and kernels' weights, and
        of those from the network to gain and offset

    Raises
    ------
    InputError
        For a model with no input, an unknown output, or a size out of its range.
    """

    basis: Tensor
    places: Tensor
    reads: Tensor
    gaze_reads: Tensor

    def __init__(
        self,
        frame_shape: tuple[int, int],
        n_units: int,
        behavior: tuple[str, ...] = (),
        gaze: tuple[str, ...] = (),
        *,
        vision: bool = True,
        seq_len: int = 6,
        output: str = "softplus",
        shifter: str = "rotation",
        pool: int = 2,
        n_fields: int = 2,
        n_energies: int = 2,
        normalize: bool = True,
        finest: float = 16.0,
        local: bool = True,
        window: float = 0.3,
        hidden: int = 24,
        field_penalty: float = 1e-4,
        behavior_penalty: float = 1e-3,
    ):
        super().__init__()
        #: What this model was built with; a run keeps it, so that the model can be built again.
        self.arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if output not in OUTPUTS:
            raise InputError("FieldModel", "output", " or ".join(OUTPUTS), repr(output))
        if shifter not in SHIFTERS:
            raise InputError("FieldModel", "shifter", " or ".join(SHIFTERS), repr(shifter))
        if not vision and not behavior:
            raise InputError("FieldModel", "inputs", "vision, behaviour or both", "neither")
        _check_sizes(self.arguments)
        gaze = gaze if vision else ()
        #: The columns of the behaviour that `forward` takes, in order.
        self.columns = tuple(dict.fromkeys([*behavior, *gaze]))
        self.frame_shape, self.n_units, self.seq_len, self.output = frame_shape, n_units, seq_len, output
        #: Whether frames reach the rates.
        self.sees = vision
        self.pool, self.window = pool, window
        self.field_penalty, self.behavior_penalty = field_penalty, behavior_penalty
        self.register_buffer("reads", column_places(behavior, self.columns), persistent=False)
        self.register_buffer("gaze_reads", column_places(gaze, self.columns), persistent=False)

        shape = (frame_shape[0] // pool, frame_shape[1] // pool)
        self.shifter: GazeRotation | Shifter | None = None
        if gaze and shifter == "rotation":
            self.shifter = GazeRotation(len(gaze), frame_shape, pool)
        elif gaze:
            self.shifter = Shifter(len(gaze), shape, _AFFINE_WIDTH, _AFFINE_DIVISOR)
        if vision:
            self.register_buffer("basis", cosine_basis(shape, finest)[0], persistent=False)
            self.register_buffer("places", retinal_places(frame_shape, pool), persistent=False)
            self.retinal_shape = shape
            self.coefficients = nn.Parameter(0.05 * torch.randn(n_units, n_fields, len(self.basis)))
            self.kernels = nn.Parameter(0.1 * torch.randn(n_units, 1 + n_energies, n_fields, seq_len))
            self.place = nn.Parameter(torch.zeros(n_units, 2))
            self.log_width = nn.Parameter(torch.zeros(n_units)) if local else None
            self.threshold = nn.Parameter(torch.zeros(n_units))
            self.energy_weight = nn.Parameter(torch.full((n_units,), 0.3)) if n_energies else None
            self.slope = nn.Parameter(torch.zeros(n_units))
            self.contrast_weight = nn.Parameter(torch.full((n_units,), -2.0)) if normalize else None
            self.log_surround = nn.Parameter(torch.zeros(n_units)) if normalize else None
        self.offset = nn.Parameter(torch.full((n_units,), -1.0))
        self.modulation = None
        if behavior:
            self.modulation = nn.Sequential(nn.Linear(len(behavior), hidden), nn.Tanh())
            self.to_gain_and_offset = nn.Linear(hidden, 2 * n_units)
            nn.init.normal_(self.to_gain_and_offset.weight, std=0.01)
            nn.init.zeros_(self.to_gain_and_offset.bias)

    def gaze_shift(self, behavior: Tensor) -> Tensor | None:
        """The shift of the frame's middle, (n, 3): px, px, degrees; None for a model without shifter."""
        gaze = behavior[:, self.gaze_reads]
        if self.shifter is None:
            return None
        if isinstance(self.shifter, GazeRotation):
            return self.shifter.shift(gaze)
        return self.shifter(gaze) * torch.tensor([self.pool, self.pool, 1.0], device=gaze.device)

    def retinal_image(self, frames: Tensor, behavior: Tensor) -> Tensor:
        """Frames (n, 1, y, x) as the turned eye sees them, (n, 1, y / pool, x / pool)."""
        gaze = behavior[:, self.gaze_reads]
        if isinstance(self.shifter, GazeRotation):
            return self.shifter(frames, gaze)
        pooled = F.avg_pool2d(frames, self.pool)
        return pooled if self.shifter is None else warp(pooled, self.shifter(gaze))

    def fields(self) -> Tensor:
        """Each unit's fields on the retina, in their window, (unit, field, y, x)."""
        return self._flat_fields().unflatten(2, self.retinal_shape)

    def _flat_fields(self) -> Tensor:
        flat = self.coefficients @ self.basis
        if self.log_width is None:
            return flat
        # A window that is half as wide is twice as high, so that the penalty favours one that fits the field.
        height = torch.exp(-self.log_width)[:, None]
        return flat * (height * self._bump(self.log_width))[:, None]

    def _bump(self, log_width: Tensor) -> Tensor:
        """The units' windows of these widths, (unit, pixel)."""
        return gaussian_windows(self.places, self.place, log_width, self.window)

    def seen(self, frames: Tensor, behavior: Tensor) -> Tensor:
        """What each unit's fields see of each bin, divided by the contrast around them, (n, unit, field)."""
        image = self.retinal_image(frames, behavior).flatten(1)
        flat = self._flat_fields()
        through = (image @ flat.flatten(0, 1).T).unflatten(1, flat.shape[:2])
        if self.contrast_weight is None or self.log_surround is None:
            return through
        surround = self._bump(self.log_surround)
        surround = (surround / surround.sum(1, keepdim=True)).T
        contrast = (image.square() @ surround - (image @ surround).square()).clamp_min(1e-6).sqrt()
        weight = F.softplus(self.contrast_weight)
        # At a contrast of one standard deviation of the pixels nothing is changed.
        return through * ((1 + weight) / (1 + weight * contrast)).unsqueeze(2)

    def forward(self, frames: Tensor, behavior: Tensor) -> Tensor:
        """Rates of the units; the one at position t is computed from bins up to and including t.

        Parameters
        ----------
        frames : Tensor, shape (b, t, 1, y, x)
            Scaled frames, float.
        behavior : Tensor, shape (b, t, k)
            Columns as in :attr:`columns`, standardised.

        Returns
        -------
        Tensor, shape (b, t, unit)
        """
        batch, time = behavior.shape[:2]
        flat = behavior.flatten(0, 1)
        log_gain, more = torch.zeros((), device=flat.device), torch.zeros((), device=flat.device)
        if self.modulation is not None:
            state = self.modulation(behavior[..., self.reads])
            log_gain, more = self.to_gain_and_offset(state).chunk(2, dim=-1)
        offset = self.offset + more
        rates = F.softplus(offset) if self.output == "softplus" else offset
        if not self.sees:
            return rates.expand(batch, time, -1)
        seen = self.seen(frames.flatten(0, 1), flat).unflatten(0, (batch, time))
        drive = self._drive(F.pad(seen, (0, 0, 0, 0, self.seq_len - 1, 0)))
        slope = 0.1 + F.softplus(self.slope)
        gain = torch.exp(_MOST_LOG_GAIN * torch.tanh(log_gain / _MOST_LOG_GAIN))
        return rates + gain * F.softplus(slope * drive) / slope

    def _drive(self, seen: Tensor) -> Tensor:
        """What fields saw (b, t + seq_len - 1, unit, field) -> the drive of each bin (b, t, unit)."""
        windows = seen.unfold(1, self.seq_len, 1)  # (b, t, unit, field, lag), the oldest first
        terms = torch.einsum("btufl,ujfl->btuj", windows, self.kernels)
        drive = terms[..., 0] - self.threshold
        if self.energy_weight is None:
            return drive
        energy = (terms[..., 1:].square().sum(-1) + _LEAST_ENERGY).sqrt() - math.sqrt(_LEAST_ENERGY)
        return drive + self.energy_weight * energy

    def rates_and_penalty(self, frames: Tensor, behavior: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives, and what is added to the loss of a training step, ()."""
        penalty = torch.zeros((), device=behavior.device)
        if self.sees:
            squares = self.coefficients.square().sum() + self.kernels.square().sum()
            penalty = penalty + self.field_penalty * squares
        if self.modulation is not None:
            penalty = penalty + self.behavior_penalty * self.to_gain_and_offset.weight.square().sum()
        return self(frames, behavior), penalty


def _check_sizes(arguments: dict[str, Any]) -> None:
    """Whole numbers of at least their least, amounts above 0, a frame that pooling leaves something of."""
    least = {"n_units": 1, "seq_len": 1, "pool": 1, "n_fields": 1, "n_energies": 0, "hidden": 1}
    for name, value in least.items():
        check_whole("FieldModel", name, arguments[name], value)
    for name, low in (("finest", 0.5), ("window", 1e-2)):
        check_real("FieldModel", name, arguments[name], low, 1e6)
    for name in ("vision", "normalize", "local"):
        check_flag("FieldModel", name, arguments[name])
    for name in ("field_penalty", "behavior_penalty"):
        check_real("FieldModel", name, arguments[name], 0, 1e6)
    shape, pool = arguments["frame_shape"], arguments["pool"]
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise InputError("FieldModel", "frame_shape", "rows and columns", repr(shape))
    for size in shape:
        check_whole("FieldModel", "frame_shape", size, 2 * pool)
        if size % pool:
            expected = f"rows and columns that are multiples of pool, {pool}"
            raise InputError("FieldModel", "frame_shape", expected, repr(shape))
