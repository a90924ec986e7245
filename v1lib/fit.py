"""One training loop, plain, and the predictions of what it trained."""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from tqdm import tqdm

from v1lib.errors import InputError, check_whole
from v1lib.features import Scaling, check_scaling, fit_scaling, frame_range, scaled_behavior
from v1lib.fingerprint import bins_and_units
from v1lib.models.encoding import EncodingModel
from v1lib.session import stretch_ranges
from v1lib.splits import PARTS, Ranges, Splits

SCHEDULES = ("constant", "one_cycle")


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained. The defaults are the paper's where it says.

    Attributes
    ----------
    epochs, patience : at most so many epochs; stop after so many without a better validation loss
    learning_rate, weight_decay : of Adam (decoupled decay, on weight matrices and kernels alone)
    schedule : ``constant``, or ``one_cycle`` (up to `learning_rate` in the first quarter, then down to 0)
    chunk_bins, batch_chunks : a batch is so many contiguous chunks of so many bins (4 x 64 = 256 targets)
    clip_norm : largest norm of the gradient; None for no limit, as in the paper
    scaling : ``training`` or ``paper``, see :mod:`v1lib.features`
    predict_offset : the output at bin t, which has seen bins up to t, is the rate of bin t + predict_offset
        (the paper's is 1: it never sees the bin that it predicts)
    seed : of the order of the batches and of dropout
    device : ``auto`` (CUDA, else MPS, else CPU) or a name that torch knows

    Raises
    ------
    InputError
        If a number is not whole, finite or positive where it has to be, or the schedule is unknown.
    """

    epochs: int = 50
    patience: int = 5
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    schedule: str = "constant"
    chunk_bins: int = 64
    batch_chunks: int = 4
    clip_norm: float | None = 5.0
    scaling: str = "training"
    predict_offset: int = 0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "chunk_bins", "batch_chunks"):
            check_whole("FitConfig", name, getattr(self, name), 1)
        for name in ("predict_offset", "seed"):
            check_whole("FitConfig", name, getattr(self, name), 0)
        _check_amount("learning_rate", self.learning_rate, zero=False)
        if self.clip_norm is not None:
            _check_amount("clip_norm", self.clip_norm, zero=False)
        check_scaling("FitConfig", "scaling", self.scaling)
        _check_amount("weight_decay", self.weight_decay, zero=True)
        if self.schedule not in SCHEDULES:
            raise InputError("FitConfig", "schedule", " or ".join(SCHEDULES), repr(self.schedule))
        if not isinstance(self.device, str):
            raise InputError("FitConfig", "device", "auto or a name that torch knows", repr(self.device))


def _check_amount(name: str, value: Any, *, zero: bool) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        expected = f"a finite number {'of at least' if zero else 'above'} 0"
        raise InputError("FitConfig", name, expected, repr(value))


#: A fit of the small network that takes a minute on two cores.
SHORT_FIT = FitConfig(epochs=25, patience=25, learning_rate=4e-3, schedule="one_cycle")

#: The paper's fit: windows drawn one by one, 256 a batch, each to predict the bin after it.
PAPER_FIT = FitConfig(chunk_bins=1, batch_chunks=256, clip_norm=None, scaling="paper", predict_offset=1)


@dataclass
class Run:
    """A trained model and all that is needed to use it or to say where it comes from.

    ``history`` has one row an epoch (train and validation loss per bin and unit, learning rate, seconds);
    ``provenance`` is a flat dict of strings and numbers.
    """

    model: EncodingModel
    config: FitConfig
    splits: Splits
    scaling: Scaling
    history: pd.DataFrame
    provenance: dict[str, object]


class _Data(NamedTuple):
    """A session as tensors: frames as stored (time, y, x), their range (time, 1, 1), and scaled behaviour and
    target (time, ...)."""

    frames: Tensor
    low: Tensor
    span: Tensor
    behavior: Tensor
    target: Tensor
    scaling: Scaling
    device: torch.device
    loss: Callable[[Tensor, Tensor], Tensor]

    def inputs(self, bins: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled frames (b, t, 1, y, x) and behaviour (b, t, k) of bins (b, t), on the device."""
        frames = self.frames[bins].to(self.device).float()
        scaled = (frames - self.low[bins].to(self.device)) / self.span[bins].to(self.device)
        return scaled.unsqueeze(2), self.behavior[bins].to(self.device)


class DivergedError(InputError):
    """The loss became NaN or infinite; :attr:`run` is the last good state, None if there was none."""

    run: Run | None = None


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError("FitConfig", "device", "a device of this machine", f"{name!r} ({reason})") from error


def fit(model: EncodingModel, session: xr.Dataset, splits: Splits, config: FitConfig) -> Run:
    """Train `model` on the train part, choose the epoch by the validation part.

    Counts are fitted by the Poisson likelihood, fluorescence (standardised with the training part's
    figures) by squared error. The model is trained in place and comes back in the run with the weights
    of its best epoch, in eval mode, on the CPU. With the same seed, machine and number of threads the
    CPU gives the same weights.

    Raises
    ------
    InputError
        If session and model do not match, a unit or the frames do not vary in training, a part of the
        splits is empty, shares bins with another or lies outside the session's stretches, or no range of
        the train or validation part is as long as a window.
    DivergedError
        If the loss is no longer a number; carries the last good state.
    """
    _check(model, session)
    lead = model.seq_len - 1 + config.predict_offset
    _check_ranges(splits, session, lead)
    data = _data(session, fit_scaling(session, model.columns, splits, config.scaling), config)

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model.to(data.device)
    optimizer = _optimizer(model, config)
    steps = config.epochs * len(list(_batches(splits.train, lead, config, np.random.default_rng(0))))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate_factor(config, steps))
    started, since = time.perf_counter(), 0
    best, best_weights, rows = math.inf, None, []

    bar = tqdm(range(config.epochs), unit="epoch", disable=_quiet(), leave=False)
    for epoch in bar:
        begun, errors, weights = time.perf_counter(), [], []
        model.train()
        for bins, scored in _batches(splits.train, lead, config, rng):
            # The output at bin t is the rate of bin t + predict_offset, and the first windows are not whole.
            seen = bins[:, : bins.shape[1] - config.predict_offset]
            rates, penalty = model.rates_and_penalty(*data.inputs(seen))
            made = rates[:, model.seq_len - 1 :]
            error = data.loss(made[scored], data.target[bins[:, lead:]][scored].to(data.device))
            optimizer.zero_grad(set_to_none=True)
            (error + penalty).backward()
            if config.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            errors.append(float(error.detach()))
            weights.append(int(scored.sum()))
        validation = _error(model, data, splits.validation, lead)
        rows.append(
            {
                "epoch": epoch,
                "train_loss": float(np.average(errors, weights=weights)),
                "validation_loss": validation,
                "learning_rate": optimizer.param_groups[0]["lr"],
                "seconds": time.perf_counter() - begun,
            }
        )
        if not math.isfinite(rows[-1]["train_loss"] + validation):
            break
        since += 1
        if validation < best:
            best, best_weights, since = validation, copy.deepcopy(model.state_dict()), 0
        bar.set_postfix(validation=f"{validation:.4f}", best=f"{best:.4f}")
        if since >= config.patience:
            break
    bar.close()

    run = None
    if best_weights is not None:
        model.load_state_dict(best_weights)
        model.cpu().eval()
        seconds = time.perf_counter() - started
        history = pd.DataFrame(rows).set_index("epoch")
        run = Run(model, config, splits, data.scaling, history, _provenance(session, data, seconds))
    last = rows[-1]
    if run is None or not math.isfinite(last["train_loss"] + last["validation_loss"]):
        found = f"{last['train_loss']} (train), {last['validation_loss']} (validation)"
        failure = DivergedError("fit", f"loss of epoch {last['epoch']}", "finite numbers", found)
        failure.run = run
        raise failure
    return run


def predict(run: Run, session: xr.Dataset) -> xr.DataArray:
    """The run's rate (expected count, or fluorescence) of each unit in each bin.

    Returns
    -------
    xarray.DataArray, dims (time, unit), float32
        Aligned to the bin that is predicted. NaN in the first ``seq_len - 1 + predict_offset`` bins of
        each stretch, which have no whole window behind them.
    """
    _check(run.model, session)
    data = _data(session, run.scaling, run.config)
    lead = run.model.seq_len - 1 + run.config.predict_offset
    run.model.to(data.device)
    values = _predict(run.model, data, tuple(stretch_ranges(session)), lead).numpy()
    run.model.cpu()
    if session["activity"].attrs["kind"] == "fluorescence":
        mean, sd = np.array([run.scaling.activity_mean, run.scaling.activity_sd], np.float32)
        values = values * sd + mean
    unit = "spikes per bin" if session["activity"].attrs["kind"] == "spike_count" else "fluorescence"
    coords = {"time": session["time"], "unit": session["unit"]}
    return xr.DataArray(values, coords, ("time", "unit"), "prediction", {"units": unit})


def _check(model: EncodingModel, session: xr.Dataset) -> None:
    shape = (session.sizes["y"], session.sizes["x"])
    if model.sees and shape != model.frame_shape:
        raise InputError("session", "frames", f"frames of {model.frame_shape}, the model's", f"{shape}")
    if session.sizes["unit"] != model.n_units:
        raise InputError("session", "unit", f"{model.n_units} units, the model's", f"{session.sizes['unit']}")
    output = "softplus" if session["activity"].attrs["kind"] == "spike_count" else "identity"
    if model.output != output:
        expected = f"{output!r} for {session['activity'].attrs['kind']}"
        raise InputError("EncodingModel", "output", expected, repr(model.output))


def _data(session: xr.Dataset, scaling: Scaling, config: FitConfig) -> _Data:
    activity = session["activity"].values.astype(np.float32)
    counts = session["activity"].attrs["kind"] == "spike_count"
    if not counts:
        mean, sd = np.array([scaling.activity_mean, scaling.activity_sd], np.float32)
        activity = (activity - mean) / sd
    low, span = frame_range(session, scaling)
    return _Data(
        torch.from_numpy(np.ascontiguousarray(session["frames"].values)),
        torch.from_numpy(low)[:, None, None],
        torch.from_numpy(span)[:, None, None],
        torch.from_numpy(scaled_behavior(session, scaling)),
        torch.from_numpy(activity),
        scaling,
        choose_device(config.device),
        _poisson if counts else F.mse_loss,
    )


def _poisson(rates: Tensor, counts: Tensor) -> Tensor:
    return F.poisson_nll_loss(rates, counts, log_input=False)


def _optimizer(model: EncodingModel, config: FitConfig) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _rate_factor(config: FitConfig, steps: int) -> Callable[[int], float]:
    """The learning rate of a step, as a share of the highest."""
    if config.schedule == "constant":
        return lambda step: 1.0
    rise = max(1, steps // 4)

    def factor(step: int) -> float:
        if step < rise:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2
        return (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise)))) / 2

    return factor


def _chunks(
    ranges: Ranges, lead: int, config: FitConfig, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut ranges into chunks of equal length, in another place each time.

    Returns for each chunk its input bins (the first `lead` of them have no target) and, for each target,
    whether it counts: a range shorter than a chunk is filled up with its last bin, which counts once.
    """
    size = min(config.chunk_bins, max(b - a for a, b in ranges) - lead)
    chunks = []
    for a, b in ranges:
        number, rest = divmod(max(b - a - lead, 0), size)
        if number > 0:
            start = a + int(rng.integers(rest + 1))
            for first in range(start, start + number * size, size):
                chunks.append((np.arange(first, first + lead + size), np.ones(size, bool)))
        elif rest > 0:
            bins = np.minimum(np.arange(a, a + lead + size), b - 1)
            chunks.append((bins, np.arange(size) < rest))
    return chunks


def _batches(
    ranges: Ranges, lead: int, config: FitConfig, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of chunks in random order: bins (chunk, lead + target) and which targets count."""
    chunks = _chunks(ranges, lead, config, rng)
    order = rng.permutation(len(chunks))
    for first in range(0, len(chunks), config.batch_chunks):
        chosen = [chunks[i] for i in order[first : first + config.batch_chunks]]
        bins, scored = zip(*chosen, strict=True)
        yield torch.from_numpy(np.stack(bins)), torch.from_numpy(np.stack(scored))


@torch.no_grad()
def _predict(model: EncodingModel, data: _Data, ranges: Ranges, lead: int) -> Tensor:
    """Model output aligned to the predicted bin, (time, unit); NaN outside `ranges` and in their lead."""
    model.eval()
    offset = lead - (model.seq_len - 1)
    rates = torch.full((data.behavior.shape[0], model.n_units), torch.nan)
    for a, b in ranges:
        for first in range(a, b - lead, 512):
            stop = min(first + lead + 512, b)
            made = model(*data.inputs(torch.arange(first, stop - offset)[None]))
            rates[first + lead : stop] = made[0, model.seq_len - 1 :].cpu()
    return rates


def _error(model: EncodingModel, data: _Data, ranges: Ranges, lead: int) -> float:
    """Mean loss over the bins of `ranges` that have a whole window behind them."""
    rates = _predict(model, data, ranges, lead)
    made = np.concatenate([np.arange(a + lead, b) for a, b in ranges if b - a > lead])
    return float(data.loss(rates[made], data.target[made]))


def _check_ranges(splits: Splits, session: xr.Dataset, lead: int) -> None:
    stretches = np.array(stretch_ranges(session))
    uses = np.zeros(session.sizes["time"], int)
    for part in PARTS:
        ranges = splits.ranges(part)
        if not ranges:
            raise InputError("splits", part, "at least one range of bins", "none")
        for a, b in ranges:
            if not ((stretches[:, 0] <= a) & (b <= stretches[:, 1])).any():
                expected = f"ranges inside one stretch of the session ({session.sizes['time']} bins)"
                raise InputError("splits", part, expected, f"({a}, {b})")
            uses[a:b] += 1
    if uses.max() > 1:
        raise InputError("splits", "parts", "each bin at most once", f"bin {uses.argmax()} more often")
    for part in ("train", "validation"):
        longest = max(b - a for a, b in splits.ranges(part))
        if longest <= lead:
            expected = f"a range of more than {lead} bins, which a window and its target take"
            raise InputError("splits", part, expected, f"{longest} in the longest")


def _provenance(session: xr.Dataset, data: _Data, seconds: float) -> dict[str, object]:
    names = ("animal", "session", "source", "v1lib_version")
    found: dict[str, object] = {name: session.attrs[name] for name in names}
    found["bins_and_units"] = bins_and_units(session)
    found.update(
        torch=torch.__version__, device=str(data.device), threads=torch.get_num_threads(), seconds=seconds
    )
    for name, share in zip(data.scaling.columns, data.scaling.filled, strict=True):
        found[f"filled {name}"] = share
    return found


def _quiet() -> bool:
    """No progress bar where V1LIB_PROGRESS is 0 or nobody sits at the terminal."""
    return os.environ.get("V1LIB_PROGRESS") == "0" or not sys.stderr.isatty()
