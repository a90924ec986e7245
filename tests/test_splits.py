"""Parts of a session never share a bin, never cross a stretch, and keep their distance when guarded."""

import numpy as np
import pytest
import xarray as xr
from planted import planted_session

from v1lib.errors import InputError
from v1lib.session import stretch_ranges
from v1lib.splits import Splits, boxcar_bins, split

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def session():
    return planted_session(6000, 2, (4, 5), n_stretches=3)[0]


@pytest.mark.parametrize("protocol", ["guarded", "paper"])
def test_parts_are_disjoint_and_inside_one_stretch(session, protocol):
    splits = split(session, protocol)
    taken = sum(splits.mask(part, 6000).astype(int) for part in PARTS)
    assert taken.max() == 1
    stretches = stretch_ranges(session)
    for part in PARTS:
        for a, b in splits.ranges(part):
            assert a < b
            assert any(first <= a and b <= last for first, last in stretches)
        np.testing.assert_array_equal(np.flatnonzero(splits.mask(part, 6000)), splits.bins(part))


def test_the_papers_shares():
    session = planted_session(6000, 1, (4, 5))[0]
    splits = split(session, "paper")
    assert [splits.bins(part).size for part in PARTS] == [3360, 840, 1800]  # 0.56, 0.14 and 0.30
    assert np.concatenate([splits.bins(part) for part in PARTS]).size == 6000
    # The last 30 % of the first of ten segments of 600 bins is its test part.
    assert splits.test[0] == (420, 600)
    assert splits.validation[0] == (336, 420)


def test_guarded_parts_keep_a_sequence_and_the_smoothing_apart(session):
    splits = split(session, "guarded", seq_len=8)
    label = np.zeros(6000, int)
    for number, part in enumerate(PARTS, start=1):
        label[splits.bins(part)] = number
    used = np.flatnonzero(label)
    changes = np.flatnonzero(np.diff(label[used]) != 0)
    distance = used[changes + 1] - used[changes]
    assert changes.size >= 20  # three parts in each of ten segments do change places
    assert distance.min() >= 8 + 41
    assert splits.train[0][0] == 0  # nothing lies before the first bin


def test_guarded_takes_only_bins_of_the_same_part_in_paper():
    session = planted_session(6000, 1, (4, 5))[0]
    paper, guarded = split(session, "paper"), split(session, "guarded")
    for part in PARTS:
        assert set(guarded.bins(part)) < set(paper.bins(part))


def test_boxcar_of_the_paper():
    assert boxcar_bins(0.048) == 41
    assert boxcar_bins(0.05) == 40  # 2.0 / 0.05 is 39.99... in floating point
    assert boxcar_bins(5.0) == 1


def with_conditions(n_trials, conditions):
    session = planted_session(n_trials * 10, 1, (4, 5), n_stretches=n_trials)[0]
    return session.assign_coords(condition=("time", np.repeat(conditions, 10)))


def test_trials_are_whole_and_balanced_over_conditions():
    session = with_conditions(48, np.tile(np.arange(8), 6))  # 8 directions x 6 repeats
    tests = []
    for fold in range(3):
        splits = split(session, "trials", fold=fold, n_folds=3)
        assert set(splits.train + splits.validation + splits.test) == set(stretch_ranges(session))
        for part in PARTS:
            conditions = session["condition"].values[splits.bins(part)]
            np.testing.assert_array_equal(np.unique(conditions, return_counts=True)[1], 20)
        tests.append(splits.bins("test"))
    assert np.unique(np.concatenate(tests)).size == 480  # each trial tests in exactly one fold


def test_trials_without_conditions_are_dealt_out():
    session = planted_session(400, 1, (4, 5), n_stretches=20)[0]
    splits = split(session, "trials", n_folds=4)
    assert [len(splits.ranges(part)) for part in PARTS] == [10, 5, 5]
    assert split(session, "trials", n_folds=4, seed=1).test != splits.test


def test_what_does_not_divide_evenly_spreads_over_the_folds():
    session = with_conditions(20, np.tile(np.arange(4), 5))  # five trials of each condition, four folds
    parts = [split(session, "trials", fold=fold, n_folds=4) for fold in range(4)]
    assert [len(splits.test) for splits in parts] == [5, 5, 5, 5]  # dealt alike it would be 8, 4, 4, 4


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ({"seq_len": -100}, "seq_len: expected a whole number of at least 1, found -100"),
        ({"n_segments": -3}, "n_segments: expected a whole number of at least 1"),
        ({"n_segments": 2.5}, "n_segments: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"n_folds": 3.5}, "n_folds: expected a whole number of at least 3"),
        ({"n_folds": 2}, "n_folds: expected a whole number of at least 3"),
        ({"fold": 0.5}, "fold: expected a whole number of at least 0, found 0.5"),
        ({"fold": True}, "fold: expected a whole number"),
    ],
)
@pytest.mark.parametrize("protocol", ["guarded", "trials"])
def test_numbers_that_are_refused(session, protocol, number, words):
    with pytest.raises(InputError, match=words):
        split(session, protocol, **number)


@pytest.mark.parametrize("ranges", [3, ((5, 5),), ((-1, 5),), ((0, 1.5),), ((0, 5, 9),), (3, 4), [[0, 5]]])
def test_ranges_that_are_none(ranges):
    with pytest.raises(InputError, match="validation: expected a tuple of pairs"):
        Splits(((0, 5),), ranges, ((8, 9),), "by hand")


def test_refusals(session):
    with pytest.raises(InputError, match="protocol"):
        split(session, "random")
    with pytest.raises(InputError, match="part"):
        split(session).ranges("training")
    with pytest.raises(InputError, match="enough bins"):
        split(planted_session(300, 1, (4, 5))[0])  # segments of 30 bins, gaps of 49
    with pytest.raises(InputError, match="at least 4 stretches"):
        split(with_conditions(9, np.repeat([0, 1, 2], 3)), "trials")
    mixed = with_conditions(12, np.repeat([0, 1], 6))
    values = mixed["condition"].values.copy()
    values[3] = 5
    with pytest.raises(InputError, match="one value in a stretch"):
        split(mixed.assign_coords(condition=("time", values)), "trials", n_folds=3)
    with pytest.raises(InputError, match="fold"):
        split(mixed, "trials", fold=3, n_folds=3)


def stored_in_parts(lengths):
    """As much of a session as a split reads, stored in train and test files of `lengths` bins by turns."""
    stretch = np.repeat(np.arange(len(lengths)), lengths)
    part = np.array(["train", "test"])[stretch % 2]
    coords = {"time": (np.arange(stretch.size) + 0.5) * 0.048, "part": ("time", part)}
    return xr.Dataset({"stretch": ("time", stretch)}, coords, {"bin_width_s": 0.048})


def samples(ranges, seq_len=1, predict_offset=1):
    """Windows of inputs that lie in one range together with the bin they predict."""
    return sum(max(b - a - (seq_len - 1 + predict_offset), 0) for a, b in ranges)


@pytest.mark.parametrize(
    ("train_bins", "paper_train", "paper_validation"),
    [(3767, 30_120, 7_540), (5303, 42_410, 10_610), (4119, 32_940, 8_240)],
)
def test_the_papers_numbers_of_samples(train_bins, paper_train, paper_validation):
    # The paper cuts samples, not bins: a train file of n bins has n - 1 samples, of which int(0.8 * (n - 1))
    # train. A range here has one sample fewer than bins. The train part comes out the same. The validation
    # part of each segment lacks one sample, which predicts its first bin from the last bin of the train part.
    test_bins = round(train_bins * 3 / 7)
    splits = split(stored_in_parts([train_bins, test_bins] * 10), "paper")
    assert 10 * int(0.8 * (train_bins - 1)) == paper_train
    assert 10 * (train_bins - 1) - paper_train == paper_validation
    assert samples(splits.train) == paper_train
    assert samples(splits.validation) == paper_validation - 10
    assert samples(splits.test) == 10 * (test_bins - 1)


def test_stored_parts_are_honoured():
    session = stored_in_parts([500, 300, 400, 90])  # shares that no cut at 70 % would give
    splits = split(session, "paper")
    assert splits.train == ((0, 400), (800, 1120))
    assert splits.validation == ((400, 500), (1120, 1200))
    assert splits.test == ((500, 800), (1200, 1290))
    assert split(session, "paper", n_segments=2) == splits
    # A gap of 8 + 41 bins wherever a part follows another one.
    guarded = split(session, "guarded", seq_len=8)
    assert guarded.train == ((0, 400), (849, 1120))
    assert guarded.validation == ((449, 500), (1169, 1200))
    assert guarded.test == ((549, 800), (1249, 1290))


def test_stored_parts_that_are_refused():
    session = stored_in_parts([500, 300, 400, 90])
    with pytest.raises(InputError, match=r"n_segments: expected 2, the number of segments .* found 10"):
        split(session, "paper", n_segments=10)
    turns = "part: expected stretches that are train and test by turns"
    with pytest.raises(InputError, match=f"{turns}, found test, train, test"):
        split(session.isel(time=slice(500, None)), "paper")
    with pytest.raises(InputError, match=f"{turns}, found train, test, train"):
        split(session.isel(time=slice(1200)), "guarded")
    with pytest.raises(InputError, match=f"{turns}, found test and train"):
        split(session.assign(stretch=xr.zeros_like(session["stretch"])), "paper")
    with pytest.raises(
        InputError, match="test: expected enough bins in each segment for protocol 'guarded', "
    ):
        split(stored_in_parts([500, 40]), "guarded")
