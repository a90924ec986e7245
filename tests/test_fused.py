"""The layers in fewer passes give what the layers give, and their masks are fair."""

import pytest
import torch
from torch import nn

from v1lib.models.fused import convolve_normalize_rectify_drop


def layers(channels, dtype, seed=0):
    torch.manual_seed(seed)
    conv, norm = nn.Conv2d(channels, 6, 5, 2), nn.BatchNorm2d(6)
    nn.init.normal_(norm.weight, 1, 0.3)
    nn.init.normal_(norm.bias)
    return nn.Sequential(conv, norm, nn.ReLU()).to(dtype).train()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [0.0, 50.0])
def test_they_give_what_the_layers_give(channels, level):
    """In double precision, where only rounding is left: outputs, gradients and running statistics."""
    plain, fused = layers(channels, torch.float64), layers(channels, torch.float64)
    x = torch.randn(7, channels, 16, 21, dtype=torch.float64) + level
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    made = [plain(inputs[0]), convolve_normalize_rectify_drop(inputs[1], fused[0], fused[1], 0.0)]
    torch.testing.assert_close(made[1], made[0], rtol=1e-9, atol=1e-10)
    weights = torch.randn_like(made[0])
    for one in made:
        (one * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-8, atol=1e-9)
    names = dict(plain.named_parameters())
    for name, value in fused.named_parameters():
        if name != "0.bias":  # BatchNorm takes it out: its gradient is nothing but rounding
            torch.testing.assert_close(value.grad, names[name].grad, rtol=1e-7, atol=1e-8)
    assert names["0.bias"].grad.abs().max() < 1e-9
    for name, value in plain.named_buffers():
        torch.testing.assert_close(dict(fused.named_buffers())[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("drop", [0.5, 0.2])
def test_dropped_values_are_zero_and_the_others_larger(drop):
    plain, fused = layers(1, torch.float32), layers(1, torch.float32)
    x = torch.randn(40, 1, 30, 40)
    full = plain(x)
    torch.manual_seed(1)
    made = convolve_normalize_rectify_drop(x, fused[0], fused[1], drop)
    active = full > 1e-4
    kept = made[active] > 0
    torch.testing.assert_close(made[active][kept], full[active][kept] / (1 - drop), rtol=1e-3, atol=1e-4)
    # Of some 30,000 values a share of 1 - drop is kept, within five standard errors.
    n = kept.numel()
    assert abs(float(kept.float().mean()) - (1 - drop)) < 5 * (drop * (1 - drop) / n) ** 0.5
    # Each is dropped by itself: neighbours go together as often as chance has it.
    whole = (made > 0)[:, :, :, :-1] & (made > 0)[:, :, :, 1:]
    pairs = active[:, :, :, :-1] & active[:, :, :, 1:]
    share = float(whole[pairs].float().mean())
    assert abs(share - (1 - drop) ** 2) < 5 * (0.25 / int(pairs.sum())) ** 0.5
    torch.manual_seed(1)
    again = convolve_normalize_rectify_drop(x, fused[0], fused[1], drop)
    assert torch.equal(again > 0, made > 0)
    torch.manual_seed(2)
    other = convolve_normalize_rectify_drop(x, fused[0], fused[1], drop)
    assert not torch.equal(other > 0, made > 0)


def test_the_gradient_flows_where_a_value_was_kept():
    fused = layers(1, torch.float64)
    x = torch.randn(5, 1, 16, 21, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    made = convolve_normalize_rectify_drop(x, fused[0], fused[1], 0.5)
    made.sum().backward()
    step, found = 1e-6, []
    for place in [(0, 0, 3, 4), (2, 0, 8, 9), (4, 0, 15, 2)]:
        values = []
        for sign in (1, -1):
            moved = x.detach().clone()
            moved[place] += sign * step
            one = layers(1, torch.float64)
            torch.manual_seed(3)
            values.append(convolve_normalize_rectify_drop(moved, one[0], one[1], 0.5).sum())
        found.append((float((values[0] - values[1]).detach()) / (2 * step), float(x.grad[place])))
    for numeric, exact in found:
        assert exact == pytest.approx(numeric, rel=1e-5, abs=1e-7)
