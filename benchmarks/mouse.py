"""The simulated mouse that several benchmarks fit, its models, and how planted is told from absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from v1lib import align, bin_truth, encoding_model, field_model, load_truth, split
from v1lib.fit import FIELD_FIT, SHORT_FIT, FitConfig, Model, Run
from v1lib.models import SMALL_NETWORK
from v1lib.splits import Splits
from v1lib.store import kept_fit, kept_recording

MODELS: dict[str, tuple[Callable[[xr.Dataset], Model], FitConfig]] = {
    "own": (field_model, FIELD_FIT),
    "network": (lambda session: encoding_model(session, **SMALL_NETWORK), SHORT_FIT),
}


def simulated_mouse(
    seed: int = 0, *, minutes: int = 30, n_units: int = 40, **more: Any
) -> tuple[xr.Dataset, xr.Dataset, Splits]:
    """A session with frames of 30 x 40, its truth, and its guarded splits; `more` is the simulation's."""
    recording = kept_recording(seed=seed, minutes=minutes, n_units=n_units, frame_shape=(30, 40), **more)
    session = align(recording)
    return session, bin_truth(load_truth(recording.path), session), split(session)


def fitted(name: str, session: xr.Dataset, splits: Splits) -> Run:
    """The kept fit of one of :data:`MODELS`."""
    make, config = MODELS[name]
    return kept_fit(lambda: make(session), session, splits, config)


def auroc(score: np.ndarray, planted: np.ndarray) -> float:
    """How often a planted dependence scores higher than one that is not there; half where equal."""
    ranks, n, m = rankdata(score.ravel()), int(planted.sum()), int((~planted).sum())
    return float((ranks[planted.ravel()].sum() - n * (n + 1) / 2) / (n * m))
