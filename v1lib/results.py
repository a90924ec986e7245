"""What one row of a plan comes to, in a file of its own, and all of them in one dataset."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from v1lib.animals import opened, outline
from v1lib.bootstrap import block_bins, block_sums
from v1lib.errors import InputError
from v1lib.fit import Run, predict
from v1lib.metrics import bits_per_spike, pearson, r_within, smooth_over_ends
from v1lib.plan import Plan, Row, read_plan
from v1lib.session import read_netcdf, write_netcdf
from v1lib.splits import SMOOTHING_S, Ranges, Splits, boxcar_bins, split
from v1lib.store import kept, kept_fit, place_of
from v1lib.variants import controlled, fit_config, make_model

SCORES = ("r", "r_smooth", "bits_per_spike", "paper_r")
COSTS = ("seconds", "peak_gib", "weights")
NOT_RUN = "not run yet"


def make_result(row: Row) -> Path:
    """The file with the result of a row, made now if it is not kept yet.

    Raises
    ------
    InputError
        What opening the animal, the fit and the writing of the file raise.
    """
    if not row.place().exists():
        found = outcome(row)
        kept("results", row.key(), lambda path: _write(found, path), suffix=".nc")
    return row.place()


def _write(found: xr.Dataset, path: Path) -> None:
    write_netcdf(found, path, compressed=("block_sums",))


def outcome(row: Row) -> xr.Dataset:
    """Fit a row, or take its fit from the store, and score it.

    Returns
    -------
    xarray.Dataset, dims unit, block, moment
        One row of what :func:`load_results` returns; attribute ``row``: the row's key, in JSON.
    """
    session, truth = opened(row.animal)
    splits = split(session, row.protocol, seq_len=max(1, row.warmup_bins))
    given = controlled(row.variant, session, truth, splits, row.seed)
    with _peak_memory() as peak:
        run = kept_fit(
            lambda: make_model(row.variant, given, row.seed),
            given,
            splits,
            fit_config(row.variant, row.seed),
        )
    found = scores(run, given, truth, row.warmup_bins)
    costs = (run.provenance["seconds"], peak[0], run.provenance["parameters"])
    return found.assign(dict(zip(COSTS, costs, strict=True))).assign_attrs(row=_text(row))


def scores(run: Run, session: xr.Dataset, truth: xr.Dataset | None, warmup_bins: int) -> xr.Dataset:
    """Scores of a run on its test part, but for the first bins of each range.

    Parameters
    ----------
    run : Run
    session : xarray.Dataset
    truth : xarray.Dataset, optional
        With ``rate`` (time, unit) on the session's bins.
    warmup_bins : int
        At least as many as the window of the run has before the bin that it predicts.

    Returns
    -------
    xarray.Dataset, dims unit, block, moment
        ``r``, ``r_smooth``, ``bits_per_spike`` (NaN without spike counts), ``paper_r``, with a truth
        ``oracle_r``, and ``block_sums`` (:func:`v1lib.bootstrap.block_sums`).

    Raises
    ------
    InputError
        If no test range is long enough.
    """
    ranges = _scored(run.splits, warmup_bins)
    predicted = predict(run, session, part="test")
    segments = [np.arange(a, b) for a, b in ranges]
    activity = session["activity"].values.astype(np.float64)
    made, counts = (
        [values[bins] for bins in segments] for values in (predicted.values.astype(float), activity)
    )
    sums = block_sums(made, counts, block_bins(float(session.attrs["bin_width_s"])))
    bits = np.full(session.sizes["unit"], np.nan)
    if session["activity"].attrs["kind"] == "spike_count":
        mean = np.array(run.scaling.activity_mean)
        bits = bits_per_spike(np.concatenate(made), np.concatenate(counts), mean)
    r = r_within(predicted, session, ranges)
    box = boxcar_bins(float(session.attrs["bin_width_s"]))
    paper_r = pearson(*(smooth_over_ends(np.concatenate(parts), box) for parts in (made, counts)))
    found = {
        "r": ("unit", r),
        "r_smooth": ("unit", r_within(predicted, session, ranges, smooth_s=SMOOTHING_S)),
        "bits_per_spike": ("unit", bits),
        # Zeros beyond the ends would give a constant prediction something to be correlated by.
        "paper_r": ("unit", np.where(np.isnan(r), np.nan, paper_r)),
        "block_sums": (("unit", "block", "moment"), sums.transpose(2, 0, 1)),
    }
    if truth is not None:
        found["oracle_r"] = ("unit", r_within(truth["rate"], session, ranges))
    return xr.Dataset(found, {"unit": [str(unit) for unit in session["unit"].values]})


def _scored(splits: Splits, warmup_bins: int) -> Ranges:
    """Test ranges without their first bins."""
    ranges = tuple((a + warmup_bins, b) for a, b in splits.test if b - a > warmup_bins)
    if not ranges:
        raise InputError("plan", "warmup_bins", "fewer than a test range has", str(warmup_bins))
    return ranges


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """A list that in the end holds the most memory that was held inside, GiB: of the process, or of CUDA."""
    found = [np.nan]
    reset = Path("/proc/self/clear_refs")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if reset.exists():
        reset.write_text("5")  # the process's own mark of its largest size begins anew
    yield found
    found[0] = _highest_bytes(reset.exists()) / 2**30
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        found[0] = torch.cuda.max_memory_allocated() / 2**30


def _highest_bytes(since_reset: bool) -> int:
    if since_reset:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _text(row: Row) -> str:
    return json.dumps(row.key(), sort_keys=True)


def read_result(row: Row) -> xr.Dataset | None:
    """The result of a row; None if there is none yet.

    Raises
    ------
    InputError
        If the file is damaged or is not that of the row.
    """
    place = row.place()
    if not place.exists():
        return None
    found = read_netcdf(place)
    if found.attrs.get("row") != _text(row) or not {*SCORES, *COSTS, "block_sums"} <= set(found):
        raise InputError(place, "row", f"the result of {row}", "another or part of one")
    return found


def note_failure(row: Row, reason: str) -> None:
    """Keep why a row failed, until it has a result."""
    place = place_of("failures", row.key(), ".txt")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(reason, encoding="utf-8")
    except OSError:
        # A disk that is full may be the reason; it is told to the caller in any case.
        place.unlink(missing_ok=True)


def forget_failure(row: Row) -> None:
    """Remove the note."""
    place_of("failures", row.key(), ".txt").unlink(missing_ok=True)


def load_results(plan: str | Path | Mapping | Plan) -> xr.Dataset:
    """What a plan has come to so far, from the store alone; nothing is computed.

    Parameters
    ----------
    plan : str, Path, mapping or Plan
        See :func:`v1lib.plan.read_plan`.

    Returns
    -------
    xarray.Dataset, dims variant, seed, unit, animal, block, moment
        Units of all animals stand one after another, with coordinates ``unit_animal`` and ``unit_label``.
        ``r`` (raw), ``r_smooth`` (2-s boxcar), ``bits_per_spike`` and ``paper_r`` (variant, seed, unit), all
        on the plan's bins, see :func:`v1lib.score.score` and :func:`v1lib.score.paper_score`; ``oracle_r``
        (unit), raw r of the true rate, NaN where it is not known; ``block_sums`` (variant, seed, unit, block,
        moment), from which r is drawn anew, see :func:`v1lib.bootstrap.block_sums`, 0 beyond the
        ``n_blocks`` (animal) of an animal; ``seconds`` of the fit, ``peak_gib`` of the process that fitted,
        ``weights``, the model's number of parameters, and ``reason`` (variant, seed, animal), why there is no
        result: empty where there is one. A fit that failed or is missing has NaN everywhere.
        Attributes: ``plan``, ``plan_sha256``, ``protocol``, ``warmup_bins``.

    Raises
    ------
    InputError
        If the plan is none.
    """
    return gathered(read_plan(plan), {})


def gathered(plan: Plan, reasons: Mapping[Row, str]) -> xr.Dataset:
    """The dataset of :func:`load_results`, with reasons of rows that failed beside those that are kept."""
    results: dict[Row, xr.Dataset] = {}
    why = dict(reasons)
    for row in plan.rows():
        try:
            found = read_result(row)
        except InputError as error:
            why.setdefault(row, str(error))
            continue
        if found is not None:
            results[row] = found
            why.pop(row, None)
        elif row not in why:
            why[row] = _kept_reason(row)
    units = {name: outline(animal).units for name, animal in plan.animals}
    blocks = {row.animal_name: found.sizes["block"] for row, found in results.items()}
    made = _empty(plan, units, blocks)
    place = {name: number for number, (name, _) in enumerate(plan.variants)}
    stops = np.cumsum([len(labels) for labels in units.values()])
    columns = {name: slice(stop - len(units[name]), stop) for name, stop in zip(units, stops, strict=True)}
    for row in plan.rows():
        v, s, a = place[row.variant_name], plan.seeds.index(row.seed), list(units).index(row.animal_name)
        made["reason"].values[v, s, a] = why.get(row, "")
        if row not in results:
            continue
        found = results[row]
        for name in SCORES:
            made[name].values[v, s, columns[row.animal_name]] = found[name].values
        for name in COSTS:
            made[name].values[v, s, a] = float(found[name])
        sums = found["block_sums"].values
        own = made["block_sums"].values[v, s, columns[row.animal_name]]
        own[:], own[:, : sums.shape[1]] = 0.0, sums
        if "oracle_r" in found:
            made["oracle_r"].values[columns[row.animal_name]] = found["oracle_r"].values
    return made


def _kept_reason(row: Row) -> str:
    place = place_of("failures", row.key(), ".txt")
    return place.read_text(encoding="utf-8") if place.exists() else NOT_RUN


def _empty(plan: Plan, units: dict[str, tuple[str, ...]], blocks: dict[str, int]) -> xr.Dataset:
    """The dataset with nothing in it but labels and the numbers of blocks."""
    names = [name for name, _ in plan.variants]
    labels = [label for own in units.values() for label in own]
    fits, n_units = (len(names), len(plan.seeds)), len(labels)
    n_blocks = [blocks.get(name, 0) for name in units]
    found = {name: (("variant", "seed", "unit"), np.full((*fits, n_units), np.nan)) for name in SCORES}
    found |= {name: (("variant", "seed", "animal"), np.full((*fits, len(units)), np.nan)) for name in COSTS}
    sums = np.full((*fits, n_units, max(n_blocks), 6), np.nan)
    return xr.Dataset(
        found
        | {
            "oracle_r": ("unit", np.full(n_units, np.nan)),
            "block_sums": (("variant", "seed", "unit", "block", "moment"), sums),
            "n_blocks": ("animal", np.array(n_blocks)),
            "reason": (("variant", "seed", "animal"), np.full((*fits, len(units)), "", object)),
        },
        {
            "variant": names,
            "seed": list(plan.seeds),
            "animal": list(units),
            "unit_animal": ("unit", [name for name, own in units.items() for _ in own]),
            "unit_label": ("unit", labels),
        },
        {
            "plan": plan.name,
            "plan_sha256": plan.sha256(),
            "protocol": plan.protocol,
            "warmup_bins": plan.warmup_bins,
        },
    )
