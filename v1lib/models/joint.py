"""The textbook models: mean rate, behaviour-only GLM, LNP, and joint models of vision and position.

::

    frames ──turned by the gaze──▶ one linear filter a unit, over the picture and its lags ──▶ v
    behavior ────────────────────▶ one weight a unit, column and lag ────────────────────────▶ p

    additive         rate = softplus(c + v) + softplus(d + p)
    multiplicative   rate = softplus(c + v) · exp(p)

The others are these with inputs left out. Neither input: a constant rate. Behaviour alone: a Poisson GLM,
whose rate is exp(p) times a constant (multiplicative: the link is the logarithm) or softplus(c + p)
(additive). Vision alone: a linear filter, a nonlinearity and Poisson spikes (LNP). Filters are
smooth, and local where that is asked for (:mod:`v1lib.models.filters`).

With the behaviour set ``position`` the two lines are the joint models of Parker, Abe, Leonard, Martins and
Niell (Neuron 2022), not to the letter. Their published code has relu(c + v + p) and relu((c + v) · |1 + p|),
fits them by squared error with prices on absolute weights and squares, learns shifter and filters beforehand
without position, and lets filters read two bins before and two after the one that they predict. Here sum and
product are of rates, not of what goes into the nonlinearity: below its threshold a softplus is an
exponential, and a sum inside it a product, so that the two forms would hardly be told apart. The gain is
positive without a kink; the likelihood is Poisson's, for which no rate may be 0; all is learned at once; and
no bin to come is read. As there, p reads the bin that is predicted alone, unless it is given more lags.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v1lib.errors import InputError, check_flag, check_real, check_whole
from v1lib.models.encoding import OUTPUTS, column_places
from v1lib.models.filters import FrameFilters, LocalFilters, sum_over_lags
from v1lib.models.gaze import GazeRotation, retinal_places

COMBINATIONS = ("additive", "multiplicative")


class JointModel(nn.Module):
    """Rates of units from a linear filter of the retinal image and linear weights of behaviour.

    Parameters
    ----------
    frame_shape : (y, x)
    n_units : int
    behavior : names of the behaviour columns that p reads; () for a model without
    gaze : names of the behaviour columns that turn the picture; () for one that takes it as it is
    vision : False for a model that sees nothing
    combine : ``additive`` or ``multiplicative``
    seq_len : bins that a filter reads, the newest of them the one whose rate is made; the first bins of a
        stretch are as in :class:`~v1lib.models.encoding.EncodingModel`
    behavior_lags : bins that p reads, the newest of them the same, up to `seq_len`
    output : ``softplus`` for counts; ``identity`` for fluorescence: no softplus is taken, and d is added to
        the product in place of the sum, because what is standardised has its zero elsewhere
    pool : a pixel of the retinal image is the mean of so many by so many of the camera's
    local : whether a unit's filter is one field in a window times a kernel in time
        (:class:`v1lib.models.filters.LocalFilters`); else it has weights over the whole picture at each lag
    finest : finest cosine of a filter, cycles a width of the frame
    smoothness : frequency at which a cosine costs four times as much as a coarse one, cycles a width; of
        filters over the whole picture
    filter_penalty, behavior_penalty : weights of the summed squares of a unit's filter weights and behaviour
        weights, beside its loss per bin

    Raises
    ------
    InputError
        For an unknown output or combination, or a size out of its range.
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
        combine: str = "additive",
        seq_len: int = 5,
        behavior_lags: int = 1,
        output: str = "softplus",
        pool: int = 2,
        local: bool = False,
        finest: float = 10.0,
        smoothness: float = 2.0,
        filter_penalty: float = 1e-3,
        behavior_penalty: float = 1e-3,
    ):
        super().__init__()
        #: What this model was built with; a run keeps it, so that the model can be built again.
        self.arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        _check(self.arguments)
        gaze = gaze if vision else ()
        #: The columns of the behaviour that `forward` takes, in order.
        self.columns = tuple(dict.fromkeys([*behavior, *gaze]))
        self.frame_shape, self.n_units, self.seq_len, self.output = frame_shape, n_units, seq_len, output
        #: Whether frames reach the rates.
        self.sees = vision
        self.combine, self.pool = combine, pool
        self.filter_penalty, self.behavior_penalty = filter_penalty, behavior_penalty
        self.register_buffer("reads", column_places(behavior, self.columns), persistent=False)
        self.register_buffer("gaze_reads", column_places(gaze, self.columns), persistent=False)

        self.retinal_shape = (frame_shape[0] // pool, frame_shape[1] // pool)
        self.shifter = GazeRotation(len(gaze), frame_shape, pool) if gaze else None
        self.linear: FrameFilters | LocalFilters | None = None
        if vision and local:
            places = retinal_places(frame_shape, pool)
            self.linear = LocalFilters(n_units, seq_len, self.retinal_shape, finest, places)
        elif vision:
            self.linear = FrameFilters(n_units, seq_len, self.retinal_shape, finest, smoothness)
        self.behavior_weights = self.floor = None
        if behavior:
            self.behavior_weights = nn.Parameter(torch.zeros(n_units, behavior_lags, len(behavior)))
            # One constant does for a sum without softplus and where nothing is seen.
            if vision and (combine == "multiplicative") == (output == "identity"):
                self.floor = nn.Parameter(torch.full((n_units,), -3.0 if output == "softplus" else -1.0))
        # At first vision makes the rate: where the floor makes it, the shifter learns late how to turn.
        self.offset = nn.Parameter(torch.full((n_units,), 0.0 if output == "softplus" else 1.0))

    def gaze_shift(self, behavior: Tensor) -> Tensor | None:
        """The shift of the frame's middle, (n, 3): px, px, degrees; None for a model without shifter."""
        return None if self.shifter is None else self.shifter.shift(behavior[:, self.gaze_reads])

    def retinal_image(self, frames: Tensor, behavior: Tensor) -> Tensor:
        """Frames (n, 1, y, x) as the turned eye sees them, (n, 1, y / pool, x / pool)."""
        if self.shifter is None:
            return F.avg_pool2d(frames, self.pool)
        return self.shifter(frames, behavior[:, self.gaze_reads])

    def filters(self) -> Tensor:
        """Each unit's filter of the retinal image, (unit, lag, y, x), the newest bin first."""
        if self.linear is None:
            raise InputError("JointModel", "vision", "a model that sees", "one that has no filters")
        return self.linear.over_lags().unflatten(2, self.retinal_shape)

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
        shape = behavior.shape[:2]
        drive, p = self.offset.expand(*shape, -1), None
        if self.linear is not None:
            image = self.retinal_image(frames.flatten(0, 1), behavior.flatten(0, 1))
            drive = drive + self.linear(image.flatten(1).unflatten(0, shape))
        if self.behavior_weights is not None:
            p = sum_over_lags(behavior[..., self.reads], self.behavior_weights)
        if p is None:
            return self._rectified(drive)
        if self.combine == "multiplicative":
            rates = self._rectified(drive) * torch.exp(p)
            return rates if self.floor is None else rates + self.floor
        if self.floor is None:
            return self._rectified(drive + p)
        return self._rectified(drive) + self._rectified(self.floor + p)

    def _rectified(self, drive: Tensor) -> Tensor:
        return F.softplus(drive) if self.output == "softplus" else drive

    def rates_and_penalty(self, frames: Tensor, behavior: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives, and what is added to the loss of a training step, ()."""
        penalty = self.offset.new_zeros(())
        if self.linear is not None:
            penalty = penalty + self.filter_penalty * self.linear.sum_of_squares()
        if self.behavior_weights is not None:
            penalty = penalty + self.behavior_penalty * self.behavior_weights.square().sum()
        # The loss is a mean over units: a unit's prior does not depend on how many others there are.
        return self(frames, behavior), penalty / self.n_units


def _check(arguments: dict[str, Any]) -> None:
    """Known choices, whole numbers of at least their least, a frame that pooling leaves something of."""
    for name, known in (("output", OUTPUTS), ("combine", COMBINATIONS)):
        if arguments[name] not in known:
            raise InputError("JointModel", name, " or ".join(known), repr(arguments[name]))
    for name in ("vision", "local"):
        check_flag("JointModel", name, arguments[name])
    for name in ("n_units", "seq_len", "behavior_lags", "pool"):
        check_whole("JointModel", name, arguments[name], 1)
    if arguments["behavior_lags"] > arguments["seq_len"]:
        expected = f"at most seq_len, {arguments['seq_len']}"
        raise InputError("JointModel", "behavior_lags", expected, repr(arguments["behavior_lags"]))
    for name, low in (("finest", 0.5), ("smoothness", 1e-3), ("filter_penalty", 0), ("behavior_penalty", 0)):
        check_real("JointModel", name, arguments[name], low, 1e6)
    shape, pool = arguments["frame_shape"], arguments["pool"]
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise InputError("JointModel", "frame_shape", "rows and columns", repr(shape))
    for size in shape:
        check_whole("JointModel", "frame_shape", size, 2 * pool)
        if size % pool:
            expected = f"rows and columns that are multiples of pool, {pool}"
            raise InputError("JointModel", "frame_shape", expected, repr(shape))
