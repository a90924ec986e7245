"""Visual encoders: from a frame to one number a unit. The rest of the network is the same for all of them.

================  ==================================================================================
``cnn``           the paper's: three convolutions and a linear map
``autoencoder``   the same, and a decoder that has to make the frame again
``resnet18``      ResNet-18 (He et al. 2016) from MONAI, with one input channel, from random weights
``efficientnet``  EfficientNet-B0 (Tan and Le 2019) from MONAI, likewise
``sensorium``     convolutions shared by all units and a Gaussian readout for each, after the baseline of
                  the Sensorium 2022 competition (Willeke et al. 2022), without its regularisers
================  ==================================================================================

The paper names the encoders of its Table 1 and gives the sizes of the first alone. The decoder here mirrors
the encoder; the others have the sizes of their sources.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v1lib.errors import InputError
from v1lib.models.fused import convolve_normalize_rectify_drop

ENCODERS = ("cnn", "autoencoder", "resnet18", "efficientnet", "sensorium")
#: Pixels a side that one pixel of the last map of ResNet-18 and EfficientNet-B0 stands for.
BACKBONE_STRIDE = 32


def _map_sizes(
    frame_shape: tuple[int, int], kernels: tuple[int, ...], strides: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Rows and columns of the frame and of what each convolution leaves of it."""
    sizes = [frame_shape]
    for kernel, stride in zip(kernels, strides, strict=True):
        height, width = sizes[-1]
        sizes.append(((height - kernel) // stride + 1, (width - kernel) // stride + 1))
    if min(map(min, sizes)) < 1:
        expected = f"kernels and strides that leave something of a frame of {frame_shape}"
        raise InputError("EncodingModel", "kernels", expected, f"{kernels} with strides {strides}")
    return sizes


class VisualEncoder(nn.Module):
    """Convolutions, each with BatchNorm, ReLU and Dropout, then one linear map to the units."""

    def __init__(
        self,
        frame_shape: tuple[int, int],
        n_units: int,
        channels: tuple[int, ...],
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        dropout: float,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        height, width = _map_sizes(frame_shape, kernels, strides)[-1]
        for after, kernel, stride in zip(channels, kernels, strides, strict=True):
            layers += [nn.Conv2d(before, after, kernel, stride), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.Dropout(dropout)]
            before = after
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * height * width, n_units))
        self.map_shape = (before, height, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (n, 1, y, x) -> one number a unit (n, unit)."""
        return self.layers[-2:](self.maps(frames))

    def maps(self, frames: Tensor) -> Tensor:
        """Frames (n, 1, y, x) -> what the last convolution makes of them (n, *map_shape)."""
        if not self.training or frames.device.type != "cpu":
            return self.layers[:-2](frames)
        layers: list[Any] = list(self.layers)
        for conv, norm, drop in zip(layers[0:-2:4], layers[1:-2:4], layers[3:-2:4], strict=True):
            frames = convolve_normalize_rectify_drop(frames, conv, norm, drop.p)
        return frames


class Autoencoder(VisualEncoder):
    """The same, with a decoder of transposed convolutions that goes back the way the encoder came."""

    def __init__(
        self,
        frame_shape: tuple[int, int],
        n_units: int,
        channels: tuple[int, ...],
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        dropout: float,
    ):
        super().__init__(frame_shape, n_units, channels, kernels, strides, dropout)
        layers: list[nn.Module] = []
        before = 1
        sizes = _map_sizes(frame_shape, kernels, strides)
        for after, kernel, stride, (height, width) in zip(channels, kernels, strides, sizes, strict=False):
            # Rows and columns that the convolution's last step did not reach are put back by the padding.
            rest = ((height - kernel) % stride, (width - kernel) % stride)
            back = nn.ConvTranspose2d(after, before, kernel, stride, output_padding=rest)
            layers = [back, nn.ReLU(), *layers] if layers else [back]
            before = after
        self.decoder = nn.Sequential(*layers)

    def reconstruct(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (n, 1, y, x) -> one number a unit (n, unit), and the frames made again (n, 1, y, x)."""
        maps = self.maps(frames)
        return self.layers[-2:](maps), self.decoder(maps)


class SensoriumEncoder(nn.Module):
    """A core of convolutions whose maps all units share, and a place on the maps for each unit."""

    def __init__(self, frame_shape: tuple[int, int], n_units: int, channels: int = 64, n_layers: int = 4):
        super().__init__()
        _check_side("sensorium", frame_shape, 9)
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 9, bias=False)]
        for _ in range(n_layers - 1):
            layers += [nn.BatchNorm2d(channels), nn.ELU()]
            # Depth-separable: each channel by its own kernel, then channels mixed pixel by pixel.
            layers += [nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)]
            layers += [nn.Conv2d(channels, channels, 1, bias=False)]
        self.core = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ELU())
        self.readout = GaussianReadout(n_units, channels)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (n, 1, y, x) -> one number a unit (n, unit)."""
        return self.readout(self.core(frames))


class GaussianReadout(nn.Module):
    """Each unit reads the maps at one place, which is drawn around its learned position in training.

    ``position`` is (x, y) from -1 to 1 over the map, ``width`` the standard deviation of the draw in the
    same units: a wide unit finds where to look, and settles by making its width small.
    """

    def __init__(self, n_units: int, channels: int):
        super().__init__()
        self.position = nn.Parameter(torch.empty(n_units, 2).uniform_(-0.3, 0.3))
        self.width = nn.Parameter(torch.full((n_units, 1), 0.1))
        self.features = nn.Parameter(torch.randn(n_units, channels) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(n_units))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, channel, y, x) -> one number a unit (n, unit)."""
        place = self.position.expand(maps.shape[0], -1, -1)
        if self.training:
            place = place + self.width * torch.randn_like(place)
        # A place outside the maps is moved to their border, where its unit can still learn its features.
        grid = place.clamp(-1, 1).unsqueeze(2)
        read = F.grid_sample(maps, grid, mode="bilinear", align_corners=True).squeeze(3)
        return torch.einsum("ncu,uc->nu", read, self.features) + self.bias


def resnet18(frame_shape: tuple[int, int], n_units: int) -> nn.Module:
    """ResNet-18 on one channel, otherwise with the strides and parameters that were published."""
    from monai.networks.nets.resnet import resnet18 as make  # slow to import, and seldom needed

    _check_side("resnet18", frame_shape, BACKBONE_STRIDE)
    return make(
        spatial_dims=2,
        n_input_channels=1,
        num_classes=n_units,
        pretrained=False,
        conv1_t_stride=2,
        bias_downsample=False,
    )


def efficientnet(frame_shape: tuple[int, int], n_units: int) -> nn.Module:
    """EfficientNet-B0 on one channel."""
    from monai.networks.nets.efficientnet import EfficientNetBN

    _check_side("efficientnet", frame_shape, BACKBONE_STRIDE)
    return EfficientNetBN(
        "efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=1, num_classes=n_units
    )


def make_encoder(
    name: str,
    frame_shape: tuple[int, int],
    n_units: int,
    channels: tuple[int, ...],
    kernels: tuple[int, ...],
    strides: tuple[int, ...],
    dropout: float,
) -> nn.Module:
    """The encoder of that name; the first two have the sizes asked for, the others those of their sources."""
    if name == "resnet18":
        return resnet18(frame_shape, n_units)
    if name == "efficientnet":
        return efficientnet(frame_shape, n_units)
    if name == "sensorium":
        return SensoriumEncoder(frame_shape, n_units)
    make = Autoencoder if name == "autoencoder" else VisualEncoder
    return make(frame_shape, n_units, channels, kernels, strides, dropout)


def _check_side(encoder: str, frame_shape: tuple[int, int], least: int) -> None:
    if min(frame_shape) < least:
        expected = f"frames of at least {least} x {least} for encoder {encoder!r}"
        raise InputError("EncodingModel", "frame_shape", expected, f"{frame_shape}")
