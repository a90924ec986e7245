"""The paper's network, written out once more with loops and float64, gives the rates of the library's."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from planted import planted_session

from v1lib.errors import InputError
from v1lib.features import behavior_columns, fit_scaling
from v1lib.fit import PAPER_FIT, Run, fit, predict
from v1lib.models import encoding_model
from v1lib.models.paper import load_paper_checkpoint, paper_model
from v1lib.splits import Splits
from v1lib.store import load_run, save_run

N_UNITS = 5
VARIABLES = ("speed", "pitch", "roll", "phi", "theta", "pupil")
COLUMNS = behavior_columns("all_prod")
GAZE_AT = (4, 3, 1, 2)  # theta, phi, pitch, roll among the variables
SPLITS = Splits(((0, 8),), ((16, 20),), ((8, 16),), "paper")


# ---- a state dict, from the names and sizes that the paper gives


def random_state(rng, n_units=N_UNITS, n_inputs=66):
    """Random weights and running statistics under the published names, float32."""
    state = {}

    def norm(name, n):
        state[f"{name}.weight"], state[f"{name}.bias"] = rng.uniform(0.5, 1.5, n), rng.normal(0, 0.3, n)
        state[f"{name}.running_mean"] = rng.normal(0, 0.3, n)
        state[f"{name}.running_var"] = rng.uniform(0.5, 2.0, n)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    def linear(name, *shape):
        state[f"{name}.weight"] = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)
        state[f"{name}.bias"] = rng.normal(0, 0.3, shape[0])

    for layer, n in ((0, 4), (2, 256), (5, 256)):
        norm(f"shifter.layers.{layer}", n)
    for layer, shape in ((1, (256, 4)), (4, (256, 256)), (7, (3, 256))):
        linear(f"shifter.layers.{layer}", *shape)
    state["shifter.bias"] = rng.normal(0, 0.2, 3)
    for layer, before, after in ((0, 1, 128), (4, 128, 64), (8, 64, 32)):
        linear(f"visual_encoder.layers.{layer}", after, before, 7, 7)
        norm(f"visual_encoder.layers.{layer + 1}", after)
    linear("visual_encoder.layers.13", n_units, 480)
    norm("behav_encoder.layers.0", n_inputs)
    linear("behav_encoder.layers.1", n_units, n_inputs)
    norm("bn", 3)
    for side, n in (("ih", 3 * n_units), ("hh", 512)):
        linear(f"lstm_net.{side}", 3 * 512, n)
        for kind in ("weight", "bias"):
            state[f"lstm_net.{kind}_{side}_l0"] = state.pop(f"lstm_net.{side}.{kind}")
    linear("fc", n_units, 512)
    return {
        name: torch.from_numpy(np.asarray(value)).to(torch.int64 if "tracked" in name else torch.float32)
        for name, value in state.items()
    }


def as_arrays(state):
    return {name: value.double().numpy() for name, value in state.items()}


# ---- the paper's formulas, one frame and one window at a time


def normalized(state, name, x):
    """BatchNorm in eval mode over the first axis of x."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, var = state[f"{name}.running_mean"].reshape(shape), state[f"{name}.running_var"].reshape(shape)
    weight, bias = state[f"{name}.weight"].reshape(shape), state[f"{name}.bias"].reshape(shape)
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def linear(state, name, x):
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def shift_of(state, gaze, divisor):
    x = linear(state, "shifter.layers.1", normalized(state, "shifter.layers.0", gaze))
    x = np.tanh(normalized(state, "shifter.layers.2", x))
    x = np.tanh(normalized(state, "shifter.layers.5", linear(state, "shifter.layers.4", x)))
    x = np.tanh(linear(state, "shifter.layers.7", x)) + state["shifter.bias"]
    return x * [80 / divisor, 60 / divisor, 180 / 4]


def warped(frame, shift, center):
    """Each pixel p is read at R(-a)(p - c - t) + c between its four neighbours; what is outside is 0."""
    height, width = frame.shape
    angle = np.deg2rad(shift[2])
    made = np.zeros_like(frame)
    for y in range(height):
        for x in range(width):
            dx, dy = x - center[0] - shift[0], y - center[1] - shift[1]
            from_x = np.cos(angle) * dx + np.sin(angle) * dy + center[0]
            from_y = -np.sin(angle) * dx + np.cos(angle) * dy + center[1]
            left, top = int(np.floor(from_x)), int(np.floor(from_y))
            for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(from_x - column)) * (1 - abs(from_y - row))
                    made[y, x] += share * frame[row, column]
    return made


def convolved(state, name, maps):
    """A 7 x 7 convolution with stride 2 and no padding."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    rows, columns = (maps.shape[1] - 7) // 2 + 1, (maps.shape[2] - 7) // 2 + 1
    made = np.empty((weight.shape[0], rows, columns))
    flat = weight.reshape(weight.shape[0], -1)
    for row in range(rows):
        for column in range(columns):
            seen = maps[:, 2 * row : 2 * row + 7, 2 * column : 2 * column + 7]
            made[:, row, column] = flat @ seen.ravel() + bias
    return made


def fused(state, frame, gaze, behavior, divisor=5.5, center=(30.0, 40.0)):
    """What one bin gives to the recurrence: all v, all b, all v·b."""
    if "shifter.bias" in state:
        frame = warped(frame, shift_of(state, gaze, divisor), center)
    maps = frame[None]
    for layer in (0, 4, 8):
        maps = convolved(state, f"visual_encoder.layers.{layer}", maps)
        maps = np.maximum(normalized(state, f"visual_encoder.layers.{layer + 1}", maps), 0)
    v = linear(state, "visual_encoder.layers.13", maps.ravel())
    b = linear(state, "behav_encoder.layers.1", normalized(state, "behav_encoder.layers.0", behavior))
    return normalized(state, "bn", np.stack([v, b, v * b])).ravel()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rates_of_window(state, features):
    h = np.zeros(512)
    for x in features:
        from_x = state["lstm_net.weight_ih_l0"] @ x + state["lstm_net.bias_ih_l0"]
        from_h = state["lstm_net.weight_hh_l0"] @ h + state["lstm_net.bias_hh_l0"]
        reset, keep = sigmoid(from_x[:512] + from_h[:512]), sigmoid(from_x[512:1024] + from_h[512:1024])
        h = (1 - keep) * np.tanh(from_x[1024:] + reset * from_h[1024:]) + keep * h
    return np.log1p(np.exp(linear(state, "fc", h)))


def columns_by_hand(behavior):
    """One file: speed ... pupil, five differences against 0 at the start, 55 products."""
    behavior = np.where(np.isnan(behavior), 0.0, behavior.astype(float))
    table = []
    for t, now in enumerate(behavior):
        before = behavior[t - 1] if t > 0 else np.zeros(6)
        row = [*now, *(now - before)[1:]]
        table.append(row + [row[i] * row[j] for i in range(11) for j in range(i + 1, 11)])
    return np.array(table)


# ---- the library against them


@pytest.fixture(scope="module")
def bins():
    """Nine bins: frames from 0 to 1, standard normal behaviour."""
    rng = np.random.default_rng(0)
    return rng.uniform(size=(9, 60, 80)), rng.normal(size=(9, 66))


@pytest.fixture(scope="module")
def state():
    return random_state(np.random.default_rng(1))


@pytest.fixture(scope="module")
def features(bins, state):
    """What each bin gives to the recurrence, by hand: (bin, 3·unit)."""
    frames, behavior = bins
    arrays = as_arrays(state)
    return np.array([fused(arrays, f, b[list(GAZE_AT)], b) for f, b in zip(frames, behavior, strict=True)])


def in_double(model):
    """The model in double precision; the reach of its shifter is kept as float32 and given anew."""
    model = model.double()
    if model.shifter is not None:
        reach = model.shifter.span
        divisor = round(80 / float(reach[0]), 3)
        reach.copy_(torch.tensor([80 / divisor, 60 / divisor, 180 / 4], dtype=torch.float64))
    return model


def difference(made, expected):
    """The largest relative difference, to be read with `pytest -s`."""
    found = float(np.max(np.abs(made - expected) / expected))
    print(f"largest relative difference {found:.1e}")
    return found


@torch.no_grad()
@pytest.mark.parametrize("seq_len", range(1, 9))
def test_rates_of_every_window(bins, state, features, seq_len, tmp_path):
    file = tmp_path / f"val_070921_J553RT_all_prod_seq_{seq_len}.pth"
    torch.save(state, file)
    model = load_paper_checkpoint(file, N_UNITS)
    assert model.seq_len == seq_len and not model.training and model.columns == COLUMNS
    arrays = as_arrays(state)
    expected = np.array(
        [rates_of_window(arrays, features[t - seq_len + 1 : t + 1]) for t in range(seq_len - 1, 9)]
    )
    assert expected.std(axis=0).min() > 0.01 and expected.min() > 0.01  # rates that differ, none of them 0
    frames, behavior = (torch.from_numpy(value)[None] for value in bins)
    # The same numbers in double precision: only the order of sums differs.
    exact = in_double(model)(frames.unsqueeze(2), behavior)[0, seq_len - 1 :].numpy()
    assert difference(exact, expected) < 1e-11
    # In single precision what differs is the rounding of sums of up to 6272 terms.
    single = model.float()(frames.float().unsqueeze(2), behavior.float())[0, seq_len - 1 :].numpy()
    assert difference(single, expected) < 1e-5


@torch.no_grad()
def test_each_quirk_changes_the_rates(bins, state, features, tmp_path):
    """A reference that could not tell the quirks apart would prove nothing."""
    torch.save(state, tmp_path / "weights.pth")
    frames, behavior = (torch.from_numpy(value)[None] for value in bins)
    expected = np.array([rates_of_window(as_arrays(state), row[None]) for row in features])

    def rates(change=lambda model: None, order=slice(None), **choices):
        model = in_double(load_paper_checkpoint(tmp_path / "weights.pth", N_UNITS, seq_len=1, **choices))
        change(model)
        return model(frames.unsqueeze(2), behavior[..., order])[0].numpy()

    def centered(model):
        model.center = None

    def gaze_in_session_order(model):
        model.gaze_reads = model.gaze_reads.sort().values

    assert difference(rates(), expected) < 1e-11
    assert difference(rates(centered), expected) > 1e-2
    assert difference(rates(gaze_in_session_order), expected) > 1e-2
    assert difference(rates(shifter_divisor=4.0), expected) > 1e-2
    swapped = [1, 0, *range(2, 66)]
    assert difference(rates(order=swapped), expected) > 1e-2


@torch.no_grad()
def test_table_1s_reach_and_a_model_without_shifter(bins, state, tmp_path):
    frames, behavior = bins
    arrays = as_arrays(state)
    still = {name: value for name, value in state.items() if not name.startswith("shifter.")}
    for weights, divisor in ((state, 4.0), (still, 5.5)):
        torch.save(weights, tmp_path / "weights.pth")
        file = tmp_path / "weights.pth"
        model = in_double(load_paper_checkpoint(file, N_UNITS, seq_len=1, shifter_divisor=divisor))
        assert (model.shifter is None) == (weights is still)
        used = {name: value for name, value in arrays.items() if name in weights}
        given = fused(used, frames[0], behavior[0, list(GAZE_AT)], behavior[0], divisor)
        made = model(torch.from_numpy(frames[None, :1, None]), torch.from_numpy(behavior[None, :1]))
        assert difference(made[0, 0].numpy(), rates_of_window(used, given[None])) < 1e-11


@torch.no_grad()
def test_a_set_without_the_shifters_inputs(bins, tmp_path):
    """Speed and differences for the behaviour encoder; the four angles beside them for the shifter alone."""
    frames, behavior = bins[0][:3], bins[1][:3, :10]
    state = random_state(np.random.default_rng(3), n_inputs=6)
    torch.save(state, tmp_path / "val_070921_J553RT_velo_seq_3.pth")
    model = in_double(load_paper_checkpoint(tmp_path / "val_070921_J553RT_velo_seq_3.pth", N_UNITS))
    assert model.columns[6:] == ("theta", "phi", "pitch", "roll")
    given = [fused(as_arrays(state), f, b[6:], b[:6]) for f, b in zip(frames, behavior, strict=True)]
    made = model(torch.from_numpy(frames[None, :, None]), torch.from_numpy(behavior[None]))[0, -1]
    assert difference(made.numpy(), rates_of_window(as_arrays(state), given)) < 1e-11


@pytest.fixture(scope="module")
def files():
    """Three files of eight bins whose frames have other ranges each, with values missing."""
    session, _ = planted_session(240, N_UNITS, (60, 80), n_stretches=3)
    session = session.isel(time=[*range(8), *range(80, 88), *range(160, 168)])
    rng = np.random.default_rng(2)
    frames = session["frames"].values.copy()
    frames[8:16] = frames[8:16] // 3 + 40
    behavior = session["behavior"].values.copy()
    behavior[[3, 4, 8], 4] = np.nan  # theta, at a file's start too
    behavior[17, 3] = np.nan
    behavior[23] = np.nan
    return session.assign(
        frames=(("time", "y", "x"), frames),
        behavior=(("time", "variable"), behavior),
        activity=session["activity"].copy(data=rng.integers(0, 9, (24, N_UNITS)).astype(np.uint16)),
    ).assign_coords(part=("time", np.repeat(["train", "test", "train"], 8)))


def test_predictions_from_a_session_in_files(files, state, tmp_path):
    """File ranges, missing values, differences, products and the bin that is predicted, all by hand."""
    frames, behavior = files["frames"].values.astype(float), files["behavior"].values
    table = np.concatenate([columns_by_hand(behavior[a : a + 8]) for a in (0, 8, 16)])
    scale = torch.from_numpy(table.std(axis=0).astype(np.float32))
    # Running statistics as large as raw columns are, or all units would be at the ends of the GRU's gates.
    state = state | {
        "behav_encoder.layers.0.running_mean": state["behav_encoder.layers.0.running_mean"] * scale,
        "behav_encoder.layers.0.running_var": state["behav_encoder.layers.0.running_var"] * scale**2,
    }
    file = tmp_path / "val_110421_J569LT_all_prod_seq_3.pth"
    torch.save(state, file)
    model = load_paper_checkpoint(file, N_UNITS)
    scaling = fit_scaling(files, model.columns, SPLITS, "paper")
    run = Run(model, replace(PAPER_FIT, device="cpu"), SPLITS, scaling, pd.DataFrame({"epoch": []}), {})
    made = predict(run, files).values

    arrays = as_arrays(state)
    expected = np.full((24, N_UNITS), np.nan)
    for a in (0, 8, 16):
        low, high = frames[a : a + 8].min(), frames[a : a + 8].max()
        features = [
            fused(arrays, (frames[t] - low) / (high - low), table[t, list(GAZE_AT)], table[t])
            for t in range(a, a + 8)
        ]
        for last in range(2, 7):
            expected[a + last + 1] = rates_of_window(arrays, features[last - 2 : last + 1])
    np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))
    there = np.isfinite(expected)
    assert expected[there].std() > 0.05
    assert difference(made[there], expected[there]) < 1e-5


def test_a_session_that_is_not_in_files_is_refused(files):
    whole = files.drop_vars("part")
    model = encoding_model(whole, "S", vision=False)
    with pytest.raises(
        InputError, match=r"^session: part: expected a coordinate over time .*, found none[.]$"
    ):
        fit(model, whole, SPLITS, PAPER_FIT)
    with pytest.raises(
        InputError, match=r"^session: part: expected one value in a stretch, found two from bin 8"
    ):
        mixed = files.assign_coords(part=("time", ["train"] * 9 + ["test"] * 15))
        fit(model, mixed, SPLITS, PAPER_FIT)
    with pytest.raises(InputError, match="only 7 in the file that starts at bin 16"):
        flat = files.copy(deep=True)
        flat["frames"].values[16:] = 7
        fit(model, flat, SPLITS, replace(PAPER_FIT, device="cpu"))


def test_the_papers_network_from_a_session(files):
    model = paper_model(files, seq_len=4)
    # 1.75 million at 68 units; each unit more has its row of 480, its 66, and three times 1536 in the GRU.
    whole = sum(p.numel() for p in model.parameters())
    per_unit = (480 + 1) + (66 + 1) + 3 * 3 * 512 + (512 + 1)
    assert whole + 63 * per_unit == pytest.approx(1.75e6, rel=0.005)
    assert (model.center, model.normalize_by_bin, model.seq_len) == ((30.0, 40.0), True, 4)
    assert model.columns == COLUMNS
    spans = [paper_model(files, name).shifter.span.tolist() for name in ("S", None)]
    np.testing.assert_allclose(spans, [[80 / 5.5, 60 / 5.5, 45], [20, 15, 45]], rtol=1e-6)
    with pytest.raises(InputError, match="session: variable"):
        paper_model(files.isel(variable=[1, 0, 2, 3, 4, 5]))
    with pytest.raises(InputError, match=r"session: frames: .*\(60, 80\).*\(60, 79\)"):
        paper_model(files.isel(x=slice(79)))
    fluorescence = files.copy(deep=True)
    fluorescence["activity"].attrs["kind"] = "fluorescence"
    with pytest.raises(InputError, match="session: activity"):
        paper_model(fluorescence)


def test_the_papers_fit():
    said = (PAPER_FIT.learning_rate, PAPER_FIT.epochs, PAPER_FIT.patience, PAPER_FIT.seed)
    assert said == (2e-4, 50, 5, 0)
    assert (PAPER_FIT.chunk_bins * PAPER_FIT.batch_chunks, PAPER_FIT.predict_offset) == (256, 1)
    assert (PAPER_FIT.schedule, PAPER_FIT.clip_norm, PAPER_FIT.weight_decay) == ("constant", None, 0.0)


def test_a_run_of_a_session_in_files_is_kept_whole(tmp_path):
    session, _ = planted_session(90, 2, (8, 10), n_stretches=3, rate=2.0)
    session = session.assign_coords(part=("time", np.repeat(["train", "test", "train"], 30)))
    splits = Splits(((0, 30),), ((60, 90),), ((30, 60),), "paper")
    sizes = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=2)
    model = encoding_model(session, "all_prod", normalize_by_bin=True, center=(4.0, 5.0), **sizes)
    config = replace(PAPER_FIT, epochs=2, batch_chunks=8, device="cpu")
    run = fit(model, session, splits, config)
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.scaling == run.scaling and again.scaling.kind == "paper" and again.config == config
    np.testing.assert_array_equal(predict(again, session).values, predict(run, session).values)
    text = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(text.replace('"kind": "paper"', '"kind": "papers"'))
    with pytest.raises(InputError, match=r"run: expected a run of this version .*Scaling: kind"):
        load_run(tmp_path / "run")
    # A test file's range scales that file and no other.
    brighter = session.copy(deep=True)
    brighter["frames"].values[40, 0, 0] = 255
    brighter["frames"].values[41, 0, 0] = 0
    changed = np.nan_to_num(predict(run, brighter).values - predict(run, session).values) != 0
    assert set(np.flatnonzero(changed.any(axis=1))) == set(range(32, 60))
