"""Spikes: those of single units, which are refractory, and what a sorter rejects."""

from __future__ import annotations

import numpy as np

from v1lib.errors import InputError
from v1lib.simulate.neurons import STEP_S

#: After a spike a unit is silent for this long, s.
REFRACTORY_S = 0.0015
MAINS_HZ = 60.0


def draw_spikes(rng: np.random.Generator, rate: np.ndarray) -> list[np.ndarray]:
    """Spike times of each unit, s from the first step, with an absolute refractory period.

    The hazard after the refractory period is ``rate / (1 − P)``, where P, the integral of the rate over the
    last ``REFRACTORY_S``, is the probability that the unit is refractory: so the expected number of spikes in
    any span of time is the integral of the rate over it.

    Parameters
    ----------
    rng : numpy.random.Generator
    rate : (step, unit) array
        Hz, constant in a step, below ``1 / REFRACTORY_S``.

    Raises
    ------
    InputError
        If a rate is NaN, negative or too high.
    """
    wrong = rate[~((rate >= 0) & (rate < 1 / REFRACTORY_S))]
    if wrong.size:
        expected = f"rates of 0 or more and below {1 / REFRACTORY_S:.0f} Hz"
        raise InputError("draw_spikes", "rate", expected, f"{wrong[0]:g} Hz")
    return [_draw_train(rng, column.astype(float)) for column in rate.T]


def _draw_train(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    before = np.concatenate([[0.0], rate[:-1]])
    bound = rate / (1 - REFRACTORY_S * np.maximum(rate, before))
    # A Poisson process of that hazard: sorted uniforms on the cumulated hazard.
    total = np.concatenate([[0.0], np.cumsum(bound * STEP_S)])
    gaps = rng.standard_exponential(rng.poisson(total[-1]) + 1).cumsum()
    events = total[-1] * gaps[:-1] / gaps[-1]
    step = np.searchsorted(total, events, side="right") - 1
    within = (events - total[step]) / bound[step]
    # Early in a step part of the refractory period lies in the step before, so the bound is thinned.
    inside = np.minimum(within, REFRACTORY_S)
    refractory = rate[step] * inside + before[step] * (REFRACTORY_S - inside)
    accepted = (1 - REFRACTORY_S * np.maximum(rate, before)[step]) / (1 - refractory)
    kept = rng.random(events.size) < accepted
    return _at_least_apart(step[kept] * STEP_S + within[kept], REFRACTORY_S)


def _at_least_apart(time: np.ndarray, least: float) -> np.ndarray:
    """Sorted times without those that follow the last one kept by less than `least`."""
    while True:
        close = np.diff(time, prepend=-np.inf) < least
        # The first of a run of close times follows one that stays; the others wait for it to go.
        first = close & ~np.concatenate([[False], close[:-1]])
        if not first.any():
            return time
        time = time[~first]


def rejected_trains(rng: np.random.Generator, rate: np.ndarray) -> dict[str, list[np.ndarray]]:
    """What a sorter finds besides single units, by its name for it: event times, s from the first step.

    ``mua``: the merged spikes of four hidden units, each of which answers like one of the good ones at half
    its rate, and two background events a second. ``noise``: events locked to the mains.

    Parameters
    ----------
    rate : (step, unit) array
        Of the good units, Hz.
    """
    seconds = rate.shape[0] * STEP_S

    def merged() -> np.ndarray:
        hidden = draw_spikes(rng, rate[:, rng.integers(rate.shape[1], size=4)] / 2)
        background = rng.uniform(0, seconds, rng.poisson(2.0 * seconds))
        return np.sort(np.concatenate([*hidden, background]))

    def hum() -> np.ndarray:
        cycles = np.flatnonzero(rng.random(int(seconds * MAINS_HZ) - 1) < 0.2) + rng.uniform(0.1, 0.9)
        return cycles / MAINS_HZ + rng.normal(0, 1e-4, cycles.size)

    return {"mua": [merged() for _ in range(3)], "noise": [np.sort(hum()) for _ in range(2)]}
