"""Published weights are read by names and shapes alone, and what does not fit is refused in one sentence."""

import io
import pickle

import numpy as np
import pytest
import torch
from test_paper_exact import random_state

import v1lib
from v1lib.errors import InputError
from v1lib.features import behavior_columns
from v1lib.models.paper import load_paper_checkpoint

NAMED = "val_070921_J553RT_all_prod_seq_2.pth"


class RunsCode:
    """What a pickle calls when it is read; the file that it would write shows that it was."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return open, (self.target, "w")


@pytest.fixture(scope="module")
def state():
    return random_state(np.random.default_rng(0))


def saved(state, folder, name=NAMED):
    torch.save(state, folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("stem", "n_inputs", "expected"),
    [
        ("070921_J553RT_S_seq_1", 3, ("S", 1)),
        ("070921_J553RT_orig_seq_1", 6, ("orig", 1)),
        ("110421_J569LT_velo_seq_3", 6, ("velo", 3)),
        ("110421_J569LT_all_seq_1", 11, ("all", 1)),
        ("110421_J569LT_orig_prod_seq_1", 21, ("orig_prod", 1)),
        ("101521_J559NC_velo_prod_seq_1", 21, ("velo_prod", 1)),
        ("101521_J559NC_all_prod_seq_8", 66, ("all_prod", 8)),
        ("101521_J559NC_everything_seq_12", 66, ("all_prod", 12)),  # a set of another name: by its number
    ],
)
def test_set_and_length_are_read_off_name_and_shapes(tmp_path, stem, n_inputs, expected):
    weights = random_state(np.random.default_rng(0), n_inputs=n_inputs)
    model = v1lib.load_paper_checkpoint(saved(weights, tmp_path, f"val_{stem}.pth"), 5)
    read = tuple(model.columns[i] for i in model.reads)
    assert (read, model.seq_len) == (behavior_columns(expected[0]), expected[1])
    assert tuple(model.columns[i] for i in model.gaze_reads) == ("theta", "phi", "pitch", "roll")
    assert (model.center, model.normalize_by_bin, model.training) == ((30.0, 40.0), True, False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_arguments_go_before_the_name(tmp_path):
    six = saved(random_state(np.random.default_rng(0), n_inputs=6), tmp_path, "val_a_orig_seq_1.pth")
    model = load_paper_checkpoint(six, 5, seq_len=4, behavior="velo")
    assert (model.seq_len, model.columns[:2]) == (4, ("speed", "d_pitch"))
    with pytest.raises(InputError, match="seq_len"):
        load_paper_checkpoint(six, 5, seq_len=0)


def test_what_the_file_leaves_open_is_asked_for(tmp_path, state):
    with pytest.raises(InputError, match=r"weights.pth: seq_len: expected it as an argument.*found weights"):
        load_paper_checkpoint(saved(state, tmp_path, "weights.pth"), 5)
    six = saved(random_state(np.random.default_rng(0), n_inputs=6), tmp_path, "weights.pth")
    with pytest.raises(InputError, match="behavior: expected orig or velo as an argument, found 6 inputs"):
        load_paper_checkpoint(six, 5, seq_len=1)
    assert load_paper_checkpoint(six, 5, seq_len=1, behavior="orig").columns[1] == "pitch"
    for name, expected in (("all", "the inputs of 'all'"), ("others", "the inputs of 'others'")):
        with pytest.raises(InputError, match=f"behavior: expected {expected}, found 6 inputs"):
            load_paper_checkpoint(six, 5, seq_len=1, behavior=name)
    four = saved(random_state(np.random.default_rng(0), n_inputs=4), tmp_path, "weights.pth")
    with pytest.raises(InputError, match=r"behavior: expected as many inputs as .*, found 4 inputs"):
        load_paper_checkpoint(four, 5, seq_len=1)  # as many as `position` has, which is not of the paper
    seven = saved(random_state(np.random.default_rng(0), n_inputs=7), tmp_path, "weights.pth")
    with pytest.raises(InputError, match=r"behavior: expected as many inputs as .*, found 7 inputs"):
        load_paper_checkpoint(seven, 5, seq_len=1)


def test_other_names_are_listed(tmp_path, state):
    fewer = {name: value for name, value in state.items() if not name.startswith("lstm_net.bias")}
    with pytest.raises(InputError, match=r"'lstm_net.bias_hh_l0', 'lstm_net.bias_ih_l0'\] missing and none"):
        load_paper_checkpoint(saved(fewer, tmp_path), 5)
    with pytest.raises(InputError, match=r"names: .* none missing and \['gru.weight'\] unknown"):
        load_paper_checkpoint(saved(state | {"gru.weight": torch.ones(2)}, tmp_path), 5)
    half = {name: value for name, value in state.items() if not name.startswith("shifter.layers.7")}
    with pytest.raises(InputError, match=r"\['shifter.layers.7.bias', 'shifter.layers.7.weight'\] missing"):
        load_paper_checkpoint(saved(half, tmp_path), 5)
    # The paper does not give the names of a model of vision alone.
    blind = {name: value for name, value in state.items() if not name.startswith("behav_encoder")}
    with pytest.raises(InputError, match=r"behav_encoder.layers.1.weight: expected .*, found none[.]$"):
        load_paper_checkpoint(saved(blind, tmp_path), 5)
    with pytest.raises(InputError, match=r"found none"):
        load_paper_checkpoint(saved({"state_dict": state["fc.weight"]}, tmp_path), 5)


def test_other_shapes_and_values_are_named(tmp_path, state):
    with pytest.raises(InputError, match=r"layers.13.weight: expected shape \(7, 480\), found \(5, 480\)"):
        load_paper_checkpoint(saved(state, tmp_path), 7)
    for name, value, message in (
        ("shifter.bias", torch.zeros(1, 3), r"shifter.bias: expected shape \(3,\), found \(1, 3\)"),
        ("fc.weight", torch.zeros(5, 511), r"fc.weight: expected shape \(5, 512\), found \(5, 511\)"),
        ("fc.bias", torch.full((5,), torch.nan), "fc.bias: expected finite numbers, found NaN or inf"),
        ("bn.running_var", torch.full((3,), torch.inf), "bn.running_var: expected finite numbers"),
        ("fc.bias", torch.zeros(5, dtype=torch.int64), "fc.bias: expected torch.float32, found torch.int64"),
        ("fc.bias", torch.zeros(5, dtype=torch.cfloat), "fc.bias: .* found torch.complex64"),
        ("behav_encoder.layers.1.weight", torch.zeros(5), r"expected the weights .*, found shape \(5,\)"),
    ):
        with pytest.raises(InputError, match=message):
            load_paper_checkpoint(saved(state | {name: value}, tmp_path), 5)
    for wrong in (0, 5.0, True, "5"):
        with pytest.raises(InputError, match="n_units: expected a whole number"):
            load_paper_checkpoint(saved(state, tmp_path), wrong)
    double = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    torch.testing.assert_close(
        load_paper_checkpoint(saved(double, tmp_path), 5).fc.weight, state["fc.weight"], rtol=0, atol=0
    )


@pytest.mark.parametrize("as_pickle", [False, True])
def test_code_in_a_file_is_not_run(tmp_path, state, as_pickle):
    path, written = tmp_path / NAMED, tmp_path / "written"
    content = state | {"fc.bias": RunsCode(written)}
    if as_pickle:
        path.write_bytes(pickle.dumps(RunsCode(written), protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(
        InputError, match="file: expected a state dict of tensors alone, found one that would"
    ):
        load_paper_checkpoint(path, 5)
    assert not written.exists()


@pytest.mark.filterwarnings("error")
def test_other_files_are_refused(tmp_path, state):
    with pytest.raises(InputError, match="file: expected a state dict of torch, found no file"):
        load_paper_checkpoint(tmp_path / NAMED, 5)
    whole = io.BytesIO()
    torch.save(state, whole)
    arrays = io.BytesIO()
    np.savez(arrays, weight=np.ones(3))
    contents = {
        "empty": b"",
        "text": b"hello world",
        "cut short": whole.getvalue()[: len(whole.getvalue()) // 2],
        "arrays": arrays.getvalue(),
        "pickle": pickle.dumps({"fc.bias": [1.0]}, protocol=4),
        "random": np.random.default_rng(0).bytes(5000),
    }
    path = tmp_path / NAMED
    for content in contents.values():
        path.write_bytes(content)
        with pytest.raises(
            InputError, match="file: expected a state dict of tensors alone, found "
        ) as caught:
            load_paper_checkpoint(path, 5)
        assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    for other in ([torch.ones(2)], torch.ones(2), {"fc.bias": [1.0]}, 3):
        with pytest.raises(InputError, match=r"tensors alone, found .* of other things"):
            load_paper_checkpoint(saved(other, tmp_path), 5)
