"""The network: its warp against an independent one, its names, its causality, its parts."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from v1lib.errors import InputError
from v1lib.models.encoding import EncodingModel, warp

GAZE = ("theta", "phi", "pitch", "roll")
SMALL = dict(channels=(4, 6), kernels=(5, 3), strides=(2, 2), hidden=8, shifter_width=8)


def warp_by_hand(frame, shift, center):
    """The formula of the paper's warp with scipy: output(p) = input(R(-a)(p - c - t) + c)."""
    height, width = frame.shape
    y, x = np.mgrid[:height, :width].astype(float)
    angle = np.deg2rad(shift[2])
    dx, dy = x - center[0] - shift[0], y - center[1] - shift[1]
    from_x = np.cos(angle) * dx + np.sin(angle) * dy + center[0]
    from_y = -np.sin(angle) * dx + np.cos(angle) * dy + center[1]
    # Zeros around the frame stand for what bilinear interpolation with zero padding sees at its border.
    around = np.pad(frame, 1)
    return map_coordinates(around, [from_y + 1, from_x + 1], order=1, mode="constant", cval=0.0)


@pytest.mark.parametrize("center", [None, (30.0, 40.0)])
def test_warp_against_scipy(center):
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(6, 60, 80))
    shifts = np.column_stack([rng.uniform(-14, 14, 6), rng.uniform(-10, 10, 6), rng.uniform(-45, 45, 6)])
    shifts[0] = 0
    made = warp(torch.from_numpy(frames)[:, None], torch.from_numpy(shifts), center)[:, 0].numpy()
    expected = [warp_by_hand(f, s, center or (40.0, 30.0)) for f, s in zip(frames, shifts, strict=True)]
    # Double precision: what differs is rounding in coordinates of up to 80 px.
    np.testing.assert_allclose(made, expected, atol=1e-10)
    np.testing.assert_allclose(made[0], frames[0], atol=1e-10)


def test_warp_moves_a_point_where_the_formula_says():
    frame = torch.zeros(1, 1, 21, 31)
    frame[0, 0, 10, 20] = 1.0  # x = 20, y = 10
    moved = warp(frame, torch.tensor([[3.0, -4.0, 0.0]]))[0, 0]
    assert moved[6, 23] == pytest.approx(1.0, abs=1e-5)
    turned = warp(frame, torch.tensor([[0.0, 0.0, 90.0]]), center=(15.0, 10.0))[0, 0]
    # A quarter turn by R takes (5, 0) from the centre to (0, 5): downwards in the picture.
    assert turned[15, 15] == pytest.approx(1.0, abs=1e-5)


def test_warp_undoes_a_planted_shift():
    rng = np.random.default_rng(1)
    frame = torch.from_numpy(rng.normal(size=(1, 1, 30, 40)))
    there = torch.tensor([[4.0, -3.0, 0.0]], dtype=torch.float64)
    back = warp(warp(frame, there), -there)
    inside = (slice(None), slice(None), slice(5, 25), slice(6, 34))
    torch.testing.assert_close(back[inside], frame[inside])
    assert (warp(frame, there)[inside] - frame[inside]).abs().max() > 1


def test_names_and_sizes_of_the_paper():
    model = EncodingModel((60, 80), 68, tuple(f"b{i}" for i in range(62)) + GAZE, GAZE)
    state = model.state_dict()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(1.75e6, rel=0.005)
    modules = {name.rsplit(".", 1)[0] for name in state}
    parts = {f"shifter.layers.{i}" for i in (0, 1, 2, 4, 5, 7)} | {"shifter"}
    parts |= {f"visual_encoder.layers.{i}" for i in (0, 1, 4, 5, 8, 9, 13)}
    assert modules == parts | {"behav_encoder.layers.0", "behav_encoder.layers.1", "bn", "lstm_net", "fc"}
    assert state["visual_encoder.layers.13.weight"].shape == (68, 480)
    assert state["lstm_net.weight_ih_l0"].shape == (3 * 512, 3 * 68)
    assert state["bn.weight"].shape == (3,)


def inputs(model, batch=2, time=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(batch, time, 1, *model.frame_shape, generator=generator)
    return frames, torch.randn(batch, time, len(model.columns), generator=generator)


def small(seed=0, behavior=("speed", *GAZE), gaze=GAZE, **choices):
    torch.manual_seed(seed)
    model = EncodingModel((20, 24), 3, behavior, gaze, **(SMALL | choices))
    if model.shifter is not None:
        torch.nn.init.normal_(model.shifter.layers[7].weight, std=0.2)
    return model.eval()


@pytest.mark.parametrize("seq_len", [1, 4])
def test_nothing_before_a_change_changes(seq_len):
    model = small(seq_len=seq_len)
    frames, behavior = inputs(model)
    later_frames, later_behavior = frames.clone(), behavior.clone()
    later_frames[:, 5] += 3
    later_behavior[:, 5] -= 2
    with torch.no_grad():
        before, after = model(frames, behavior), model(later_frames, later_behavior)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=0)
    changed = (after - before).abs().amax(dim=(0, 2)) > 1e-6
    # The change is seen for as long as a window holds it, and not a bin longer.
    assert changed.tolist() == [5 <= t < 5 + seq_len for t in range(9)]


def test_a_window_is_computed_as_if_alone():
    """Sliding over features gives what encoding each window by itself would."""
    model = small(seq_len=4)
    frames, behavior = inputs(model)
    with torch.no_grad():
        whole = model(frames, behavior)
        for t in range(3, 9):
            alone = model(frames[:, t - 3 : t + 1], behavior[:, t - 3 : t + 1])[:, -1]
            torch.testing.assert_close(alone, whole[:, t], rtol=1e-5, atol=1e-6)


def test_the_recurrence_against_its_equations():
    """Output of one window from the state dict with NumPy's arithmetic, eval mode."""
    model = small(seq_len=3)
    frames, behavior = inputs(model, batch=1, time=3)
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    with torch.no_grad():
        parts = model.parts(frames[0], behavior[0])
        made = model(frames, behavior)[0, -1].numpy()
    fused = np.stack([parts[name].double().numpy() for name in ("v", "b", "vb")], axis=1)
    mean, var = state["bn.running_mean"][:, None], state["bn.running_var"][:, None]
    fused = (fused - mean) / np.sqrt(var + 1e-5) * state["bn.weight"][:, None] + state["bn.bias"][:, None]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = np.zeros(8)
    for x in fused.reshape(3, -1):  # all v, all b, all v·b
        gates_x = state["lstm_net.weight_ih_l0"] @ x + state["lstm_net.bias_ih_l0"]
        gates_h = state["lstm_net.weight_hh_l0"] @ h + state["lstm_net.bias_hh_l0"]
        r, z = sigmoid(gates_x[:8] + gates_h[:8]), sigmoid(gates_x[8:16] + gates_h[8:16])
        n = np.tanh(gates_x[16:] + r * gates_h[16:])
        h = (1 - z) * n + z * h
    expected = np.log1p(np.exp(state["fc.weight"] @ h + state["fc.bias"]))
    np.testing.assert_allclose(made, expected, rtol=1e-5)


@pytest.mark.parametrize("behavior", [(), ("speed", *GAZE)])
def test_without_recurrence_rates_are_linear_in_the_features(behavior):
    model = small(behavior=behavior, hidden=None)
    assert not [name for name in model.state_dict() if name.startswith("lstm_net")]
    assert model.fc.in_features == (9 if behavior else 3)
    frames, given = inputs(model)
    with torch.no_grad():
        made = model(frames, given).flatten(0, 1).double().numpy()
        parts = model.parts(frames.flatten(0, 1), given.flatten(0, 1))
        fused = torch.stack([parts[name] for name in ("v", "b", "vb") if name in parts], dim=1)
        state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    mean, var = state["bn.running_mean"][:, None], state["bn.running_var"][:, None]
    fused = (fused.double().numpy() - mean) / np.sqrt(var + 1e-5) * state["bn.weight"][:, None]
    out = (fused + state["bn.bias"][:, None]).reshape(18, -1) @ state["fc.weight"].T + state["fc.bias"]
    np.testing.assert_allclose(made, np.log1p(np.exp(out)), rtol=1e-5)


def test_windows_need_a_recurrence():
    with pytest.raises(InputError, match=r"^EncodingModel: seq_len: expected 1 .*hidden=None.*, found 4[.]$"):
        small(hidden=None, seq_len=4)


def test_the_product_is_the_product():
    model = small()
    frames, behavior = inputs(model)
    parts = model.parts(frames[0], behavior[0])
    torch.testing.assert_close(parts["vb"], parts["v"] * parts["b"])
    assert parts["shifted"].shape == frames[0].shape


def test_models_with_parts_left_out():
    blind, deaf = small(vision=False), small(behavior=())
    assert blind.columns == ("speed", *GAZE) and blind.shifter is None and blind.visual_encoder is None
    assert deaf.columns == GAZE and deaf.behav_encoder is None
    frames, behavior = inputs(blind)
    torch.testing.assert_close(blind(frames, behavior), blind(frames + 1, behavior))
    frames, behavior = inputs(deaf)
    assert not torch.allclose(deaf(frames, behavior), deaf(frames, behavior + 1))  # through the shifter
    fixed = small(gaze=())
    assert fixed.shifter is None and fixed.gaze_shift(behavior) is None
    frames, behavior = inputs(fixed)
    assert fixed(frames, behavior).shape == (2, 9, 3)
    # The behaviour encoder reads its own columns wherever they stand.
    other = small(behavior=("speed", "theta"))
    assert other.columns == ("speed", "theta", "phi", "pitch", "roll")
    assert other.reads.tolist() == [0, 1] and other.gaze_reads.tolist() == [1, 2, 3, 4]


def test_training_starts_from_the_unshifted_frame():
    model = EncodingModel((20, 24), 3, ("speed",), GAZE, **SMALL).eval()
    frames, behavior = inputs(model)
    torch.testing.assert_close(model.parts(frames[0], behavior[0])["shifted"], frames[0], atol=1e-5, rtol=0)


def test_the_shifter_reaches_its_span_and_no_further():
    model = small()
    last = model.shifter.layers[7]
    torch.nn.init.zeros_(last.weight)
    for sign in (1, -1):
        torch.nn.init.constant_(last.bias, 100.0 * sign)
        shift = model.gaze_shift(inputs(model)[1][0]).detach().numpy()
        expected = sign * np.array([24 / 5.5, 20 / 5.5, 45.0])
        np.testing.assert_allclose(shift, np.tile(expected, (9, 1)), rtol=1e-6)


@torch.no_grad()
def test_dropout_is_for_training_alone():
    for dropout, same in ((0.5, False), (0.0, True)):
        model = small(dropout=dropout)
        assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [dropout, dropout]
        given = inputs(model)
        torch.testing.assert_close(model(*given), model(*given), rtol=0, atol=0)
        model.train()
        assert torch.equal(model(*given), model(*given)) == same


def test_batchnorm_compares_the_bins_that_it_is_told_to():
    """Each BatchNorm's running mean after one pass, from what reaches it, by bin and over all bins."""
    frames, behavior = inputs(small(), batch=6, time=3)
    behavior[:, 1:] += torch.tensor([5.0, -3.0])[None, :, None]  # bins that differ
    for by_bin in (True, False):
        model = small(normalize_by_bin=by_bin, dropout=0.0).train()
        norm = model.behav_encoder.layers[0]
        made, _ = model.rates_and_penalty(frames, behavior)
        groups = behavior.unbind(1) if by_bin else [behavior.flatten(0, 1)]
        mean, var = torch.zeros(5), torch.ones(5)
        for group in groups:
            mean, var = 0.9 * mean + 0.1 * group.mean(0), 0.9 * var + 0.1 * group.var(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, var)
        counted = {int(m.num_batches_tracked) for m in model.modules() if hasattr(m, "num_batches_tracked")}
        assert counted == {3 if by_bin else 1}
        # Normalised bin by bin, what is added to all of a bin is taken away again; otherwise it is not.
        torch.manual_seed(0)
        again, _ = model.rates_and_penalty(frames, behavior + torch.tensor([0.0, 9.0, 0.0])[None, :, None])
        assert torch.allclose(again, made, atol=1e-4) == by_bin


@torch.no_grad()
def test_batchnorm_by_bin_is_for_training_alone():
    given = inputs(small(), batch=3)
    usual, by_bin = small(seq_len=2), small(seq_len=2, normalize_by_bin=True)
    torch.testing.assert_close(by_bin(*given), usual(*given), rtol=0, atol=0)
    # Chunks of one bin are the same either way.
    for model in (usual, by_bin):
        model.train()
    one = inputs(usual, batch=4, time=1)
    for seed in (0, 1):
        made = []
        for model in (usual, by_bin):
            torch.manual_seed(seed)
            made.append(model(*one))
        torch.testing.assert_close(*made)


def test_one_bin_is_nothing_to_compare():
    given = inputs(small(), batch=1, time=5)
    small().train()(*given)
    with pytest.raises(InputError, match="batch: expected at least two bins for BatchNorm to compare"):
        small(normalize_by_bin=True).train()(*given)
    small(normalize_by_bin=True).eval()(*given)


def test_outputs():
    frames, behavior = inputs(small())
    assert (small()(frames, behavior) > 0).all()
    assert (small(output="identity", seed=2)(frames, behavior) < 0).any()


def test_refusals():
    with pytest.raises(InputError, match="neither"):
        EncodingModel((20, 24), 3, vision=False)
    with pytest.raises(InputError, match="kernels"):
        EncodingModel((30, 40), 3)  # the paper's kernels leave nothing of a small frame
    with pytest.raises(InputError, match="softplus or identity"):
        EncodingModel((60, 80), 3, output="relu")
    with pytest.raises(InputError, match="n_units"):
        EncodingModel((60, 80), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0},
        {"hidden": "8"},
        {"seq_len": 1.5},
        {"seq_len": 0},
        {"shifter_width": 0},
        {"dropout": 2},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"dropout": "x"},
        {"shifter_divisor": None},
        {"center": (1,)},
        {"center": (float("nan"), 0)},
        {"normalize_by_bin": "no"},
        {"kernels": (5,)},
        {"kernels": 5},
        {"strides": (2, 2, 2)},
        {"strides": (2, 0)},
        {"channels": (4, 6.5)},
        {"channels": 4},
        {"shifter_divisor": 0.0},
        {"behavior_l1": -1.0},
        {"behavior_l1": float("inf")},
    ],
)
def test_sizes_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"^EncodingModel: {name}: expected .*, found .*[.]$"):
        EncodingModel((20, 24), 3, ("speed",), GAZE, **(SMALL | wrong))
