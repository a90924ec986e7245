"""What each unit of a fitted model makes of each behaviour variable, by eight methods.

A variable is moved as a whole: in each bin of a model's window alike, in its own unit, and all columns that
are made of it (:mod:`v1lib.features`) move with it by the features' own arithmetic. A product moves through
the factor. A difference is that of the moved variable: it does not change as the variable is shifted by one
amount everywhere (``gradient``, ``absolute``, ``squared``), and goes to 0 as the variable goes to its mean
(the others). So what a unit makes of a difference alone is not seen by the first three. A value that was not
measured does not move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from math import factorial

import numpy as np
import torch
import xarray as xr

from v1lib.bootstrap import BLOCK_S, in_blocks
from v1lib.errors import InputError, check_real, check_whole
from v1lib.fit import Run
from v1lib.interpret.behavior_path import BehaviorPath
from v1lib.interpret.selectivity import places_of_groups
from v1lib.metrics import bits_from_sums, poisson_gain

METHODS = (
    "gradient",
    "absolute",
    "squared",
    "gradient_x_input",
    "integrated_gradients",
    "occlusion",
    "permutation",
    "shapley",
)
_WHERE = "behavior_saliency"


def behavior_saliency(
    run: Run,
    session: xr.Dataset,
    method: str = "gradient",
    *,
    part: str = "test",
    through_shifter: bool = False,
    steps: int = 16,
    permutations: int = 4,
    block_s: float = BLOCK_S,
    seed: int = 0,
) -> xr.Dataset:
    """How much the rate of each unit depends on each behaviour variable, in the model's eyes.

    Parameters
    ----------
    run : Run
        Of an EncodingModel, a FieldModel or a JointModel that reads behaviour.
    session : xarray.Dataset
        With the bins and units that it was fitted to.
    method : str
        ``gradient``, ``absolute``, ``squared``: the derivative of the rate, as the variable is shifted, times
        the variable's standard deviation over the training part: its mean over bins, mean size, and root of
        its mean square.

        ``gradient_x_input``: the derivative times the variable's deviation from its training mean.

        ``integrated_gradients``: the same, with the derivative averaged along the straight way from all
        variables at their training means (0 as a model reads a variable) to where they are. Over the
        variables it sums to the rate less that with all variables at their means.

        ``occlusion``: the rate less that with this variable at its training mean.

        ``permutation``: what of the variable cannot be told from the others by linear regression over the
        training part is put in another order, in blocks of time, and added again.

        ``shapley``: of the groups :data:`v1lib.interpret.selectivity.GROUPS`, exactly over all coalitions;
        who is not in a coalition is at the training mean. Over the groups it sums as the integrated
        gradients do.
    part : str
        Whose bins are averaged over, those with a whole window inside one range.
    through_shifter : bool
        False for what goes by the path of behaviour, with the picture held where the eye turned it; True
        for what behaviour does by moving the picture as well, at the price of the encoder.
    steps : int
        Of ``integrated_gradients``: midpoints of so many equal parts of the way.
    permutations : int
        Of ``permutation``: orders averaged over.
    block_s : float
        Length of its blocks, s.
    seed : int
        Of its orders.

    Returns
    -------
    xarray.Dataset over unit and variable (``group`` for ``shapley``)
        ``saliency``, in spikes per bin (or the unit of the fluorescence) for one standard deviation of the
        variable. Of the methods from ``gradient_x_input`` on it is the root mean square over bins of what is
        attributed in each, which the spread of the variable makes; ``mean`` is the mean, with its sign, of
        what is attributed (for the first three that of the derivative). For ``permutation`` of spike counts
        ``saliency`` is the log-likelihood that is lost, bits per spike, NaN for a unit without spikes
        there, and ``change`` the root mean square of the change of rate. Attributes: ``method``,
        ``through_shifter``, ``part``, ``n_bins``, ``units``.

    Raises
    ------
    InputError
        If `run` is not a Run of such a model, the session is not the one fitted to, a variable that the model
        reads does not vary in its training part, a choice is none, blocks are so long that there is but one,
        or a rate is not finite.
    """
    if method not in METHODS:
        raise InputError(_WHERE, "method", f"one of {METHODS}", repr(method))
    check_whole(_WHERE, "steps", steps, 1)
    check_whole(_WHERE, "permutations", permutations, 1)
    check_whole(_WHERE, "seed", seed, 0)
    check_real(_WHERE, "block_s", block_s, 1e-3, 1e6)
    path = BehaviorPath(run, session, part, through_shifter, _WHERE)
    names = [str(name) for name in session["variable"].values]
    mean, sd = _training_figures(path, names)
    dim, labels, lost = "variable", names, None
    if method in ("gradient", "absolute", "squared"):
        found = _summary(_shifted(path, sd))
    elif method == "gradient_x_input":
        found = _summary(_scaled(path, mean, 0))
    elif method == "integrated_gradients":
        found = _summary(_scaled(path, mean, steps))
    elif method == "occlusion":
        found = _summary(_occluded(path, mean))
    elif method == "permutation":
        block = max(1, round(block_s / float(session.attrs["bin_width_s"])))
        found, lost = _permuted(path, session, part, permutations, block, np.random.default_rng(seed))
    else:
        groups = places_of_groups(names)
        dim, labels = "group", list(groups)
        found = _summary(_shapley(path, mean, list(groups.values())))
    signed, size, root = found
    chosen = {"gradient": signed, "absolute": size}.get(method, root)
    counts = session["activity"].attrs["kind"] == "spike_count"
    units = "spikes per bin" if counts else "fluorescence"
    columns = {"saliency": chosen, "mean": signed}
    if lost is not None and counts:
        columns, units = {"saliency": lost, "mean": signed, "change": root}, "bits per spike"
    return xr.Dataset(
        {name: (("unit", dim), values.T) for name, values in columns.items()},
        {"unit": session["unit"].values, dim: labels},
        {
            "method": method,
            "through_shifter": int(through_shifter),
            "part": part,
            "n_bins": path.bins.size,
            "units": units,
        },
    )


def _training_figures(path: BehaviorPath, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each variable over the training bins; 0 for one that is not read."""
    train = path.values[path.run.splits.bins("train")]
    mean, sd = np.zeros(len(names)), np.zeros(len(names))
    for number, name in enumerate(names):
        measured = train[np.isfinite(train[:, number]), number]
        if not any(name in column.replace("d_", "").split("*") for column in path.run.model.columns):
            continue
        if measured.size == 0 or np.ptp(measured) == 0:
            found = "one value" if measured.size else "none measured"
            raise InputError(_WHERE, name, "values that vary in the training part", found)
        mean[number], sd[number] = measured.mean(), measured.std()
    return mean, sd


def _summary(pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, mean size and root mean square over bins of pieces (k, bin, unit), each (k, unit)."""
    sums = [
        (piece.sum(axis=1), np.abs(piece).sum(axis=1), np.square(piece).sum(axis=1), piece.shape[1])
        for piece in pieces
    ]
    total, size, square, n = (sum(column) for column in zip(*sums, strict=True))
    return total / n, size / n, np.sqrt(square / n)


def _only(direction: np.ndarray, number: int) -> np.ndarray:
    """A direction (time, variable) along one variable alone."""
    alone = np.zeros_like(direction)
    alone[:, number] = direction[:, number]
    return alone


def _shifted(path: BehaviorPath, sd: np.ndarray) -> Iterator[np.ndarray]:
    """Derivatives as each variable is shifted by its standard deviation, pieces (variable, bin, unit)."""
    shift = np.broadcast_to(sd, path.values.shape)
    yield from path.derivatives(path.columns(path.values), _tangents(path, path.values, shift))


def _tangents(path: BehaviorPath, values: np.ndarray, direction: np.ndarray) -> torch.Tensor:
    """How the columns move along each variable's part of a direction, (variable, time, k)."""
    moved = [path.tangent(values, _only(direction, number)) for number in range(values.shape[1])]
    return torch.stack(moved)


def _scaled(path: BehaviorPath, mean: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Derivatives along each variable's deviation from its mean, pieces (variable, bin, unit).

    At the behaviour as it is for 0 steps, else averaged over midpoints of the way from the means to it.
    """
    values = path.values
    away = np.nan_to_num(values - mean)
    there = path.columns(values)
    end = _tangents(path, values, away)
    if steps == 0:
        yield from path.derivatives(there, end)
        return
    # The columns are of degree 2 along the way and how they move of degree 1: both ends tell all of it.
    middle = values - away
    here, begin = path.columns(middle), _tangents(path, middle, away)
    slope = begin.sum(0)
    bent = there - here - slope
    total = np.zeros((values.shape[1], *path.base.shape))
    for share in (np.arange(steps) + 0.5) / steps:
        columns = here + share * slope + share**2 * bent
        tangents = begin + share * (end - begin)
        total += np.concatenate(list(path.derivatives(columns, tangents)), axis=1) / steps
    yield total


def _at_mean(path: BehaviorPath, mean: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
    """Rates with some variables at their mean wherever they were measured, (n, unit)."""
    values = path.values.copy()
    for number in numbers:
        values[np.isfinite(values[:, number]), number] = mean[number]
    return path.rates(path.columns(values))


def _occluded(path: BehaviorPath, mean: np.ndarray) -> Iterator[np.ndarray]:
    without = [_at_mean(path, mean, [number]) for number in range(len(mean))]
    yield path.base - np.stack(without)


def _shapley(path: BehaviorPath, mean: np.ndarray, groups: list[list[int]]) -> Iterator[np.ndarray]:
    """What each group of variables adds to the rate, averaged over the orders in which groups may come."""
    n = len(groups)
    found = np.zeros((n, *path.base.shape))
    for size in range(n + 1):
        for present in combinations(range(n), size):
            absent = [place for number in range(n) if number not in present for place in groups[number]]
            rates = _at_mean(path, mean, absent)
            for number in range(n):
                there = number in present
                before = size - there
                weight = factorial(before) * factorial(n - 1 - before) / factorial(n)
                found[number] += (weight if there else -weight) * rates
    yield found


def _permuted(
    path: BehaviorPath,
    session: xr.Dataset,
    part: str,
    permutations: int,
    block: int,
    rng: np.random.Generator,
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """The change of rate as :func:`_summary` has it, and bits per spike that are lost, (variable, unit)."""
    counts = session["activity"].values[path.bins].astype(np.float64)
    spikes = counts.sum(axis=0)
    fluorescence = session["activity"].attrs["kind"] != "spike_count"
    train, bins = path.run.splits.bins("train"), path.run.splits.bins(part)
    parts, lost = [], []
    for number in range(path.values.shape[1]):
        changes, bits = [], []
        for _ in range(permutations):
            moved = _reordered(path.values, number, train, bins, block, rng)
            rates = path.rates(path.columns(moved))
            changes.append(path.base - rates)
            if not fluorescence:
                # The likelihood of the rates as they are, each bin's less that of the moved variable.
                gain = poisson_gain(path.base, counts, np.maximum(rates, np.finfo(np.float32).tiny))
                bits.append(bits_from_sums(gain.sum(axis=0), spikes))
        parts.append(_summary([np.concatenate(changes)[None]]))
        lost.append(np.mean(bits, axis=0) if bits else np.full(spikes.size, np.nan))
    signed, size, root = (np.concatenate(column) for column in zip(*parts, strict=True))
    return (signed, size, root), np.stack(lost)


def _reordered(
    values: np.ndarray,
    number: int,
    train: np.ndarray,
    bins: np.ndarray,
    block: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Behaviour in which one variable keeps what the others tell of it, the rest in another order."""
    measured = np.isfinite(values[:, number])
    fitted_on, rows = train[measured[train]], bins[measured[bins]]
    if not fitted_on.size or not rows.size:
        return values
    centre = np.nan_to_num(np.nanmean(values[train], axis=0))
    others = np.nan_to_num(np.delete(values - centre, number, axis=1))
    design = np.column_stack([np.ones(len(values)), others])
    weights = np.linalg.lstsq(design[fitted_on], values[fitted_on, number], rcond=None)[0]
    told = design[rows] @ weights
    blocks = in_blocks([np.arange(rows.size)], block)
    if len(blocks) < 2:
        expected = "two blocks or more in the bins of the part where a variable is measured"
        raise InputError(_WHERE, "block_s", expected, f"{rows.size} bins for blocks of {block}")
    turn = rng.permutation(len(blocks))
    while (turn == np.arange(turn.size)).all():  # an order that changes nothing is none
        turn = rng.permutation(len(blocks))
    order = np.concatenate([blocks[one] for one in turn])
    moved = values.copy()
    moved[rows, number] = told + (values[rows, number] - told)[order]
    return moved
