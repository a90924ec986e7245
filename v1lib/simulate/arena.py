"""The simulated world: a box with pillars in it, all papered with photographs, and pictures taken there.

World axes: x and y on the floor, z up, the origin in one lower corner, centimetres. A camera looks along
its own x axis, its y axis points left and its z axis up; image columns grow to the right and rows
downward. Each ray is cut with the planes of the box and of the pillars, so perspective and parallax are
exact; a pyramid of halved photographs, read at the level that fits the pixel's footprint, keeps distant
texture from flickering.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import skimage.data
import torch
from skimage.color import rgb2gray
from skimage.transform import resize

#: The photographs, in the order of the box's planes x = 0, x = max, y = 0, y = max, floor, ceiling.
PHOTOGRAPHS = ("astronaut", "camera", "coffee", "chelsea", "gravel", "brick")
BOX_CM = (60.0, 45.0, 50.0)
#: Pillars that stand on the floor, near surfaces before far walls: x0, y0, x1, y1, height.
PILLARS_CM = ((14.0, 11.0, 19.0, 16.0, 14.0), (40.0, 25.0, 46.0, 31.0, 22.0), (26.0, 34.0, 30.0, 38.0, 9.0))
_TEXELS = 512
#: How much of a surface one photograph covers, cm; a wall may stretch it a little.
_PHOTOGRAPH_CM = 50.0
#: Reading between texels smooths by itself, so a finer level than the pixel's own is read: with this much
#: pictures come closest to those whose pixels are averaged over 16 times as many rays.
_FINER = 0.75


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns.
    focal_px : float
        Focal length in pixels, the same along rows and columns.
    """

    shape: tuple[int, int]
    focal_px: float

    def rays(self) -> np.ndarray:
        """Directions of the pixels' centres in the camera's axes, (3, rows · columns), forward part 1."""
        rows, columns = self.shape
        down, right = np.mgrid[:rows, :columns].astype(float)
        right = (right - (columns - 1) / 2) / self.focal_px
        down = (down - (rows - 1) / 2) / self.focal_px
        return np.stack([np.ones(rows * columns), -right.ravel(), -down.ravel()])


def camera_of(shape: tuple[int, int], field_of_view_deg: float) -> Camera:
    """The pinhole camera with `shape` rows and columns that sees `field_of_view_deg` along a row."""
    return Camera(shape, shape[1] / 2 / np.tan(np.deg2rad(field_of_view_deg / 2)))


@lru_cache(maxsize=1)
def photographs() -> np.ndarray:
    """The photographs on the walls, in the order of :data:`PHOTOGRAPHS`, (6, 512, 512), brightness 0 to 1."""
    made = []
    for name in PHOTOGRAPHS:
        with warnings.catch_warnings():
            # Loading one imports a downloader whose progress bar asks for widgets inside a notebook.
            warnings.filterwarnings("ignore", message="IProgress not found")
            image = getattr(skimage.data, name)()
        grey = rgb2gray(image) if image.ndim == 3 else image / 255.0
        grey = resize(grey, (_TEXELS, _TEXELS), anti_aliasing=True)
        # Equal mean and contrast, so that no wall is told from another by its brightness alone.
        made.append(np.clip(0.5 + 0.22 * (grey - grey.mean()) / grey.std(), 0, 1))
    return np.stack(made)


@lru_cache(maxsize=1)
def _pyramid() -> tuple[torch.Tensor, torch.Tensor, int]:
    """All photographs at all levels in one flat tensor, where each level starts, and the last level."""
    level = torch.tensor(photographs(), dtype=torch.float32)
    levels, starts, at = [], [], 0
    while True:
        starts.append(at)
        levels.append(level.flatten())
        at += level.numel()
        if level.shape[-1] == 1:
            break
        level = torch.nn.functional.avg_pool2d(level[:, None], 2)[:, 0]
    return torch.cat(levels), torch.tensor(starts), len(starts) - 1


def _read_level(
    texels: torch.Tensor, starts: torch.Tensor, level: torch.Tensor, face: torch.Tensor, u: torch.Tensor, v
) -> torch.Tensor:
    """Bilinear reading of one level of the pyramid at u, v in 0..1."""
    side = torch.bitwise_right_shift(torch.tensor(_TEXELS), level)
    first = starts[level] + face * side * side
    last = (side - 1).float()
    u = (u * side - 0.5).clamp(min=0.0).minimum(last)
    v = (v * side - 0.5).clamp(min=0.0).minimum(last)
    u0, v0 = u.long(), v.long()
    du, dv = u - u0, v - v0
    right = (u0 + 1).minimum(side - 1)
    row0 = first + v0 * side
    row1 = first + (v0 + 1).minimum(side - 1) * side
    top = torch.lerp(texels[row0 + u0], texels[row0 + right], du)
    bottom = torch.lerp(texels[row1 + u0], texels[row1 + right], du)
    return torch.lerp(top, bottom, dv)


def render(
    camera: Camera, position: np.ndarray, rotation: np.ndarray, rows: slice | None = None
) -> np.ndarray:
    """Pictures of the box.

    Parameters
    ----------
    camera : Camera
    position : (n, 3) array
        Where the camera is, cm.
    rotation : (n, 3, 3) array
        Camera axes to world axes.
    rows : slice, optional
        Which rows of the picture (a field of an interlaced camera); all by default.

    Returns
    -------
    (n, rows, columns) float32 array, brightness 0 to 1.
    """
    texels, starts, last_level = _pyramid()
    n_columns = camera.shape[1]
    seen = camera.rays().reshape(3, *camera.shape)[:, rows if rows is not None else slice(None)]
    n_rows = seen.shape[1]
    rays = torch.tensor(seen.reshape(3, -1), dtype=torch.float32)
    ray_length = rays.norm(dim=0)
    out = np.empty((len(position), n_rows, n_columns), np.float32)
    chunk = max(1, 160_000 // rays.shape[1])  # intermediate arrays then stay in the processor's cache
    for i in range(0, len(position), chunk):
        origin = torch.tensor(position[i : i + chunk], dtype=torch.float32)[:, :, None]
        direction = torch.tensor(rotation[i : i + chunk], dtype=torch.float32) @ rays
        # A ray that runs along a plane is turned by an angle that no picture shows.
        direction = torch.where(direction.abs() < 1e-7, 1e-7, direction)
        face, distance, u, v, along = _first_hit(origin, direction)
        # A pixel covers `distance · ray_length / focal` cm across the ray and 1 / cos(incidence) times that
        # along the surface; the level follows the geometric mean of the two.
        footprint = distance * ray_length / camera.focal_px / (along / ray_length).clamp(min=0.05).sqrt()
        level = torch.log2(footprint * (_TEXELS / _PHOTOGRAPH_CM)) - _FINER
        level = level.clamp(0, last_level - 1e-3)
        low = level.long()
        near = _read_level(texels, starts, low, face, u, v)
        far = _read_level(texels, starts, low + 1, face, u, v)
        out[i : i + chunk] = torch.lerp(near, far, level - low).reshape(-1, n_rows, n_columns).numpy()
    return out


def _first_hit(
    origin: torch.Tensor, direction: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which photograph each ray meets, how far off, where on it (u, v), and how squarely, (n, ray) each.

    Parameters
    ----------
    origin : (n, 3, 1) tensor, cm, inside the box and outside the pillars
    direction : (n, 3, ray) tensor, no part 0
    """
    forward = direction > 0
    size = torch.tensor(BOX_CM)[:, None]
    inverse = 1 / direction
    distance, axis = ((forward * size - origin) * inverse).min(dim=1)
    portion = ((origin + distance[:, None] * direction) / size).clamp(0, 1)
    x, y, z = portion[:, 0], portion[:, 1], portion[:, 2]
    u, v = torch.where(axis == 0, y, x), torch.where(axis == 2, y, 1 - z)
    face = 2 * axis + forward.gather(1, axis[:, None])[:, 0]
    level, going = direction[:, :2], forward[:, :2]
    for number, (x0, y0, x1, y1, top) in enumerate(PILLARS_CM):
        low, high = torch.tensor([[x0], [y0]]), torch.tensor([[x1], [y1]])
        # Between which two distances a ray is between a pillar's walls. Eyes are lower than any pillar's
        # top, so a ray that meets a pillar meets a wall of it first.
        near, side = ((torch.where(going, low, high) - origin[:, :2]) * inverse[:, :2]).max(dim=1)
        leave = ((torch.where(going, high, low) - origin[:, :2]) * inverse[:, :2]).amin(dim=1)
        height = origin[:, 2] + near * direction[:, 2]
        met = (near < leave) & (near > 0) & (near < distance) & (height < top)
        across = torch.where(side == 0, origin[:, 1] + near * level[:, 1], origin[:, 0] + near * level[:, 0])
        # Each pillar is papered with another part of a photograph, at the scale of the walls.
        u = torch.where(met, across / _PHOTOGRAPH_CM, u)
        v = torch.where(met, 0.2 * number + (top - height) / _PHOTOGRAPH_CM, v)
        face = torch.where(met, (number + 3) % len(PHOTOGRAPHS), face)
        distance, axis = torch.where(met, near, distance), torch.where(met, side, axis)
    return face, distance, u, v, direction.gather(1, axis[:, None])[:, 0].abs()
