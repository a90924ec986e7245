"""Fields, exposures and the mean picture of a bin."""

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
    frames, coverage = mean_frames(world(video), np.array([-1 / 120, 1 / 120, 3 / 120]), None)
    np.testing.assert_allclose(coverage, 1.0)
    assert (frames[0] == 0).all() and (frames[1] == 240).all()
    frames, _ = mean_frames(world(video), np.array([-1 / 120, 3 / 120]), None)
    assert (frames == 120).all()


def test_mean_frames_agree_with_a_slow_sum_over_fields():
    rng = np.random.default_rng(0)
    recorded = world(rng.integers(0, 256, (40, 6, 8)))
    edges = bin_edges(0.05, 1.2, 0.048)
    frames, _ = mean_frames(recorded, edges, None)
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
    recorded = world(np.full((60, 4, 4), 100))
    recorded = recorded.isel(frame=np.r_[0:20, 40:60])
    edges = bin_edges(0.0, 1.9, 0.048)
    frames, coverage = mean_frames(recorded, edges, None)
    lost = (edges[:-1] > 0.70) & (edges[1:] < 1.30)
    assert (coverage[lost] == 0).all() and (frames[lost] == 0).all()
    assert (frames[coverage > 0.5] == 100).all()


def test_smaller_frames_are_means_of_areas():
    rng = np.random.default_rng(1)
    recorded = world(np.repeat(rng.integers(0, 256, (1, 8, 12)), 10, axis=0), interlaced=False)
    frames, _ = mean_frames(recorded, np.array([0.05, 0.15]), (4, 6))
    expected = recorded["video"].values[0].reshape(4, 2, 6, 2).mean((1, 3))
    np.testing.assert_allclose(frames[0], expected, atol=0.51)


def test_frames_larger_than_the_cameras_are_refused():
    with pytest.raises(InputError, match="frame_shape"):
        mean_frames(world(np.zeros((10, 4, 4))), np.array([0.0, 0.1]), (8, 8))
