"""Things made once and kept: by content key, written whole or not at all, read without running code.

Entries lie under :func:`v1lib.cache.cache_root`. An entry's name is a hash of what was asked for, of the
source of v1lib and of torch's version, so that a change of any of them makes it anew and nothing stale is
ever read.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from v1lib.cache import cache_root
from v1lib.checkpointing import forget_training, writing
from v1lib.errors import InputError
from v1lib.features import Scaling
from v1lib.fingerprint import fit_key, plain, sha256, source_hash
from v1lib.fit import FitConfig, Model, Run, choose_device, fit
from v1lib.models import MODELS
from v1lib.recording import Recording, open_recording
from v1lib.simulate import complete_arguments, simulate_recording
from v1lib.splits import Splits

RUN_SCHEMA = 1
RUN_FILES = {"run.json", "weights.safetensors"}


def kept(kind: str, key: dict, make: Callable[[Path], object], *, suffix: str = "") -> Path:
    """The file or folder that `make` makes for `key`, made now if it is not kept yet.

    Parameters
    ----------
    kind : str
        Folder under the root, such as ``runs``.
    key : dict
        All that the content depends on, besides the source of v1lib and torch's version; plain values.
    make : callable
        Writes a file or folder at the path that it is given, which lies beside the final place and is
        renamed when it is whole. Another process that wants the same entry meanwhile waits for it; where the
        file system has no locks both make it, and one of them stays.
    suffix : str
        Of the file's name, such as ``.nc``.
    """
    place = place_of(kind, key, suffix)
    if place.exists():
        return place
    with _alone(place), _beside(place, ".making-") as beside:
        if place.exists():  # made by the one that was waited for
            return place
        make(beside)
        if not beside.exists():
            raise InputError("store", kind, f"something written at {beside.name}", "nothing")
        _put(beside, place)
    return place


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no other process makes the entry at `place`, where the file system can tell."""
    lock = FileLock(cache_root() / "locks" / f"{place.name}.lock")
    with ExitStack() as held:
        with suppress(NotImplementedError, OSError):
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock)
        yield


def place_of(kind: str, key: dict, suffix: str = "") -> Path:
    """Where :func:`kept` keeps the entry of a key, or would keep it."""
    full = {"key": key, "source": source_hash(), "torch": torch.__version__}
    try:
        text = json.dumps(full, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("store", f"key of {kind}", "plain values that JSON can hold", str(error)) from error
    return cache_root() / kind / (hashlib.sha256(text.encode()).hexdigest()[:32] + suffix)


@contextmanager
def _beside(place: Path, prefix: str) -> Iterator[Path]:
    """A path of the same name in a folder beside `place`, which goes when it is done with."""
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=place.parent) as folder:
            yield Path(folder) / place.name


def _put(beside: Path, place: Path) -> None:
    """Rename into place; what another process has put there meanwhile stays, if it is of the same kind."""
    try:
        os.replace(beside, place)
    except OSError:
        if not place.exists() or place.is_dir() != beside.is_dir():
            raise


def _remove(place: Path) -> None:
    with writing(place):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _read_or_made_again(find: Callable[[], Path], read: Callable[[Path], Any]) -> Any:
    """What an entry holds; one that cannot be read (a damaged disk) is removed and made once more."""
    place = find()
    try:
        return read(place)
    except InputError:
        _remove(place)
    return read(find())


def save_run(run: Run, path: str | Path) -> Path:
    """Write a run as a folder of two files: ``weights.safetensors`` and ``run.json``.

    The folder is written beside its place and renamed; a run that is already there is replaced.

    Raises
    ------
    InputError
        If something else than a run stands there, or nothing can be written there.
    """
    path = Path(path)
    with _beside(path, ".saving-") as beside:
        if path.exists() and not _is_run_folder(path):
            raise InputError(path, "path", "nothing, or a run that may be replaced", "something else")
        beside.mkdir()
        state = {name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}
        save_file(state, beside / "weights.safetensors")
        record = {
            "schema": RUN_SCHEMA,
            "model": {"class": type(run.model).__name__, "arguments": run.model.arguments},
            "config": asdict(run.config),
            "splits": asdict(run.splits),
            "scaling": asdict(run.scaling),
            "history": run.history.reset_index().to_dict(orient="list"),
            "provenance": run.provenance,
            "weights_sha256": sha256(beside / "weights.safetensors"),
        }
        (beside / "run.json").write_text(json.dumps(record, indent=1, default=plain), encoding="utf-8")
        _replace(beside, path)
    return path


def _is_run_folder(path: Path) -> bool:
    """Whether a folder holds the files of a run and nothing that would be lost with it."""
    return (path / "run.json").is_file() and {entry.name for entry in path.iterdir()} <= RUN_FILES


def _replace(beside: Path, path: Path) -> None:
    """Put a folder in the place of another, which comes back if that fails."""
    old = beside.with_name(beside.name + ".replaced")
    try:
        if path.exists():
            os.replace(path, old)
        _put(beside, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise


def load_run(path: str | Path) -> Run:
    """Read a run written by :func:`save_run`; nothing in it is executed.

    Raises
    ------
    InputError
        If the folder is no run, is cut short, or does not fit together.
    """
    path = Path(path)
    record = _read_record(path / "run.json")
    weights = path / "weights.safetensors"
    if not weights.is_file():
        raise InputError(path, "weights.safetensors", "a file", "none")
    if sha256(weights) != record["weights_sha256"]:
        raise InputError(weights, "sha256", "the one in run.json", "another (cut short or changed)")
    try:
        model = MODELS[record["model"]["class"]](**_frozen(record["model"]["arguments"]))
        model.load_state_dict(load_file(weights))
        config, splits = _rebuilt(FitConfig, record["config"]), _rebuilt(Splits, record["splits"])
        scaling = _rebuilt(Scaling, record["scaling"])
        _check_scaling(scaling, model)
        history = pd.DataFrame(dict(record["history"])).set_index("epoch")
        provenance = dict(record["provenance"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, "run", "a run of this version of v1lib", f"one that does not fit ({reason})"
        ) from error
    model.eval()
    return Run(model, config, splits, scaling, history, provenance)


def _read_record(path: Path) -> dict:
    if not path.is_file():
        raise InputError(path.parent, "run.json", "a file", "none")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(path, "file", "complete JSON", f"something else ({error})") from error
    if not isinstance(record, dict) or record.get("schema") != RUN_SCHEMA:
        found = repr(record.get("schema")) if isinstance(record, dict) else type(record).__name__
        raise InputError(path, "schema", str(RUN_SCHEMA), found)
    if "weights_sha256" not in record:
        raise InputError(path, "weights_sha256", "a checksum", "none")
    return record


def _check_scaling(scaling: Scaling, model: Model) -> None:
    """Each figure of a scaling is a finite number, one a column or a unit of the model."""
    if scaling.columns != model.columns:
        raise ValueError(f"a scaling of the columns {scaling.columns}, not {model.columns}")
    shapes = {
        "mean": (len(model.columns),),
        "sd": (len(model.columns),),
        "filled": (len(model.columns),),
        "frame_mean": (),
        "frame_sd": (),
        "activity_mean": (model.n_units,),
        "activity_sd": (model.n_units,),
    }
    for name, shape in shapes.items():
        values = np.array(getattr(scaling, name))
        if values.shape != shape or not np.isfinite(values.astype(float)).all():
            raise ValueError(f"{name} of the scaling is {getattr(scaling, name)}")
        if name.endswith("sd") and not (values > 0).all():
            raise ValueError(f"{name} of the scaling is not above 0")


def kept_fit(
    make_model: Callable[[], Model],
    session: xr.Dataset,
    splits: Splits,
    config: FitConfig,
) -> Run:
    """The finished run of these inputs from the store, fitted now if it is not there yet.

    A fit that was stopped, by whatever, goes on after its last whole epoch, whose state is kept under
    ``unfinished`` until the run is there. A finished run is taken whatever device and number of threads made
    it; an unfinished one goes on where they are the same.

    Parameters
    ----------
    make_model : callable
        Builds the untrained model; called once, its arguments and first weights are part of the key.

    Raises
    ------
    InputError
        What :func:`v1lib.fit.fit` raises, also for a damaged state of an unfinished fit.
    """
    model = make_model()
    key = fit_key(model, session, splits, config)
    # Its bits depend on device and threads: with others it begins anew, and the state waits for these.
    here = {"device": str(choose_device(config.device)), "threads": torch.get_num_threads()}
    unfinished = place_of("unfinished", key | here, ".safetensors")

    def make(path: Path) -> None:
        # A copy, because what is fitted twice must start from the same weights.
        save_run(fit(copy.deepcopy(model), session, splits, config, resume=unfinished), path)

    run = _read_or_made_again(lambda: kept("runs", key, make), load_run)
    forget_training(unfinished)
    return run


def kept_recording(*, seed: int, **arguments: Any) -> Recording:
    """The simulated recording of these arguments from the store, simulated now if it is not there yet.

    The arguments are those of :func:`v1lib.simulate.simulate_recording`, but for the path; one that is given
    as its default makes no other recording. The recording is called ``simulated_mouse_<seed>``.
    """
    name = f"simulated_mouse_{seed}"
    full = complete_arguments(seed=seed, **arguments)
    key = full | {"mixture": list(full["mixture"].items())}  # its order is that of the units

    def make(path: Path) -> None:
        simulate_recording(path / name, **full)

    return _read_or_made_again(
        lambda: kept("recordings", key, make), lambda folder: open_recording(folder / name)
    )


def _rebuilt(cls: Any, values: dict) -> Any:
    """A dataclass from its JSON; a field that is not there is not given its default."""
    if set(values) != {field.name for field in fields(cls)}:
        raise KeyError(f"{cls.__name__} with the fields {sorted(values)}")
    return cls(**_frozen(values))


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples, at every level."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
