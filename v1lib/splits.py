"""Which bins train a model, which choose it, and which judge it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_whole
from v1lib.session import check_is_session, stretch_ranges

PROTOCOLS = ("guarded", "paper", "trials")
PARTS = ("train", "validation", "test")
Ranges = tuple[tuple[int, int], ...]

#: Seconds over which the paper smooths counts and predictions before it correlates them.
SMOOTHING_S = 2.0
#: Segments of the paper's protocol.
PAPER_SEGMENTS = 10


def boxcar_bins(bin_width_s: float) -> int:
    """Bins of the paper's boxcar: int(2000 / 48) = 41 at 48 ms."""
    return max(1, int(SMOOTHING_S / bin_width_s + 1e-9))


@dataclass(frozen=True)
class Splits:
    """Half-open ranges of bins for each part, each inside one stretch."""

    train: Ranges
    validation: Ranges
    test: Ranges
    protocol: str

    def __post_init__(self) -> None:
        for part in PARTS:
            ranges = getattr(self, part)
            if not isinstance(ranges, tuple) or not all(map(_is_range, ranges)):
                expected = "a tuple of pairs (first bin, bin after the last)"
                raise InputError("splits", part, expected, f"{ranges!r:.80}")

    def ranges(self, part: str) -> Ranges:
        """The ranges of ``train``, ``validation`` or ``test``."""
        if part not in PARTS:
            raise InputError("splits", "part", "train, validation or test", repr(part))
        return getattr(self, part)

    def bins(self, part: str) -> np.ndarray:
        """Numbers of the bins of a part, int64, rising."""
        ranges = self.ranges(part)
        return np.concatenate([np.arange(a, b) for a, b in ranges]) if ranges else np.zeros(0, np.int64)

    def mask(self, part: str, n: int) -> np.ndarray:
        """True at the bins of a part, bool, shape (n,)."""
        mask = np.zeros(n, bool)
        mask[self.bins(part)] = True
        return mask


def _is_range(pair: Any) -> bool:
    whole = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(bin_, Integral) for bin_ in pair)
    return whole and 0 <= pair[0] < pair[1]


def split(
    session: xr.Dataset,
    protocol: str = "guarded",
    *,
    n_segments: int | None = None,
    seq_len: int = 8,
    fold: int = 0,
    n_folds: int = 4,
    seed: int = 0,
) -> Splits:
    """Divide the bins of a session into train, validation and test.

    Parameters
    ----------
    session : xarray.Dataset
    protocol : str
        ``guarded``: `n_segments` equal contiguous segments, the last 30 % of each for testing, and of
        the rest the last 20 % for validation; wherever two parts touch, the first bins of the later one
        are left out, as many as a sequence plus the 2-s smoothing.
        ``paper``: the same without gaps.
        Segments and test parts of a session that was stored in parts (coordinate `part` on time: ``train``
        or ``test``) are those stored.
        ``trials``: whole stretches; of the stretches of each condition (session coordinate `condition`
        on time; all are one condition without it) one fold tests, the next validates, the others train.
    n_segments : int, optional
        For ``guarded`` and ``paper``; 10, or what the session was stored in, by default.
    seq_len : int
        For ``guarded``: the longest sequence to be guarded against.
    fold, n_folds, seed : int
        For ``trials``; `seed` shuffles the stretches of a condition over the folds.

    Raises
    ------
    InputError
        If a part would be empty, a condition changes inside a stretch, a number is not a whole one that can
        be used, or the session was stored in parts that do not take turns or in other than `n_segments`.
    """
    check_is_session("split", session)
    if protocol not in PROTOCOLS:
        raise InputError("split", "protocol", " or ".join(PROTOCOLS), repr(protocol))
    least = {"n_segments": 1, "seq_len": 1, "fold": 0, "n_folds": 3, "seed": 0}
    for name, value in zip(least, (n_segments, seq_len, fold, n_folds, seed), strict=True):
        if name != "n_segments" or value is not None:
            check_whole("split", name, value, least[name])
    if protocol == "trials":
        parts = _trials(session, fold, n_folds, seed)
    else:
        gap = seq_len + boxcar_bins(float(session.attrs["bin_width_s"])) if protocol == "guarded" else 0
        parts = _segments(session, segment_borders(session, n_segments), gap)
    for name, ranges in parts.items():
        if not ranges:
            found = f"{session.sizes['time']} bins in {len(stretch_ranges(session))} stretches"
            fewer = (
                "" if _stored_in_parts(session) else " (ask for fewer segments, or bring a longer recording)"
            )
            expected = f"enough bins in each segment for protocol {protocol!r}{fewer}"
            raise InputError("split", name, expected, found)
    return Splits(**{name: tuple(ranges) for name, ranges in parts.items()}, protocol=protocol)


def segment_borders(session: xr.Dataset, n_segments: int | None = None) -> list[tuple[int, int, int]]:
    """First bin, first bin of the test part, and bin after the last, of each segment of the paper's protocol.

    Those stored (coordinate `part` on time), or else `n_segments` equal ones, 10 by default, the last 30 % of
    each for testing.
    """
    if _stored_in_parts(session):
        return _stored_segments(session, n_segments)
    edges = np.linspace(0, session.sizes["time"], (n_segments or PAPER_SEGMENTS) + 1).astype(int).tolist()
    return [(start, start + int(0.7 * (stop - start)), stop) for start, stop in pairwise(edges)]


def _stored_in_parts(session: xr.Dataset) -> bool:
    return "part" in session.coords and session["part"].dims == ("time",)


def _stored_segments(session: xr.Dataset, n_segments: int | None) -> list[tuple[int, int, int]]:
    stretches = stretch_ranges(session)
    part = session["part"].values.tolist()
    kinds = [" and ".join(sorted(map(str, set(part[a:b])))) for a, b in stretches]
    stored = len(stretches) // 2
    if not stored or kinds != ["train", "test"] * stored:
        expected = "stretches that are train and test by turns"
        raise InputError("session", "part", expected, f"{', '.join(kinds):.80}")
    if n_segments not in (None, stored):
        expected = f"{stored}, the number of segments that the session was stored in"
        raise InputError("split", "n_segments", expected, str(n_segments))
    return [(start, test, stop) for (start, test), (_, stop) in pairwise(stretches)][::2]


def _segments(
    session: xr.Dataset, borders: list[tuple[int, int, int]], gap: int
) -> dict[str, list[tuple[int, int]]]:
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    stretches = stretch_ranges(session)
    for start, test, stop in borders:
        validation = start + int(0.8 * (test - start))
        for name, a, b in (
            ("train", start, validation),
            ("validation", validation, test),
            ("test", test, stop),
        ):
            a = a + gap if a > 0 else a
            for first, last in stretches:
                if max(a, first) < min(b, last):
                    parts[name].append((int(max(a, first)), int(min(b, last))))
    return parts


def _trials(session: xr.Dataset, fold: int, n_folds: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    if fold >= n_folds:
        raise InputError("split", "fold", f"one of {n_folds} folds, counted from 0", str(fold))
    stretches = stretch_ranges(session)
    conditions = []
    for a, b in stretches:
        inside = np.unique(session["condition"].values[a:b]) if "condition" in session.coords else [0]
        if len(inside) != 1:
            found = f"{len(inside)} in the stretch that starts at bin {a}"
            raise InputError("session", "condition", "one value in a stretch", found)
        conditions.append(inside[0])
    values, member = np.unique(conditions, return_inverse=True)
    counts = np.bincount(member)
    if counts.min() < n_folds:
        found = f"{counts.min()} of condition {values[counts.argmin()]}"
        raise InputError("session", "condition", f"at least {n_folds} stretches of each", found)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for number in range(values.size):
        own = rng.permutation(np.flatnonzero(member == number))
        # Conditions start their deal at different folds, so that what does not divide evenly spreads.
        for place, trial in enumerate(own):
            distance = (place + number - fold) % n_folds
            name = {0: "test", 1: "validation"}.get(distance, "train")
            parts[name].append(stretches[trial])
    return {name: sorted(ranges) for name, ranges in parts.items()}
