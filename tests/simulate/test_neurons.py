"""Planted units: fields, kernels, rates and spikes are what their parameters say."""

import numpy as np
import pytest

from v1lib.simulate.arena import camera_of
from v1lib.simulate.neurons import BEHAVIOR_SCALE, STEP_S, draw_spikes, expected_rate, plant_units

RETINA = camera_of((30, 40), 100.0)


@pytest.fixture(scope="module")
def units():
    return plant_units(np.random.default_rng(0), 40, RETINA)


@pytest.fixture(scope="module")
def behavior():
    rng = np.random.default_rng(1)
    return {name: mean + sd * rng.standard_normal(6000) for name, (mean, sd) in BEHAVIOR_SCALE.items()}


def test_fields_answer_no_uniform_grey_and_have_unit_norm(units):
    fields = units["receptive_field"].values
    assert np.abs(fields.sum((1, 2))).max() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(fields, axis=(1, 2)), 1.0, atol=1e-5)


def test_fields_prefer_gratings_of_their_orientation_and_place(units):
    """Shown gratings of all orientations at its spatial frequency, a field answers best to its own."""
    degrees = np.rad2deg(1 / RETINA.focal_px)
    up, right = np.mgrid[:30, :40].astype(float)
    x, y = (right - 19.5) * degrees, -(up - 14.5) * degrees
    errors = []
    for unit in range(units.sizes["unit"]):
        field, frequency = units["receptive_field"].values[unit], float(units["spatial_frequency"][unit])
        answers = []
        for orientation in np.arange(0, 180, 5.0):
            angle = np.deg2rad(orientation)
            wave = np.exp(2j * np.pi * frequency * (-x * np.sin(angle) + y * np.cos(angle)))
            answers.append(np.abs((field * wave).sum()))
        off = abs(5.0 * np.argmax(answers) - float(units["orientation"][unit])) % 180
        errors.append(min(off, 180 - off))
        power = field**2 / (field**2).sum()
        assert abs((power * x).sum() - float(units["azimuth"][unit])) < 5
        assert abs((power * y).sum() - float(units["elevation"][unit])) < 5
    # A mirrored axis would give errors spread over 0 to 90 degrees.
    assert np.median(errors) < 5 and max(errors) < 20


def test_kernels_look_only_back_and_peak_at_their_latency(units):
    kernels = units["temporal_kernel"].values
    peak = units["lag"].values[kernels.argmax(1)]
    assert (kernels[:, 0] == 0).all()
    assert ((peak > 0.03) & (peak < 0.1)).all()


def test_rates_have_the_planted_mean(units, behavior):
    rate = expected_rate(units, np.random.default_rng(2).standard_normal((6000, 40)), behavior)
    base = units["base_rate"].values
    limited = rate.max(0) >= 200
    np.testing.assert_allclose(rate.mean(0)[~limited], base[~limited], rtol=1e-4)
    assert (rate.mean(0)[limited] < base[limited]).all() and (rate.mean(0) > 0.85 * base).all()
    assert rate.min() >= 0 and (~limited).sum() > 10


def test_rates_follow_the_drive_through_the_kernel(units):
    """Reverse correlation with white noise gives a linear-nonlinear unit's kernel back (Bussgang)."""
    n = 20_000
    drive = np.random.default_rng(3).standard_normal((n, 40))
    still = {name: np.full(n, mean) for name, (mean, _) in BEHAVIOR_SCALE.items()}
    rate = expected_rate(units, drive, still)
    rate = rate - rate.mean(0)
    lags = range(-5, 15)
    found = np.stack([(drive[20:-20] * rate[20 + lag : n - 20 + lag]).mean(0) for lag in lags], axis=1)
    kernel = np.concatenate([np.zeros((40, 5)), units["temporal_kernel"].values], axis=1)
    match = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, kernel, strict=True)]
    # The error of each lag is 1 / sqrt(20,000) of the whole; a lag too many or few gives 0.9 and less.
    assert min(match) > 0.97


def test_gain_acts_on_what_vision_gives_and_offset_beside_it(behavior):
    """The covariance of rate and weight changes sign with the weight, unit by unit."""
    units = plant_units(np.random.default_rng(5), 2, RETINA)
    units["gain_weight"][:] = 0.0
    units["offset_weight"][:] = 0.0
    units["gain_weight"].loc[{"unit": 0, "variable": "speed"}] = 0.6
    units["gain_weight"].loc[{"unit": 1, "variable": "speed"}] = -0.6
    drive = np.random.default_rng(6).standard_normal((6000, 2))
    rate = expected_rate(units, drive, behavior)
    up = np.corrcoef(rate[:, 0], behavior["speed"])[0, 1]
    down = np.corrcoef(rate[:, 1], behavior["speed"])[0, 1]
    assert up > 0.2 and down < -0.2


def test_spikes_are_poisson_and_lie_in_their_step():
    rng = np.random.default_rng(7)
    rate = np.full((200_000, 2), 12.0)
    rate[1::2, 1] = 0.0
    times = draw_spikes(rng, rate)
    n = 200_000 * STEP_S * 12
    # Five standard deviations of a Poisson count.
    assert abs(times[0].size - n) < 5 * np.sqrt(n)
    assert (np.floor(times[1] / STEP_S).astype(int) % 2 == 0).all()
    counts = np.histogram(times[0], np.arange(0, 200_000 * STEP_S, 0.5))[0]
    assert abs(counts.var() / counts.mean() - 1) < 0.1
    assert all((np.diff(t) >= 0).all() for t in times)
