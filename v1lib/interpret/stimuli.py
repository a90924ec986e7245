"""Stimuli that excite or inhibit the units of a fitted model the most: as the paper makes them, and faster.

The paper (:mod:`v1lib.interpret.paper_stimuli`) climbs from thousands of noise images, one unit after the
other. :func:`synthesize_stimuli` climbs for all units at once: an entry of a batch is a stimulus of one unit,
and since entries do not meet inside the model, the gradient of the sum of each entry's own unit is each
entry's own gradient, at the cost of one pass. The way is uphill under a limit on contrast: its steps have no
length but that of the stimulus, so that a unit of low rate climbs as soon as one of high rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor

from v1lib.errors import check_real, check_whole
from v1lib.fit import Model, Run
from v1lib.interpret.showing import (
    MOST_FRAMES,
    Natural,
    check_run,
    in_units,
    mean_behavior,
    model_on,
    natural_extremes,
    natural_frames,
)

KINDS = ("exciting", "inhibiting")
#: A start is noise of this share of the natural contrast.
_FAINT = 0.1
#: A stimulus has arrived when its step is below this share of its length, or has gained little this often.
_LEAST_STEP, _PATIENCE = 0.01, 3

#: Stimuli (entry, lag, y, x), the newest frame first, and their entries' units -> rates (entry,), gradients.
Show = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def synthesize_stimuli(
    run: Run,
    session: xr.Dataset,
    *,
    n_starts: int = 4,
    n_steps: int = 60,
    contrast: float = 1.0,
    smoothness: float = 0.01,
    tolerance: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Sequences of frames that excite and inhibit each unit the most, for all units at once.

    Gaze and behaviour stay at their means over the training part. A stimulus is limited in contrast (r.m.s.
    over all its pixels and frames) and in range (what the training frames span), by scaling all of it, so
    that its shape is not cut; its steps pass a Gaussian, which makes it smooth. Each start is faint noise;
    the best of them is kept.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    n_starts : int
    n_steps : int
        At most so many; a stimulus stops when its rate no longer changes.
    contrast : float
        Largest contrast, in that of the training frames.
    smoothness : float
        Standard deviation of the Gaussian as a share of the frame's width; 0 for none.
    tolerance : float
        Relative change of a rate that counts as none.
    seed : int
        Of the noise.
    device : str
        ``auto`` or a name that torch knows.

    Returns
    -------
    xarray.Dataset
        ``stimulus`` (unit, kind, lag, y, x), scaled as the model sees frames, lag in s before the bin that
        is predicted; ``response`` (unit, kind) and ``response_natural``, the highest or lowest to a window of
        the test part's frames with the same behaviour, in spikes a bin or units of fluorescence;
        ``agreement`` (unit, kind), mean correlation of the other starts' stimuli with the best one's, NaN for
        one start (low for units that are indifferent to phase, whose stimuli differ by it); ``steps`` (unit,
        kind), of the best start.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, or an argument is out of its range.
    """
    check_run("synthesize_stimuli", run, session)
    for name, value, least in (("n_starts", n_starts, 1), ("n_steps", n_steps, 1), ("seed", seed, 0)):
        check_whole("synthesize_stimuli", name, value, least)
    for name, amount, low in (
        ("contrast", contrast, 1e-6),
        ("smoothness", smoothness, 0),
        ("tolerance", tolerance, 0),
    ):
        check_real("synthesize_stimuli", name, amount, low, 100)
    natural = natural_frames(run, session)
    n_units, shape = run.model.n_units, (run.model.seq_len, *run.model.frame_shape)
    # Entries in the order unit, kind, start.
    units = torch.arange(n_units).repeat_interleave(len(KINDS) * n_starts)
    sign = torch.tensor([1.0, -1.0]).repeat_interleave(n_starts).repeat(n_units)
    noise = torch.randn(len(units), *shape, generator=torch.Generator().manual_seed(seed))
    with model_on(run, device) as (model, place):
        behavior = mean_behavior(run, session, place)

        def show(stimuli: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
            return _rates_and_gradients(model, natural.mean + stimuli, behavior, of)

        climb = _Climb(show, natural, contrast, smoothness * shape[-1], n_steps, tolerance)
        stimuli, rates, steps = climb(noise.to(place), units.to(place), sign.to(place))
        windows = natural_extremes(run, session, model, behavior)
    found = stimuli.unflatten(0, (n_units, len(KINDS), n_starts)).numpy()
    each = rates.view(n_units, len(KINDS), n_starts).numpy()
    best = (each * np.array([1, -1])[:, None]).argmax(axis=2)
    chosen = np.take_along_axis(found, best[..., None, None, None, None], axis=2)[:, :, 0]
    of_best = np.take_along_axis(steps.view(each.shape).numpy(), best[..., None], axis=2)[..., 0]
    response = np.take_along_axis(each, best[..., None], axis=2)[..., 0]
    lag = float(session.attrs["bin_width_s"]) * (np.arange(shape[0]) + run.config.predict_offset)
    return xr.Dataset(
        {
            "stimulus": (("unit", "kind", "lag", "y", "x"), natural.mean + chosen),
            "response": (("unit", "kind"), in_units(run, session, response)),
            "response_natural": (("unit", "kind"), in_units(run, session, windows)),
            "agreement": (("unit", "kind"), _agreement(found, best)),
            "steps": (("unit", "kind"), of_best),
        },
        {"unit": session["unit"].values, "kind": list(KINDS), "lag": lag},
        {"mean_frame": natural.mean},
    )


class _Climb(NamedTuple):
    """Uphill (or downhill) from noise until nothing is gained."""

    show: Show
    natural: Natural
    contrast: float
    blur_px: float
    n_steps: int
    tolerance: float

    def __call__(self, noise: Tensor, units: Tensor, sign: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise (entry, lag, y, x) -> stimuli as deviations from the mean, rates and steps (entry,)."""
        shape = (-1, 1, 1, 1)
        faint = _FAINT * self.contrast * self.natural.rms
        stimuli = self._blurred(noise)
        stimuli = self._limited(faint * stimuli / stimuli.square().mean((1, 2, 3), keepdim=True).sqrt())
        rates, slopes = self.show(stimuli, units)
        size, stalled = torch.ones_like(rates), torch.zeros_like(units)
        steps, going = torch.zeros_like(units), torch.arange(len(units), device=units.device)
        least = faint * _LEAST_STEP * noise[0].numel() ** 0.5
        for _ in range(self.n_steps):
            way = self._blurred(slopes[going]) * sign[going].view(shape)
            # Far below threshold a slope is too small to be squared.
            way = way / way.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-38)
            way = way / way.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-38)
            length = stimuli[going].square().sum((1, 2, 3)).sqrt().clamp_min(least) * size[going]
            tried = self._limited(stimuli[going] + length.view(shape) * way)
            there, slopes_there = self.show(tried, units[going])
            gain = (there - rates[going]) * sign[going]
            little = gain <= self.tolerance * rates[going].abs()
            up = gain > 0
            kept = going[up]
            stimuli[kept], rates[kept], slopes[kept] = tried[up], there[up], slopes_there[up]
            size[going] = torch.where(up, (1.5 * size[going]).clamp_max(3), size[going] / 3)
            stalled[going] = torch.where(little, stalled[going] + 1, 0)
            steps[going] += 1
            going = going[(stalled[going] < _PATIENCE) & (size[going] > _LEAST_STEP)]
            if not len(going):
                break
        return stimuli.cpu(), rates.cpu(), steps.cpu()

    def _limited(self, stimuli: Tensor) -> Tensor:
        """Scaled down as far as contrast and range ask for."""
        rms = stimuli.square().mean((1, 2, 3), keepdim=True).sqrt()
        below, above = self.natural.mean - self.natural.low, self.natural.high - self.natural.mean
        high, low = (extreme((1, 2, 3), keepdim=True) for extreme in (stimuli.amax, (-stimuli).amax))
        over = torch.maximum(
            rms / (self.contrast * self.natural.rms), torch.maximum(high / above, low / below)
        )
        return stimuli / over.clamp_min(1)

    def _blurred(self, images: Tensor) -> Tensor:
        """Frames (entry, lag, y, x) through a Gaussian, symmetric also at the borders, where nothing is."""
        if not self.blur_px:
            return images
        reach = int(np.ceil(3 * self.blur_px))
        away = torch.arange(-reach, reach + 1, device=images.device)
        kernel = torch.exp(-away.square() / (2 * self.blur_px**2))
        kernel = kernel / kernel.sum()
        flat = images.flatten(0, 1)[:, None]
        flat = F.conv2d(flat, kernel[None, None, :, None], padding=(reach, 0))
        return F.conv2d(flat, kernel[None, None, None], padding=(0, reach)).view(images.shape)


def _rates_and_gradients(
    model: Model, stimuli: Tensor, behavior: Tensor, units: Tensor
) -> tuple[Tensor, Tensor]:
    """The rate of each entry's own unit, and its gradient; the newest frame is the first lag."""
    rates, gradients = [], []
    for first in range(0, len(units), piece := max(1, MOST_FRAMES // model.seq_len)):
        shown = stimuli[first : first + piece].detach().requires_grad_()
        held = behavior.expand(len(shown), model.seq_len, -1)
        made = model(shown.flip(1).unsqueeze(2), held)[:, -1]
        own = made.gather(1, units[first : first + piece, None])[:, 0]
        gradients.append(torch.autograd.grad(own.sum(), shown)[0])
        rates.append(own.detach())
    return torch.cat(rates), torch.cat(gradients)


def _agreement(stimuli: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Mean correlation of the other starts with the best one, (unit, kind), from (unit, kind, start, ...)."""
    flat = stimuli.reshape(*stimuli.shape[:3], -1)
    flat = flat - flat.mean(axis=3, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=3, keepdims=True), 1e-30)
    n_starts = flat.shape[2]
    if n_starts == 1:
        return np.full(best.shape, np.nan)
    chosen = np.take_along_axis(flat, best[..., None, None], axis=2)
    alike = (flat * chosen).sum(axis=3)
    others = np.arange(n_starts) != best[..., None]
    return (alike * others).sum(axis=2) / (n_starts - 1)
