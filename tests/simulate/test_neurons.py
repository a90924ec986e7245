"""Planted units: fields, kernels and rates are what their parameters say."""

import numpy as np
import pytest

from v1lib.errors import InputError
from v1lib.simulate.arena import camera_of
from v1lib.simulate.drive import expected_rate
from v1lib.simulate.mixture import allot
from v1lib.simulate.neurons import BEHAVIOR_SCALE, plant_units

RETINA = camera_of((30, 40), 100.0)


def planted(seed, n_units, *formulae):
    return plant_units(np.random.default_rng(seed), allot(dict.fromkeys(formulae, 1), n_units), RETINA)


@pytest.fixture(scope="module")
def units():
    return planted(0, 40, "simple", "simple * speed * phi", "simple + pupil + roll", "simple * theta + pitch")


@pytest.fixture(scope="module")
def behavior():
    rng = np.random.default_rng(1)
    scale = BEHAVIOR_SCALE | {"yaw": (0.0, 90.0)}
    return {name: mean + sd * rng.standard_normal(6000) for name, (mean, sd) in scale.items()}


def rate_of(units, even, behavior):
    """Rates of simple cells whose fields have seen `even`, without drift of excitability."""
    return expected_rate(units, {"even": even, "odd": 0 * even}, behavior, np.ones_like(even))


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
    rate = rate_of(units, np.random.default_rng(2).standard_normal((6000, 40)), behavior)
    base = units["base_rate"].values
    limited = rate.max(0) >= 200
    np.testing.assert_allclose(rate.mean(0)[~limited], base[~limited], rtol=1e-4)
    assert (rate.mean(0)[limited] < base[limited]).all() and (rate.mean(0) > 0.85 * base).all()
    assert rate.min() >= 0 and (~limited).sum() > 10


def test_rates_follow_the_drive_through_the_kernel(units):
    """Reverse correlation with white noise gives a linear-nonlinear unit's kernel back (Bussgang)."""
    n = 20_000
    drive = np.random.default_rng(3).standard_normal((n, 40))
    still = {name: np.full(n, mean) for name, (mean, _) in BEHAVIOR_SCALE.items()} | {"yaw": np.zeros(n)}
    rate = rate_of(units, drive, still)
    rate = rate - rate.mean(0)
    lags = range(-5, 15)
    found = np.stack([(drive[20:-20] * rate[20 + lag : n - 20 + lag]).mean(0) for lag in lags], axis=1)
    kernel = np.concatenate([np.zeros((40, 5)), units["temporal_kernel"].values], axis=1)
    match = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, kernel, strict=True)]
    # The error of each lag is 1 / sqrt(20,000) of the whole; a lag too many or few gives 0.9 and less.
    assert min(match) > 0.97


def test_excitability_is_a_factor_of_the_rate(units, behavior):
    drive = np.random.default_rng(4).standard_normal((6000, 40))
    drift = np.linspace(0.5, 1.5, 6000)[:, None] * np.ones((1, 40))
    drifting = expected_rate(units, {"even": drive, "odd": 0 * drive}, behavior, drift)
    steady = rate_of(units, drive, behavior)
    free = np.maximum(drifting, steady) < 200
    assert free.mean() > 0.95
    np.testing.assert_allclose(drifting[free], (drift * steady)[free], rtol=1e-5)


def test_a_unit_that_sees_nothing_change_is_refused(behavior):
    units = planted(5, 2, "untuned", "simple * speed")
    with pytest.raises(InputError, match=r"found unit 1 \(simple \* speed\) sees nothing change"):
        rate_of(units, np.full((6000, 2), 0.3, np.float32), behavior)
