"""Kept things are whole, found again, made once, and never executed."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from planted import planted_session

from v1lib import fingerprint, store
from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit, predict
from v1lib.models import encoding_model
from v1lib.simulate import STANDARD_MIXTURE
from v1lib.splits import split

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), hidden=8, shifter_width=8, seq_len=2)
CONFIG = FitConfig(epochs=1, clip_norm=None, ema=0.5, device="cpu")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def session():
    return planted_session(900, 2, (8, 10))[0]


@pytest.fixture(scope="module")
def run(session):
    return fit(encoding_model(session, "all", **SMALL), session, split(session, "paper"), CONFIG)


def test_a_run_comes_back_the_same(run, session, tmp_path):
    back = store.load_run(store.save_run(run, tmp_path / "run"))
    assert (back.config, back.splits, back.scaling) == (run.config, run.splits, run.scaling)
    assert back.provenance == run.provenance and back.model.arguments == run.model.arguments
    pd.testing.assert_frame_equal(back.history, run.history, check_exact=True)
    np.testing.assert_array_equal(predict(back, session), predict(run, session))
    store.save_run(back, tmp_path / "run")  # a second time, over the first
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def cut_weights(folder):
    data = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(data[: len(data) // 2])


def cut_record(folder):
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text[: len(text) // 2])


def as_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("a file where a folder belongs")


def change_record(**changes):
    def change(folder):
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(record | changes))

    return change


def change_field(entry, **changes):
    def change(folder):
        record = json.loads((folder / "run.json").read_text())
        change_record(**{entry: record[entry] | changes})(folder)

    return change


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut_weights, "sha256"),
        (cut_record, "complete JSON"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors: expected a file"),
        (lambda folder: (folder / "run.json").unlink(), "run.json: expected a file"),
        (lambda folder: (folder / "run.json").write_bytes(b"\x80\x04pickle"), "complete JSON"),
        (change_record(schema=99), "schema: expected 1, found 99"),
        (lambda folder: (folder / "run.json").write_text("[" * 100_000), "complete JSON"),
        (change_record(config={"epochs": 3}), "a run of this version"),
        (change_field("config", epochs="x"), "epochs: expected a whole number"),
        (change_field("splits", train=3), "train: expected a tuple of pairs"),
        (change_field("scaling", mean=[0.0]), "mean of the scaling"),
        (change_field("scaling", activity_sd=[1.0, "x"]), "a run of this version"),
        (change_field("scaling", columns=["speed"]), "scaling of the columns"),
        (change_record(history="x"), "a run of this version"),
        (change_record(provenance="x"), "a run of this version"),
        (
            change_record(model={"arguments": {"frame_shape": [8, 10], "n_units": 3, "behavior": ["speed"]}}),
            "fit",
        ),
    ],
)
def test_what_is_no_run_is_refused(run, tmp_path, spoil, words):
    folder = store.save_run(run, tmp_path / "run")
    spoil(folder)
    with pytest.raises(InputError, match=words) as caught:
        store.load_run(folder)
    assert str(caught.value).count("\n") == 0


def test_nothing_but_a_run_is_replaced(run, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    (tmp_path / "notes").write_text("months")
    mixed = store.save_run(run, tmp_path / "mixed")
    (mixed / "thesis.txt").write_text("years")
    for name in ("work", "notes", "mixed"):
        with pytest.raises(InputError, match="path: expected nothing, or a run that may be replaced"):
            store.save_run(run, tmp_path / name)
    assert (tmp_path / "work" / "thesis.txt").read_text() == (mixed / "thesis.txt").read_text() == "years"
    assert (tmp_path / "notes").read_text() == "months"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixed", "notes", "work"]


def test_an_interrupted_save_leaves_the_old_run(run, tmp_path, monkeypatch):
    path = store.save_run(run, tmp_path / "run")

    def interrupt(*rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_put", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save_run(replace(run, provenance={"number": 2}), path)
    assert store.load_run(path).provenance == run.provenance
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_place_that_cannot_be_written_is_named(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="run: file: expected a place that can be written, found"):
        store.save_run(run, tmp_path / "file" / "run")
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="a place that can be written"):
        store.kept("things", {}, make_slowly)

    def full(*rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "save_file", full)
    with pytest.raises(InputError, match=f"written, found {os.strerror(errno.ENOSPC)}"):
        store.save_run(run, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_kept_makes_once_and_again_only_for_another_key(monkeypatch):
    made = []

    def make(path):
        made.append(path)
        path.write_text(f"number {len(made)}")

    first = store.kept("things", {"a": 1, "b": [1.5, "x"]}, make, suffix=".txt")
    assert store.kept("things", {"b": [1.5, "x"], "a": 1}, make, suffix=".txt") == first
    assert first.read_text() == "number 1" and first.suffix == ".txt"
    assert store.kept("things", {"a": 2, "b": [1.5, "x"]}, make) != first
    monkeypatch.setattr(store, "source_hash", lambda: "of another version of v1lib")
    assert store.kept("things", {"a": 1, "b": [1.5, "x"]}, make, suffix=".txt") != first
    monkeypatch.undo()
    monkeypatch.setenv("V1LIB_CACHE", str(first.parent.parent))
    monkeypatch.setattr(torch, "__version__", "another")
    assert store.kept("things", {"a": 1, "b": [1.5, "x"]}, make, suffix=".txt") != first
    assert len(made) == 4
    assert sorted(path.name[0] for path in first.parent.iterdir()).count(".") == 0  # nothing half-written


def test_two_processes_make_an_entry_once(root):
    program = (
        "import sys, time; from pathlib import Path; from v1lib import store\n"
        "def make(path):\n"
        "    Path(sys.argv[1]).open('a').write('made ')\n"
        "    time.sleep(2)\n"
        "    path.write_text('done')\n"
        "print(store.kept('things', {'a': 1}, make).read_text())"
    )
    count = root.parent / "count"
    command = [sys.executable, "-c", program, str(count)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0] for process in both] == ["done\n", "done\n"]
    assert count.read_text() == "made "


def test_an_entry_is_made_where_there_are_no_locks(root, monkeypatch):
    def refuse(*rest, **more):
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(store.FileLock, "acquire", refuse)
    assert store.kept("things", {}, lambda path: path.write_text("done")).read_text() == "done"


def test_a_failure_leaves_nothing(root):
    def fail(path):
        path.mkdir()
        (path / "half").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        store.kept("things", {}, fail)
    assert list((root / "things").iterdir()) == []
    with pytest.raises(InputError, match="found nothing"):
        store.kept("things", {}, lambda path: None)
    with pytest.raises(InputError, match="plain values"):
        store.kept("things", {"array": np.zeros(2)}, fail)
    with pytest.raises(InputError, match="plain values"):
        store.kept("things", {"rate": float("nan")}, fail)


def make_slowly(path):
    path.mkdir()
    (path / "one").write_text("1")
    time.sleep(0.3)
    (path / "two").write_text("2")


def in_a_process(queue):
    path = store.kept("things", {"slow": True}, make_slowly)
    queue.put(sorted(entry.name for entry in path.iterdir()))


def test_two_processes_may_make_the_same():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=in_a_process, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=30) for _ in processes] == [["one", "two"]] * 2
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_kept_fit_fits_once(session, monkeypatch):
    splits, calls = split(session, "paper"), []
    monkeypatch.setattr(store, "fit", lambda *rest, **more: calls.append(rest) or fit(*rest, **more))

    def make(seed=0):
        return lambda: encoding_model(session, "orig", seed=seed, **SMALL)

    first = store.kept_fit(make(), session, splits, CONFIG)
    again = store.kept_fit(make(), session, splits, CONFIG)
    assert len(calls) == 1
    assert all(torch.equal(v, again.model.state_dict()[k]) for k, v in first.model.state_dict().items())
    store.kept_fit(make(seed=1), session, splits, CONFIG)
    store.kept_fit(make(), session, splits, replace(CONFIG, seed=1))
    other = session.copy(deep=True)
    other["activity"].values[-1, 0] += 1
    store.kept_fit(make(), other, splits, CONFIG)
    store.kept_fit(make(), session, split(session, "paper", n_segments=5), CONFIG)
    assert len(calls) == 5


def test_a_stopped_kept_fit_goes_on(session, root, monkeypatch):
    splits, config = split(session, "paper"), replace(CONFIG, epochs=4)
    module, calls = sys.modules["v1lib.fit"], []
    error = module._error

    def interrupted(*rest):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return error(*rest)

    def kept_run(seed=0):
        return store.kept_fit(
            lambda: encoding_model(session, "orig", seed=seed, **SMALL), session, splits, config
        )

    monkeypatch.setattr(module, "_error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept_run()
    assert not list((root / "runs").iterdir()) and len(list((root / "unfinished").iterdir())) == 1
    kept_run(seed=1)  # another fit neither uses nor removes it
    (state,) = (root / "unfinished").iterdir()
    calls[:] = [1] * 3
    resumed = kept_run()
    assert len(calls) == 3 + 2  # the third epoch once more, and the fourth
    assert list((root / "unfinished").iterdir()) == []
    whole = fit(encoding_model(session, "orig", **SMALL), session, splits, config)
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())

    # A state that a process killed between the two renames has left goes with the next look at the run.
    calls.clear()
    state.write_bytes(b"left")
    kept_run()
    assert not calls and not state.exists()


def test_a_fit_stopped_with_other_threads_begins_anew(session, root, monkeypatch):
    splits, error, calls = split(session, "paper"), sys.modules["v1lib.fit"]._error, []

    def interrupted(*rest):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return error(*rest)

    def kept_run():
        config = replace(CONFIG, epochs=3)
        return store.kept_fit(lambda: encoding_model(session, "orig", **SMALL), session, splits, config)

    monkeypatch.setattr(sys.modules["v1lib.fit"], "_error", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept_run()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert len(kept_run().history) == 3 and len(calls) == 2 + 3
    finally:
        torch.set_num_threads(threads)
    assert len(list((root / "unfinished").iterdir())) == 1
    kept_run()  # finds the run, and has no more use for the state
    assert len(calls) == 5 and not list((root / "unfinished").iterdir())


def test_a_damaged_state_of_a_kept_fit_is_refused(session, root, monkeypatch):
    def make():
        return encoding_model(session, "orig", **SMALL)

    splits = split(session, "paper")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def interrupted(*rest):
            raise KeyboardInterrupt

        patched.setattr(store, "save_run", interrupted)
        store.kept_fit(make, session, splits, CONFIG)
    (state,) = (root / "unfinished").iterdir()
    data = state.read_bytes()
    state.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=rf"{state.name}: file: .*delete it to start again"):
        store.kept_fit(make, session, splits, CONFIG)
    assert state.exists()
    state.unlink()
    store.kept_fit(make, session, splits, CONFIG)


@pytest.mark.parametrize("spoil", [cut_weights, cut_record, as_a_file])
def test_a_damaged_run_is_fitted_again(session, root, monkeypatch, spoil):
    splits, calls = split(session, "paper"), []
    monkeypatch.setattr(store, "fit", lambda *rest, **more: calls.append(rest) or fit(*rest, **more))

    def kept_state():
        made = store.kept_fit(lambda: encoding_model(session, "orig", **SMALL), session, splits, CONFIG)
        return made.model.state_dict()

    first = kept_state()
    (entry,) = (root / "runs").iterdir()
    spoil(entry)
    again = kept_state()
    assert len(calls) == 2 and all(torch.equal(first[name], again[name]) for name in first)
    kept_state()
    assert len(calls) == 2 and list((root / "runs").iterdir()) == [entry]


def test_a_second_fit_starts_from_the_same_weights(session, monkeypatch):
    states, load, reads = [], store.load_run, iter([False, True])

    def watched(model, *rest, **more):
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return fit(model, *rest, **more)

    def fails_once(path):
        if not next(reads):
            raise InputError(path, "file", "what was written", "something else")
        return load(path)

    monkeypatch.setattr(store, "fit", watched)
    monkeypatch.setattr(store, "load_run", fails_once)
    store.kept_fit(lambda: encoding_model(session, "S", **SMALL), session, split(session, "paper"), CONFIG)
    assert len(states) == 2 and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_kept_recording_simulates_once(monkeypatch):
    choices = {"minutes": 0.5, "n_units": 1, "seed": 3, "frame_shape": (16, 20)}
    first = store.kept_recording(**choices)
    (stream,) = first.path.glob("*_imu.nc")
    stream.unlink()
    store.kept_recording(**choices)
    assert stream.is_file()  # what is damaged is simulated again
    monkeypatch.setattr(store, "simulate_recording", None)  # a second call would fail
    again = store.kept_recording(**choices)
    assert again.path == first.path and again.path.name == "simulated_mouse_3"


def test_each_argument_of_a_recording_is_part_of_its_key(monkeypatch):
    monkeypatch.setattr(store, "simulate_recording", lambda path, **arguments: path.mkdir(parents=True))
    monkeypatch.setattr(store, "open_recording", lambda path: path)
    base = {"minutes": 1.0, "n_units": 2, "seed": 3}
    changes = [
        {},
        {"minutes": 2.0},
        {"n_units": 3},
        {"seed": 4},
        {"frame_shape": (30, 40)},
        {"clock_offset_s": 0.2},
        {"clock_drift_ppm": 50.0},
        {"eye_scale": 0.5},
        {"rate_scale": 2.0},
        {"mixture": {"simple": 1, "complex": 1}},
        {"mixture": {"simple": 1, "complex": 2}},
        {"mixture": {"complex": 1, "simple": 1}},  # other units come first
    ]
    assert len({store.kept_recording(**base | change).parent for change in changes}) == len(changes)
    spelled_out = {"minutes": 1, "frame_shape": [60, 80], "mixture": dict(STANDARD_MIXTURE), "rate_scale": 1}
    assert store.kept_recording(**base | spelled_out).parent == store.kept_recording(**base).parent


def test_all_of_a_session_is_in_its_hash(session):
    renamed = session.assign_coords(unit=["a", "b"])
    later = session.assign_coords(time=session["time"] + 1.0)
    trials = session.assign_coords(condition=("time", np.arange(session.sizes["time"]) // 100))
    brighter = session.assign(frames=session["frames"] + np.uint8(1))
    fluorescent = session.copy()
    fluorescent["activity"] = session["activity"].assign_attrs(kind="fluorescence")
    sessions = [
        session,
        session.assign_attrs(bin_width_s=0.05),
        renamed,
        later,
        trials,
        trials.assign_coords(condition=trials["condition"] + 1),
        brighter,
        fluorescent,
    ]
    assert len({fingerprint.session_hash(one) for one in sessions}) == len(sessions)
    assert fingerprint.session_hash(session.copy(deep=True)) == fingerprint.session_hash(session)


def test_the_source_hash_is_of_all_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "__file__", str(tmp_path / "fingerprint.py"))
    (tmp_path / "models").mkdir()
    hashes = []
    for name, text in [("store.py", "a"), ("models/net.py", "b"), ("models/net.py", "c"), ("fit.py", "")]:
        (tmp_path / name).write_text(text)
        hashes.append(fingerprint.source_hash.__wrapped__())
    assert len(set(hashes)) == 4
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "model.py").write_text("figures")
    assert fingerprint.source_hash.__wrapped__() == hashes[-1]


def test_the_source_hash_is_of_the_source():
    assert fingerprint.source_hash() == fingerprint.source_hash.__wrapped__()
    assert len(fingerprint.source_hash()) == 64
