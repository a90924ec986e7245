"""Small sessions whose truth is known by construction, for the tests of models, fits and scores."""

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter, map_coordinates

BIN_S = 0.048


def smooth_noise(rng, n, sd_bins, columns=1):
    """Gaussian noise smoothed over time, each column with standard deviation 1, shape (n, columns)."""
    trace = gaussian_filter(rng.normal(size=(n, columns)), (sd_bins, 0), mode="wrap")
    return trace / trace.std(axis=0)


def planted_session(
    n_bins=1200,
    n_units=4,
    frame_shape=(12, 16),
    seed=0,
    *,
    eye_px=1.5,
    rate=0.6,
    kind="spike_count",
    n_stretches=1,
):
    """A session and its truth: a head that drifts over a random picture, eyes that shift what units see.

    Each unit takes the product of a Gabor in retinal coordinates and a gain by running speed. Theta moves
    the retinal image along x and phi along y, `eye_px` px a standard deviation of 10 degrees.
    """
    rng = np.random.default_rng(seed)
    height, width = frame_shape
    picture = gaussian_filter(rng.normal(size=(96, 128)), 1.2, mode="wrap")
    picture /= picture.std()
    head = np.cumsum(smooth_noise(rng, n_bins, 12, 2), axis=0) * 0.35
    eye = smooth_noise(rng, n_bins, 5, 2)  # theta, phi in units of 10 degrees
    speed = np.exp(0.8 * smooth_noise(rng, n_bins, 20)[:, 0]) * 4
    tilt = smooth_noise(rng, n_bins, 8, 2) * 15
    pupil = 10 + 1.5 * smooth_noise(rng, n_bins, 40)[:, 0]
    yy, xx = np.mgrid[:height, :width].astype(float)

    def view(shift_px):
        rows = yy[None] + (head[:, 1] + shift_px[:, 1])[:, None, None]
        columns = xx[None] + (head[:, 0] + shift_px[:, 0])[:, None, None]
        return map_coordinates(picture, [rows, columns], order=1, mode="grid-wrap")

    camera, retina = view(np.zeros((n_bins, 2))), view(eye_px * eye)
    drive = np.empty((n_bins, n_units))
    for unit in range(n_units):
        angle, x0, y0 = (
            np.pi * unit / n_units,
            width * rng.uniform(0.35, 0.65),
            height * rng.uniform(0.35, 0.65),
        )
        along = (xx - x0) * np.cos(angle) + (yy - y0) * np.sin(angle)
        gabor = np.exp(-((xx - x0) ** 2 + (yy - y0) ** 2) / (2 * 2.0**2)) * np.cos(2 * np.pi * along / 6)
        drive[:, unit] = np.tensordot(retina, gabor - gabor.mean(), 2)
    drive /= drive.std(axis=0)
    drive[1:] = drive[:-1].copy()  # one bin of latency
    gain = 0.6 + 0.8 * speed / speed.max()
    rates = np.maximum(0.02, np.maximum(0.0, drive) ** 1.5 * gain[:, None])
    rates *= rate / rates.mean(axis=0)
    if kind == "spike_count":
        activity = rng.poisson(rates).astype(np.uint16)
    else:
        activity = (rates + 0.3 * rng.normal(size=rates.shape)).astype(np.float32)
    stretch = np.arange(n_bins) * n_stretches // n_bins
    frames = np.clip(128 + 40 * camera, 0, 255).astype(np.uint8)
    behavior = np.stack([speed, tilt[:, 0], tilt[:, 1], 10 * eye[:, 1], 10 * eye[:, 0], pupil], axis=1)
    time = (np.arange(n_bins) + 0.5) * BIN_S + 1.0 * stretch
    units = [f"u{n:02d}" for n in range(n_units)]
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), frames),
            "behavior": (("time", "variable"), behavior.astype(np.float32)),
            "activity": (("time", "unit"), activity, {"kind": kind}),
            "stretch": ("time", stretch.astype(np.int32)),
        },
        {"time": time, "variable": ["speed", "pitch", "roll", "phi", "theta", "pupil"], "unit": units},
        {
            "schema_version": 1,
            "animal": "planted",
            "session": f"seed {seed}",
            "source": "tests",
            "bin_width_s": BIN_S,
            "v1lib_version": "0",
        },
    )
    truth = xr.Dataset(
        {"rate": (("time", "unit"), rates), "shift": (("time", "axis"), eye_px * eye)},
        {"time": time, "unit": units, "axis": ["x", "y"]},
    )
    return session, truth
