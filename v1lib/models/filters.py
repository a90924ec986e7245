"""Linear filters of the retinal image and its lags, one for each unit: over the whole picture, or local.

Both are made of cosines, so that they are smooth. The one over the whole picture has a weight for each
cosine and lag, of which the fine ones have the higher price. The local one has a single field, the same at
every lag, in a Gaussian window whose place and size are learned, times one kernel in time: a tenth of the
weights, and what is known of V1 cells that answer linearly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v1lib.models.field import cosine_basis, gaussian_windows

#: Filters are made of cosines so small that one learning rate suits their weights and the shifter's.
_STEP = 0.03
#: First size of a window, standard deviation in half widths of the frame.
_WINDOW = 0.3


class FrameFilters(nn.Module):
    """A weight for each cosine over the whole picture and each lag.

    Parameters
    ----------
    n_units, seq_len : int
    shape : (y, x)
        Of the retinal image.
    finest : float
        Finest cosine, cycles a width of the frame.
    smoothness : float
        Frequency at which a cosine costs four times as much as a coarse one, cycles a width.
    """

    basis: Tensor

    def __init__(self, n_units: int, seq_len: int, shape: tuple[int, int], finest: float, smoothness: float):
        super().__init__()
        cosines, frequency = cosine_basis(shape, finest)
        level = torch.full((1, cosines.shape[1]), cosines.shape[1] ** -0.5)
        # Pictures hold the less of a cosine the finer it is, as the inverse of its frequency: times that,
        # a weight of one says as much of coarse and fine, but for the price of fine ones.
        priced = cosines * frequency / (1 + frequency / smoothness)
        basis = torch.cat([level * frequency.min(), priced])
        self.register_buffer("basis", _STEP * basis, persistent=False)
        self.coefficients = nn.Parameter(0.1 * torch.randn(n_units, seq_len, len(basis)))

    def over_lags(self) -> Tensor:
        """Each unit's filter, (unit, lag, pixel), the newest bin first."""
        return self.coefficients @ self.basis

    def forward(self, image: Tensor) -> Tensor:
        """What filters see of pictures (b, t, pixel) up to each bin, (b, t, unit)."""
        return sum_over_lags(image, self.over_lags())

    def sum_of_squares(self) -> Tensor:
        """Of all weights, ()."""
        return self.coefficients.square().sum()


class LocalFilters(nn.Module):
    """One field in a window, times one kernel in time.

    Parameters
    ----------
    n_units, seq_len : int
    shape : (y, x)
        Of the retinal image.
    finest : float
        Finest cosine, cycles a width of the frame.
    places : Tensor, shape (2, pixel)
        Of the retinal image's pixels, from :func:`v1lib.models.gaze.retinal_places`.
    """

    basis: Tensor
    places: Tensor

    def __init__(self, n_units: int, seq_len: int, shape: tuple[int, int], finest: float, places: Tensor):
        super().__init__()
        self.register_buffer("basis", cosine_basis(shape, finest)[0], persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.coefficients = nn.Parameter(0.05 * torch.randn(n_units, len(self.basis)))
        self.kernels = nn.Parameter(0.3 * torch.randn(n_units, seq_len))
        self.place = nn.Parameter(torch.zeros(n_units, 2))
        self.log_width = nn.Parameter(torch.zeros(n_units))

    def fields(self) -> Tensor:
        """Each unit's field in its window, (unit, pixel)."""
        window = gaussian_windows(self.places, self.place, self.log_width, _WINDOW)
        # A window that is half as wide is twice as high, so that the penalty favours one that fits the field.
        return (self.coefficients @ self.basis) * window * torch.exp(-self.log_width)[:, None]

    def over_lags(self) -> Tensor:
        """Each unit's filter, (unit, lag, pixel), the newest bin first."""
        return self.kernels[:, :, None] * self.fields()[:, None]

    def forward(self, image: Tensor) -> Tensor:
        """What filters see of pictures (b, t, pixel) up to each bin, (b, t, unit)."""
        seen = image @ self.fields().T
        padded = F.pad(seen, (0, 0, self.kernels.shape[1] - 1, 0))
        windows = padded.unfold(1, self.kernels.shape[1], 1)  # (b, t, unit, lag), the oldest first
        return torch.einsum("btul,ul->btu", windows, self.kernels.flip(1))

    def sum_of_squares(self) -> Tensor:
        """Of all weights but the windows', ()."""
        return self.coefficients.square().sum() + self.kernels.square().sum()


def sum_over_lags(values: Tensor, weights: Tensor) -> Tensor:
    """Values (b, t, k) through weights (unit, lag, k): each bin and those before it, (b, t, unit)."""
    units, lags = weights.shape[:2]
    through = (values @ weights.flatten(0, 1).T).unflatten(2, (units, lags))
    padded = F.pad(through, (0, 0, 0, 0, lags - 1, 0))
    time = values.shape[1]
    return torch.stack([padded[:, lags - 1 - k :][:, :time, :, k] for k in range(lags)]).sum(0)
