"""What the layers of a model hold: what can be read from them by a line, and over how many dimensions.

Random layers hold much too. So each figure is to stand beside that of an untrained model of the same shape
(:func:`v1lib.fit.adopt`), and that of ``pixels``, which is before all layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from v1lib.errors import InputError, check_real
from v1lib.fit import Model, Run
from v1lib.interpret.screen import check_row, check_view, screen_before
from v1lib.interpret.showing import check_run, natural_windows
from v1lib.interpret.spectrum import eigenspectrum
from v1lib.interpret.visual_stimuli import drifting_gratings
from v1lib.models.encoders import VisualEncoder
from v1lib.models.encoding import EncodingModel
from v1lib.models.field import FieldModel

#: Penalties among which the training levels choose, in the mean eigenvalue of the features' products. The
#: highest leaves nothing of features in few dimensions.
PENALTIES = tuple(10.0**power for power in range(-6, 7))
TARGETS = ("orientation", "direction", "contrast")


@torch.no_grad()
def activations(model: Model, frames: Tensor, behavior: Tensor) -> dict[str, Tensor]:
    """What each layer makes of sequences of frames.

    Parameters
    ----------
    model : EncodingModel or FieldModel
        That sees, in eval mode.
    frames : Tensor, shape (b, t, 1, y, x)
    behavior : Tensor, shape (b, t, k)

    Returns
    -------
    dict of Tensor, shape (b, t, feature)
        ``pixels``; of an EncodingModel ``conv1`` and so on (after the ReLU, encoders ``cnn`` and
        ``autoencoder``), ``visual`` and ``hidden``, the state of the GRU, where there is one; of a
        FieldModel ``visual``, what its fields see; ``rates``.
    """
    found = {"pixels": frames.flatten(2)}
    shape, hooks = behavior.shape[:2], []

    def keep(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            made = output[1][0] if isinstance(output, tuple) else output
            found[name] = made.flatten(1).unflatten(0, shape)

        hooks.append(module.register_forward_hook(hook))

    if isinstance(model, FieldModel):
        seen = model.seen(frames.flatten(0, 1), behavior.flatten(0, 1))
        found["visual"] = seen.flatten(1).unflatten(0, shape)
    else:
        encoder = model.visual_encoder
        if isinstance(encoder, VisualEncoder):
            stages = [layer for layer in encoder.layers if isinstance(layer, nn.ReLU)]
            for number, stage in enumerate(stages, 1):
                keep(f"conv{number}", stage)
            # An autoencoder is not called as a whole, but its last layer always is.
            keep("visual", encoder.layers[-1])
        else:
            keep("visual", encoder)
        if model.lstm_net is not None:
            keep("hidden", model.lstm_net)
    try:
        found["rates"] = model(frames, behavior)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def decode_layers(
    run: Run,
    session: xr.Dataset,
    *,
    field_of_view_deg: float,
    spatial_frequencies: Sequence[float] = (0.02, 0.03, 0.045, 0.0675),
    contrasts: Sequence[float] = (0.5, 1.0, 2.0),
    temporal_frequency: float = 4.0,
    device: str = "auto",
) -> xr.Dataset:
    """How much of a grating a line can read from each layer of a model.

    Gratings of 12 directions and 4 phases drift through the whole window; features are those of its last
    bin, gaze and behaviour at their training means. Ridge regression is fitted without one phase, or without
    one spatial frequency, and read at the one left out; its penalty is chosen likewise inside the rest.

    Parameters
    ----------
    run : Run
        Of an EncodingModel or a FieldModel, fitted or not.
    session : xarray.Dataset
        That it was fitted to.
    field_of_view_deg : float
        That a row of the frame spans.
    spatial_frequencies, contrasts : sequence of float
        Cycles/deg, at least 3; in the contrast of the training frames (r.m.s.), at least 2.
    temporal_frequency : float
        Hz.
    device : str

    Returns
    -------
    xarray.Dataset over layer, target and held_out
        ``r2``: of held-out sine and cosine together of twice the orientation, and of the direction, and of
        contrast; 1 where all is read, 0 at chance, and less where the level left out says the contrary of
        the others (pixels at a phase and its opposite). ``features`` (layer), their number.

    Raises
    ------
    InputError
        If the run is none of such a model that sees, the session is another one, or an argument is out of
        its range.
    """
    where = "decode_layers"
    _check(where, run, session)
    check_view(where, field_of_view_deg)
    frequencies = check_row(where, "spatial_frequencies", spatial_frequencies, 1e-4, 10, 3)
    levels = check_row(where, "contrasts", contrasts, 1e-3, 100, 2)
    bin_s, n_bins = float(session.attrs["bin_width_s"]), run.model.seq_len
    check_real(where, "temporal_frequency", temporal_frequency, 0.1, 0.5 / bin_s)
    directions, phases = np.arange(0, 360, 30.0), np.arange(4) / 4
    # Phases are those of the last bin: then frames alone are the same for a direction and its opposite.
    last = temporal_frequency * bin_s * (n_bins - 0.5)
    gratings = np.stack(
        [
            drifting_gratings(
                run.model.frame_shape,
                directions,
                frequencies,
                temporal_frequency,
                field_of_view_deg=field_of_view_deg,
                bin_s=bin_s,
                n_bins=n_bins,
                phase=last + phase,
            )
            for phase in phases
        ]
    )
    sizes = (len(phases), len(directions), len(frequencies), len(levels))
    phase, direction, frequency, level = (axis.ravel() for axis in np.indices(sizes))
    kept: dict[str, list[np.ndarray]] = {}
    with screen_before(run, session, device) as screen:

        def draw(n: np.ndarray) -> np.ndarray:
            amplitude = np.sqrt(2) * levels[level[n], None, None, None]
            return amplitude * gratings[phase[n], direction[n], frequency[n]]

        for _, frames, behavior in screen.batches(draw, len(phase), n_bins):
            for name, made in activations(screen.model, frames, behavior).items():
                kept.setdefault(name, []).append(made[:, -1].cpu().numpy())
    angle = np.deg2rad(directions[direction])
    targets = {
        "orientation": np.stack([np.sin(2 * angle), np.cos(2 * angle)], axis=1),
        "direction": np.stack([np.sin(angle), np.cos(angle)], axis=1),
        "contrast": levels[level][:, None],
    }
    layers = {name: np.concatenate(parts).astype(np.float64) for name, parts in kept.items()}
    r2 = np.array(
        [
            [[linear_r2(x, targets[name], held) for held in (phase, frequency)] for name in TARGETS]
            for x in layers.values()
        ]
    )
    return xr.Dataset(
        {
            "r2": (("layer", "target", "held_out"), r2),
            "features": ("layer", [x.shape[1] for x in layers.values()]),
        },
        {"layer": list(layers), "target": list(TARGETS), "held_out": ["phase", "spatial_frequency"]},
    )


def linear_r2(features: np.ndarray, targets: np.ndarray, levels: np.ndarray) -> float:
    """R² of targets (n, k), all columns together, by ridge on features (n, p), each level left out once.

    The penalty is chosen among :data:`PENALTIES` by leaving out each of the other levels. Squares are
    around the mean of the training levels.
    """
    missed = total = 0.0
    for level in np.unique(levels):
        rest, out = levels != level, levels == level
        misfits = np.zeros(len(PENALTIES))
        for inner in np.unique(levels[rest]):
            fitted, read = rest & (levels != inner), levels == inner
            made = _ridge(features[fitted], targets[fitted], features[read], PENALTIES)
            misfits += np.square(made - targets[read]).sum((1, 2))
        best = PENALTIES[int(misfits.argmin())]
        made = _ridge(features[rest], targets[rest], features[out], (best,))[0]
        missed += np.square(made - targets[out]).sum()
        total += np.square(targets[out] - targets[rest].mean(0)).sum()
    return float(1 - missed / total)


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    """Ridge regression's predictions at new features for each penalty, (penalty, n, k)."""
    mean, sd = x.mean(0), x.std(0)
    varies = sd > 1e-9 * np.abs(x).max(initial=1e-30)
    x, new = ((each[:, varies] - mean[varies]) / sd[varies] for each in (x, new))
    # Over stimuli, of which there are fewer than features.
    values, vectors = np.linalg.eigh(x @ x.T)
    turned, across = vectors.T @ (y - y.mean(0)), new @ x.T @ vectors
    scale = max(values.mean(), 1e-30)
    return np.stack([y.mean(0) + (across / (values.clip(0) + p * scale)) @ turned for p in penalties])


def layer_spectrum(
    run: Run,
    session: xr.Dataset,
    *,
    layer: str = "hidden",
    ranks: tuple[int, int] = (3, 30),
    block_s: float = 10.0,
    n_resamples: int = 200,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Eigenspectrum of a layer over the natural windows of the test part, gaze and behaviour at their means.

    Parameters
    ----------
    run : Run
        Of an EncodingModel or a FieldModel, fitted or not.
    session : xarray.Dataset
        That it was fitted to.
    layer : str
        Of :func:`activations`.
    ranks, block_s, n_resamples, seed
        As of :func:`v1lib.interpret.spectrum.eigenspectrum`, blocks in s.
    device : str

    Returns
    -------
    xarray.Dataset
        As of :func:`v1lib.interpret.spectrum.eigenspectrum`.

    Raises
    ------
    InputError
        If the run is none of such a model that sees, has no such layer, the session is another one, the test
        part is short, or an argument is out of its range.
    """
    _check("layer_spectrum", run, session)
    check_real("layer_spectrum", "block_s", block_s, 0.1, 1e4)
    made = []
    with screen_before(run, session, device) as screen:
        for frames, held in natural_windows(run, session, screen.behavior):
            found = activations(screen.model, frames, held)
            if layer not in found:
                raise InputError("layer_spectrum", "layer", " or ".join(found), repr(layer))
            made.append(found[layer][0, screen.lead :].cpu().numpy().astype(np.float64))
        block = max(1, round(block_s / screen.bin_s))
    return eigenspectrum(np.concatenate(made), ranks=ranks, block=block, n_resamples=n_resamples, seed=seed)


def _check(where: str, run: Run, session: xr.Dataset) -> None:
    check_run(where, run, session)
    if not isinstance(run.model, EncodingModel | FieldModel):
        raise InputError(where, "run", "an EncodingModel or a FieldModel", type(run.model).__name__)
