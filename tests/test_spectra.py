"""The spectrum of pictures whose spectrum is known."""

import numpy as np
import pytest
import xarray as xr

from v1lib.errors import InputError
from v1lib.spectra import radial_spectrum, spectral_exponent


def noise(exponent, shape=(60, 80), n=200):
    """Pictures of random phase whose power falls as 1 / frequency^exponent."""
    rng = np.random.default_rng(0)
    large = 4 * max(shape)  # cut from larger ones, so that they do not end where they began
    frequency = np.hypot(np.fft.fftfreq(large)[:, None], np.fft.rfftfreq(large))
    frequency[0, 0] = np.inf
    made = []
    for _ in range(n):
        spectrum = np.fft.rfft2(rng.standard_normal((large, large))) * frequency ** (-exponent / 2)
        made.append(np.fft.irfft2(spectrum)[: shape[0], : shape[1]])
    return np.array(made)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_the_exponent_of_power_law_noise_comes_back(exponent):
    # The taper blurs neighbouring bands into each other, which costs a steep law a little.
    assert spectral_exponent(radial_spectrum(noise(exponent))) == pytest.approx(exponent, abs=0.15)


def test_white_noise_has_its_variance_in_every_band():
    spectrum = radial_spectrum(3.0 * np.random.default_rng(1).standard_normal((400, 32, 32)))
    np.testing.assert_allclose(spectrum, 9.0, rtol=0.1)


def test_a_grating_has_its_power_at_its_frequency():
    rows, columns = np.mgrid[:64, :64]
    grating = np.cos(2 * np.pi * (rows + columns) * 0.2 / np.sqrt(2))[None]
    spectrum = radial_spectrum(5.0 + grating)
    assert abs(float(spectrum.idxmax()) - 0.2) < 0.02


def test_brightness_alone_has_no_power():
    np.testing.assert_allclose(radial_spectrum(np.full((2, 20, 30), 7.0)), 0.0, atol=1e-12)


def test_neither_a_level_nor_frequencies_below_two_cycles_a_side_count():
    ramp = np.broadcast_to(np.linspace(0, 1, 30), (2, 20, 30))
    plain, raised = radial_spectrum(ramp), radial_spectrum(ramp + 1000)
    # Differences of numbers near 1000 are rounded to 1e-13, 1e-10 of the weakest band's amplitude.
    np.testing.assert_allclose(raised, plain, rtol=1e-6, atol=1e-18)
    assert plain["frequency"].min() >= 2 / 20


@pytest.mark.parametrize("shape", [(20, 30), (0, 20, 30), (2, 7, 30)])
def test_what_is_no_stack_of_pictures_is_refused(shape):
    with pytest.raises(InputError, match="pictures"):
        radial_spectrum(np.zeros(shape))


@pytest.mark.parametrize("worth", [np.nan, np.inf, 1j, True, "grey", np.datetime64("2020-01-01")])
def test_what_is_no_brightness_is_refused(worth):
    with pytest.raises(InputError, match="pictures"):
        radial_spectrum(np.full((2, 20, 30), worth))


@pytest.mark.parametrize("bands", [0, 1, -3, 4.0, True, None])
def test_fewer_than_two_bands_are_refused(bands):
    with pytest.raises(InputError, match="bands"):
        radial_spectrum(noise(1.0, n=1), bands=bands)


@pytest.mark.parametrize("power", [[], [1.0], [1.0, 0.0], [1.0, np.nan], [np.inf, 1.0]])
def test_a_spectrum_without_a_slope_is_refused(power):
    given = xr.DataArray(np.array(power, float), {"frequency": [0.1, 0.2][: len(power)]}, ("frequency",))
    with pytest.raises(InputError, match="two or more bands"):
        spectral_exponent(given)
