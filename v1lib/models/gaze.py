"""The picture that a turned eye sees: rays behind a pinhole, turned as the gaze says.

A shift and a rotation of the frame, as the paper has them, hold near the frame's middle alone. A turn of the
eye moves what lies far from there by other amounts and in other directions.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GazeRotation(nn.Module):
    """From the gaze to a turn of the eye in the head, and the picture that the turned eye sees.

    The turn is linear in the gaze plus what a small network adds, and starts at none. ``focal`` is the focal
    length in half widths of the frame; it starts at 1, a camera of 90 degrees.
    """

    places: Tensor

    def __init__(self, n_inputs: int, frame_shape: tuple[int, int], pool: int, hidden: int = 16):
        super().__init__()
        self.linear = nn.Linear(n_inputs, 3)
        self.hidden = nn.Linear(n_inputs, hidden)
        self.more = nn.Linear(hidden, 3, bias=False)
        self.log_focal = nn.Parameter(torch.zeros(()))
        for layer in (self.linear, self.more):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.linear.bias)
        self.half_width, self.pool = frame_shape[1] / 2, pool
        #: Rows and columns of the retinal image.
        self.shape = (frame_shape[0] // pool, frame_shape[1] // pool)
        self.register_buffer("places", retinal_places(frame_shape, pool), persistent=False)

    def turn(self, gaze: Tensor) -> Tensor:
        """Gaze (n, inputs) -> rotations (n, 3, 3) from the eye's axes (ahead, left, up) to the head's."""
        # A third of a radian a unit, so that what is learned stays near one.
        yaw, pitch, roll = (0.3 * (self.linear(gaze) + self.more(torch.tanh(self.hidden(gaze))))).unbind(1)
        zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

        def matrix(*entries: Tensor) -> Tensor:
            return torch.stack(entries, dim=1).unflatten(1, (3, 3))

        # To the left about the axis up, up about the axis to the left, right ear down about the axis ahead.
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        about_up = matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)
        cos, sin = torch.cos(pitch), torch.sin(pitch)
        about_left = matrix(cos, zero, -sin, zero, one, zero, sin, zero, cos)
        cos, sin = torch.cos(roll), torch.sin(roll)
        about_ahead = matrix(one, zero, zero, zero, cos, -sin, zero, sin, cos)
        return about_up @ about_left @ about_ahead

    def shift(self, gaze: Tensor) -> Tensor:
        """Where the turn takes the middle of the frame: x, y in px and the angle there in degrees, (n, 3)."""
        to_eye, focal = self.turn(gaze).transpose(1, 2), self.log_focal.exp()
        ahead, aside = to_eye[:, :, 0], to_eye[:, :, 0] - 1e-3 * to_eye[:, :, 1]
        middle, beside = (-focal * ray[:, 1:] / ray[:, :1] for ray in (ahead, aside))
        step = beside - middle
        angle = torch.rad2deg(torch.atan2(step[:, 1], step[:, 0]))
        return torch.cat([middle * self.half_width, angle[:, None]], dim=1)

    def forward(self, frames: Tensor, gaze: Tensor) -> Tensor:
        """Frames (n, 1, y, x) and gaze (n, inputs) -> the retinal image (n, 1, y / pool, x / pool)."""
        focal = self.log_focal.exp()
        x, y = self.places  # in half widths, right and down
        rays = torch.stack([torch.ones_like(x) * focal, -x, -y])
        ahead, left, up = (self.turn(gaze) @ rays).unbind(1)
        # A place behind the camera is not in the picture: it is taken far to the side.
        ahead = ahead.clamp_min(1e-2)
        seen = torch.stack([-focal * left / ahead, -focal * up / ahead], dim=-1)
        return read_pooled(frames, seen, self.pool).unflatten(2, self.shape)


def retinal_places(frame_shape: tuple[int, int], pool: int) -> Tensor:
    """Middles of blocks of pool x pool pixels, x right and y down from the middle, in half widths, (2, p)."""
    height, width = frame_shape[0] // pool, frame_shape[1] // pool
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centered = torch.stack([x.flatten() - (width - 1) / 2, y.flatten() - (height - 1) / 2])
    return centered * pool / (frame_shape[1] / 2)


def read_pooled(frames: Tensor, places: Tensor, pool: int) -> Tensor:
    """The mean of pool x pool pixels around places, bilinear between pixels, 0 outside, (n, 1, p).

    Parameters
    ----------
    frames : Tensor, shape (n, 1, y, x)
    places : Tensor, shape (n, p, 2)
        x right and y down from the middle, in half widths.
    """
    height, width = frames.shape[-2:]
    blurred = frames / pool**2
    for dim in (2, 3):  # sums of slices: a pooling layer of stride 1 takes five times as long
        size = blurred.shape[dim] - pool + 1
        blurred = functools.reduce(torch.add, [blurred.narrow(dim, k, size) for k in range(pool)])
    # grid_sample counts from -1 to 1 between the middles of the outermost pixels.
    reach = torch.tensor([width - pool, height - pool], device=places.device) / width
    grid = (places / reach).unsqueeze(1)
    return F.grid_sample(blurred, grid, padding_mode="zeros", align_corners=True).squeeze(2)
