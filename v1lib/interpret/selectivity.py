"""Which units depend on which behaviour variable, beyond what they see: a rule with a stated error rate.

For each unit one Poisson regression of its spike counts,

    log rate = constant + curve of the vision response + sum over variables of (a · z + b · q(z)),

z a behaviour variable in standard deviations and q its square made uncorrelated with z, of unit variance. The
vision response is what a fitted model answers to the picture alone
(:func:`v1lib.interpret.vision_response.vision_response`). All variables stand in one regression, so that each
is judged given the others; where two of them go together, the standard errors of both are wide.

Counts and behaviour are both slow, so that bins are not independent. The standard error of a weight is
therefore that of its null distribution: the residual counts are shifted circularly against the variable's
part of the regression that no other explains, by every shift of at least `min_shift_s`. As a model of vision
is never complete, an effect of any size has a small p in a long recording: motion blurs the picture of a
running animal. A unit is therefore said to depend on a variable only where its effect is larger than
`least_effect`, and not to depend on it only where it is smaller.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import false_discovery_control, norm, rankdata, t

from v1lib.errors import InputError, check_real
from v1lib.fit import Run
from v1lib.interpret.receptive_fields import check_bins
from v1lib.interpret.showing import check_fitted
from v1lib.interpret.vision_response import vision_response

#: Groups of behaviour variables, as the paper has them.
GROUPS: dict[str, tuple[str, ...]] = {
    "head": ("pitch", "roll"),
    "eye": ("phi", "theta"),
    "locomotion": ("speed",),
    "arousal": ("pupil",),
}
VERDICTS = ("depends", "does not depend", "cannot tell")
TERMS = ("linear", "quadratic")
#: Below this share of the variance a variable is a sum of the others, and no regression takes them apart.
_LEAST_OWN_SHARE = 1e-3
_MOST_STEPS = 50


def classify_selectivity(
    run: Run,
    session: xr.Dataset,
    *,
    bins: np.ndarray | None = None,
    level: float = 0.05,
    least_effect: float = 0.1,
    min_shift_s: float = 20.0,
) -> xr.Dataset:
    """Which units depend on which behaviour variables and groups of them, and which are mixed.

    Parameters
    ----------
    run : Run
        Says what the units answer to the picture; what it makes of behaviour is not used.
    session : xarray.Dataset
        Of spike counts.
    bins : array of bin numbers, optional
        Only these are used; all by default. Bins in which a behaviour variable or the vision response is
        missing are left out and counted in the attribute ``n_left_out``.
    level : float
        Of the false discovery rate over units and variables, of the tests that an effect is small, and of
        the intervals (``1 - level``).
    least_effect : float
        Effects up to this size count as none, in log rate for a standard deviation.
    min_shift_s : float
        Least shift of the null distribution, s.

    Returns
    -------
    xarray.Dataset over unit, variable, group and term
        ``effect`` (unit, variable, term), log rate for a standard deviation of the term, ``error`` its
        standard error, ``interval`` (bound, ...) at ``1 - level``, ``n_independent`` the number of
        independent shifts, which less one are the degrees of freedom; ``p`` (unit, variable), of a linear
        or quadratic effect beyond `least_effect`, ``q`` adjusted over all of them (Benjamini and Hochberg
        1995); ``verdict`` (unit, variable) and ``group_verdict`` (unit, group), of :data:`VERDICTS`;
        ``mixed`` (unit), ``depends`` where more than one group does, ``cannot tell`` where more than one
        might. A unit that never fires, or not in two bins, has NaN and ``cannot tell``.

    Raises
    ------
    InputError
        If run and session do not match, activity is no spike count, no bin has all variables, a variable does
        not vary or is a sum of others, the recording is too short for the shifts, or an argument is out of
        its range.
    """
    where = "classify_selectivity"
    check_real(where, "level", level, 1e-6, 0.5)
    check_real(where, "least_effect", least_effect, 0.0, 10.0)
    check_real(where, "min_shift_s", min_shift_s, 0.0, 1e6)
    check_counts(where, run, session)
    response = vision_response(run, session).values.astype(np.float64)
    used, behavior = usable_bins(where, session, response, bins)
    least_shift = int(np.ceil(min_shift_s / float(session.attrs["bin_width_s"])))
    if used.sum() < 2 * least_shift + 100:
        expected = f"more than {2 * least_shift + 100} bins with all variables, for the shifts"
        raise InputError(where, "bins", expected, str(int(used.sum())))
    names = [str(name) for name in session["variable"].values]
    terms = _terms(where, behavior, names)

    shape = (session.sizes["unit"], len(names), len(TERMS))
    effect, error, independent = np.full((3, *shape), np.nan)
    for unit in range(shape[0]):
        counts = session["activity"].values[used, unit].astype(np.float64)
        if (counts > 0).sum() < 2:
            continue
        fitted = _weights(counts, _curve(response[used, unit]), terms, used, least_shift)
        effect[unit], error[unit], independent[unit] = (each.reshape(shape[1:]) for each in fitted)
    found = xr.Dataset(
        {
            "effect": (("unit", "variable", "term"), effect),
            "error": (("unit", "variable", "term"), error),
            "n_independent": (("unit", "variable", "term"), independent),
        },
        {"unit": session["unit"].values, "variable": names, "term": list(TERMS), "bound": ["low", "high"]},
        {"level": level, "least_effect": least_effect},
    )
    found.attrs |= {
        "n_used": int(used.sum()),
        "n_left_out": (session.sizes["time"] if bins is None else len(bins)) - int(used.sum()),
    }
    return _judged(found)


def places_of_groups(names: list[str]) -> dict[str, list[int]]:
    """Of each of :data:`GROUPS` the places of its members among `names`; groups without one are left out."""
    places = {
        group: [place for place, name in enumerate(names) if name in members]
        for group, members in GROUPS.items()
    }
    return {group: found for group, found in places.items() if found}


def check_counts(where: str, run: Run, session: xr.Dataset) -> None:
    """Refuse what is no fitted run of the session, and activity that is no spike count."""
    check_fitted(where, run, session)
    if session["activity"].attrs["kind"] != "spike_count":
        raise InputError(where, "activity", "spike counts", repr(session["activity"].attrs["kind"]))


def usable_bins(
    where: str, session: xr.Dataset, response: np.ndarray, bins: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which bins have all variables and a response, (time,), and their behaviour, (bin, variable).

    Refuses a variable that does not vary in them.
    """
    behavior = session["behavior"].values.astype(np.float64)
    chosen = np.full(len(behavior), bins is None)
    if bins is not None:
        chosen[check_bins(where, bins, session)] = True
    used = chosen & np.isfinite(behavior).all(1) & np.isfinite(response).all(1)
    if not used.any():
        raise InputError(where, "bins", "bins in which every behaviour variable was measured", "none")
    values = behavior[used]
    still = values.std(0) <= 1e-9 * np.abs(values).max(0)
    if still.any():
        name = str(session["variable"].values[still.argmax()])
        raise InputError(where, name, "values that vary in these bins", "a constant")
    return used, values


def _judged(found: xr.Dataset) -> xr.Dataset:
    """Effects and their errors with intervals, p, q and verdicts."""
    level, least_effect = found.attrs["level"], found.attrs["least_effect"]
    # A term that says nothing, as the square of a variable of two values, has no error.
    size, error = np.abs(found["effect"].values), np.maximum(found["error"].values, 1e-12)
    dof = np.maximum(found["n_independent"].values - 1, 1)
    beyond = t.sf((size - least_effect) / error, dof) + t.sf((size + least_effect) / error, dof)
    p = np.minimum(1, len(TERMS) * beyond.min(2))
    q, there = np.full_like(p, np.nan), np.isfinite(p)
    if there.any():
        q[there] = false_discovery_control(p[there])
    depends, absent = q < level, t.sf((least_effect - size) / error, dof).max(2) < level
    half = t.isf(level / 2, dof) * error
    groups = places_of_groups(found["variable"].values.tolist())
    some = np.stack([depends[:, members].any(1) for members in groups.values()], axis=1)
    none = np.stack([absent[:, members].all(1) for members in groups.values()], axis=1) & ~some
    return found.assign(
        interval=xr.concat([found["effect"] - half, found["effect"] + half], found["bound"]),
        p=(("unit", "variable"), p),
        q=(("unit", "variable"), q),
        verdict=(("unit", "variable"), _verdict(depends, absent)),
        group_verdict=(("unit", "group"), _verdict(some, none)),
        mixed=("unit", _verdict(some.sum(1) > 1, (~none).sum(1) < 2)),
    ).assign_coords(group=list(groups))


def _verdict(depends: np.ndarray, absent: np.ndarray) -> np.ndarray:
    return np.select([depends, absent], VERDICTS[:2], VERDICTS[2])


def _terms(where: str, behavior: np.ndarray, names: list[str]) -> np.ndarray:
    """Each variable in standard deviations, and its square less what is linear in it, (bin, 2 · variable)."""
    z = (behavior - behavior.mean(0)) / behavior.std(0)
    for number, name in enumerate(names):
        others = np.delete(z, number, 1)
        own = z[:, number] - others @ np.linalg.lstsq(others, z[:, number], rcond=None)[0]
        if own.var() < _LEAST_OWN_SHARE:
            found = f"one of which {1 - own.var():.1%} is a sum of the others"
            raise InputError(where, name, "a variable that the others do not determine", found)
    square = z**2 - 1 - (z**3).mean(0) * z
    # Of a variable with two values the square says nothing more.
    square = np.divide(square, square.std(0), out=np.zeros_like(z), where=square.std(0) > 1e-6)
    return np.stack([z, square], axis=2).reshape(len(z), -1)


def _curve(response: np.ndarray) -> np.ndarray:
    """Constant, log response, its square, and a third degree of its rank: any smooth rising curve, nearly."""
    log = np.log(np.maximum(response, 1e-3))
    if log.std() < 1e-6:
        return np.ones((len(log), 1))
    z = np.clip((log - log.mean()) / log.std(), -4, 4)
    ranked = norm.ppf((rankdata(response) - 0.5) / len(response))
    return np.stack([np.ones_like(z), z, z**2 - 1, ranked**3 - 3 * ranked], axis=1)


def _weights(
    counts: np.ndarray, vision: np.ndarray, terms: np.ndarray, used: np.ndarray, least_shift: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A unit's weights of the terms, their standard errors, and how many shifts differ, each (term,)."""
    design = np.concatenate([vision, terms], axis=1)
    weights, rate = _poisson_regression(counts, design)
    information = (design * rate[:, None]).T @ design + 1e-6 * np.eye(design.shape[1])
    first = vision.shape[1]
    # What a count more in a bin adds to each weight.
    influence = design @ np.linalg.inv(information)[:, first:]
    n = len(used)
    residual, moved = np.zeros(n), np.zeros((n, terms.shape[1]))
    residual[used], moved[used] = counts - rate, influence
    shifted = irfft(np.conj(rfft(residual))[:, None] * rfft(moved, axis=0), n, axis=0)
    shifted = shifted[max(1, least_shift) : n - max(1, least_shift)]
    return weights[first:], shifted.std(0), _n_independent(shifted)


def _poisson_regression(counts: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights at the most likely log-linear rate, by Newton's steps of at most 1, and the rate of each bin.

    A small price of the squares keeps weights finite that the counts do not hold.
    """
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(counts.mean())
    price = np.full(len(weights), 1e-3)
    price[0] = 0
    for _ in range(_MOST_STEPS):
        rate = np.exp(np.clip(design @ weights, -20, 10))
        slope = design.T @ (counts - rate) - price * weights
        step = np.linalg.solve((design * rate[:, None]).T @ design + np.diag(price + 1e-9), slope)
        weights = weights + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-8:
            break
    return weights, np.exp(np.clip(design @ weights, -20, 10))


def _n_independent(traces: np.ndarray) -> np.ndarray:
    """How many independent values have a variance that is known as well as that of each trace, (trace,)."""
    n = len(traces)
    away = traces - traces.mean(0)
    power = np.abs(rfft(away, next_fast_len(2 * n), axis=0)) ** 2
    r = irfft(power, next_fast_len(2 * n), axis=0)[:n]
    # A term that says nothing does not move: all its shifts are alike.
    r = np.divide(r, r[0], out=np.zeros_like(r), where=r[0] > 0)
    ends = np.where((r < 0).any(0), (r < 0).argmax(0), n)
    inside = np.arange(1, n)[:, None] < ends
    return n / (1 + 2 * (r[1:] ** 2 * inside).sum(0))
