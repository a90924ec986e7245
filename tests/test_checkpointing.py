"""A fit that was stopped ends as if it had not been, and no other state is taken for its own."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import planted_session
from safetensors import safe_open

from v1lib import store
from v1lib.checkpointing import Training, forget_training, restore_training, save_training
from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.models import encoding_model
from v1lib.splits import Splits, split

pytestmark = pytest.mark.usefixtures("one_thread")
fit_module = sys.modules["v1lib.fit"]  # as an attribute of the package, the name is the function

SMALL = dict(channels=(4,), kernels=(5,), strides=(3,), dropout=0.3, hidden=8, shifter_width=8, seq_len=2)
CONFIG = FitConfig(epochs=5, patience=5, learning_rate=4e-3, schedule="one_cycle", device="cpu")


@pytest.fixture(scope="module")
def session():
    return planted_session(900, 2, (8, 10))[0]


def model_for(session, seed=0):
    return encoding_model(session, "orig", seed=seed, **SMALL)


def stop_in_epoch(monkeypatch, number):
    """The user interrupts the kernel while the epoch of that number is validated."""
    calls, error = [], fit_module._error

    def interrupted(*rest):
        calls.append(1)
        if len(calls) == number + 1:
            raise KeyboardInterrupt
        return error(*rest)

    monkeypatch.setattr(fit_module, "_error", interrupted)
    return calls


def assert_same(one, other):
    """The same run to the bit, but for the time it took."""
    first, second = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    timed = ["training_seconds", "seconds"]
    assert one.history.drop(columns=timed).equals(other.history.drop(columns=timed))
    differs = {name for name in one.provenance if one.provenance[name] != other.provenance[name]}
    assert differs <= {"seconds", "targets_per_second"}


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "weight_decay": 0.1, "schedule": "constant"}])
@pytest.mark.parametrize("stops", [(0,), (1, 3), (4,)])
def test_a_stopped_fit_ends_as_if_it_had_not_been(session, tmp_path, monkeypatch, changes, stops):
    config, splits = replace(CONFIG, **changes), split(session, "paper")
    whole = fit(model_for(session), session, splits, config)
    done = 0
    for stop in stops:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            stop_in_epoch(patched, stop - done)
            fit(model_for(session), session, splits, config, resume=tmp_path / "state")
        done = stop
    calls = stop_in_epoch(monkeypatch, 99)
    resumed = fit(model_for(session), session, splits, config, resume=tmp_path / "state")
    assert len(calls) == config.epochs - done
    assert_same(resumed, whole)


def test_the_best_epoch_before_the_stop_is_kept_and_patience_goes_on(session, tmp_path, monkeypatch):
    splits, config = split(session, "paper"), replace(CONFIG, epochs=9, patience=3)
    losses = iter([2.0, 1.0, 1.5, 1.4, 1.3, 2.0, 1.0, 1.5, KeyboardInterrupt, 1.4, 1.3, 0.1])

    def scripted(*rest):
        loss = next(losses)
        if loss is KeyboardInterrupt:
            raise loss
        return loss

    monkeypatch.setattr(fit_module, "_error", scripted)
    whole = fit(model_for(session), session, splits, config)
    with pytest.raises(KeyboardInterrupt):
        fit(model_for(session), session, splits, config, resume=tmp_path / "state")
    run = fit(model_for(session), session, splits, config, resume=tmp_path / "state")
    assert run.history["validation_loss"].tolist() == [2.0, 1.0, 1.5, 1.4, 1.3]
    assert_same(run, whole)


def test_a_finished_fit_is_not_trained_further(session, tmp_path, monkeypatch):
    splits = split(session, "paper")
    first = fit(model_for(session), session, splits, CONFIG, resume=tmp_path / "state")
    calls = stop_in_epoch(monkeypatch, 99)
    again = fit(model_for(session), session, splits, CONFIG, resume=tmp_path / "state")
    assert_same(again, first)
    assert not calls
    forget_training(tmp_path / "state")
    forget_training(tmp_path / "state")  # nothing to remove is no error
    assert list(tmp_path.iterdir()) == []


def test_the_callers_random_numbers_are_left_alone(session, tmp_path):
    splits = split(session, "paper")
    torch.manual_seed(5)
    expected = torch.rand(3)
    for resume in (None, tmp_path / "state", tmp_path / "state"):
        torch.manual_seed(5)
        fit(model_for(session), session, splits, replace(CONFIG, epochs=1), resume=resume)
        assert torch.equal(torch.rand(3), expected)


def header(path):
    """Name and record of a state as they lie in the file."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["record"])


@pytest.fixture(scope="module")
def state(session, tmp_path_factory):
    path = tmp_path_factory.mktemp("states") / "state"
    fit(model_for(session), session, split(session, "paper"), replace(CONFIG, epochs=1), resume=path)
    return path.read_bytes()


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "spoil",
    {
        "empty": lambda data: b"",
        "cut in the header": lambda data: data[:100],
        "cut in the tensors": lambda data: data[:-1],
        "a bit of a tensor": lambda data: flipped(data, len(data) - 5),
        # "since": 0 becomes "since": 1, which is JSON as good as before.
        "a bit of the record": lambda data: flipped(data, data.index(rb"\"since\": 0") + 11),
        "a pickle": lambda data: b"\x80\x04pickle",
        "a text": lambda data: b"{}",
    }.items(),
    ids=lambda case: case[0],
)
def test_a_damaged_state_is_refused(session, state, tmp_path, spoil):
    path = tmp_path / "state"
    path.write_bytes(spoil[1](state))
    with pytest.raises(InputError, match=r"state: file: .* \(delete it to start again\)") as caught:
        fit(model_for(session), session, split(session, "paper"), replace(CONFIG, epochs=1), resume=path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == spoil[1](state)  # nobody's file is removed


def test_a_folder_is_no_state(session, tmp_path):
    with pytest.raises(InputError, match=r"delete it to start again"):
        fit(model_for(session), session, split(session, "paper"), CONFIG, resume=tmp_path)


def test_the_state_of_another_fit_is_refused(session, state, tmp_path, monkeypatch):
    path, splits, config = tmp_path / "state", split(session, "paper"), replace(CONFIG, epochs=1)
    path.write_bytes(state)
    brighter = session.assign(frames=session["frames"] // np.uint8(2))
    other_splits = Splits(splits.train[1:], splits.validation, splits.test, "by hand")
    cases = {
        "config": (model_for(session), session, splits, replace(config, seed=1)),
        "weights": (model_for(session, seed=1), session, splits, config),
        "splits": (model_for(session), session, other_splits, config),
        "session": (model_for(session), brighter, splits, config),
        "arguments": (
            encoding_model(session, "orig", **SMALL | {"behavior_l1": 0.5}),
            session,
            splits,
            config,
        ),
    }
    for name, wrong in cases.items():
        with pytest.raises(InputError, match=rf"state: .*delete it.* of a fit with another {name}\.$"):
            fit(*wrong, resume=path)
    for name, place in {"source": (fit_module, "source_hash"), "threads": (torch, "get_num_threads")}.items():
        with monkeypatch.context() as patched:
            patched.setattr(*place, lambda: 99)
            with pytest.raises(InputError, match=rf"of a fit with another {name}\.$"):
                fit(model_for(session), session, splits, config, resume=path)
    assert path.read_bytes() == state


def test_a_state_that_cannot_be_written_is_named(session, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="state: file: expected a place that can be written"):
        fit(model_for(session), session, split(session, "paper"), CONFIG, resume=tmp_path / "file" / "state")

    def full(*rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=f"written, found {os.strerror(errno.ENOSPC)}"):
        fit(model_for(session), session, split(session, "paper"), CONFIG, resume=tmp_path / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def a_training():
    model = torch.nn.Linear(300, 300)
    now = Training(model, model, torch.optim.AdamW(model.parameters()), np.random.default_rng(0), {})
    now.best, now.best_weights = 1.0, {name: value.clone() for name, value in model.state_dict().items()}
    return now


def write_on_and_on(path):
    """States each of which holds one number everywhere."""
    now, number = a_training(), 0
    while True:
        number += 1
        now.step = now.since = number
        for tensor in (*now.model.state_dict().values(), *now.best_weights.values()):
            tensor.fill_(number)
        save_training(now, {}, path)


def test_a_writer_killed_at_any_moment_leaves_a_whole_state(tmp_path):
    path, context, chance = tmp_path / "state", multiprocessing.get_context("fork"), random.Random(0)
    written = 0
    for _ in range(12):
        before = path.stat().st_mtime_ns if path.exists() else None
        process = context.Process(target=write_on_and_on, args=(path,))
        process.start()
        deadline = time.monotonic() + 30
        while not path.exists() or path.stat().st_mtime_ns == before:
            assert process.is_alive() and time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.join()
        now = a_training()
        restore_training(now, {}, path)
        assert now.step == now.since >= 1
        for tensor in (*now.model.state_dict().values(), *now.best_weights.values()):
            assert (tensor == now.step).all()
        written += now.step
    assert written > 12  # not only the first state of each writer
    strays = [file for file in tmp_path.iterdir() if file != path]
    assert strays  # the writer does little else, so some were killed while they wrote
    forget_training(path)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_another_process_has_done_with_is_let_go(tmp_path, monkeypatch):
    # Two notebooks fit the same; one ends, and removes the state, while the other writes it.
    path = tmp_path / "states" / "state"
    monkeypatch.setattr(os, "fsync", lambda number: forget_training(path))
    save_training(a_training(), {}, path)
    assert list(path.parent.iterdir()) == []


SCRIPT = """
import sys
tests, state, out = sys.argv[1:]
sys.path.insert(0, tests)
import torch
from planted import planted_session
from v1lib.fit import FitConfig, fit
from v1lib.models import encoding_model
from v1lib.splits import split
from v1lib.store import save_run
torch.set_num_threads(1)
session, _ = planted_session(1200, 3)
sizes = dict(channels=(8, 8), kernels=(5, 3), strides=(2, 1), dropout=0.3, hidden=128, seq_len=2)
model = encoding_model(session, "orig", **sizes)
config = FitConfig(epochs=24, patience=24, learning_rate=4e-3, schedule="one_cycle", ema=0.9, device="cpu")
save_run(fit(model, session, split(session, n_segments=3), config, resume=state or None), out)
"""


def started(state, out):
    tests = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tests.parent)}
    command = [sys.executable, "-c", SCRIPT, str(tests), str(state), str(out)]
    return subprocess.Popen(command, env=environment)


def killed(process, ready):
    """Kill without warning as soon as `ready`; the process must not have ended by itself."""
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_fit_killed_again_and_again_gives_the_same_bits(tmp_path):
    state, chance = tmp_path / "states" / "state", random.Random(0)

    def epochs():
        return len(header(state)["rows"]) if state.exists() else 0

    def is_writing():
        return any(state.parent.glob(".state.*"))

    assert started("", tmp_path / "whole").wait() == 0
    killed(started(state, tmp_path / "out"), lambda: epochs() >= 2)
    first = epochs()
    killed(started(state, tmp_path / "out"), lambda: epochs() > first and is_writing())
    second = epochs()
    moment = []

    def at_random():
        if not moment and epochs() > second:
            moment.append(time.monotonic() + chance.uniform(0, 0.3))
        return moment and time.monotonic() > moment[0]

    killed(started(state, tmp_path / "out"), at_random)
    assert 2 <= first < second < epochs() < 24
    assert started(state, tmp_path / "out").wait() == 0
    assert_same(store.load_run(tmp_path / "out"), store.load_run(tmp_path / "whole"))
    assert (tmp_path / "out" / "weights.safetensors").read_bytes() == (
        tmp_path / "whole" / "weights.safetensors"
    ).read_bytes()
