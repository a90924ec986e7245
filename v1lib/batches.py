"""What a training step reads: contiguous chunks of a part's ranges, in random order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v1lib.errors import InputError
from v1lib.session import stretch_ranges
from v1lib.splits import PARTS, Ranges, Splits


def chunks(
    ranges: Ranges, lead: int, chunk_bins: int, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut ranges into chunks of equal length, in another place each time.

    Returns for each chunk its input bins (the first `lead` of them have no target) and, for each target,
    whether it counts: a range shorter than a chunk is filled up with its last bin, which counts once. A
    range of no more than `lead` bins has no target and is in no chunk, see :func:`bins_left_out`.
    """
    size = min(chunk_bins, max(b - a for a, b in ranges) - lead)
    found = []
    for a, b in ranges:
        number, rest = divmod(max(b - a - lead, 0), size)
        if number > 0:
            start = a + int(rng.integers(rest + 1))
            for first in range(start, start + number * size, size):
                found.append((np.arange(first, first + lead + size), np.ones(size, bool)))
        elif rest > 0:
            bins = np.minimum(np.arange(a, a + lead + size), b - 1)
            found.append((bins, np.arange(size) < rest))
    return found


def batches(
    ranges: Ranges, lead: int, chunk_bins: int, batch_chunks: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of chunks in random order: bins (chunk, lead + target) and which targets count.

    A single chunk that is left over joins the batch before it, since BatchNorm may have to compare chunks.
    """
    cut = chunks(ranges, lead, chunk_bins, rng)
    order = rng.permutation(len(cut))
    starts = list(range(0, len(cut), batch_chunks))
    if len(starts) > 1 and batch_chunks > 1 and len(cut) - starts[-1] == 1:
        starts.pop()
    for first, stop in pairwise([*starts, len(cut)]):
        bins, scored = zip(*[cut[i] for i in order[first:stop]], strict=True)
        yield torch.from_numpy(np.stack(bins)), torch.from_numpy(np.stack(scored))


def inside_stretches(splits: Splits, session: xr.Dataset, part: str) -> Ranges:
    """The ranges of a part, refused if there is none or one that is not inside a stretch of the session."""
    stretches, ranges = np.array(stretch_ranges(session)), splits.ranges(part)
    if not ranges:
        raise InputError("splits", part, "at least one range of bins", "none")
    for a, b in ranges:
        if not ((stretches[:, 0] <= a) & (b <= stretches[:, 1])).any():
            expected = f"ranges inside one stretch of the session ({session.sizes['time']} bins)"
            raise InputError("splits", part, expected, f"({a}, {b})")
    return ranges


def check_ranges(splits: Splits, session: xr.Dataset, lead: int) -> None:
    """Refuse splits that cannot be cut into batches of this session.

    Raises
    ------
    InputError
        If a part is empty, shares bins with another or lies outside the session's stretches, or no range
        of the train or validation part has more than `lead` bins.
    """
    uses = np.zeros(session.sizes["time"], int)
    for part in PARTS:
        for a, b in inside_stretches(splits, session, part):
            uses[a:b] += 1
    if uses.max() > 1:
        raise InputError("splits", "parts", "each bin at most once", f"bin {uses.argmax()} more often")
    for part in ("train", "validation"):
        longest = max(b - a for a, b in splits.ranges(part))
        if longest <= lead:
            expected = f"a range of more than {lead} bins for a window and its target (or a longer recording)"
            raise InputError("splits", part, expected, f"{longest} in the longest")


def bins_left_out(splits: Splits, session: xr.Dataset, lead: int) -> dict[str, int]:
    """How many bins of each part are never used, because what holds them has no more than `lead` bins.

    That is a range in training and validation, and a stretch in the test part, whose predictions may read
    what comes before its ranges.
    """
    found = {part: sum(b - a for a, b in splits.ranges(part) if b - a <= lead) for part in PARTS[:2]}
    short = [(a, b) for a, b in stretch_ranges(session) if b - a <= lead]
    found["test"] = sum(b - a for a, b in splits.test if any(c <= a and b <= d for c, d in short))
    return found
