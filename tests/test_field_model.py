"""The project's own model: its turned picture, its fields, its causality, and what it learns."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import planted_session

from v1lib.errors import InputError
from v1lib.fit import FIELD_FIT, fit, predict
from v1lib.interpret.inside import learned_shift, unit_fields
from v1lib.models import field_model
from v1lib.models.encoding import warp
from v1lib.models.field import FieldModel, cosine_basis
from v1lib.models.gaze import GazeRotation, read_pooled, retinal_places
from v1lib.score import pearson
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import rotation_matrix
from v1lib.simulate.truth import retinal_motion
from v1lib.splits import split
from v1lib.store import load_run, save_run

GAZE = ("theta", "phi", "pitch", "roll")


def turned_by(theta, phi, torsion, shape=(60, 80), pool=2, degrees=100.0):
    """A rotation whose gaze is the three angles themselves, behind a camera of so many degrees."""
    eye = GazeRotation(3, shape, pool)
    with torch.no_grad():
        eye.linear.weight.copy_(torch.eye(3) * np.pi / 180 / 0.3)
        eye.log_focal.copy_(torch.log(torch.tensor(1 / np.tan(np.deg2rad(degrees / 2)))))
    return eye, torch.tensor([[theta, phi, torsion]], dtype=torch.float32)


@pytest.mark.parametrize("angles", [(8.0, 0.0, 0.0), (0.0, -7.0, 0.0), (0.0, 0.0, 12.0), (-9.0, 6.0, -5.0)])
def test_the_turned_picture_is_the_one_that_a_turned_camera_takes(angles):
    """Against the simulator's renderer, which casts each ray into the arena."""
    position, head = (
        np.array([[30.0, 22.0, 4.0]]),
        rotation_matrix(*(np.array([a]) for a in (20.0, -8.0, 3.0))),
    )
    camera = camera_of((60, 80), 100.0)
    eye = rotation_matrix(*(np.array([a]) for a in angles))
    frame = torch.from_numpy(np.asarray(render(camera, position, head))[:, None]).float()
    wanted = np.asarray(render(camera, position, head @ eye)).reshape(30, 2, 40, 2).mean((1, 3))
    rotation, gaze = turned_by(*angles)
    with torch.no_grad():
        made = rotation(frame, gaze)[0, 0].numpy()
        still = rotation(frame, torch.zeros(1, 3))[0, 0].numpy()
    inside = (slice(8, -8), slice(8, -8))  # what the head camera sees of it
    r = np.corrcoef(made[inside].ravel(), wanted[inside].ravel())[0, 1]
    before = np.corrcoef(still[inside].ravel(), wanted[inside].ravel())[0, 1]
    # Two bilinear readings of a picture with power at all frequencies; a wrong sign or axis gives far less.
    assert r > 0.95 and r > before + 0.1


@pytest.mark.parametrize("angles", [(8.0, -3.0, 5.0), (-12.0, 10.0, -9.0)])
def test_the_shift_is_that_of_the_truth(angles):
    rotation, gaze = turned_by(*angles)
    with torch.no_grad():
        made = rotation.shift(gaze)[0].numpy()
    expected = retinal_motion(*(np.array([a]) for a in angles), camera_of((60, 80), 100.0).focal_px)
    np.testing.assert_allclose(made, [float(value[0]) for value in expected], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_without_a_turn_the_picture_is_the_pooled_frame(pool):
    frames = torch.randn(2, 1, 24, 36)
    places = retinal_places((24, 36), pool).T.expand(2, -1, 2)
    made = read_pooled(frames, places, pool).unflatten(2, (24 // pool, 36 // pool))
    torch.testing.assert_close(made, torch.nn.functional.avg_pool2d(frames, pool), atol=1e-4, rtol=0)


def test_cosines_are_orthogonal_and_of_unit_norm():
    basis, frequency = cosine_basis((12, 16), 5.0)
    # Single precision, sums of 192 products.
    np.testing.assert_allclose((basis @ basis.T).numpy(), np.eye(len(basis)), atol=1e-5)
    assert abs(float(basis.sum())) < 1e-3  # no constant among them
    assert float(frequency[0]) == 0.5 and 4.5 < float(frequency.max()) <= 5.0


def model_of(seed=0, behavior=("speed", *GAZE), gaze=GAZE, **choices):
    torch.manual_seed(seed)
    model = FieldModel((12, 16), 3, behavior, gaze, **({"seq_len": 4, "hidden": 5} | choices))
    if model.shifter is not None and hasattr(model.shifter, "linear"):
        torch.nn.init.normal_(model.shifter.linear.weight, std=0.2)
    return model.eval()


def inputs(model, batch=2, time=9):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(batch, time, 1, *model.frame_shape, generator=generator)
    return frames, torch.randn(batch, time, len(model.columns), generator=generator)


@pytest.mark.parametrize("shifter", ["rotation", "affine"])
def test_nothing_before_a_change_changes(shifter):
    model = model_of(shifter=shifter)
    frames, behavior = inputs(model)
    later_frames, later_behavior = frames.clone(), behavior.clone()
    later_frames[:, 5] += 3 * torch.randn(12, 16)
    later_behavior[:, 5] -= 2
    with torch.no_grad():
        before, after = model(frames, behavior), model(later_frames, later_behavior)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=0)
    changed = (after - before).abs().amax(dim=(0, 2)) > 1e-7
    assert changed.tolist() == [5 <= t < 9 for t in range(9)]


@pytest.mark.parametrize("vision_of", ["plain frames", "the paper's shifter"])
def test_its_rates_against_the_formula(vision_of):
    """NumPy's arithmetic, bin by bin and unit by unit, with every weight drawn at random."""
    shifted = vision_of == "the paper's shifter"
    model = model_of(gaze=GAZE if shifted else (), shifter="affine", pool=2, window=0.4).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    frames, behavior = (given.double() for given in inputs(model, batch=1, time=6))
    with torch.no_grad():
        made = model(frames, behavior)[0].numpy()
        images = torch.nn.functional.avg_pool2d(frames[0], 2)
        if shifted:
            shift = model.gaze_shift(behavior[0]) / torch.tensor([2.0, 2.0, 1.0])
            images = warp(images, shift.double())
    images = images[:, 0].numpy()
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    softplus, expected = lambda x: np.log1p(np.exp(x)), np.zeros((6, 3))
    rows, columns = np.mgrid[:6, :8]
    x, y = (columns - 3.5) * 2 / 8, (rows - 2.5) * 2 / 8
    basis = cosine_basis((6, 8), 16.0)[0].double().numpy()
    state = np.tanh(behavior[0].numpy()[:, :5] @ w["modulation.0.weight"].T + w["modulation.0.bias"])
    gains_and_offsets = state @ w["to_gain_and_offset.weight"].T + w["to_gain_and_offset.bias"]
    for unit in range(3):
        away = (x - 0.25 * w["place"][unit, 0]) ** 2 + (y - 0.25 * w["place"][unit, 1]) ** 2
        width, around = (0.4 * np.exp(w[name][unit]) for name in ("log_width", "log_surround"))
        window = np.exp(-away / (2 * width**2)) * 0.4 / width
        weight = np.exp(-away / (2 * around**2))
        weight /= weight.sum()
        divisor = softplus(w["contrast_weight"][unit])
        seen = np.zeros((6 + 3, 2))  # nothing was seen before the first bin
        for t in range(6):
            spread = np.sqrt((weight * images[t] ** 2).sum() - (weight * images[t]).sum() ** 2)
            for field in range(2):
                picture = (w["coefficients"][unit, field] @ basis).reshape(6, 8) * window
                seen[3 + t, field] = (picture * images[t]).sum() * (1 + divisor) / (1 + divisor * spread)
        for t in range(6):
            terms = [(w["kernels"][unit, j].T * seen[t : t + 4]).sum() for j in range(3)]
            energy = np.sqrt(terms[1] ** 2 + terms[2] ** 2 + 0.01) - 0.1
            drive = terms[0] - w["threshold"][unit] + w["energy_weight"][unit] * energy
            slope = 0.1 + softplus(w["slope"][unit])
            gain = np.exp(3 * np.tanh(gains_and_offsets[t, unit] / 3))
            offset = softplus(w["offset"][unit] + gains_and_offsets[t, 3 + unit])
            expected[t, unit] = offset + gain * softplus(slope * drive) / slope
    # The basis is kept in single precision.
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_cosines_are_counted_in_cycles_a_width_both_ways():
    """In a frame twice as wide as high, four half cycles a width are two a height."""
    for shape, expected in (((20, 40), 2.0), ((20, 20), 1.0)):
        basis, frequency = cosine_basis(shape, 8.0)
        y = np.cos(np.pi * 2 * (np.arange(20) + 0.5) / 20)[:, None] * np.ones(shape[1])
        products = np.abs(basis.numpy() @ y.ravel()) / np.linalg.norm(y)
        assert products.max() == pytest.approx(1, rel=1e-5)
        assert float(frequency[products.argmax()]) == pytest.approx(expected, rel=1e-6)


def test_the_turn_bends_where_the_network_says():
    """The part that is not linear in the gaze, by its formula."""
    rotation = GazeRotation(2, (12, 16), 1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (rotation.hidden.weight, rotation.hidden.bias, rotation.more.weight):
            layer.copy_(torch.randn(layer.shape, generator=generator))
        gaze = torch.tensor([[0.7, -0.4]])
        made = rotation.turn(gaze)[0].numpy()
    layers = (rotation.hidden.weight, rotation.hidden.bias, rotation.more.weight)
    weight, bias, more = (layer.detach().numpy() for layer in layers)
    angles = np.rad2deg(0.3 * more @ np.tanh(gaze.numpy()[0] @ weight.T + bias))
    np.testing.assert_allclose(made, rotation_matrix(*(np.array([a]) for a in angles))[0], atol=1e-5)


def test_nothing_is_seen_outside_the_frame():
    frames = torch.ones(1, 1, 12, 16)
    outside = torch.tensor([[[3.0, 0.0], [0.0, -3.0], [0.0, 0.0]]])
    assert read_pooled(frames, outside, 2)[0, 0].tolist() == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)


def test_energies_do_not_see_the_sign_of_the_contrast_and_linear_terms_do():
    simple, complex_ = model_of(n_energies=0, normalize=False), model_of(normalize=False)
    with torch.no_grad():
        complex_.kernels[:, 0] = 0
    frames, behavior = inputs(simple)
    with torch.no_grad():
        torch.testing.assert_close(complex_(frames, behavior), complex_(-frames, behavior))
        assert not torch.allclose(simple(frames, behavior), simple(-frames, behavior))


def test_normalisation_takes_contrast_away():
    plain, normal = model_of(normalize=False), model_of()
    frames, behavior = inputs(plain)
    flat = behavior.flatten(0, 1)
    with torch.no_grad():
        normal.contrast_weight.fill_(20.0)
        for model, most in ((plain, 3.0), (normal, 1.1)):
            weak, strong = model.seen(frames.flatten(0, 1), flat), model.seen(3 * frames.flatten(0, 1), flat)
            assert float(strong.norm() / weak.norm()) == pytest.approx(most, rel=0.05)


def test_models_with_parts_left_out():
    frames, behavior = inputs(model_of())
    blind = model_of(vision=False)
    with torch.no_grad():
        torch.testing.assert_close(blind(frames, behavior), blind(frames + 1, behavior))
        assert blind(frames, behavior).shape == (2, 9, 3) and not blind.sees
    deaf = model_of(behavior=(), gaze=())
    assert deaf.columns == () and deaf.gaze_shift(torch.zeros(4, 0)) is None
    with torch.no_grad():
        assert deaf(frames, torch.zeros(2, 9, 0)).shape == (2, 9, 3)


def test_gradients_reach_every_parameter():
    model = model_of().train()
    rates, penalty = model.rates_and_penalty(*inputs(model))
    (rates.square().mean() + penalty).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not [name for name in silent if name != "shifter.hidden.weight" and name != "shifter.hidden.bias"]


def test_the_penalty_is_the_sum_of_squares():
    model = model_of(field_penalty=0.5, behavior_penalty=2.0)
    squares = [float((p.detach() ** 2).sum()) for p in (model.coefficients, model.kernels)]
    last = float((model.to_gain_and_offset.weight.detach() ** 2).sum())
    made = float(model.rates_and_penalty(*inputs(model))[1].detach())
    assert made == pytest.approx(0.5 * sum(squares) + 2.0 * last, rel=1e-5)


@pytest.fixture(scope="module")
def learned():
    session, truth = planted_session(4000, 3, rate=2.0)
    splits = split(session, n_segments=3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    config = replace(FIELD_FIT, epochs=12, device="cpu")
    run = fit(field_model(session, pool=1, window=0.5), session, splits, config)
    torch.set_num_threads(before)
    return session, truth, splits, run


def test_it_learns_what_was_planted(learned):
    session, truth, splits, run = learned
    test = splits.bins("test")
    rates = predict(run, session).values
    inside = test[np.isfinite(rates[test]).all(axis=1)]
    r = pearson(rates[inside], truth["rate"].values[inside])
    assert (r > 0.8).all(), r  # untrained models stay below 0.2
    shift = learned_shift(run, session)
    for axis, name in enumerate(("shift_x", "shift_y")):
        true = truth["shift"].values[:, axis]
        # In the planted session the camera's picture is read at place + shift.
        assert abs(np.corrcoef(shift[name], true)[0, 1]) > 0.9


def test_its_fields_are_where_they_were_planted(learned):
    session, _, _, run = learned
    found = unit_fields(run, session)
    assert found["field"].dims == ("unit", "field", "y", "x") and found["field"].shape == (3, 2, 12, 16)
    np.testing.assert_allclose(found["lag"], 0.048 * np.arange(6))
    # Planted with one bin of latency; the pictures change too slowly to tell the first three lags apart.
    size = np.abs(found["kernel"].isel(term=0)).sum("field").values
    assert (size[:, :3].sum(1) > 3 * size[:, 4:].sum(1)).all()
    # The planted fields lie in the middle two thirds; half of the frame's area holds most of what was found.
    power = np.square(found["linear"].values)
    assert (power[:, 2:10, 3:13].sum((1, 2)) > 0.8 * power.sum((1, 2))).all()
    # One lag for all units, the strongest of their kernels together, also where a unit's own is another.
    model = run.model
    lag = round(found.attrs["lag_s"] / 0.048)
    through = found["kernel"].isel(term=0, lag=lag).values
    np.testing.assert_allclose(
        found["linear"], np.einsum("uf,ufyx->uyx", through, found["field"].values), rtol=1e-5, atol=1e-7
    )
    rebound = copy.deepcopy(run)
    with torch.no_grad():  # the first unit answers most, by little, at a lag of its own
        rebound.model.kernels[0, 0] = 0
        rebound.model.kernels[0, 0, :, 0] = 1e-3
    others = unit_fields(rebound, session)
    assert others.attrs["lag_s"] < 5 * 0.048 and (others["linear"][0] == 0).all()
    size = torch.linalg.norm(model.fields().flatten(2), dim=2)[:, None, :, None] * model.kernels
    linear = size[:, 0].square().sum((1, 2))
    energy = model.energy_weight**2 * size[:, 1:].square().sum((1, 2, 3))
    np.testing.assert_allclose(found["energy_share"], (energy / (energy + linear)).detach(), rtol=1e-5)
    with pytest.raises(InputError, match="the model's 3 units"):
        unit_fields(run, session.isel(unit=[0]))


def test_it_is_saved_and_read_again(learned, tmp_path):
    session, _, _, run = learned
    again = load_run(save_run(run, tmp_path / "run"))
    assert isinstance(again.model, FieldModel)
    np.testing.assert_array_equal(predict(again, session), predict(run, session))


def test_fluorescence_may_be_negative():
    session, _ = planted_session(600, 2, kind="fluorescence")
    model = field_model(session, pool=1)
    assert model.output == "identity"
    run = fit(model, session, split(session, "paper"), replace(FIELD_FIT, epochs=1, device="cpu"))
    assert np.isfinite(predict(run, session).values[5:]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool": 5},
        {"pool": 0},
        {"n_fields": 0},
        {"n_energies": -1},
        {"seq_len": 0},
        {"finest": 0.4},
        {"local": "no"},
        {"normalize": None},
        {"window": -1.0},
        {"field_penalty": -1e-4},
        {"behavior_penalty": True},
        {"hidden": 1.5},
        {"output": "relu"},
        {"shifter": "paper"},
        {"frame_shape": (12,)},
    ],
)
def test_sizes_out_of_range_are_refused(wrong):
    (name,) = wrong
    variable = "frame_shape" if wrong == {"pool": 5} else name
    shape = wrong.get("frame_shape", (12, 16))
    rest = {key: value for key, value in wrong.items() if key != "frame_shape"}
    with pytest.raises(InputError, match=f"^FieldModel: {variable}: expected .*, found .*[.]$"):
        FieldModel(shape, 3, ("speed",), GAZE, **rest)


@pytest.mark.parametrize(("shape", "pool"), [((12, 16), 1), ((30, 40), 1), ((60, 80), 2), ((90, 121), 1)])
def test_frames_are_pooled_to_forty_pixels_or_more(shape, pool):
    assert field_model(planted_session(60, 2, shape)[0]).pool == pool


def test_a_model_of_nothing_is_refused():
    with pytest.raises(InputError, match="neither"):
        FieldModel((12, 16), 3, vision=False)
