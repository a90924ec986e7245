"""Each encoder of Table 1 in the same network: shapes, gradients, learning, causality, refusals."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from planted import planted_session
from scipy.ndimage import map_coordinates

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit, predict
from v1lib.interpret.inside import look_inside
from v1lib.models import encoding_model
from v1lib.models.encoders import ENCODERS, Autoencoder, GaussianReadout, SensoriumEncoder
from v1lib.models.encoding import EncodingModel
from v1lib.splits import split
from v1lib.store import load_run, save_run

GAZE = ("theta", "phi", "pitch", "roll")
FRAME = (32, 36)
SMALL = dict(channels=(4, 6), kernels=(5, 3), strides=(2, 2), dropout=0.0, hidden=8, shifter_width=8)


def model_with(encoder, seed=0, **choices):
    torch.manual_seed(seed)
    return EncodingModel(FRAME, 3, ("speed", *GAZE), GAZE, encoder=encoder, **(SMALL | choices))


def batch(n=8, time=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(n, time, 1, *FRAME, generator=generator)
    return frames, torch.randn(n, time, 5, generator=generator)


def loss_of(model, given, target, seed=1):
    torch.manual_seed(seed)  # of what an encoder draws in training
    rates, penalty = model.rates_and_penalty(*given)
    return torch.nn.functional.poisson_nll_loss(rates, target, log_input=False) + penalty


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_reach_all_parts_and_a_step_lowers_the_loss(encoder):
    model = model_with(encoder, seq_len=2).train()
    # From the first layer's zeros no gradient goes further into the shifter.
    torch.nn.init.normal_(model.shifter.layers[7].weight, std=0.2)
    given, target = (
        batch(),
        torch.poisson(torch.full((8, 2, 3), 2.0), generator=torch.Generator().manual_seed(2)),
    )
    before = loss_of(model, given, target)
    before.backward()
    assert model(*given).shape == (8, 2, 3)
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A constant added before BatchNorm is taken away again: some biases have a gradient of rounding or none.
    assert not [name for name in silent if not name.endswith("bias")]
    assert not [name for name in silent if name.startswith(("fc", "bn", "lstm_net", "behav_encoder"))]
    slope = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    step = 2e-4 / slope**0.5
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= step * parameter.grad
        after = loss_of(model, given, target)
    # A step against the gradient, short enough for the slope to hold to a half.
    assert float(before.detach() - after) == pytest.approx(2e-4 * slope**0.5, rel=0.5)


@torch.no_grad()
@pytest.mark.parametrize("encoder", ENCODERS)
def test_nothing_before_a_change_changes(encoder):
    model = model_with(encoder, seq_len=2).eval()
    # Running statistics of one batch: with those of an untrained network little comes through a deep encoder.
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(*batch(n=32))
    model.eval()
    frames, behavior = batch(n=1, time=6)
    later = frames.clone()
    later[:, 3] += 3 * torch.randn(FRAME, generator=torch.Generator().manual_seed(3))
    before, after = model(frames, behavior), model(later, behavior)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=0)
    changed = (after - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_fitted_run_is_kept_whole(encoder, tmp_path):
    session = planted_session(120, 2, FRAME, rate=2.0)[0]
    model = encoding_model(session, "orig", encoder=encoder, **SMALL)
    config = FitConfig(epochs=1, chunk_bins=8, batch_chunks=4, device="cpu")
    run = fit(model, session, split(session, "paper", n_segments=1), config)
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.model.arguments == model.arguments and type(again.model.visual_encoder) is type(
        model.visual_encoder
    )
    np.testing.assert_array_equal(predict(again, session).values, predict(run, session).values)
    if encoder in ("cnn", "autoencoder"):
        assert look_inside(run, session, np.array([5]))["maps"].shape == (1, 4, 14, 16)
    else:
        with pytest.raises(InputError, match=f"encoder: expected cnn or autoencoder, found '{encoder}'"):
            look_inside(run, session, np.array([5]))


@pytest.mark.parametrize(
    ("encoder", "least"), [("resnet18", 32), ("efficientnet", 32), ("sensorium", 9), ("autoencoder", 11)]
)
def test_frames_too_small_are_refused(encoder, least):
    sizes = dict(channels=(2, 2), kernels=(5, 4), strides=(2, 1))
    EncodingModel((least, 40), 2, encoder=encoder, **sizes)
    with pytest.raises(InputError, match=rf"^EncodingModel: (frame_shape|kernels): .*\({least - 1}, 40\)"):
        EncodingModel((least - 1, 40), 2, encoder=encoder, **sizes)


@pytest.mark.parametrize("vision", [True, False])
def test_an_unknown_encoder_is_refused(vision):
    with pytest.raises(InputError, match=r"^EncodingModel: encoder: expected cnn or .*, found 'vgg'[.]$"):
        EncodingModel((20, 24), 2, ("speed",), vision=vision, encoder="vgg")


@pytest.mark.parametrize(
    ("frame", "kernels", "strides"), [((60, 80), (7, 7, 7), (2, 2, 2)), ((21, 34), (5, 4), (3, 2))]
)
def test_the_decoder_goes_back_to_the_frame(frame, kernels, strides):
    sizes = ((4, 3, 2)[: len(kernels)], kernels, strides, 0.0)
    encoder = Autoencoder(frame, 2, *sizes).eval()
    frames = torch.randn(2, 1, *frame, generator=torch.Generator().manual_seed(0))
    v, again = encoder.reconstruct(frames)
    assert again.shape == frames.shape
    torch.testing.assert_close(v, encoder(frames))


def test_the_reconstruction_is_paid_for():
    """The penalty is the mean squared difference, weighted, on top of that on behaviour."""
    given = batch()
    penalties = {}
    for weight in (0.0, 1.0, 3.0):
        model = model_with("autoencoder", reconstruction=weight).eval()
        penalties[weight] = float(model.rates_and_penalty(*given)[1].detach())
    with torch.no_grad():
        parts = model.parts(given[0].flatten(0, 1), given[1].flatten(0, 1))
    misfit = float((parts["reconstructed"] - parts["shifted"]).square().mean())
    assert misfit > 0.1
    assert penalties[1.0] - penalties[0.0] == pytest.approx(misfit, rel=1e-5)
    assert penalties[3.0] - penalties[0.0] == pytest.approx(3 * misfit, rel=1e-5)
    with pytest.raises(InputError, match="reconstruction"):
        model_with("autoencoder", reconstruction=-1.0)


def test_the_reconstruction_is_averaged_over_bins():
    """A bin that is shown three times costs as much as once, whichever bins BatchNorm compares."""
    frames, behavior = batch(n=6, time=1)
    for by_bin in (True, False):
        model = model_with("autoencoder", normalize_by_bin=by_bin).train()
        once = model.rates_and_penalty(frames, behavior)[1]
        thrice = model.rates_and_penalty(frames.repeat(1, 3, 1, 1, 1), behavior.repeat(1, 3, 1))[1]
        torch.testing.assert_close(thrice, once)


def test_an_autoencoder_learns_to_make_the_frame_again():
    model = model_with("autoencoder", behavior_l1=0.0).train()
    frames, behavior = batch(n=16, time=1)
    frames = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 9, 1, 4).unsqueeze(1) * 9
    optimizer = torch.optim.Adam(model.visual_encoder.parameters(), 1e-2)
    penalties = []
    for _ in range(60):
        penalty = model.rates_and_penalty(frames, behavior)[1]
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        penalties.append(float(penalty.detach()))
    # A frame of its mean alone would leave the variance.
    assert penalties[-1] < 0.7 * float(frames.var())


def test_the_readout_reads_the_maps_where_its_units_look():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 4, 7, 9))
    readout = GaussianReadout(3, 4).double().eval()
    with torch.no_grad():
        readout.position.copy_(torch.tensor([[0.0, 0.0], [-0.37, 0.81], [1.4, -1.0]]))  # the last one outside
        readout.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
        made = readout(torch.from_numpy(maps)).numpy()
    position = np.clip(readout.position.detach().numpy(), -1, 1)
    x, y = (position[:, 0] + 1) / 2 * 8, (position[:, 1] + 1) / 2 * 6
    for frame in range(2):
        read = np.array([map_coordinates(channel, [y, x], order=1) for channel in maps[frame]])
        expected = (read.T * readout.features.detach().numpy()).sum(axis=1) + readout.bias.detach().numpy()
        np.testing.assert_allclose(made[frame], expected, rtol=1e-6)


def test_the_readout_looks_around_in_training_alone():
    # A map that rises along x by 1 a pixel tells where a unit looked.
    maps = torch.arange(41.0).expand(4000, 1, 41, 41)
    torch.manual_seed(0)
    readout = GaussianReadout(2, 1)
    with torch.no_grad():
        readout.features.fill_(1.0)
        readout.position.zero_()
        readout.width.copy_(torch.tensor([[0.1], [0.2]]))
        drawn = readout.train()(maps)
        still = readout.eval()(maps)
    torch.testing.assert_close(still, torch.full((4000, 2), 20.0))
    # 20 px are 1; the standard deviation of 4000 draws is known to 1 %, five of which are allowed.
    np.testing.assert_allclose(drawn.std(dim=0), [2.0, 4.0], rtol=0.06)
    np.testing.assert_allclose(drawn.mean(dim=0), [20.0, 20.0], atol=0.35)


def test_the_sensorium_core_by_its_sizes():
    encoder = SensoriumEncoder((60, 80), 10)
    counts = {name: p.numel() for name, p in encoder.core.named_parameters()}
    convolutions = [n for name, n in counts.items() if n > 64]
    assert convolutions == [81 * 64] + 3 * [49 * 64, 64 * 64]
    assert encoder.core(torch.zeros(1, 1, 60, 80)).shape == (1, 64, 52, 72)
    assert sum(p.numel() for p in encoder.readout.parameters()) == 10 * (2 + 1 + 64 + 1)


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet"])
def test_backbones_have_the_published_sizes(encoder):
    """As published for 1000 classes and three colours, with another head and two colours less."""
    model = EncodingModel((60, 80), 5, encoder=encoder)
    n = sum(p.numel() for p in model.visual_encoder.parameters())
    published = {
        "resnet18": 11_689_512 - 513 * 1000 - 2 * 64 * 49,
        "efficientnet": 5_288_548 - 1281 * 1000 - 2 * 32 * 9,
    }
    head = {"resnet18": 513 * 5, "efficientnet": 1281 * 5}
    assert n == published[encoder] + head[encoder]


def test_monai_is_imported_where_it_is_used_alone_and_without_a_word():
    code = (
        "import sys, v1lib; assert 'monai' not in sys.modules; from v1lib import EncodingModel; "
        "EncodingModel((32, 32), 2, encoder='resnet18'); assert 'monai' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
