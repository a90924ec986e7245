"""One training loop, plain, and the predictions of what it trained."""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor, nn
from tqdm import tqdm

from v1lib.batches import batches, bins_left_out, check_ranges, inside_stretches
from v1lib.checkpointing import Training, own_generators, restore_training, save_training
from v1lib.errors import InputError, check_real, check_whole
from v1lib.features import Scaling, check_scaling, fit_scaling, frame_range, scaled_behavior
from v1lib.fingerprint import bins_and_units, fit_key, source_hash
from v1lib.memory import freed_blocks_kept
from v1lib.session import check_is_session, stretch_ranges
from v1lib.splits import Ranges, Splits

SCHEDULES = ("constant", "one_cycle")
#: On CUDA the session lies on the device if it takes no more than this share of the free memory there.
RESIDENT_SHARE = 0.5
#: Any class of :data:`v1lib.models.MODELS`: an ``nn.Module`` with ``columns``, ``seq_len``, ``n_units``,
#: ``output``, ``frame_shape``, ``sees``, ``arguments``, ``forward`` and ``rates_and_penalty``.
Model = Any


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
    ema : decay a step of an exponential moving average of the weights, below 1; 0 for none. The average is
        what is validated and kept. Its weights sum to 1 from the first step on, so the untrained weights
        are not in it; buffers, such as the statistics of BatchNorm, are the model's
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
    ema: float = 0.0
    scaling: str = "training"
    predict_offset: int = 0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "chunk_bins", "batch_chunks"):
            check_whole("FitConfig", name, getattr(self, name), 1)
        for name in ("predict_offset", "seed"):
            check_whole("FitConfig", name, getattr(self, name), 0)
        check_real("FitConfig", "seed", self.seed, 0, 2**63 - 1)  # what torch's generator takes
        _check_amount("learning_rate", self.learning_rate, zero=False)
        if self.clip_norm is not None:
            _check_amount("clip_norm", self.clip_norm, zero=False)
        check_scaling("FitConfig", "scaling", self.scaling)
        for name in ("weight_decay", "ema"):
            _check_amount(name, getattr(self, name), zero=True)
        if self.ema >= 1:
            raise InputError("FitConfig", "ema", "a number below 1", repr(self.ema))
        if self.schedule not in SCHEDULES:
            raise InputError("FitConfig", "schedule", " or ".join(SCHEDULES), repr(self.schedule))
        if not isinstance(self.device, str):
            raise InputError("FitConfig", "device", "auto or a name that torch knows", repr(self.device))


def _check_amount(name: str, value: Any, *, zero: bool) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool) and value == value and value < 1e300
    if not number or value < 0 or (value == 0 and not zero):
        expected = f"a finite number {'of at least' if zero else 'above'} 0"
        raise InputError("FitConfig", name, expected, repr(value))


#: A fit of the small network that takes a minute on two cores.
SHORT_FIT = FitConfig(epochs=25, patience=25, learning_rate=4e-3, schedule="one_cycle")

#: A fit of the project's own model.
FIELD_FIT = FitConfig(epochs=24, patience=24, learning_rate=1e-2, schedule="one_cycle")

#: A fit of one of the textbook models.
JOINT_FIT = FitConfig(epochs=24, patience=24, learning_rate=3e-2, schedule="one_cycle", batch_chunks=2)

#: The paper's fit: windows drawn one by one, 256 a batch, each to predict the bin after it.
PAPER_FIT = FitConfig(chunk_bins=1, batch_chunks=256, clip_norm=None, scaling="paper", predict_offset=1)


@dataclass
class Run:
    """A trained model and all that is needed to use it or to say where it comes from.

    ``history`` has one row an epoch: train and validation loss per bin and unit, the learning rate after it,
    the mean norm of the gradient before it is clipped, bins trained on, seconds of the training part of the
    epoch and of all of it. ``provenance`` is a flat dict of strings and numbers.
    """

    model: Model
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


class StoppedError(InputError):
    """A fit that cannot go on; :attr:`run` holds its best epoch so far, None if there was none."""

    run: Run | None = None


class DivergedError(StoppedError):
    """The loss or its gradient became NaN or infinite."""


class MemoryShortError(StoppedError):
    """The memory of the machine or of the device did not suffice."""


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


def device_of_fit(config: FitConfig) -> torch.device:
    """The device of a fit's configuration; where the fit was made on another machine, what this one has."""
    try:
        return choose_device(config.device)
    except InputError:
        return choose_device()


def fit(
    model: Model,
    session: xr.Dataset,
    splits: Splits,
    config: FitConfig,
    *,
    resume: str | Path | None = None,
) -> Run:
    """Train `model` on the train part, choose the epoch by the validation part.

    Counts are fitted by the Poisson likelihood, fluorescence (standardised with the training part's
    figures) by squared error. The model is trained in place and comes back in the run with the weights
    of its best epoch, in eval mode, on the CPU.

    With the same seed, machine and number of threads the CPU gives the same weights to the bit. On CUDA the
    batches and the masks of dropout are the same ones, but convolutions and the warp of frames add their
    gradients in no fixed order, so that weights agree only as far as rounding lets them. The caller's own
    random numbers go on as if nothing had been fitted.

    Parameters
    ----------
    model : one of :data:`v1lib.models.MODELS`
        Untrained.
    session : xarray.Dataset
    splits : Splits
    config : FitConfig
    resume : str or Path, optional
        File that holds the state after the last whole epoch. If it is there, the fit goes on from it and
        ends as if it had not been stopped; it stays until the caller removes it with
        :func:`v1lib.checkpointing.forget_training`.

    Raises
    ------
    InputError
        If session and model do not match, a frame is not finite, a unit or the frames do not vary in
        training, a part of the splits is empty, shares bins with another or lies outside the session's
        stretches, no range of the train or validation part is as long as a window, or the state in `resume`
        is damaged or of another fit (other arguments, weights, source, torch, device or threads).
    DivergedError
        If the loss or its gradient is no longer a number; found before the step that it would spoil, and
        carries the best epoch.
    MemoryShortError
        If there is not enough memory; carries the best epoch.
    """
    _check("fit", model, session)
    lead = model.seq_len - 1 + config.predict_offset
    check_ranges(splits, session, lead)
    scaling = fit_scaling(session, model.columns, splits, config.scaling)
    data = _data(session, scaling, choose_device(config.device))
    state = None if resume is None else (_key(model, session, splits, config, data.device), resume)
    with own_generators(data.device, config.seed) as generators:
        with _memory_named("fit", session, config, data.device):
            model.to(data.device)
            now = _begin(model, config, data.device, generators)
            data = _near(data)
        if state is not None and Path(state[1]).exists():
            restore_training(now, *state)
        try:
            with _memory_named("fit", session, config, data.device), freed_blocks_kept():
                _train(now, data, splits, lead, config, state)
        except StoppedError as error:
            if now.best_weights is not None:
                error.run = _finished(now, session, splits, config, data)
            raise
    return _finished(now, session, splits, config, data)


def _train(
    now: Training,
    data: _Data,
    splits: Splits,
    lead: int,
    config: FitConfig,
    state: tuple[dict, str | Path] | None,
) -> None:
    """Epochs until there have been enough or the validation loss no longer falls."""
    cut = (splits.train, lead, config.chunk_bins, config.batch_chunks)
    steps = config.epochs * len(list(batches(*cut, np.random.default_rng(0))))
    rate = _learning_rate(config, steps)
    with tqdm(total=steps, initial=now.step, unit="step", disable=quiet(), leave=False) as bar:
        while len(now.rows) < config.epochs and now.since < config.patience:
            begun, errors, norms, targets = time.perf_counter(), [], [], []
            now.model.train()
            for bins, scored in batches(*cut, now.rng):
                for group in now.optimizer.param_groups:
                    group["lr"] = rate(now.step)
                error, norm = _step(now, data, bins, scored, lead, config)
                errors.append(error)
                norms.append(norm)
                targets.append(int(scored.sum()))
                bar.update()
            trained = time.perf_counter()
            validation = _error(now.averaged, data, splits.validation, lead, _piece(config))
            now.rows.append(
                {
                    "epoch": len(now.rows),
                    "train_loss": float(np.average(errors, weights=targets)),
                    "validation_loss": validation,
                    "learning_rate": rate(now.step),
                    "grad_norm": float(np.mean(norms)),
                    "targets": sum(targets),
                    "training_seconds": trained - begun,
                    "seconds": time.perf_counter() - begun,
                }
            )
            if not math.isfinite(validation):
                place = f"validation loss of epoch {len(now.rows) - 1}"
                raise DivergedError("fit", place, "a finite number", str(validation))
            now.since += 1
            if validation < now.best:
                now.best, now.since = validation, 0
                now.best_weights = copy.deepcopy(now.averaged.state_dict())
            if state is not None:
                _save(now, state)
            bar.set_postfix(epoch=len(now.rows), validation=f"{validation:.4f}", best=f"{now.best:.4f}")


def _save(now: Training, state: tuple[dict, str | Path]) -> None:
    """The state after an epoch; where it cannot be written, the best epoch is not lost with it."""
    try:
        save_training(now, *state)
    except InputError as error:
        raise StoppedError(error.where, error.variable, error.expected, error.found) from error


def _step(
    now: Training, data: _Data, bins: Tensor, scored: Tensor, lead: int, config: FitConfig
) -> tuple[float, float]:
    """One step of the optimizer; the loss before it without the penalty, and the norm of its gradient."""
    # The output at bin t is the rate of bin t + predict_offset, and the first windows are not whole.
    seen = bins[:, : bins.shape[1] - config.predict_offset]
    rates, penalty = now.model.rates_and_penalty(*data.inputs(seen))
    made = rates[:, now.model.seq_len - 1 :]
    error = data.loss(made[scored], data.target[bins[:, lead:]][scored].to(data.device))
    loss = error + penalty
    _check_finite(now, "loss", loss)
    now.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    most = math.inf if config.clip_norm is None else config.clip_norm
    norm = nn.utils.clip_grad_norm_(now.model.parameters(), most)
    _check_finite(now, "norm of the gradient", norm)
    now.optimizer.step()
    now.step += 1
    if config.ema > 0:
        _average(now, config.ema)
    return float(error.detach()), float(norm)


def _check_finite(now: Training, name: str, value: Tensor) -> None:
    if not math.isfinite(found := float(value.detach())):
        place = f"{name} in step {now.step}, epoch {len(now.rows)}"
        raise DivergedError("fit", place, "a finite number", str(found))


@torch.no_grad()
def _average(now: Training, decay: float) -> None:
    """Take the newest weights into the average; those of n steps ago count decay**n times as much."""
    share = (1 - decay) / (1 - decay**now.step)  # of the newest: 1 at the first step
    for kept, new in zip(now.averaged.parameters(), now.model.parameters(), strict=True):
        kept.lerp_(new, share)
    for kept, new in zip(now.averaged.buffers(), now.model.buffers(), strict=True):
        kept.copy_(new)


def adopt(model: Model, session: xr.Dataset, splits: Splits, config: FitConfig) -> Run:
    """A run of a model whose weights were trained elsewhere, such as the published ones.

    Parameters
    ----------
    model : one of :data:`v1lib.models.MODELS`
    session : xarray.Dataset
        That the model was trained on, or another one to try it on.
    splits : Splits
        The training part gives the scaling, the test part is scored.
    config : FitConfig
        How it was trained; `scaling` and `predict_offset` say what it reads and predicts.

    Returns
    -------
    Run
        With a history of no epochs, to be used as any other.

    Raises
    ------
    InputError
        As :func:`fit`.
    """
    _check("adopt", model, session)
    check_ranges(splits, session, model.seq_len - 1 + config.predict_offset)
    scaling = fit_scaling(session, model.columns, splits, config.scaling)
    history = pd.DataFrame({"epoch": np.zeros(0, int)}).set_index("epoch")
    return Run(model.cpu().eval(), config, splits, scaling, history, _origin(session) | {"seconds": 0.0})


def predict(run: Run, session: xr.Dataset, *, part: str | None = None) -> xr.DataArray:
    """The run's rate (expected count, or fluorescence) of each unit in each bin.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
    part : str, optional
        ``train``, ``validation`` or ``test``: only in the ranges of this part of the run's splits, each read
        by itself; NaN in all other bins. All stretches if left out.

    Returns
    -------
    xarray.DataArray, dims (time, unit), float32
        Aligned to the bin that is predicted. NaN in the first ``seq_len - 1 + predict_offset`` bins of
        each stretch or range, which have no whole window behind them. Computed on the device of the fit's
        configuration, or as ``auto`` on a machine that does not have it.

    Raises
    ------
    InputError
        If session and model do not match, `part` is none, or the run's splits are not of this session.
    MemoryShortError
        If there is not enough memory.
    """
    _check("predict", run.model, session)
    lead = run.model.seq_len - 1 + run.config.predict_offset
    ranges = tuple(stretch_ranges(session)) if part is None else inside_stretches(run.splits, session, part)
    device = device_of_fit(run.config)
    with _memory_named("predict", session, run.config, device):
        data = _data(session, run.scaling, device)
        run.model.to(device)
        values = _predict(run.model, data, ranges, lead, _piece(run.config)).numpy()
    run.model.cpu()
    if session["activity"].attrs["kind"] == "fluorescence":
        mean, sd = np.array([run.scaling.activity_mean, run.scaling.activity_sd], np.float32)
        values = values * sd + mean
    unit = "spikes per bin" if session["activity"].attrs["kind"] == "spike_count" else "fluorescence"
    coords = {"time": session["time"], "unit": session["unit"]}
    return xr.DataArray(values, coords, ("time", "unit"), "prediction", {"units": unit})


def _check(where: str, model: Model, session: xr.Dataset) -> None:
    check_is_session(where, session)
    shape = (session.sizes["y"], session.sizes["x"])
    if model.sees and shape != model.frame_shape:
        raise InputError("session", "frames", f"frames of {model.frame_shape}, the model's", f"{shape}")
    if session.sizes["unit"] != model.n_units:
        raise InputError("session", "unit", f"{model.n_units} units, the model's", f"{session.sizes['unit']}")
    output = "softplus" if session["activity"].attrs["kind"] == "spike_count" else "identity"
    if model.output != output:
        expected = f"{output!r} for {session['activity'].attrs['kind']}"
        raise InputError(type(model).__name__, "output", expected, repr(model.output))
    if np.isinf(session["behavior"].values).any():
        raise InputError("session", "behavior", "finite values, or NaN where not measured", "infinity")
    activity = session["activity"].values
    if not np.isfinite(activity).all() or (output == "softplus" and (activity < 0).any()):
        expected = "finite values" if output == "identity" else "spike counts of 0 or more"
        raise InputError("session", "activity", expected, "NaN, infinity or less")
    if session["frames"].dtype.kind == "f":
        for number, frame in enumerate(session["frames"].values):
            if not np.isfinite(frame).all():
                raise InputError("session", "frames", "finite values", f"NaN or infinity in bin {number}")


def _data(session: xr.Dataset, scaling: Scaling, device: torch.device) -> _Data:
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
        device,
        _poisson if counts else F.mse_loss,
    )


def _poisson(rates: Tensor, counts: Tensor) -> Tensor:
    return F.poisson_nll_loss(rates, counts, log_input=False)


def _near(data: _Data) -> _Data:
    """On CUDA, frames and behaviour on the device where they leave room; else each batch is copied there."""
    if data.device.type != "cuda":
        return data
    free, _ = torch.cuda.mem_get_info(data.device)
    if data.frames.nbytes + data.behavior.nbytes > RESIDENT_SHARE * free:
        return data
    return data._replace(frames=data.frames.to(data.device), behavior=data.behavior.to(data.device))


@contextmanager
def _memory_named(where: str, session: xr.Dataset, config: FitConfig, device: torch.device) -> Iterator[None]:
    """Memory that does not suffice, in one sentence that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = " ".join((str(error) or type(error).__name__).split())
        words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(word in reason for word in words):
            raise
        found = (
            f"too little on {device} for batch_chunks={config.batch_chunks}, chunk_bins={config.chunk_bins} "
            f"and frames of {session.sizes['y']} x {session.sizes['x']} px ({reason:.120})"
        )
        expected = "enough for a batch (lower batch_chunks, chunk_bins or the size of the session's frames)"
        raise MemoryShortError(where, "memory", expected, found) from error


def _key(
    model: Model, session: xr.Dataset, splits: Splits, config: FitConfig, device: torch.device
) -> dict[str, Any]:
    """All that the weights of a fit depend on to the bit, as plain values."""
    places = {"device": str(device), "threads": torch.get_num_threads()}
    versions = {"source": source_hash(), "torch": str(torch.__version__)}
    return fit_key(model, session, splits, config) | places | versions


def _begin(
    model: Model, config: FitConfig, device: torch.device, generators: dict[str, torch.Generator]
) -> Training:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=device.type != "mps")
    averaged = copy.deepcopy(model) if config.ema > 0 else model
    return Training(model, averaged, optimizer, np.random.default_rng(config.seed), generators)


def _learning_rate(config: FitConfig, steps: int) -> Callable[[int], float]:
    """The learning rate of a step, counted from 0."""
    highest, rise = config.learning_rate, max(1, steps // 4)
    if config.schedule == "constant":
        return lambda step: highest

    def rate(step: int) -> float:
        if step < rise:
            return highest * (0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2)
        return highest * ((1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise)))) / 2)

    return rate


def _piece(config: FitConfig) -> int:
    """Bins predicted at once: two batches, which take less memory than the training of one, up to 512."""
    return min(512, 2 * config.batch_chunks * config.chunk_bins)


@torch.no_grad()
def _predict(model: Model, data: _Data, ranges: Ranges, lead: int, piece: int = 512) -> Tensor:
    """Model output aligned to the predicted bin, (time, unit); NaN outside `ranges` and in their lead."""
    model.eval()
    offset = lead - (model.seq_len - 1)
    rates = torch.full((data.behavior.shape[0], model.n_units), torch.nan)
    for a, b in ranges:
        for first in range(a, b - lead, piece):
            stop = min(first + lead + piece, b)
            made = model(*data.inputs(torch.arange(first, stop - offset)[None]))
            rates[first + lead : stop] = made[0, model.seq_len - 1 :].cpu()
    return rates


def _error(model: Model, data: _Data, ranges: Ranges, lead: int, piece: int = 512) -> float:
    """Mean loss over the bins of `ranges` that have a whole window behind them."""
    rates = _predict(model, data, ranges, lead, piece)
    made = np.concatenate([np.arange(a + lead, b) for a, b in ranges if b - a > lead])
    return float(data.loss(rates[made], data.target[made]))


def _finished(now: Training, session: xr.Dataset, splits: Splits, config: FitConfig, data: _Data) -> Run:
    """The run of the best epoch so far."""
    assert now.best_weights is not None
    now.model.load_state_dict(now.best_weights)
    now.model.cpu().eval()
    history = pd.DataFrame(now.rows).set_index("epoch")
    found = _origin(session) | {
        "torch": str(torch.__version__),
        "device": str(data.device),
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in now.model.parameters()),
        "seconds": float(history["seconds"].sum()),
        "targets_per_second": float(history["targets"].sum() / history["training_seconds"].sum()),
    }
    lead = now.model.seq_len - 1 + config.predict_offset
    for part, number in bins_left_out(splits, session, lead).items():
        found[f"{part}_bins_left_out"] = number
    for name, share in zip(data.scaling.columns, data.scaling.filled, strict=True):
        found[f"filled {name}"] = share
    return Run(now.model, config, splits, data.scaling, history, found)


def _origin(session: xr.Dataset) -> dict[str, object]:
    """What a run keeps of its session, and by which source it was made."""
    found: dict[str, object] = {
        name: session.attrs[name] for name in ("animal", "session", "source", "v1lib_version")
    }
    return found | {"v1lib_source": source_hash(), "bins_and_units": bins_and_units(session)}


def quiet() -> bool:
    """No progress bar where V1LIB_PROGRESS is 0 or nobody sits at the terminal."""
    return os.environ.get("V1LIB_PROGRESS") == "0" or not sys.stderr.isatty()
