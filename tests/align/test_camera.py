"""Fields, exposures and the mean picture of a bin."""

import sys
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from v1lib.align.bins import bin_edges
from v1lib.align.camera import exposure_weights, field_period, mean_frames, split_fields
from v1lib.errors import InputError


def world(video, period=1 / 30, *, interlaced=True):
    time = np.arange(len(video)) * period
    return xr.Dataset(
        {"video": (("frame", "y", "x"), np.asarray(video, np.uint8))},
        {"time": ("frame", time)},
        {"interlaced": interlaced, "file": "made_up_world.nc"},
    )


def test_fields_keep_their_rows_and_fill_the_others_with_the_mean_of_their_neighbours():
    picture = np.arange(6 * 3, dtype=float).reshape(1, 6, 3) ** 2
    first, second = split_fields(picture)
    np.testing.assert_array_equal(first[:, ::2], picture[:, ::2])
    np.testing.assert_array_equal(second[:, 1::2], picture[:, 1::2])
    np.testing.assert_allclose(first[:, 1], (picture[:, 0] + picture[:, 2]) / 2)
    np.testing.assert_allclose(first[:, 5], picture[:, 4])
    np.testing.assert_allclose(second[:, 0], picture[:, 1])


def test_field_period_is_half_a_frame_when_interlaced():
    video = np.zeros((10, 4, 4))
    assert np.isclose(field_period(world(video)), 1 / 60)
    assert np.isclose(field_period(world(video, interlaced=False)), 1 / 30)


def test_exposures_are_shared_between_bins_by_their_overlap():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    weights = exposure_weights(np.array([0.5, 1.0, 2.25]), 1.0, edges).toarray()
    np.testing.assert_allclose(weights, [[1, 0.5, 0], [0, 0.5, 0.25], [0, 0, 0.75]])


def test_a_long_exposure_reaches_over_several_bins():
    weights = exposure_weights(np.array([2.0]), 3.0, np.arange(0.0, 5.0)).toarray()
    np.testing.assert_allclose(weights[:, 0], [0.5, 1.0, 1.0, 0.5])


def test_two_fields_of_different_brightness_are_averaged_by_their_time_in_the_bin():
    """Even rows show 0, odd rows 240; a bin that holds one even exposure alone must be dark."""
    video = np.zeros((20, 8, 8))
    video[:, 1::2] = 240
    frames, coverage, n_constant = mean_frames(world(video), np.array([-1 / 120, 1 / 120, 3 / 120]), None)
    assert n_constant == 0
    np.testing.assert_allclose(coverage, 1.0)
    assert (frames[0] == 0).all() and (frames[1] == 240).all()
    frames, _, _ = mean_frames(world(video), np.array([-1 / 120, 3 / 120]), None)
    assert (frames == 120).all()


def test_mean_frames_agree_with_a_slow_sum_over_fields():
    rng = np.random.default_rng(0)
    recorded = world(rng.integers(0, 256, (40, 6, 8)))
    edges = bin_edges(0.05, 1.2, 0.048)
    frames, _, _ = mean_frames(recorded, edges, None)
    fields = split_fields(recorded["video"].values)
    for number in range(edges.size - 1):
        total, length = 0.0, 0.0
        for parity, field in enumerate(fields):
            for k, picture in enumerate(field):
                middle = recorded["time"].values[k] + parity / 60
                part = min(middle + 1 / 120, edges[number + 1]) - max(middle - 1 / 120, edges[number])
                if part > 0:
                    total, length = total + part * picture, length + part
        # Frames are stored as whole grey levels.
        np.testing.assert_allclose(frames[number], total / length, atol=0.51)


def test_lost_frames_lower_the_coverage_and_nothing_is_put_in_their_place():
    picture = np.array([[100, 110], [100, 110]]).repeat(2, 0).repeat(2, 1)
    recorded = world(np.repeat(picture[None], 60, axis=0))
    recorded = recorded.isel(frame=np.r_[0:20, 40:60])
    edges = bin_edges(0.0, 1.9, 0.048)
    frames, coverage, _ = mean_frames(recorded, edges, None)
    lost = (edges[:-1] > 0.70) & (edges[1:] < 1.30)
    assert (coverage[lost] == 0).all() and (frames[lost] == 0).all()
    assert (frames[coverage > 0.5] == picture).all()


def test_smaller_frames_are_means_of_areas():
    rng = np.random.default_rng(1)
    recorded = world(np.repeat(rng.integers(0, 256, (1, 8, 12)), 10, axis=0), interlaced=False)
    frames, _, _ = mean_frames(recorded, np.array([0.05, 0.15]), (4, 6))
    expected = recorded["video"].values[0].reshape(4, 2, 6, 2).mean((1, 3))
    np.testing.assert_allclose(frames[0], expected, atol=0.51)


def test_frames_larger_than_the_cameras_are_refused():
    with pytest.raises(InputError, match="frame_shape"):
        mean_frames(world(np.zeros((10, 4, 4))), np.array([0.0, 0.1]), (8, 8))


def gappy_stamps(rng, n, period):
    """Stamps with jitter, from which single ones and whole stretches are missing."""
    time = np.arange(n) * period + rng.uniform(-0.1, 0.1, n) * period
    kept = rng.random(n) > 0.15
    for first in rng.integers(0, n, 3):
        kept[first : first + rng.integers(2, 25)] = False
    return time[kept]


@pytest.mark.parametrize("seed", range(6))
def test_overlaps_agree_with_a_fine_grid(seed):
    """Each exposure and bin sampled every 0.1 ms: which bin holds the instant, by comparison alone."""
    rng = np.random.default_rng(seed)
    period, width = rng.uniform(0.01, 0.06, 2)
    time = gappy_stamps(rng, 60, period)
    edges = bin_edges(time[0] - 0.05, time[-1] + 0.05, width)
    weights = exposure_weights(time, period, edges).toarray()
    step = 1e-4
    fine = np.arange(edges[0] - period, edges[-1] + period, step)
    in_bin = (fine >= edges[:-1, None]) & (fine < edges[1:, None])
    exposed = np.abs(fine - time[:, None]) < period / 2
    # An overlap has two ends, and the grid places each to one step.
    np.testing.assert_allclose(weights, step * (in_bin.astype(float) @ exposed.T), atol=2 * step)
    assert (weights > step).any(axis=0).all()


@pytest.mark.parametrize("interlaced", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_frames_over_gaps_agree_with_a_slow_sum(seed, interlaced):
    """Bins with some exposures missing average those that are there; what is covered is what is exposed."""
    rng = np.random.default_rng(seed)
    time = gappy_stamps(rng, 80, 1 / 30)
    recorded = world(rng.integers(0, 256, (time.size, 6, 4)), interlaced=interlaced)
    recorded = recorded.assign_coords(time=("frame", time))
    constant = rng.random(time.size) < 0.1
    recorded["video"][constant] = 7
    edges = bin_edges(time[0] - 0.2, time[-1] + 0.2, rng.uniform(0.035, 0.1))
    frames, coverage, n_constant = mean_frames(recorded, edges, None)
    assert n_constant == constant.sum() > 0
    period = np.median(np.diff(time)) / (2 if interlaced else 1)
    pictures = recorded["video"].values.astype(float)
    exposures = [(at, picture) for at, picture in zip(time, pictures, strict=True)]
    if interlaced:
        first, second = split_fields(pictures)
        exposures = list(zip(time, first, strict=True)) + list(zip(time + period, second, strict=True))
    lost = np.concatenate([constant] * (2 if interlaced else 1))
    partly = 0
    for number, (begin, end) in enumerate(pairwise(edges)):
        total, length = np.zeros((6, 4)), 0.0
        for (at, picture), gone in zip(exposures, lost, strict=True):
            part = min(at + period / 2, end) - max(at - period / 2, begin)
            if part > 0 and not gone:
                total, length = total + part * picture, length + part
        assert coverage[number] == pytest.approx(min(length / (end - begin), 1.0), abs=1e-9)
        # Frames are stored as whole grey levels, and summed in single precision.
        np.testing.assert_allclose(frames[number], total / length if length > 0 else 0.0, atol=0.501)
        partly += 0 < length < 0.99 * (end - begin)
    assert partly > 3


def test_a_moving_edge_is_where_it_was_in_each_field():
    """An edge moves right by a column in each half period: the odd rows of a picture are a column further."""
    n, columns = 20, 64
    position = 5 + np.arange(2 * n)  # column of the edge in each field
    bright = np.arange(columns) < position[:, None]
    video = np.zeros((n, 8, columns), np.uint8)
    video[:, 0::2] = 200 * bright[0::2, None]
    video[:, 1::2] = 200 * bright[1::2, None]
    recorded, half = world(video), 1 / 60
    # One bin a field: the first begins half an exposure before the first stamp.
    edges = -half / 2 + half * np.arange(2 * n + 1)
    frames, coverage, _ = mean_frames(recorded, edges, None)
    np.testing.assert_allclose(coverage, 1.0)
    for field in range(2 * n):
        np.testing.assert_array_equal(frames[field], np.tile(200 * bright[field], (8, 1)))


def test_frames_without_any_picture_leave_their_bins_uncovered():
    rng = np.random.default_rng(3)
    recorded = world(rng.integers(0, 256, (60, 4, 4)))
    recorded["video"][20:30] = 0
    recorded["video"][30:40] = 255
    edges = bin_edges(0.0, 1.9, 0.048)
    frames, coverage, n_constant = mean_frames(recorded, edges, None)
    assert n_constant == 20
    without = mean_frames(recorded.isel(frame=np.r_[0:20, 40:60]), edges, None)
    np.testing.assert_array_equal(frames, without[0])
    np.testing.assert_allclose(coverage, without[1])
    assert (coverage == 0).sum() > 10


def test_frames_do_not_depend_on_how_many_bins_are_read_at_once(monkeypatch):
    rng = np.random.default_rng(4)
    recorded = world(rng.integers(0, 256, (100, 4, 4)))
    recorded["video"][50] = 9
    edges = bin_edges(0.0, 3.2, 0.048)
    whole = mean_frames(recorded, edges, None)
    monkeypatch.setattr(sys.modules[mean_frames.__module__], "_BINS_AT_ONCE", 7)
    for one, other in zip(whole, mean_frames(recorded, edges, None), strict=True):
        np.testing.assert_array_equal(one, other)
