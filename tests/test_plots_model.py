"""Figures of models hold what they are given: each field in its panel, each epoch at its time."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from v1lib.plots import plot_field_pairs, plot_histories, plot_loss_by_time, plot_maps, plot_time_courses

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_each_field_is_in_the_row_of_its_kind_and_the_column_of_its_unit():
    rng = np.random.default_rng(0)
    pairs = {"planted": rng.normal(size=(3, 6, 8)), "learned": 5 * rng.normal(size=(3, 6, 8))}
    axes = np.reshape(plot_field_pairs(pairs, list("abc"), 100.0).axes, (2, 3))
    for row, fields in zip(axes, pairs.values(), strict=True):
        for ax, field in zip(row, fields, strict=True):
            (image,) = ax.images
            np.testing.assert_array_equal(image.get_array(), field)
            # Zero is the middle of the map, whatever the field's own scale.
            assert image.get_clim() == (-np.abs(field).max(), np.abs(field).max())
    assert [ax.get_title() for ax in axes[0]] == list("abc")
    with pytest.raises(ValueError, match="zip"):
        plot_field_pairs(pairs, list("ab"), 100.0)


def test_fields_on_one_scale_can_be_compared_and_the_middle_can_be_cut_out():
    pairs = {"strong": np.full((2, 30, 40), -3.0), "weak": np.ones((2, 30, 40))}
    for ax in plot_field_pairs(pairs, ["a", "b"], 90.0, one_scale=True, within_deg=45.0).axes:
        assert ax.images[0].get_clim() == (-3.0, 3.0)
        # A picture of 90 degrees across reaches 45 to each side of its middle, at (19.5, 14.5).
        np.testing.assert_allclose(ax.get_xlim(), (-0.5, 39.5))
        np.testing.assert_allclose(ax.get_ylim(), (34.5, -5.5))


def test_kernels_before_and_after_share_a_scale_and_stand_above_their_map():
    rng = np.random.default_rng(2)
    kernels = {"before": rng.normal(size=(4, 3, 3)), "after": 5 * rng.normal(size=(4, 3, 3))}
    maps = rng.uniform(size=(4, 5, 6)) * np.array([1, 3, 2, 4])[:, None, None]
    panels = plot_maps(rng.normal(size=(6, 8)), maps, kernels, shown=2).subfigs[1].axes
    drawn = [ax.images[0] for ax in panels]
    before, after = kernels["before"], kernels["after"]
    for image, picture in zip(
        drawn, (before[3], before[1], after[3], after[1], maps[3], maps[1]), strict=True
    ):
        np.testing.assert_array_equal(image.get_array(), picture)
    reach = np.abs([before[[3, 1]], after[[3, 1]]]).max()
    assert {image.get_clim() for image in drawn[:4]} == {(-reach, reach)}
    assert len({image.get_clim() for image in drawn[4:]}) == 1


def test_kernels_run_towards_the_bin_and_means_are_of_their_panel():
    lags, rng = 0.048 * np.arange(4), np.random.default_rng(1)
    learned, planted = rng.normal(size=(2, 5, 4))
    left, right = plot_time_courses(lags, learned, planted).axes
    early, late = left.get_xlim()
    assert early > 1000 * lags[-1] and late < 0  # the bin itself is at the right
    for ax, courses, means in ((left, planted, [planted]), (right, learned, [planted, learned])):
        drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4]
        for course, line in zip([*courses, *(one.mean(axis=0) for one in means)], drawn, strict=True):
            np.testing.assert_allclose(line, course)


def test_epochs_count_from_one_and_lines_are_named_where_they_are_farthest_apart():
    near = pd.DataFrame({"train_loss": [0.9, 0.8, 0.7], "validation_loss": [0.9, 0.75, 0.8]})
    far = pd.DataFrame({"train_loss": [0.9, 0.7, 0.5], "validation_loss": [0.8, 0.9, 0.95]})
    left, right = plot_histories({"full": near, "no shifter": far}).axes
    for ax, kept in ((left, (2, 0.75)), (right, (1, 0.8))):
        training, validation, dot = ax.lines
        np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(validation.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose((dot.get_xdata()[0], dot.get_ydata()[0]), kept)
    named = {text.get_text(): text.xy[1] for text in right.texts}
    assert not left.texts and named == {"validation": 0.95, "training": 0.7}


def test_losses_stand_at_the_time_spent_and_the_true_rate_is_in_view():
    histories = {
        "full": pd.DataFrame({"seconds": [2.0, 1.0, 3.0], "validation_loss": [0.9, 0.8, 0.85]}),
        "own model": pd.DataFrame({"seconds": [0.5, 0.5], "validation_loss": [0.7, 0.6]}),
    }
    (ax,) = plot_loss_by_time(histories, 0.5).axes
    full, own, _ = ax.lines
    np.testing.assert_allclose(full.get_xdata(), [2.0, 3.0, 6.0])
    np.testing.assert_allclose(own.get_xdata(), [0.5, 1.0])
    np.testing.assert_allclose(own.get_ydata(), [0.7, 0.6])
    assert ax.get_xlim()[1] > 6.0 and ax.get_ylim()[0] < 0.5
    with pytest.raises(KeyError):
        plot_loss_by_time({"unknown": histories["full"]}, 0.5)
