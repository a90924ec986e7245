"""Maximally activating stimuli by the paper's recipe, as it is written: one unit after the other."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from skimage.filters import butterworth
from torch import Tensor

from v1lib.errors import InputError, check_whole
from v1lib.fit import Model, Run
from v1lib.interpret.showing import Natural, check_run, in_units, model_on, natural_frames

BEHAVIORS = ("free", "fixed")


def paper_stimuli(
    run: Run,
    session: xr.Dataset,
    unit: object,
    *,
    behavior: str = "free",
    n_starts: int = 100,
    batch: int = 64,
    n_steps: int = 100,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """The maximally activating stimulus of one unit by the paper's recipe.

    Adam climbs the mean rate of a batch of noise images, N(0.5, 0.25), with behaviour that starts at ones;
    the rate of learning is 0.1, the decay of weights 0.02, the penalty 0.01 times the L2 norm of the
    Laplacian, and the step is cut where the loss no longer falls. The mean over all images is the stimulus.
    An image is scaled so that 0 is the darkest and 1 the brightest pixel of the training frames. A model of
    more than one bin is shown one still image and behaviour throughout its window.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    unit : label of a unit
    behavior : str
        ``free`` climbs with the image; ``fixed`` stays at ones, in the units that the model reads.
    n_starts, batch, n_steps : int
        So many batches of so many images, so many steps each.
    seed : int
        Of the noise.
    device : str
        ``auto`` or a name that torch knows.

    Returns
    -------
    xarray.Dataset
        ``stimulus`` (y, x), scaled as the model sees frames; ``low_passed``, the same through the
        Butterworth filter (cut at 0.05) of the paper's figures; ``behavior`` (column), the mean at the end;
        ``response`` (), mean rate of the images at the end, in spikes a bin or units of fluorescence.

    Raises
    ------
    InputError
        If the run is none or sees nothing, the session is another one, or an argument is out of its range.
    """
    check_run("paper_stimuli", run, session)
    labels = session["unit"].values.tolist()
    if unit not in labels:
        raise InputError("paper_stimuli", "unit", "a unit of the session", repr(unit))
    if behavior not in BEHAVIORS:
        raise InputError("paper_stimuli", "behavior", " or ".join(BEHAVIORS), repr(behavior))
    for name, value in (("n_starts", n_starts), ("batch", batch), ("n_steps", n_steps)):
        check_whole("paper_stimuli", name, value, 1)
    check_whole("paper_stimuli", "seed", seed, 0)
    natural = natural_frames(run, session)
    generator, number = torch.Generator().manual_seed(seed), labels.index(unit)
    images, behaviors, rates = [], [], []
    with model_on(run, device) as (model, place):
        for _ in range(n_starts):
            noise = 0.5 + 0.25 * torch.randn(batch, 1, *model.frame_shape, generator=generator)
            image = noise.to(place).requires_grad_()
            columns = torch.ones(batch, len(model.columns), device=place, requires_grad=behavior == "free")
            rate = _climb_as_the_paper(model, image, columns, number, natural, n_steps)
            images.append(image.detach().mean((0, 1)).cpu().numpy())
            behaviors.append(columns.detach().mean(0).cpu().numpy())
            rates.append(rate)
    stimulus = natural.low + (natural.high - natural.low) * np.mean(images, axis=0)
    low_passed = butterworth(stimulus, cutoff_frequency_ratio=0.05, high_pass=False)
    return xr.Dataset(
        {
            "stimulus": (("y", "x"), stimulus),
            "low_passed": (("y", "x"), low_passed),
            "behavior": ("column", np.mean(behaviors, axis=0)),
            "response": ((), in_units(run, session, np.array(rates), number).mean()),
        },
        {"column": list(run.model.columns), "unit": unit},
    )


def _climb_as_the_paper(
    model: Model, image: Tensor, columns: Tensor, unit: int, natural: Natural, n_steps: int
) -> float:
    """Adam on images (n, 1, y, x) and, if free, behaviour (n, k), in place; the mean rate at the end."""

    def rate() -> Tensor:
        shown = natural.low + (natural.high - natural.low) * image
        window = [
            tensor.unsqueeze(1).expand(-1, model.seq_len, *tensor.shape[1:]) for tensor in (shown, columns)
        ]
        return model(*window)[:, -1, unit].mean()

    free = [tensor for tensor in (image, columns) if tensor.requires_grad and tensor.numel()]
    optimizer = torch.optim.Adam(free, lr=0.1, weight_decay=0.02)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    around = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=image.device)[None, None]
    for _ in range(n_steps):
        loss = 0.01 * F.conv2d(image, around, padding=1).norm() - rate()
        for tensor, slope in zip(free, torch.autograd.grad(loss, free), strict=True):
            tensor.grad = slope
        optimizer.step()
        plateau.step(loss.detach())
    with torch.no_grad():
        return float(rate())
