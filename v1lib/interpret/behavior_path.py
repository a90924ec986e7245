"""The path from behaviour to rates of a fitted model, and its derivatives along directions of behaviour.

A model is cut in two: what it sees of each bin (v of the network, what the fields see of the own model, the
filters' drive of a textbook model), which is computed once, and the rest, which makes rates of that and of
behaviour. The rest is small. Its derivatives are taken forward (:func:`torch.func.jvp`), all units at once:
one direction costs about one pass of the rest, where a backward pass is needed for each unit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from torch.func import jvp, vmap
from torch.overrides import TorchFunctionMode

from v1lib.errors import InputError, check_flag
from v1lib.features import frame_range, scaled_behavior
from v1lib.fit import Model, Run, device_of_fit
from v1lib.interpret.showing import check_fitted
from v1lib.models.encoding import EncodingModel, warp
from v1lib.models.field import FieldModel
from v1lib.models.joint import JointModel
from v1lib.score import scored_segments

#: Bins whose rates are made at once; fewer where convolutions are differentiated, whose maps are large.
_PIECE, _PIECE_SEEING = 256, 64
#: Directions that are followed at once.
_DIRECTIONS = 16


class BehaviorPath:
    """Rates of a run over the bins of a part of a session, as a function of behaviour alone.

    Parameters
    ----------
    run : Run
        Of an EncodingModel, a FieldModel or a JointModel that reads behaviour.
    session : xarray.Dataset
        With the bins and units that it was fitted to.
    part : str
        ``test``, or another part of the run's splits. Rates are made for its bins with a whole window inside
        one range of the part.
    through_shifter : bool
        Whether behaviour moves the picture too; otherwise it stays as the session's behaviour turned it.
    where : str
        The function that is named in refusals.

    Attributes
    ----------
    bins : (n,) array
        The bins whose rates are made.
    values : (time, variable) array
        The session's behaviour in its own units, float64, NaN where not measured.

    Raises
    ------
    InputError
        If `run` is not a Run of such a model, the session is another, or a rate is not finite.
    """

    def __init__(self, run: Run, session: xr.Dataset, part: str, through_shifter: bool, where: str):
        _check(where, run, session)
        check_flag(where, "through_shifter", through_shifter)
        self.run, self.where = run, where
        segments = scored_segments(run, session, part)
        self.bins = np.concatenate(segments)
        self.values = session["behavior"].values.astype(np.float64)
        self._light = session[["behavior", "stretch"]]
        self._frames = session["frames"].values
        self._range = frame_range(session, run.scaling)
        self._device = device_of_fit(run.config)
        self._model = copy.deepcopy(run.model).to(self._device).eval()
        self._rest = _rest(self._model)
        self.through_shifter = through_shifter and self._model.sees and self._model.shifter is not None
        self._pieces = self._cut(segments)
        self._seen: list[Tensor] = []
        here = self.columns(self.values)
        if not self.through_shifter:
            with torch.no_grad():
                self._seen = [self._see(n, here[a:b]) for n, (a, b) in enumerate(self._pieces)]
        #: What the model says of the session as it is, (n, unit).
        self.base = self.rates(here)
        if not np.isfinite(self.base).all():
            raise InputError(where, "run", "a model and a session that give finite rates", "NaN or infinity")

    def _cut(self, segments: list[np.ndarray]) -> list[tuple[int, int]]:
        """Ranges of the bins that are read, each with the lead of its first window."""
        lead, offset = self._model.seq_len - 1, self.run.config.predict_offset
        size = _PIECE_SEEING if self.through_shifter else _PIECE
        found = []
        for segment in segments:
            first, stop = int(segment[0]) - offset, int(segment[-1]) - offset + 1
            found += [(a - lead, min(a + size, stop)) for a in range(first, stop, size)]
        return found

    def columns(self, values: np.ndarray) -> Tensor:
        """Behaviour (time, variable) in its own units -> the columns as the model reads them, (time, k)."""
        moved = self._light.assign(behavior=(("time", "variable"), values))
        return torch.from_numpy(scaled_behavior(moved, self.run.scaling)).to(self._device)

    def tangent(self, values: np.ndarray, direction: np.ndarray) -> Tensor:
        """How the columns move as the behaviour moves along `direction` (time, variable), (time, k).

        No column is of a higher degree than 2 in the variables, so that the central difference is exact.
        """
        return (self.columns(values + direction) - self.columns(values - direction)) / 2

    @torch.no_grad()
    def rates(self, columns: Tensor) -> np.ndarray:
        """Rates for these columns (time, k), float64, (n, unit)."""
        made = []
        for number, (a, b) in enumerate(self._pieces):
            seen = self._see(number, columns[a:b])
            made.append(self._made(seen, columns[a:b]).cpu().numpy())
        return self._in_units(np.concatenate(made).astype(np.float64))

    @torch.no_grad()
    def derivatives(self, columns: Tensor, tangents: Tensor) -> Iterator[np.ndarray]:
        """Derivatives of the rates at these columns along directions.

        Parameters
        ----------
        columns : Tensor, shape (time, k)
        tangents : Tensor, shape (direction, time or 1, k)

        Yields
        ------
        numpy.ndarray, shape (direction, piece of n, unit), float64
        """
        gaze = self._model.gaze_reads
        turns = tangents[..., gaze].abs().amax((1, 2)) > 0 if self.through_shifter else None
        for number, (a, b) in enumerate(self._pieces):
            point = columns[a:b]
            along = tangents[:, a:b] if tangents.shape[1] > 1 else tangents.expand(-1, b - a, -1)
            seen = self._see(number, point)
            held = along if turns is None else along[~turns]
            found = self._follow(lambda x, seen=seen: self._made(seen, x), point, held)
            if turns is not None and turns.any():
                with _Smooth():
                    turned = self._follow(
                        lambda x, n=number: self._made(self._see(n, x), x), point, along[turns]
                    )
                order = torch.cat([torch.where(~turns)[0], torch.where(turns)[0]]).argsort()
                found = torch.cat([found, turned])[order]
            yield self._in_units(found.cpu().numpy().astype(np.float64))

    def _follow(self, made: Any, point: Tensor, along: Tensor) -> Tensor:
        """Derivatives of `made` at a point along each direction, (direction, piece, unit)."""
        if not len(along):
            return along.new_zeros(0, len(point) - self._model.seq_len + 1, self._model.n_units)

        def derivative(direction: Tensor) -> Tensor:
            return jvp(made, (point,), (direction,))[1]

        return vmap(derivative, chunk_size=_DIRECTIONS)(along)

    def _see(self, number: int, columns: Tensor) -> Tensor:
        """What the model sees in a piece, from its store if the picture is held."""
        if self._seen and not self.through_shifter:
            return self._seen[number]
        if not self._model.sees:
            return columns.new_zeros(1, len(columns), 1)
        a, b = self._pieces[number]
        low, span = (torch.from_numpy(figure[a:b, None, None]) for figure in self._range)
        frames = (torch.from_numpy(self._frames[a:b]).float() - low) / span
        return _seen(self._model, frames[:, None].to(self._device), columns)[None]

    def _made(self, seen: Tensor, columns: Tensor) -> Tensor:
        """Rates of a piece from what is seen and behaviour, without its lead, (piece, unit)."""
        return self._rest(seen, columns[None])[0, self._model.seq_len - 1 :]

    def _in_units(self, rates: np.ndarray) -> np.ndarray:
        """Spikes per bin as they are; fluorescence from standard deviations back to its own unit."""
        if self._model.output == "softplus":
            return rates
        return rates * np.array(self.run.scaling.activity_sd)


def _check(where: str, run: Run, session: xr.Dataset) -> None:
    check_fitted(where, run, session)
    model = run.model
    if not isinstance(model, EncodingModel | FieldModel | JointModel):
        raise InputError(where, "run", "an EncodingModel, FieldModel or JointModel", type(model).__name__)
    if not model.columns:
        raise InputError(where, "run", "a model that reads behaviour", "one that reads none")
    if np.isinf(session["behavior"].values).any():
        raise InputError(where, "behavior", "finite values, or NaN where not measured", "infinity")


def _seen(model: Model, frames: Tensor, behavior: Tensor) -> Tensor:
    """What a model sees of bins (t, 1, y, x): all of it that does not depend on its path of behaviour."""
    if isinstance(model, EncodingModel):
        shift = model.gaze_shift(behavior)
        assert model.visual_encoder is not None
        return model.visual_encoder(frames if shift is None else warp(frames, shift, model.center))
    if isinstance(model, FieldModel):
        return model.seen(frames, behavior)
    return model.linear(model.retinal_image(frames, behavior).flatten(1)[None])[0]


def _rest(model: Model) -> Model:
    """The model as it goes on from what is seen, which it takes in place of frames."""
    rest = copy.deepcopy(model)
    if not model.sees:
        pass
    elif isinstance(model, EncodingModel):
        rest.shifter, rest.visual_encoder = None, nn.Identity()
    elif isinstance(model, FieldModel):
        rest.seen = lambda seen, behavior: seen
    else:
        rest.retinal_image, rest.linear = lambda seen, behavior: seen, nn.Identity()
    if isinstance(model, EncodingModel) and rest.lstm_net is not None:
        rest.lstm_net = _PlainGRU(rest.lstm_net)
    return rest


class _PlainGRU(nn.Module):
    """A GRU by its formulas, with the last state alone: cuDNN's has no derivative in eval mode."""

    def __init__(self, gru: Any):
        super().__init__()
        self.gru = gru

    def forward(self, windows: Tensor) -> tuple[None, Tensor]:
        """Windows (n, seq_len, feature) -> nothing, and the state after the last bin (1, n, hidden)."""
        gru = self.gru
        inputs = F.linear(windows, gru.weight_ih_l0, gru.bias_ih_l0)
        state = inputs.new_zeros(len(windows), gru.hidden_size)
        for t in range(windows.shape[1]):
            # The first state is 0, so that only the bias is left of it.
            held = F.linear(state, gru.weight_hh_l0, gru.bias_hh_l0) if t else gru.bias_hh_l0
            reset, update, new = inputs[:, t].chunk(3, dim=-1)
            held_reset, held_update, held_new = held.chunk(3, dim=-1)
            new = torch.tanh(new + torch.sigmoid(reset + held_reset) * held_new)
            update = torch.sigmoid(update + held_update)
            state = new + update * (state - new)
        return None, state[None]


class _Smooth(TorchFunctionMode):
    """Inside it pictures are sampled with a forward derivative, which torch's own sampling lacks."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.grid_sample:
            return _Sampled.apply(*args[:2])
        if func is F.affine_grid:
            return _affine_places(*args, **kwargs)
        return func(*args, **kwargs)


def _affine_places(theta: Tensor, size: list[int], align_corners: bool) -> Tensor:
    """:func:`torch.nn.functional.affine_grid` of maps (n, 2, 3) with corners aligned, (n, y, x, 2)."""
    assert align_corners
    x, y = (torch.linspace(-1, 1, n, device=theta.device) for n in (size[3], size[2]))
    rows = theta[:, None, None, :, :2]
    across = rows[..., 0] * x[:, None] + rows[..., 1] * y[:, None, None]
    return across + theta[:, None, None, :, 2]


class _Sampled(torch.autograd.Function):
    """:func:`torch.nn.functional.grid_sample` as the models use it, with its derivative forward.

    A pixel of one channel is read at one place, so that one backward pass gives how each pixel changes with
    its own place. Of several channels the places do not move (the readout of the ``sensorium`` encoder).
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(frames: Tensor, places: Tensor) -> Tensor:
        return F.grid_sample(frames, places, align_corners=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, frames_moved: Tensor, places_moved: Tensor) -> Tensor:
        frames, places = ctx.saved_tensors
        if frames.shape[1] > 1:
            return F.grid_sample(frames_moved, places, align_corners=True)
        ones = frames.new_ones(len(frames), 1, *places.shape[1:3])
        # Bilinear between pixels (0), zero outside (0), corners aligned; of the places alone.
        slopes = torch.ops.aten.grid_sampler_2d_backward(ones, frames, places, 0, 0, True, [False, True])[1]
        return (slopes * places_moved).sum(-1).unsqueeze(1)
