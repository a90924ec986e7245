"""Shifted predictions: against plain rolls, and against units that are or are not tuned."""

import numpy as np
import pytest
import xarray as xr
from planted import planted_session, smooth_noise
from scipy.stats import kstest, pearsonr

import v1lib.nulls as nulls
from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.models import encoding_model
from v1lib.nulls import circular_shift_null, shifted_r
from v1lib.score import score
from v1lib.splits import split

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=3)


def fitted(n_units):
    session, truth = planted_session(9000, n_units, (8, 10), rate=1.0)
    config = FitConfig(epochs=1, predict_offset=1, device="cpu")
    return session, truth, fit(encoding_model(session, "S", **SMALL), session, split(session), config)


@pytest.fixture(scope="module")
def five():
    return fitted(5)


@pytest.fixture(scope="module")
def many():
    return fitted(150)


def pretend(monkeypatch, values):
    """Let the runs of the test predict `values`."""
    made = xr.DataArray(values, dims=("time", "unit"))
    monkeypatch.setattr(nulls, "predict", lambda run, session, part: made)


@pytest.mark.parametrize("n", [97, 240])
def test_all_shifts_against_rolls(n):
    rng = np.random.default_rng(0)
    made, counts = rng.gamma(2, size=(n, 3)) + 100, rng.poisson(1.5, size=(n, 3)).astype(float)
    found = shifted_r(made, counts)
    for k in (0, 1, 5, n - 1):
        expected = [pearsonr(np.roll(made[:, u], k), counts[:, u]).statistic for u in range(3)]
        np.testing.assert_allclose(found[k], expected, atol=1e-10)
    assert not np.allclose(found[1], found[n - 1])  # the two directions of time differ
    counts[:, 1] = 2
    assert (
        np.isnan(shifted_r(made, counts)[:, 1]).all()
        and np.isfinite(shifted_r(made, counts)[:, [0, 2]]).all()
    )


def test_the_null_by_hand(five):
    session, _, run = five
    found = circular_shift_null(run, session, n_shifts=30, min_shift_s=15.0, seed=1)
    scores = score(run, session)
    made = nulls.predict(run, session).values.astype(float)
    counts = session["activity"].values.astype(float)
    segments = [np.arange(a + 3, b) for a, b in run.splits.test]  # seq_len 3 and predict_offset 1
    shifts = np.round(found["shift"].values / 0.048).astype(int)
    assert np.unique(shifts).size == 30
    for suffix, box in (("", 1), ("_smooth", 41)):
        np.testing.assert_allclose(found[f"r{suffix}"], scores[f"r{suffix}"], atol=1e-9)
        rows = [
            np.concatenate(
                [
                    np.stack([np.convolve(x[s, u], np.ones(box) / box, "valid") for u in range(5)], axis=1)
                    for s in segments
                    if s.size >= box
                ]
            )
            for x in (made, counts)
        ]
        n = len(rows[0])
        assert shifts.min() * 0.048 >= 15.0 and (n - shifts.max()) * 0.048 >= 15.0 - 1e-9
        for number, shift in enumerate(shifts):
            rolled = np.roll(rows[0], shift, axis=0)
            expected = [pearsonr(rolled[:, u], rows[1][:, u]).statistic for u in range(5)]
            np.testing.assert_allclose(found[f"null_r{suffix}"][number], expected, atol=1e-7)
        for u in range(5):
            reached = sum(float(r) >= float(found[f"r{suffix}"][u]) for r in found[f"null_r{suffix}"][:, u])
            assert float(found[f"p{suffix}"][u]) == pytest.approx((1 + reached) / 31)


def test_a_shift_that_is_as_high_counts():
    """A prediction with a period gives the same r again and again: those shifts are no lower than none."""
    r, null = np.array([0.5, 0.5]), np.array([[0.5, 0.2], [0.5 - 1e-14, 0.5 + 1e-14], [0.1, 0.6]])
    np.testing.assert_allclose(nulls._p_values(r, null), [3 / 4, 3 / 4])


def test_adjusted_for_the_false_discovery_rate_by_hand(many, monkeypatch):
    session, truth, run = many
    blurred = truth["rate"].values + 60 * np.random.default_rng(0).normal(size=truth["rate"].shape)
    pretend(monkeypatch, blurred)
    found = circular_shift_null(run, session, n_shifts=100)
    p = found["p"].values
    order, expected = np.argsort(p), np.empty(150)
    least = 1.0
    for rank in range(150, 0, -1):
        least = min(least, p[order[rank - 1]] * 150 / rank)
        expected[order[rank - 1]] = least
    assert np.unique(p).size > 10
    np.testing.assert_allclose(found["q"], expected)


def unrelated(seed):
    """Activity (9000, 150) of slow rates, and slow predictions that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    courses = (np.exp(0.7 * smooth_noise(rng, 9000, 10, 150)) for _ in range(2))
    return rng.poisson(next(courses)).astype(np.uint16), next(courses)


def test_untuned_units_have_any_p(many, monkeypatch):
    session, _, run = many
    found, far, naive = [], [], []
    for seed in range(4):
        counts, made = unrelated(seed)
        other = session.assign(activity=session["activity"].copy(data=counts))
        pretend(monkeypatch, made)
        found.append(circular_shift_null(run, other, n_shifts=199, seed=seed))
        far.append(circular_shift_null(run, other, n_shifts=199, seed=seed, min_shift_s=20.0))
        bins = np.concatenate([np.arange(a + 3, b) for a, b in run.splits.test])
        pairs = zip(made[bins].T, counts[bins].T, strict=True)
        naive.append([pearsonr(*pair, alternative="greater").pvalue for pair in pairs])
    for name in ("p", "p_smooth"):
        p = np.concatenate([each[name] for each in found])
        # Steps of 1 / 200 move the distance by 0.005 at most; 600 units have 0.066 or more once in 100.
        assert kstest(p, "uniform").statistic < 0.066, name
        # Three standard errors of 600 units, 0.027 and 0.009, above what the docstring says.
        assert (p <= 0.05).mean() < 0.065 + 0.027, name
        assert (p <= 0.005).mean() < 0.011 + 0.009, name
        assert not any((each[name.replace("p", "q", 1)] <= 0.05).any() for each in found), name
    # Without the short shifts the few independent ones of a short row are passed too often, as it says too.
    assert (np.concatenate([each["p_smooth"] for each in far]) <= 0.005).mean() > 0.025
    # Bins taken as independent would call many of the same units tuned.
    assert (np.array(naive) <= 0.05).mean() > 0.15


def test_tuned_units_have_small_p(five, monkeypatch):
    session, truth, run = five
    rate = truth["rate"].values
    mixed = rate.copy()
    mixed[:, 3:] = np.random.default_rng(0).permuted(rate[:, 3:], axis=0)
    pretend(monkeypatch, mixed)
    found = circular_shift_null(run, session)
    assert (found["p"][:3] == 1 / 201).all() and (found["q"][:3] < 0.05).all()
    assert (found["p"][3:] > 1 / 201).all()
    # A prediction that is right at another moment is as good as none at its own.
    pretend(monkeypatch, -rate)
    assert (circular_shift_null(run, session)["p"] > 0.9).all()


@pytest.mark.filterwarnings("error")
def test_a_silent_unit_is_none_of_the_tests(five):
    session, _, run = five
    silent = session.copy(deep=True)
    silent["activity"].values[run.splits.bins("test"), 2] = 0
    found, before = circular_shift_null(run, silent), circular_shift_null(run, session)
    others = [0, 1, 3, 4]
    for name in ("r", "p", "q", "r_smooth", "p_smooth", "q_smooth"):
        assert np.isnan(found[name][2]) and np.isfinite(found[name][others]).all(), name
    np.testing.assert_array_equal(found["p"][others], before["p"][others])
    assert (found["q"][others] <= before["q"][others] + 1e-12).all()
    silent["activity"].values[run.splits.bins("test")] = 0
    assert np.isnan(circular_shift_null(run, silent)["q"]).all()


def test_the_seed_and_the_part_decide(five):
    session, _, run = five
    first, again, other = (circular_shift_null(run, session, seed=seed) for seed in (1, 1, 2))
    assert first.identical(again) and not np.array_equal(first["shift"], other["shift"])
    assert first["r"].equals(other["r"])
    n = score(run, session).attrs["n_bins_smooth"]
    everything = circular_shift_null(run, session, n_shifts=n - 1)
    np.testing.assert_allclose(everything["shift"], np.arange(1, n) * 0.048)
    part = circular_shift_null(run, session, part="train", n_shifts=20)
    np.testing.assert_allclose(part["r"], score(run, session, part="train")["r"], atol=1e-9)


def test_refusals(five):
    session, _, run = five
    for wrong, name in (
        ({"n_shifts": 0}, "n_shifts"),
        ({"seed": -1}, "seed"),
        ({"min_shift_s": -1.0}, "min_shift_s"),
        ({"min_shift_s": np.nan}, "min_shift_s"),
        ({"min_shift_s": 40.0}, "n_shifts: expected at least 200 shifts of 40 s or more"),
        ({"part": "tests"}, "part"),
    ):
        with pytest.raises(InputError, match=name):
            circular_shift_null(run, session, **wrong)
    with pytest.raises(InputError, match="the run was fitted to"):
        circular_shift_null(run, session.isel(unit=[1, 0, 2, 3, 4]))
