"""Gratings drift as they say, and models whose filters are set by hand are tuned as their filters are."""

import numpy as np
import pytest
import torch
from planted import planted_session
from torch.nn.functional import softplus

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.interpret.probes import probe
from v1lib.interpret.tuning import amplitude_at, direction_tuning
from v1lib.interpret.visual_stimuli import drifting_gratings
from v1lib.models import field_model, joint_model
from v1lib.splits import split

pytestmark = pytest.mark.usefixtures("one_thread")
FOV, SHAPE = 90.0, (24, 32)
#: Degrees of a pixel at the middle of 32 px of a pinhole camera that spans 90 degrees.
DEG = float(np.rad2deg(1 / 16))


def gabor(orientation_deg, phase_deg=0.0, frequency=0.03, shape=SHAPE):
    """A field whose bars have this orientation, counter-clockwise from horizontal."""
    rows, columns = shape
    down, right = np.mgrid[:rows, :columns]
    x, up = (right - (columns - 1) / 2) * DEG, ((rows - 1) / 2 - down) * DEG
    angle = np.deg2rad(orientation_deg)
    across = -np.sin(angle) * x + np.cos(angle) * up
    window = np.exp(-(x**2 + up**2) / (2 * 12.0**2))
    return window * np.cos(2 * np.pi * frequency * across + np.deg2rad(phase_deg))


def seeing(filters, strength=0.2):
    """A run whose units have these filters (unit, lag, y, x), the newest first, and its session."""
    n_units, lags = filters.shape[:2]
    session, _ = planted_session(900, n_units, SHAPE)
    model = joint_model(session, None, shifter=None, seq_len=lags, pool=1, finest=100.0)
    run = fit(model, session, split(session, "paper"), FitConfig(epochs=1, learning_rate=1e-3, device="cpu"))
    basis = run.model.linear.basis.double().numpy()
    flat = filters.reshape(n_units * lags, -1) / np.linalg.norm(filters[0, 0])
    weights = np.linalg.lstsq(basis.T, strength * flat.T, rcond=None)[0].T
    with torch.no_grad():
        run.model.linear.coefficients[:] = torch.from_numpy(weights.reshape(n_units, lags, -1)).float()
        run.model.offset[:] = -1.0
    return run, session


@pytest.mark.parametrize("direction", [0.0, 90.0, 180.0, 270.0])
def test_gratings_move_where_they_say(direction):
    """Right is towards greater x, up towards lesser y; a pixel a bin is a step of a pixel."""
    frequency, temporal, bin_s = 0.05, 0.05 * DEG / 0.048, 0.048
    made = drifting_gratings(
        SHAPE, [direction], [frequency], temporal, field_of_view_deg=FOV, bin_s=bin_s, n_bins=6
    )
    assert made.shape == (1, 1, 6, *SHAPE)
    first, then = made[0, 0, 0], made[0, 0, 1]
    step = {0.0: (0, 1), 90.0: (-1, 0), 180.0: (0, -1), 270.0: (1, 0)}[direction]
    moved = np.roll(first, step, (0, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(then[1:-1, 1:-1], moved, atol=1e-5)
    assert np.abs(then - first).max() > 0.05


def test_a_grating_is_averaged_over_its_bin():
    """Against the mean of a hundred moments of each bin."""
    temporal, bin_s = 5.0, 0.048
    asked = dict(field_of_view_deg=FOV)
    made = drifting_gratings(SHAPE, [30.0], [0.04], temporal, bin_s=bin_s, n_bins=4, **asked)
    fine = drifting_gratings(SHAPE, [30.0], [0.04], temporal, bin_s=bin_s / 100, n_bins=400, **asked)
    averaged = fine[0, 0].reshape(4, 100, *SHAPE).mean(1)
    np.testing.assert_allclose(made[0, 0], averaged, atol=1e-4)
    assert 0.7 < np.abs(made).max() < 0.95


def test_simple_units_have_the_orientation_of_their_filters():
    orientations = np.array([0.0, 30.0, 75.0, 120.0, 165.0])
    run, session = seeing(np.stack([[gabor(angle, 40.0)] for angle in orientations]))
    found = probe(run, session, field_of_view_deg=FOV)
    # Directions are 15 degrees apart and the curve is sampled, not fitted.
    away = (found["preferred_orientation"].values - orientations + 90) % 180 - 90
    assert np.abs(away).max() < 5
    assert (found["orientation_index"] > 0.4).all() and (found["direction_index"] < 0.1).all()
    assert (found["preferred_frequency"] == 0.03).all()
    assert (found["phase_sensitivity"] > 1).all()
    np.testing.assert_allclose(found["blank"], softplus(torch.tensor(-1.0)), rtol=0.3)
    np.testing.assert_allclose(found["contrast_rate"].sel(contrast=0.0), found["blank"], rtol=1e-5)
    assert (np.diff(found["contrast_rate"].values, axis=1) > 0).all()
    best = found["rate"].sel(spatial_frequency=0.03).max("direction")
    np.testing.assert_allclose(found["contrast_rate"].sel(contrast=1.0), best, rtol=1e-4)


def test_a_filter_that_moves_prefers_its_direction():
    """Upright bars. A grating that drifts to the left was, a bin ago, further right by a quarter of a cycle:
    its cosine of x had a phase of -90 degrees, which at an orientation of 90, where across is -x, is +90."""
    lags = np.arange(4)
    left = np.stack([gabor(90.0, 90.0 * lag) for lag in lags])
    right = np.stack([gabor(90.0, -90.0 * lag) for lag in lags])
    run, session = seeing(np.stack([left, right]))
    found = probe(run, session, field_of_view_deg=FOV, temporal_frequency=1 / (4 * 0.048))
    assert found["preferred_direction"].values.tolist() == [180.0, 0.0]
    assert (found["direction_index"] > 0.3).all()
    np.testing.assert_allclose(found["preferred_orientation"], 90.0, atol=3)


def test_modulation_is_the_amplitude_at_the_grating_s_frequency():
    """Against a Fourier sum over whole cycles, to which least squares comes down there."""
    t = np.arange(20)
    rates = (3 + 2 * np.cos(2 * np.pi * 0.25 * t + 0.7) + np.cos(2 * np.pi * 0.5 * t))[:, None]
    assert amplitude_at(rates, 0.25)[0] == pytest.approx(2.0, abs=1e-9)
    # Of a cycle that is not whole the fit of sine and constant still finds it.
    part = (3 + 2 * np.cos(2 * np.pi * 0.19 * t + 0.7))[:, None]
    assert amplitude_at(part, 0.19)[0] == pytest.approx(2.0, abs=1e-9)


def test_indices_of_curves_that_are_known():
    directions = np.arange(0, 360, 15.0)
    angle = np.deg2rad(directions)
    curves = np.stack(
        [
            2 + np.cos(2 * (angle - np.deg2rad(30))),  # two equal peaks, across bars of 120 degrees
            2 + np.cos(angle - np.deg2rad(45)),  # one peak
            np.full(24, 3.0),
        ],
        axis=1,
    )
    found = direction_tuning(directions, curves)
    # Of 1 + cos the mean vector has half the length.
    np.testing.assert_allclose(found["orientation_index"][:2], [0.5, 0.0], atol=1e-9)
    np.testing.assert_allclose(found["direction_index"][:2], [0.0, 0.5], atol=1e-9)
    assert found["preferred_orientation"][0] == pytest.approx(120.0)
    assert np.isnan(found["orientation_index"][2]) and np.isnan(found["direction_index"][2])


def test_a_unit_that_does_not_look_has_no_tuning():
    run, session = seeing(np.stack([[gabor(0.0)], [gabor(45.0)]]))
    with torch.no_grad():
        run.model.linear.coefficients[1] = 0
    found = probe(run, session, field_of_view_deg=FOV)
    assert found["orientation_index"].isnull().values.tolist() == [False, True]
    assert found["phase_sensitivity"].isnull().values.tolist() == [False, True]


def test_what_cannot_be_probed_is_refused():
    session, _ = planted_session(900, 2, (12, 16))
    config = FitConfig(epochs=1, learning_rate=1e-3, device="cpu")
    run = fit(field_model(session, seq_len=2), session, split(session, "paper"), config)
    asked = {"field_of_view_deg": FOV}
    for match, wrong in (
        ("field_of_view_deg: expected a number", {"field_of_view_deg": 180.0}),
        ("temporal_frequency: expected a number", {"temporal_frequency": 11.0}),
        ("cycles: expected a number", {"cycles": 0}),
        ("directions_deg: expected a row of numbers", {"directions_deg": []}),
        ("directions_deg: expected a row of numbers", {"directions_deg": 30.0}),
        ("spatial_frequencies: expected a number", {"spatial_frequencies": [0.0]}),
        ("contrasts: expected a number", {"contrasts": [np.nan]}),
    ):
        with pytest.raises(InputError, match=match):
            probe(run, session, **(asked | wrong))
    with pytest.raises(InputError, match="expected a Run"):
        probe(run.model, session, **asked)
    with pytest.raises(InputError):
        probe(run, session.isel(unit=[0]), **asked)
    blind = joint_model(session, "orig", vision=False, seq_len=1)
    blind = fit(blind, session, split(session, "paper"), config)
    with pytest.raises(InputError, match="a model that sees"):
        probe(blind, session, **asked)
