"""What the true rate scores on the spikes that were drawn from it, written into the truth of a recording."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.align.bins import bin_edges, count_spikes
from v1lib.simulate.neurons import STEP_S
from v1lib.simulate.spikes import draw_spikes
from v1lib.simulate.truth import mean_between

BIN_S = 0.048
N_DRAWS = 10


def true_scores(rng: np.random.Generator, rate: np.ndarray, spikes: list[np.ndarray]) -> xr.Dataset:
    """Raw r of the true rate with counts of spikes in bins of ``BIN_S`` over a whole recording.

    Parameters
    ----------
    rng : numpy.random.Generator
    rate : (step, unit) array
        Hz.
    spikes : list of arrays
        Those of the recording, s from the first step.

    Returns
    -------
    xarray.Dataset, dim unit
        ``oracle_r`` with the given spikes, ``ceiling_r`` the mean over ``N_DRAWS`` drawn anew.
    """
    edges = bin_edges(0.0, len(rate) * STEP_S, BIN_S)
    expected = mean_between(rate, edges[:-1] / STEP_S, edges[1:] / STEP_S)

    def r(trains: list[np.ndarray]) -> np.ndarray:
        pairs = zip(expected.T, trains, strict=True)
        return np.array([np.corrcoef(made, count_spikes(train, edges))[0, 1] for made, train in pairs])

    ceiling = np.mean([r(draw_spikes(rng, rate)) for _ in range(N_DRAWS)], axis=0)
    attrs = {"bin_width_s": BIN_S}
    return xr.Dataset({"oracle_r": ("unit", r(spikes), attrs), "ceiling_r": ("unit", ceiling, attrs)})
