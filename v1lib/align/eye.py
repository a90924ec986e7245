"""Eye angles and pupil size from points on the pupil's edge.

The pupil is a disc on a sphere. Seen by a camera far away, it is an ellipse whose centre moves with the sine
of the eye's angles and whose axes' ratio is the cosine of the angle between gaze and camera. Points become an
ellipse in each frame, the ellipses of a recording become the camera's centre and scale, and with these each
ellipse becomes theta and phi.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from v1lib.errors import InputError

#: The fewest points that determine each shape, the most general first.
SHAPES = {"ellipse": 5, "axis-aligned": 4, "circle": 3}
#: Only ellipses flatter than this show from which direction the camera looks at them.
ROUND_ABOVE = 0.85


class EyeCamera(NamedTuple):
    """Where the camera looks straight into the eye, and how far a turned pupil's centre moves.

    Attributes
    ----------
    center_x, center_y : float
        Pixels; the pupil's centre when the eye looks into the camera.
    scale : float
        Pixels from the eye's centre of rotation to the pupil.
    n_frames : int
        Frames that the estimate rests on.
    """

    center_x: float
    center_y: float
    scale: float
    n_frames: int


def fit_pupil(
    x: np.ndarray,
    y: np.ndarray,
    likelihood: np.ndarray | None = None,
    *,
    threshold: float = 0.9,
    shape: str | None = None,
) -> xr.Dataset:
    """Fit an ellipse to the points on the pupil's edge in each frame.

    An ellipse has five parameters. Eight points determine it with three to spare. Four points do not: through
    four points pass infinitely many ellipses. With fewer than five points a frame gets the most general shape
    that they do determine: an ellipse with level axes (four parameters) from four, a circle from three. Such
    shapes give the pupil's centre and size, but not the direction in which it is foreshortened.

    Parameters
    ----------
    x, y : ndarray, shape (frame, point)
        Pixels, y down. NaN where a point was not found.
    likelihood : ndarray, shape (frame, point), optional
        The tracker's confidence; a point below `threshold` is missing.
    threshold : float
        Between 0 and 1.
    shape : str, optional
        One of :data:`SHAPES` for every frame; a frame with too few points for it is NaN. Without it each
        frame gets the most general shape that its points determine, and is NaN below three points.

    Returns
    -------
    xarray.Dataset, dims (frame,)
        ``X0``, ``Y0`` (centre, px), ``longaxis``, ``shortaxis`` (half the axes, px), ``ellipse_phi`` (angle
        of the long axis from x towards y, radians, -π/2 to π/2; NaN for a circle), ``n_points``, ``shape``
        (empty where nothing was fitted).

    Raises
    ------
    InputError
        For arrays that do not match, an unknown shape, or fewer than three points a frame.

    Notes
    -----
    Ellipses by direct least squares (Halíř and Flusser 1998, after Fitzgibbon, Pilu and Fisher 1996), the
    other two by algebraic least squares.
    """
    x, y = np.array(x, float), np.array(y, float)
    _check_points(x, y, likelihood, threshold, shape)
    if likelihood is not None:
        # Written so that a likelihood of NaN is below the threshold too.
        x[~(np.asarray(likelihood) >= threshold)] = np.nan
    there = np.isfinite(x) & np.isfinite(y)
    n_points = there.sum(axis=1)
    fitted = np.full((len(x), 5), np.nan)
    names = np.full(len(x), "", dtype="<U12")
    for name, fewest in SHAPES.items():
        if shape is None:
            frames = np.flatnonzero((n_points >= fewest) & (names == ""))
        else:
            frames = np.flatnonzero(n_points >= fewest) if name == shape else np.zeros(0, int)
        if frames.size:
            fitted[frames] = _fit(x[frames], y[frames], there[frames], name)
            names[frames] = np.where(np.isfinite(fitted[frames, 0]), name, "")
    meaning = {
        "X0": ("px", "centre of the pupil, x"),
        "Y0": ("px", "centre of the pupil, y, down positive"),
        "longaxis": ("px", "half the long axis"),
        "shortaxis": ("px", "half the short axis"),
        "ellipse_phi": ("rad", "long axis from x towards y"),
    }
    variables: dict[str, tuple] = {
        name: ("frame", fitted[:, number], {"units": unit, "long_name": words})
        for number, (name, (unit, words)) in enumerate(meaning.items())
    }
    return xr.Dataset({**variables, "n_points": ("frame", n_points), "shape": ("frame", names)})


def calibrate_camera(
    ellipses: xr.Dataset, *, center: tuple[float, float] | None = None, min_frames: int = 50
) -> EyeCamera:
    """Find where the camera looks straight into the eye, and the scale, from ellipses of many directions.

    A turned pupil is foreshortened towards the point where camera and eye face each other: the short axes of
    all ellipses meet there. How far the centre is from that point is scale · √(1 - (short / long)²). Both are
    fitted by least squares on frames with short / long < 0.85; a rounder pupil's axes have no sure direction.

    Parameters
    ----------
    ellipses : xarray.Dataset
        From :func:`fit_pupil` (of which only general ellipses count), or a tracker's own ellipses.
    center : (float, float), optional
        Where the camera's axis meets the picture, px, when it is known; only the scale is fitted then.
    min_frames : int
        Fewest frames to rest on.

    Raises
    ------
    InputError
        If too few frames are flat enough, or their short axes are nearly parallel and meet nowhere.
    """
    ratio = (ellipses["shortaxis"] / ellipses["longaxis"]).values
    general = ellipses["shape"].values == "ellipse" if "shape" in ellipses else np.isfinite(ratio)
    seen = np.isfinite(ellipses["X0"].values) & np.isfinite(ellipses["Y0"].values)
    flat = np.flatnonzero((ratio < ROUND_ABOVE) & general & seen)
    if flat.size < min_frames:
        expected = f"at least {min_frames} general ellipses with short / long axis below {ROUND_ABOVE}"
        raise InputError("eye", "ellipses", expected, f"{flat.size}")
    centers = np.stack([ellipses["X0"].values[flat], ellipses["Y0"].values[flat]], axis=1)
    middle = (
        np.array(center)
        if center is not None
        else _meeting_point(ellipses["ellipse_phi"].values[flat], centers)
    )
    sine = np.sqrt(1 - ratio[flat] ** 2)
    away = np.linalg.norm(centers - middle, axis=1)
    return EyeCamera(float(middle[0]), float(middle[1]), float(away @ sine / (sine @ sine)), int(flat.size))


def _meeting_point(angle: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Where the short axes of ellipses meet, from the directions of their long axes (rad) and centres."""
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # long axes; the short ones are normal to them
    singular = np.linalg.svd(along, compute_uv=False)
    if singular[1] < 0.05 * singular[0]:
        raise InputError("eye", "ellipses", "short axes in several directions", "nearly parallel ones")
    return np.linalg.lstsq(along, (along * centers).sum(axis=1))[0]


def eye_angles(ellipses: xr.Dataset, camera: EyeCamera) -> xr.Dataset:
    """Direction of the eye in each frame, in this library's convention.

    theta = arcsin((X0 - center_x) / scale) and phi = -arcsin((Y0 - center_y) / (cos(theta) · scale)), the
    minus because image rows count down and phi counts up; both less their session's median.

    Parameters
    ----------
    ellipses : xarray.Dataset
        ``X0``, ``Y0`` on ``frame``, px.
    camera : EyeCamera

    Returns
    -------
    xarray.Dataset, dims (frame,)
        ``theta`` and ``phi``, degrees; NaN where the ellipse is, or where its centre lies farther from the
        camera's than a turned eye can bring it.
    """
    side = (ellipses["X0"].values - camera.center_x) / camera.scale
    side = np.where(np.abs(side) <= 1, side, np.nan)
    theta = np.arcsin(side)
    down = (ellipses["Y0"].values - camera.center_y) / (np.cos(theta) * camera.scale)
    down = np.where(np.abs(down) <= 1, down, np.nan)
    return from_stored_angles(np.where(np.isnan(down), np.nan, theta), np.arcsin(down))


def from_stored_angles(theta: np.ndarray, phi: np.ndarray) -> xr.Dataset:
    """Bring eye angles as lab files store them into this library's convention.

    Parameters
    ----------
    theta, phi : ndarray, shape (frame,)
        Radians; theta positive towards the animal's left, phi positive **down**.

    Returns
    -------
    xarray.Dataset, dims (frame,)
        ``theta`` (towards the animal's left positive) and ``phi`` (up positive), degrees, zero being the
        session's median; NaN stays NaN.

    Raises
    ------
    InputError
        If an angle is missing in every frame.
    """
    angles = {}
    directions = {"theta": (1, theta, "towards the animal's left"), "phi": (-1, phi, "up")}
    for name, (sign, stored, positive) in directions.items():
        degrees = sign * np.rad2deg(np.asarray(stored, float))
        if not np.isfinite(degrees).any():
            raise InputError(
                "eye", name, "an angle in at least one frame", "none: the whole track is missing"
            )
        words = f"eye angle, {positive} positive, zero at the session's median"
        angles[name] = ("frame", degrees - np.nanmedian(degrees), {"units": "deg", "long_name": words})
    return xr.Dataset(angles)


def _check_points(
    x: np.ndarray, y: np.ndarray, likelihood: np.ndarray | None, threshold: float, shape: str | None
) -> None:
    if x.ndim != 2 or x.shape != y.shape:
        raise InputError(
            "eye points", "x, y", "two arrays (frame, point) of one shape", f"{x.shape}, {y.shape}"
        )
    if likelihood is not None and np.shape(likelihood) != x.shape:
        raise InputError("eye points", "likelihood", f"shape {x.shape}, as x", str(np.shape(likelihood)))
    if not 0 <= threshold <= 1:
        raise InputError("fit_pupil", "threshold", "a number from 0 to 1", str(threshold))
    if shape is not None and shape not in SHAPES:
        raise InputError("fit_pupil", "shape", f"one of {list(SHAPES)}", repr(shape))
    fewest = SHAPES[shape] if shape is not None else min(SHAPES.values())
    if x.shape[1] < fewest:
        raise InputError("eye points", "points", f"at least {fewest} a frame", f"{x.shape[1]}")


def _fit(x: np.ndarray, y: np.ndarray, there: np.ndarray, shape: str) -> np.ndarray:
    """Centre x, y, half axes and angle (frame, 5) of one shape through the points that are `there`."""
    count = there.sum(axis=1, keepdims=True)
    x, y = np.where(there, x, 0.0), np.where(there, y, 0.0)
    # Centred and of unit size, so that squares and constants weigh alike.
    middle = np.stack([(x / count).sum(axis=1), (y / count).sum(axis=1)], axis=1)
    x, y = np.where(there, x - middle[:, :1], 0.0), np.where(there, y - middle[:, 1:], 0.0)
    size = np.sqrt(((x**2 + y**2) / count).sum(axis=1))
    size = np.where(size > 0, size, np.nan)
    x, y = x / size[:, None], y / size[:, None]
    ok = np.isfinite(size)
    fitted = np.full((len(x), 5), np.nan)
    conic = _direct_conic if shape == "ellipse" else _level_conic
    fitted[ok] = _conic_to_axes(conic(x[ok], y[ok], there[ok].astype(float), circle=shape == "circle"))
    fitted[:, :2] = fitted[:, :2] * size[:, None] + middle
    fitted[:, 2:4] *= size[:, None]
    if shape == "circle":
        fitted[:, 4] = np.nan
    return fitted


def _direct_conic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, circle: bool = False) -> np.ndarray:
    """Coefficients of a x² + b xy + c y² + d x + e y + f = 0 (frame, 6), 4 ac > b²; NaN where none."""
    square = np.stack([x**2, x * y, y**2], axis=-1)
    linear = np.stack([x, y, np.ones_like(x)], axis=-1)
    s1 = np.einsum("fp,fpi,fpj->fij", weight, square, square)
    s2 = np.einsum("fp,fpi,fpj->fij", weight, square, linear)
    s3 = np.einsum("fp,fpi,fpj->fij", weight, linear, linear)
    conic = np.full((len(x), 6), np.nan)
    usable = np.linalg.cond(s3) < 1e10  # points on one line have no ellipse
    to_linear = -np.linalg.solve(s3[usable], np.swapaxes(s2[usable], 1, 2))
    reduced = s1[usable] + s2[usable] @ to_linear
    # The inverse of the constraint 4 ac - b² = 1 turns the problem into an ordinary one of eigenvectors.
    reduced = np.stack([reduced[:, 2] / 2, -reduced[:, 1], reduced[:, 0] / 2], axis=1)
    vectors = np.linalg.eig(reduced)[1].real
    bent = 4 * vectors[:, 0] * vectors[:, 2] - vectors[:, 1] ** 2
    best = np.argmax(bent, axis=1)
    first = np.take_along_axis(vectors, best[:, None, None], axis=2)[..., 0]
    found = np.concatenate([first, np.einsum("fij,fj->fi", to_linear, first)], axis=1)
    found[np.max(bent, axis=1) <= 0] = np.nan
    conic[usable] = found
    return conic


def _level_conic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, circle: bool = False) -> np.ndarray:
    """The same with b = 0, scaled to a + c = 2, and for a circle a = c = 1."""
    one = np.ones_like(x)
    columns = [x, y, one] if circle else [x**2 - y**2, x, y, one]
    design = np.stack(columns, axis=-1) * weight[..., None]
    target = -(x**2 + y**2) * weight
    normal = np.einsum("fpi,fpj->fij", design, design)
    found = np.full((len(x), len(columns)), np.nan)
    usable = np.linalg.cond(normal) < 1e10
    right = np.einsum("fpi,fp->fi", design[usable], target[usable])
    found[usable] = np.linalg.solve(normal[usable], right[..., None])[..., 0]
    tilt = np.where(np.isnan(found[:, 0]), np.nan, 0.0) if circle else found[:, 0]
    return np.stack([1 + tilt, 0 * tilt, 1 - tilt, *found[:, -3:].T], axis=1)


def _conic_to_axes(conic: np.ndarray) -> np.ndarray:
    """Centre x, y, half the long and short axis, and the long axis' angle (frame, 5); NaN if no ellipse."""
    a, b, c, d, e, f = (conic * np.sign(conic[:, :1])).T
    bent = 4 * a * c - b**2
    bent = np.where(bent > 0, bent, np.nan)
    x0, y0 = (b * e - 2 * c * d) / bent, (b * d - 2 * a * e) / bent
    level = -(f + (d * x0 + e * y0) / 2)
    level = np.where(level > 0, level, np.nan)
    mean, spread = (a + c) / 2, np.hypot(a - c, b) / 2
    long, short = np.sqrt(level / (mean - spread)), np.sqrt(level / (mean + spread))
    # The long axis lies along the eigenvector of the smaller eigenvalue.
    angle = np.arctan2(-b, c - a) / 2
    angle = np.where(angle >= np.pi / 2, angle - np.pi, angle)
    fitted = np.stack([x0, y0, long, short, angle], axis=1)
    fitted[~np.isfinite(fitted[:, :4]).all(axis=1)] = np.nan
    return fitted
