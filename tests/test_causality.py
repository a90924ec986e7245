"""A prediction knows its past alone, whatever the session holds from its bin on."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from planted import planted_session

from v1lib.fit import FitConfig, fit, predict
from v1lib.models import encoding_model
from v1lib.splits import split

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=3)
N = 1200
#: Near the start, around the border of two stretches at 600, around the 512 bins of a pass, at the end.
STARTS = (1, 4, 300, 514, 515, 516, 599, 600, 601, 1111, N - 1)


def fitted(behavior="all_prod", *, offset=1, kind="spike_count", **choices):
    session, _ = planted_session(N, 3, (8, 10), kind=kind, n_stretches=2)
    gaps = session["behavior"].values
    gaps[np.random.default_rng(1).random(gaps.shape) < 0.02] = np.nan
    model = encoding_model(session, behavior, **SMALL, **choices)
    splits = split(session, n_segments=2)
    return session, fit(model, session, splits, FitConfig(epochs=1, device="cpu", predict_offset=offset))


def changed_from(session, start):
    """The session with other frames, behaviour and activity in every bin from `start` on."""
    rng = np.random.default_rng(start)
    other = session.copy(deep=True)
    there = slice(start, None)
    other["frames"].values[there] = rng.integers(0, 255, other["frames"].values[there].shape)
    other["behavior"].values[there] = 50 * rng.normal(size=other["behavior"].values[there].shape)
    activity = other["activity"].values
    activity[there] = rng.permuted(activity[there] + 5, axis=0)
    return other


def first_changed(predicting, run, session, start):
    """The first bin whose prediction differs when the session does from `start` on; N if none does."""
    before, after = (predicting(run, each).values for each in (session, changed_from(session, start)))
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    differs = (before != after) & ~np.isnan(before)
    return int(np.flatnonzero(differs.any(axis=1))[0]) if differs.any() else N


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"offset": 0},
        {"offset": 2},
        {"kind": "fluorescence"},
        {"behavior": None},
        {"behavior": "velo", "vision": False},
        {"behavior": "S", "shifter": False},
    ],
    ids=str,
)
def test_predictions_do_not_change_before_what_they_are_made_from(choices):
    session, run = fitted(**choices)
    offset = run.config.predict_offset
    lead = run.model.seq_len - 1 + offset
    for start in STARTS:
        # Bin t is predicted from bins up to t - offset; the first bins of a stretch have no prediction.
        expected = start + offset
        for begin in (0, N // 2):
            if begin - offset <= start < begin + lead - offset:
                expected = begin + lead
        assert first_changed(predict, run, session, start) == min(expected, N), start


def test_activity_is_never_an_input():
    session, run = fitted()
    silent = session.assign(activity=xr.zeros_like(session["activity"]))
    np.testing.assert_array_equal(predict(run, silent), predict(run, session))


def early(run, session):
    """A prediction from the bin that it is for, one too late."""
    return predict(run, session.assign(frames=session["frames"].shift(time=-1, fill_value=0)))


def rescaled(run, session):
    """A prediction whose frames are scaled by all of the session."""
    frames = session["frames"].values
    scaling = replace(run.scaling, frame_mean=float(frames.mean()), frame_sd=float(frames.std()))
    return predict(replace(run, scaling=scaling), session)


def centered_model(run, session):
    """A prediction whose model takes off the mean behaviour of all the bins that it is given."""
    leaky = copy.deepcopy(run)
    plain = leaky.model.forward
    leaky.model.forward = lambda frames, behavior: plain(frames, behavior - behavior.mean(1, keepdim=True))
    return predict(leaky, session)


def fed_back(run, session):
    """A prediction that is multiplied by the count of its own bin."""
    return predict(run, session) * (1 + session["activity"])


@pytest.mark.parametrize("acausal", [early, rescaled, centered_model, fed_back])
def test_a_look_ahead_is_found(acausal):
    session, run = fitted()
    assert first_changed(predict, run, session, 300) == 301
    assert first_changed(acausal, run, session, 300) < 301
