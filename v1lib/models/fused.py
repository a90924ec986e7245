"""Convolution, BatchNorm, ReLU and Dropout of a training step in fewer passes over memory.

On a CPU the maps of the paper's first convolution, 128 of 27 x 37 for each of 256 frames, take longer to read
and write than to compute. What the four layers do is computed here with the same result but for rounding:

- A convolution of one channel is a product of its patches with the kernels, so the mean and variance of its
  output follow from those of the patches, and BatchNorm becomes part of the kernels.
- The factor of Dropout is put into BatchNorm's scale, ReLU and the mask work in place, and the gradient of
  both is where the output is positive.
- A mask of probability one half is made of random bits, 64 from each random number.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve_normalize_rectify_drop(x: Tensor, conv: Any, norm: Any, drop: float) -> Tensor:
    """What ``Dropout(drop)(ReLU()(norm(conv(x))))`` gives in training; updates the running statistics.

    Parameters
    ----------
    x : Tensor, shape (n, channel, y, x)
    conv : torch.nn.Conv2d
        With a bias, without padding, dilation or groups.
    norm : torch.nn.BatchNorm2d
        With a momentum.
    drop : float
        Probability, from 0 to below 1.
    """
    factor = 1 / (1 - drop)
    made = (_one_channel if x.shape[1] == 1 else _many_channels)(x, conv, norm, factor)
    return _RectifyAndDrop.apply(made, drop)


def _many_channels(x: Tensor, conv: Any, norm: Any, factor: float) -> Tensor:
    norm.num_batches_tracked += 1
    running = (norm.running_mean, norm.running_var)
    return F.batch_norm(
        conv(x), *running, factor * norm.weight, factor * norm.bias, True, norm.momentum, norm.eps
    )


def _one_channel(x: Tensor, conv: Any, norm: Any, factor: float) -> Tensor:
    (height, width), (step_y, step_x) = conv.kernel_size, conv.stride
    # BatchNorm takes out again what is added to all pixels; without it the squares keep their digits.
    level = x.detach().mean()
    tiles = (x[:, 0] - level).unfold(1, height, step_y).unfold(2, width, step_x)
    patches = tiles.permute(0, 3, 4, 1, 2).reshape(x.shape[0], height * width, -1)
    kernels = conv.weight.flatten(1)
    n = patches.shape[0] * patches.shape[2]
    patch_mean = patches.sum((0, 2)) / n
    squares = torch.bmm(patches, patches.transpose(1, 2)).sum(0) / n
    covariance = squares - torch.outer(patch_mean, patch_mean)
    mean, variance = kernels @ patch_mean, ((kernels @ covariance) * kernels).sum(1).clamp_min(0)
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean + level * kernels.sum(1) + conv.bias, norm.momentum)
        norm.running_var.lerp_(variance * n / (n - 1), norm.momentum)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    # The convolution's own bias is taken out as well; its gradient is 0, which an optimizer has to find.
    shifted = norm.bias - mean * scale + 0 * conv.bias
    made = _ProductWithPatches.apply(kernels * (factor * scale)[:, None], factor * shifted, patches)
    return made.unflatten(2, (tiles.shape[1], tiles.shape[2]))


class _ProductWithPatches(torch.autograd.Function):
    """Kernels (channel, k) times patches (n, k, place), plus a bias (channel,)."""

    @staticmethod
    def forward(ctx, kernels: Tensor, bias: Tensor, patches: Tensor) -> Tensor:
        ctx.save_for_backward(kernels, patches)
        n, _, places = patches.shape
        return torch.baddbmm(bias[:, None].expand(n, -1, places), kernels.expand(n, -1, -1), patches)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        kernels, patches = ctx.saved_tensors
        to_kernels = torch.bmm(gradient, patches.transpose(1, 2)).sum(0)
        to_patches = None
        if ctx.needs_input_grad[2]:
            to_patches = torch.bmm(kernels.t().expand(len(patches), -1, -1), gradient)
        return to_kernels, gradient.sum((0, 2)), to_patches


class _RectifyAndDrop(torch.autograd.Function):
    """ReLU and a random mask, in place; what is kept is not made larger here."""

    @staticmethod
    def forward(ctx, x: Tensor, drop: float) -> Tensor:
        ctx.mark_dirty(x)
        x.clamp_min_(0.0)
        if drop > 0:
            x.mul_(_mask(x, drop))
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (kept,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, kept, 0.0), None


def _mask(x: Tensor, drop: float) -> Tensor:
    """Zeros with probability `drop`, else ones, of the shape of `x`."""
    if drop != 0.5:
        return torch.empty_like(x).bernoulli_(1 - drop)
    n = x.numel()
    bits = torch.randint(-(2**63), 2**63 - 1, (n // 64 + 1,), dtype=torch.int64)
    return F.embedding(bits.view(torch.uint8).int(), _BYTES).flatten()[:n].view(x.shape)


#: The eight bits of each byte as zeros and ones.
_BYTES = torch.tensor([[float(byte >> bit & 1) for bit in range(8)] for byte in range(256)])
