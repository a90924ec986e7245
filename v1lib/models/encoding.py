"""The network of the paper: what the mouse sees, corrected for its gaze, times what it does, in time.

::

    frames ──warp by the shifter──▶ convolutions ──▶ v ┐
      ▲ gaze: theta, phi, pitch, roll                  ├─▶ v, b, v·b ──▶ GRU over seq_len bins ──▶ rates
    behavior ──▶ BatchNorm ──▶ linear ───────────────▶ b ┘

Architecture after Xu, Hou, Niell and Beyeler (NeurIPS 2023). Sizes are arguments whose defaults are the
paper's; the names of the submodules are those of its published state dicts, so that those weights load
as they are (``lstm_net`` is a GRU). Each frame passes the encoder once: the recurrence reads sliding
windows of the fused features. What the paper does otherwise than one would is an argument whose default
is the usual thing: its centre of rotation (`center`), and statistics of BatchNorm taken bin by bin
(`normalize_by_bin`).
"""

from __future__ import annotations

from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v1lib.errors import InputError, check_flag, check_real, check_whole
from v1lib.models.encoders import ENCODERS, Autoencoder, make_encoder

OUTPUTS = ("softplus", "identity")


def warp(frames: Tensor, shift: Tensor, center: tuple[float, float] | None = None) -> Tensor:
    """Move and turn frames: a point p (x right, y down, px) goes to R(a)(p - c) + c + t.

    Parameters
    ----------
    frames : Tensor, shape (n, 1, y, x)
    shift : Tensor, shape (n, 3)
        Translation x and y in px, and the angle a in degrees; R = [[cos a, -sin a], [sin a, cos a]].
    center : (x, y), optional
        Centre of rotation c in px; the middle of the frame, (width / 2, height / 2), if not given.

    Returns
    -------
    Tensor, shape (n, 1, y, x)
        Bilinear; zero where the point comes from outside the frame.
    """
    height, width = frames.shape[-2:]
    cx, cy = center if center is not None else (width / 2, height / 2)
    tx, ty, angle = shift[:, 0], shift[:, 1], torch.deg2rad(shift[:, 2])
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The value at p is read where p came from: q = R(-a)(p - c - t) + c. In coordinates that run from
    # -1 to 1 over the frame, p = s (u + 1) with s half the frame, and so the map of u is affine again.
    sx, sy = (width - 1) / 2, (height - 1) / 2
    ox, oy = sx - cx - tx, sy - cy - ty
    row_x = torch.stack([cos, sin * sy / sx, (cos * ox + sin * oy + cx) / sx - 1], dim=-1)
    row_y = torch.stack([-sin * sx / sy, cos, (-sin * ox + cos * oy + cy) / sy - 1], dim=-1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), list(frames.shape), align_corners=True)
    return F.grid_sample(frames, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


class Shifter(nn.Module):
    """From the direction of gaze to a translation (px) and a rotation (degrees) of the frame.

    The last layer starts at zero, so that training starts from the frame as the camera saw it.
    """

    span: Tensor

    def __init__(self, n_inputs: int, frame_shape: tuple[int, int], width: int, divisor: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_inputs),
            nn.Linear(n_inputs, width),
            nn.BatchNorm1d(width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.Tanh(),
            nn.Linear(width, 3),
            nn.Tanh(),
        )
        self.bias = nn.Parameter(torch.zeros(3))
        nn.init.zeros_(self.get_parameter("layers.7.weight"))
        nn.init.zeros_(self.get_parameter("layers.7.bias"))
        height, width_px = frame_shape
        span = torch.tensor([width_px / divisor, height / divisor, 180 / 4])
        self.register_buffer("span", span, persistent=False)

    def forward(self, gaze: Tensor) -> Tensor:
        """Gaze (n, inputs) -> translation x, y in px and angle in degrees (n, 3)."""
        return (self.layers(gaze) + self.bias) * self.span


class BehaviorEncoder(nn.Module):
    """BatchNorm and one linear map from behaviour to the units."""

    def __init__(self, n_inputs: int, n_units: int):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(n_inputs), nn.Linear(n_inputs, n_units))

    def forward(self, behavior: Tensor) -> Tensor:
        """Behaviour (n, inputs) -> one number a unit (n, unit)."""
        return self.layers(behavior)


class EncodingModel(nn.Module):
    """Rates of units from frames and behaviour.

    Parameters
    ----------
    frame_shape : (y, x)
    n_units : int
    behavior : names of the behaviour columns that the behaviour encoder reads; () for a model without
    gaze : names of the behaviour columns that the shifter reads; () for a model without shifter
    vision : False for a model that sees nothing
    encoder : what turns a frame into one number a unit, see :mod:`v1lib.models.encoders`
    channels, kernels, strides : one entry a convolution of the ``cnn`` or ``autoencoder``; the other
        encoders have the sizes of their sources
    dropout : probability, after each of these convolutions
    hidden : width of the GRU; None for a model without recurrence, whose rates are read from one bin's
        features by one linear map
    seq_len : bins of a window, 1 without recurrence; the first ``seq_len - 1`` bins of a stretch have
        shorter windows behind them (warm-up): ``forward`` fills those with zeros, and nothing fits or scores
        them
    output : ``softplus`` for counts, ``identity`` for fluorescence
    shifter_width, shifter_divisor : hidden width; translations reach frame size / divisor to either side
    center : (x, y) of the rotation in px; the middle of the frame if not given
    normalize_by_bin : in training, BatchNorm compares the chunks of a batch at one bin of the chunks, bin
        after bin, and its running statistics move once a bin (the paper's); otherwise all bins of a
        batch at once. The rates of a model in eval mode are the same
    behavior_l1 : weight of the penalty on the mean absolute weight of the behaviour encoder
    reconstruction : weight of the mean squared difference between the shifted frame and what the
        ``autoencoder`` makes of it

    Raises
    ------
    InputError
        For a model with no input, an unknown output or encoder, a size out of its range, windows without a
        recurrence to read them, or frames too small for the encoder.
    """

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
        encoder: str = "cnn",
        channels: tuple[int, ...] = (128, 64, 32),
        kernels: tuple[int, ...] = (7, 7, 7),
        strides: tuple[int, ...] = (2, 2, 2),
        dropout: float = 0.5,
        hidden: int | None = 512,
        seq_len: int = 1,
        output: str = "softplus",
        shifter_width: int = 256,
        shifter_divisor: float = 5.5,
        center: tuple[float, float] | None = None,
        normalize_by_bin: bool = False,
        behavior_l1: float = 1.0,
        reconstruction: float = 1.0,
    ):
        super().__init__()
        #: What this model was built with; a run keeps it, so that the model can be built again.
        self.arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if output not in OUTPUTS:
            raise InputError("EncodingModel", "output", " or ".join(OUTPUTS), repr(output))
        if encoder not in ENCODERS:
            raise InputError("EncodingModel", "encoder", " or ".join(ENCODERS), repr(encoder))
        if not vision and not behavior:
            raise InputError("EncodingModel", "inputs", "vision, behaviour or both", "neither")
        _check_sizes(self.arguments)
        gaze = gaze if vision else ()
        #: The columns of the behaviour that `forward` takes, in order.
        self.columns = tuple(dict.fromkeys([*behavior, *gaze]))
        self.frame_shape, self.n_units, self.seq_len = frame_shape, n_units, seq_len
        self.output, self.center, self.normalize_by_bin = output, center, normalize_by_bin
        self.behavior_l1, self.reconstruction = behavior_l1, reconstruction
        #: Whether frames reach the rates.
        self.sees = vision
        self.register_buffer("reads", column_places(behavior, self.columns), persistent=False)
        self.register_buffer("gaze_reads", column_places(gaze, self.columns), persistent=False)

        self.shifter = Shifter(len(gaze), frame_shape, shifter_width, shifter_divisor) if gaze else None
        self.visual_encoder = (
            make_encoder(encoder, frame_shape, n_units, channels, kernels, strides, dropout)
            if vision
            else None
        )
        self.behav_encoder = BehaviorEncoder(len(behavior), n_units) if behavior else None
        n_parts = 3 if vision and behavior else 1
        self.bn = nn.BatchNorm1d(n_parts)
        n_features = n_parts * n_units
        self.lstm_net = None if hidden is None else nn.GRU(n_features, hidden, batch_first=True)
        self.fc = nn.Linear(n_features if hidden is None else hidden, n_units)

    def gaze_shift(self, behavior: Tensor) -> Tensor | None:
        """The shifter's output, (n, 3): px, px, degrees; None for a model without shifter."""
        return None if self.shifter is None else self.shifter(behavior[:, self.gaze_reads])

    def parts(self, frames: Tensor, behavior: Tensor) -> dict[str, Tensor]:
        """What each bin contributes by itself, before the recurrence.

        Parameters
        ----------
        frames : Tensor, shape (n, 1, y, x)
        behavior : Tensor, shape (n, k)

        Returns
        -------
        dict of Tensor
            ``shifted`` (n, 1, y, x) and ``v`` (n, unit) where the model sees, ``b`` (n, unit) where it
            reads behaviour, ``vb`` (n, unit) where it does both; ``reconstructed`` (n, 1, y, x) where an
            autoencoder makes the shifted frame again.
        """
        found: dict[str, Tensor] = {}
        if self.visual_encoder is not None:
            shift = self.gaze_shift(behavior)
            found["shifted"] = frames if shift is None else warp(frames, shift, self.center)
            if isinstance(self.visual_encoder, Autoencoder):
                found["v"], found["reconstructed"] = self.visual_encoder.reconstruct(found["shifted"])
            else:
                found["v"] = self.visual_encoder(found["shifted"])
        if self.behav_encoder is not None:
            found["b"] = self.behav_encoder(behavior[:, self.reads])
        if "v" in found and "b" in found:
            found["vb"] = found["v"] * found["b"]
        return found

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
        return self.rates_and_penalty(frames, behavior)[0]

    def rates_and_penalty(self, frames: Tensor, behavior: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives, and what is added to the loss of a training step, ()."""
        batch, time = behavior.shape[:2]
        by_bin = self.normalize_by_bin and self.training
        if self.training and batch * (1 if by_bin else time) < 2:
            raise InputError("EncodingModel", "batch", "at least two bins for BatchNorm to compare", "one")
        if by_bin:
            made = [self._fused(frames[:, t], behavior[:, t]) for t in range(time)]
            features = torch.stack([fused for fused, _ in made], dim=1)
            misfit = torch.stack([error for _, error in made]).mean()
        else:
            fused, misfit = self._fused(frames.flatten(0, 1), behavior.flatten(0, 1))
            features = fused.unflatten(0, (batch, time))
        if self.lstm_net is None:
            out = self.fc(features)
        else:
            padded = F.pad(features, (0, 0, self.seq_len - 1, 0))
            windows = (
                padded.unfold(1, self.seq_len, 1).transpose(2, 3).flatten(0, 1)
            )  # (b·t, seq_len, feature)
            _, last = self.lstm_net(windows.contiguous())
            out = self.fc(last[0]).unflatten(0, (batch, time))
        rates = F.softplus(out) if self.output == "softplus" else out
        return rates, self._sparsity() + self.reconstruction * misfit

    def _fused(self, frames: Tensor, behavior: Tensor) -> tuple[Tensor, Tensor]:
        """What the recurrence reads of each bin, (n, 3·unit): all v, all b, all v·b; and the misfit, ()."""
        parts = self.parts(frames, behavior)
        fused = torch.stack([parts[name] for name in ("v", "b", "vb") if name in parts], dim=1)
        misfit = behavior.new_zeros(())
        if "reconstructed" in parts:
            # Against the frame as it was shifted: the shifter is not paid for showing easy frames.
            misfit = F.mse_loss(parts["reconstructed"], parts["shifted"].detach())
        return self.bn(fused).flatten(1), misfit

    def _sparsity(self) -> Tensor:
        """L1 on the behaviour weights, the paper's only regulariser besides dropout."""
        if self.behav_encoder is None:
            return self.bn.weight.new_zeros(())
        return self.behavior_l1 * self.behav_encoder.get_parameter("layers.1.weight").abs().mean()


def _check_sizes(arguments: dict[str, Any]) -> None:
    """Whole numbers of at least 1 where they are counts, as many kernels and strides as channels."""
    for name in ("n_units", "hidden", "seq_len", "shifter_width"):
        if name != "hidden" or arguments[name] is not None:
            check_whole("EncodingModel", name, arguments[name], 1)
    if arguments["hidden"] is None and arguments["seq_len"] > 1:
        expected = "1 for a model without recurrence (hidden=None)"
        raise InputError("EncodingModel", "seq_len", expected, repr(arguments["seq_len"]))
    for name in ("channels", "frame_shape", "kernels", "strides"):
        row = arguments[name]
        if not isinstance(row, tuple | list):
            raise InputError("EncodingModel", name, "a row of whole numbers", repr(row))
        for entry in row:
            check_whole("EncodingModel", name, entry, 1)
        n = 2 if name == "frame_shape" else len(arguments["channels"])
        if len(row) != n:
            raise InputError("EncodingModel", name, f"{n} entries", repr(row))
    check_real("EncodingModel", "dropout", arguments["dropout"], 0, 1)
    if arguments["dropout"] == 1:
        raise InputError("EncodingModel", "dropout", "a number below 1", "1")
    check_real("EncodingModel", "shifter_divisor", arguments["shifter_divisor"], 1e-3, 1e6)
    for name in ("vision", "normalize_by_bin"):
        check_flag("EncodingModel", name, arguments[name])
    center = arguments["center"]
    if center is not None:
        if not isinstance(center, tuple | list) or len(center) != 2:
            raise InputError("EncodingModel", "center", "x and y in px, or None", repr(center))
        for place in center:
            check_real("EncodingModel", "center", place, -1e6, 1e6)
    if arguments["gaze"] and min(arguments["frame_shape"]) < 2:
        expected = "two rows and columns or more, which a shifter needs"
        raise InputError("EncodingModel", "frame_shape", expected, repr(arguments["frame_shape"]))
    for name in ("behavior_l1", "reconstruction"):
        check_real("EncodingModel", name, arguments[name], 0, inf)


def column_places(names: tuple[str, ...], columns: tuple[str, ...]) -> Tensor:
    """Where each of `names` stands in `columns`."""
    return torch.tensor([columns.index(name) for name in names], dtype=torch.long)
