"""How the power of pictures falls with spatial frequency."""

from __future__ import annotations

import numpy as np
import xarray as xr

from v1lib.errors import InputError, check_whole


def radial_spectrum(pictures: np.ndarray, *, bands: int = 16) -> xr.DataArray:
    """Mean power of pictures in bands of spatial frequency.

    Each picture less its mean is tapered by a Hann window, so that its borders count for no edges, and its
    power is averaged over all directions and over the pictures.

    Parameters
    ----------
    pictures : (n, y, x) array
        In any unit of brightness.
    bands : int
        Number of bands, equally wide in the logarithm, from two cycles a shorter side up to half a cycle a
        pixel; bands that no frequency falls into are left out.

    Returns
    -------
    xarray.DataArray, dims (frequency,)
        Power in the unit of brightness squared, over the bands' mean frequency in cycles a pixel.

    Raises
    ------
    InputError
        If these are no pictures of finite real numbers, or there are fewer than two bands.
    """
    check_whole("radial_spectrum", "bands", bands, 2)
    try:
        pictures = np.asarray(pictures)
    except ValueError as error:
        raise InputError("radial_spectrum", "pictures", "an array", "sides of different lengths") from error
    if pictures.dtype.kind not in "iuf":
        raise InputError("radial_spectrum", "pictures", "real numbers", f"{pictures.dtype}")
    pictures = pictures.astype(float)
    if not np.isfinite(pictures).all():
        found = f"{int((~np.isfinite(pictures)).sum())} that are not"
        raise InputError("radial_spectrum", "pictures", "finite values", found)
    if pictures.ndim != 3 or min(pictures.shape[1:]) < 8 or len(pictures) == 0:
        raise InputError(
            "radial_spectrum", "pictures", "(n, y, x) of 8 px or more a side", f"{pictures.shape}"
        )
    rows, columns = pictures.shape[1:]
    taper = np.hanning(rows + 2)[1:-1, None] * np.hanning(columns + 2)[1:-1]
    centered = pictures - (pictures * taper).sum((1, 2), keepdims=True) / taper.sum()
    power = (np.abs(np.fft.rfft2(centered * taper)) ** 2).mean(axis=0) / (taper**2).sum()
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
    edges = np.geomspace(2 / min(rows, columns), 0.5, bands + 1)
    band = np.digitize(frequency, edges) - 1
    inside = [number for number in range(bands) if (band == number).any()]
    mean = [power[band == number].mean() for number in inside]
    at = [frequency[band == number].mean() for number in inside]
    return xr.DataArray(mean, {"frequency": at}, ("frequency",), "power", {"frequency_unit": "cycles/px"})


def spectral_exponent(spectrum: xr.DataArray) -> float:
    """The exponent a of the power law power ~ 1 / frequency^a that fits a spectrum, by log-log regression.

    Raises
    ------
    InputError
        If the spectrum, from :func:`radial_spectrum`, has not two bands, or one without power.
    """
    if not isinstance(spectrum, xr.DataArray) or spectrum.dims != ("frequency",):
        raise InputError("spectral_exponent", "spectrum", "power over frequency", type(spectrum).__name__)
    frequency, power = spectrum["frequency"].values, spectrum.values
    usable = (frequency > 0) & (power > 0) & np.isfinite(frequency) & np.isfinite(power)
    if power.size < 2 or not usable.all():
        found = f"{int(usable.sum())} of {power.size}"
        raise InputError("spectral_exponent", "spectrum", "two or more bands, all positive and finite", found)
    slope = np.polyfit(np.log(frequency), np.log(power), 1)[0]
    return float(-slope)
