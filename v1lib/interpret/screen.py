"""The screen before a fitted model: pictures pass in batches, gaze and behaviour held at their means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import xarray as xr

from v1lib.errors import InputError, check_real
from v1lib.fit import Model, Run
from v1lib.interpret.showing import MOST_FRAMES, in_units, mean_behavior, model_on, natural_frames


class Screen:
    """What a run's units answer to pictures.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
        That it was fitted to.
    model : Model
        Of the run, on `place`.
    place : torch.device

    Attributes
    ----------
    shape : (y, x) of a picture
    lead : bins before a model's window is filled, whose rates are left out
    bin_s : width of a bin in s
    """

    def __init__(self, run: Run, session: xr.Dataset, model: Model, place: torch.device):
        self.run, self.session, self.model, self.place = run, session, model, place
        self.natural = natural_frames(run, session)
        self.shape = (session.sizes["y"], session.sizes["x"])
        self.lead, self.bin_s = run.model.seq_len - 1, float(session.attrs["bin_width_s"])
        self.behavior = mean_behavior(run, session, place)

    def batches(
        self, draw: Callable[[np.ndarray], np.ndarray], n: int, n_bins: int
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
        """Numbers of stimuli, and as models read them frames (k, bin, 1, y, x) and behaviour."""
        for first in range(0, n, piece := max(1, MOST_FRAMES // n_bins)):
            numbers = np.arange(first, min(first + piece, n))
            pictures = self.natural.mean + self.natural.rms * draw(numbers)
            frames = torch.from_numpy(pictures).float().to(self.place)
            yield numbers, frames.unsqueeze(2), self.behavior.expand(len(frames), n_bins, -1)

    @torch.no_grad()
    def rates(
        self,
        draw: Callable[[np.ndarray], np.ndarray],
        n: int,
        n_bins: int,
        units: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rates to stimuli, of all units or of one unit each.

        Parameters
        ----------
        draw : function
            From numbers of stimuli (k,) to pictures (k, bin, y, x), around 0, of the contrast (r.m.s.) of
            the training frames where that of the picture is 1.
        n : int
            Stimuli.
        n_bins : int
            Of a stimulus, the lead among them.
        units : (n,) array, optional
            The number of the unit whose rate is wanted, for each stimulus.

        Returns
        -------
        numpy.ndarray, shape (stimulus, bin after the lead, unit), or without the last dimension
            In spikes a bin or units of fluorescence.
        """
        made = []
        for numbers, frames, behavior in self.batches(draw, n, n_bins):
            rates = self.model(frames, behavior)[:, self.lead :].cpu().numpy().transpose(2, 0, 1)
            rates = in_units(self.run, self.session, rates.reshape(len(rates), -1)).reshape(rates.shape)
            if units is None:
                made.append(rates.transpose(1, 2, 0))
            else:
                made.append(rates[units[numbers], np.arange(len(numbers))])
        return np.concatenate(made)

    def blank(self) -> np.ndarray:
        """Rates at grey, (unit,)."""
        n_bins = self.lead + 1
        return self.rates(lambda numbers: np.zeros((1, n_bins, *self.shape)), 1, n_bins)[0, 0]


@contextmanager
def screen_before(run: Run, session: xr.Dataset, device: str) -> Iterator[Screen]:
    """A screen before the run's model on a device; the model is back on the CPU after it."""
    with model_on(run, device) as (model, place):
        yield Screen(run, session, model, place)


def check_row(where: str, name: str, row: object, low: float, high: float, least: int = 1) -> np.ndarray:
    """A row of at least so many numbers from `low` to `high`, as float64."""
    if np.ndim(row) != 1 or len(row) < least:  # type: ignore[arg-type]
        expected = "a row of numbers" if least == 1 else f"a row of {least} numbers or more"
        raise InputError(where, name, expected, f"{row!r:.80}")
    for value in row:  # type: ignore[attr-defined]
        check_real(where, name, float(value), low, high)
    return np.asarray(row, float)


def bins_of_drift(
    where: str, run: Run, session: xr.Dataset, temporal_frequency: float, cycles: int
) -> tuple[float, int]:
    """The width of a bin (s), and the bins in which gratings drift by so many cycles after the lead.

    Refused are cycles from none, and a temporal frequency (Hz) above half of that of the bins.
    """
    check_real(where, "cycles", cycles, 1, 1000)
    bin_s = float(session.attrs["bin_width_s"])
    check_real(where, "temporal_frequency", temporal_frequency, 0.1, 0.5 / bin_s)
    return bin_s, run.model.seq_len - 1 + max(2, round(cycles / (temporal_frequency * bin_s)))


def check_view(where: str, field_of_view_deg: object) -> None:
    """A field of view that a pinhole camera can have."""
    check_real(where, "field_of_view_deg", field_of_view_deg, 1, 170)
