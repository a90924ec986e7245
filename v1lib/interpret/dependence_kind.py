"""Whether behaviour multiplies what a unit answers to the picture, or adds to it.

For each unit

    rate = v · exp(a + g · z) + exp(d + o · z),

v the rise of the vision response above its least value, z the behaviour variables in standard deviations, g
gains and o offsets. A variable is multiplicative where the counts are less likely without its gain than
without its offset, and additive otherwise.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.fit import Run
from v1lib.interpret.selectivity import check_counts, usable_bins
from v1lib.interpret.vision_response import vision_response

KINDS = ("multiplicative", "additive")
#: Price of squared gains and offsets, in log likelihood: what the counts do not hold stays at 0.
_PRICE = 1.0
_MOST_STEPS = 60


def dependence_kind(run: Run, session: xr.Dataset, *, bins: np.ndarray | None = None) -> xr.Dataset:
    """Kind and sign of each unit's dependence on each behaviour variable, where there is one.

    Whether there is one is for :func:`v1lib.interpret.selectivity.classify_selectivity` to say.

    Parameters
    ----------
    run : Run
        Says what the units answer to the picture; what it makes of behaviour is not used.
    session : xarray.Dataset
        Of spike counts.
    bins : array of bin numbers, optional
        As in :func:`v1lib.interpret.selectivity.classify_selectivity`.

    Returns
    -------
    xarray.Dataset over unit and variable
        ``evidence``: by how much the counts are less likely without the gain than without the offset, nat;
        above 0 the dependence is multiplicative. ``kind``: of :data:`KINDS`. ``weight``: the gain or
        the offset of that kind, in log rate for a standard deviation, with the other left out.
        NaN and an empty kind for a unit that does not fire in two bins. A unit whose vision response does not
        vary has no gain.

    Raises
    ------
    InputError
        As :func:`v1lib.interpret.selectivity.classify_selectivity`.
    """
    where = "dependence_kind"
    check_counts(where, run, session)
    response = vision_response(run, session).values.astype(np.float64)
    used, behavior = usable_bins(where, session, response, bins)
    z = np.concatenate([np.ones((len(behavior), 1)), (behavior - behavior.mean(0)) / behavior.std(0)], axis=1)
    shape = (session.sizes["unit"], behavior.shape[1])
    evidence, weight = np.full((2, *shape), np.nan)
    for unit in range(shape[0]):
        counts = session["activity"].values[used, unit].astype(np.float64)
        if (counts > 0).sum() >= 2:
            evidence[unit], weight[unit] = _of_unit(counts, response[used, unit], z)
    kind = np.select([evidence > 0, evidence <= 0], KINDS, "")
    per_variable = ("unit", "variable")
    return xr.Dataset(
        {
            "evidence": (per_variable, evidence),
            "kind": (per_variable, kind),
            "weight": (per_variable, weight),
        },
        {"unit": session["unit"].values, "variable": session["variable"].values},
    )


def _of_unit(counts: np.ndarray, response: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evidence and weight of each variable, each (variable,)."""
    risen, k = response - response.min(), z.shape[1]
    free = np.ones(2 * k, bool)
    start = np.zeros(2 * k)
    start[k] = np.log(max(counts.mean() / 2, 1e-3))
    whole, _ = _fitted(counts, risen, z, start, free)
    evidence, weight = np.empty((2, k - 1))
    for variable in range(1, k):
        likely, left = {}, {}
        for name, place in (("gain", variable), ("offset", k + variable)):
            without, rest = whole.copy(), free.copy()
            without[place], rest[place] = 0.0, False
            left[name], likely[name] = _fitted(counts, risen, z, without, rest)
        evidence[variable - 1] = likely["offset"] - likely["gain"]
        multiplies = likely["offset"] > likely["gain"]
        weight[variable - 1] = left["offset"][variable] if multiplies else left["gain"][k + variable]
    return evidence, weight


def _fitted(
    counts: np.ndarray, risen: np.ndarray, z: np.ndarray, weights: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, float]:
    """The most likely weights, of which those that are not free stay, and their penalised log likelihood.

    Fisher scoring, each step halved until it helps.
    """
    price = np.full(len(weights), _PRICE)
    price[[0, z.shape[1]]] = 1e-3  # the constants are hardly priced
    likely = _likelihood(counts, risen, z, weights, price)
    for _ in range(_MOST_STEPS):
        driven, added = _parts(risen, z, weights)
        slope = np.concatenate([driven[:, None] * z, added[:, None] * z], axis=1)[:, free]
        rate = driven + added
        upward = slope.T @ (counts / rate - 1) - price[free] * weights[free]
        information = (slope / rate[:, None]).T @ slope + np.diag(price[free])
        step = np.linalg.solve(information, upward)
        step /= max(1.0, np.abs(step).max())
        for _ in range(10):
            further = weights.copy()
            further[free] += step
            gained = _likelihood(counts, risen, z, further, price) - likely
            if gained >= 0:
                break
            step /= 2
        if gained < 0:
            break
        weights, likely = further, likely + gained
        if gained < 1e-4:
            break
    return weights, likely


def _parts(risen: np.ndarray, z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates that vision drives and that behaviour adds, each (bin,)."""
    log_gain, log_offset = z @ weights[: z.shape[1]], z @ weights[z.shape[1] :]
    return risen * np.exp(np.clip(log_gain, -20, 10)), np.exp(np.clip(log_offset, -20, 10))


def _likelihood(
    counts: np.ndarray, risen: np.ndarray, z: np.ndarray, weights: np.ndarray, price: np.ndarray
) -> float:
    driven, added = _parts(risen, z, weights)
    rate = driven + added
    return float((counts * np.log(rate) - rate).sum() - (price * weights**2).sum() / 2)
