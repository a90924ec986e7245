"""The state of an unfinished fit in one file, from which the fit goes on to the bit.

The file is in the safetensors format: tensors, and in the header a JSON record of everything else with the
sha256 of both. Nothing in it is executed. It is written beside its place and renamed, so that a process
killed at any moment leaves the state after the last whole epoch, or after the one before.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from v1lib.errors import InputError
from v1lib.fingerprint import plain

STATE_SCHEMA = 1


@dataclass
class Training:
    """All that changes while a model is fitted.

    ``model`` is what the optimizer moves and ``averaged`` what is validated and kept: the average of the
    weights, or the model itself where none is taken. ``rng`` draws the batches, ``generators`` (by type of
    device) are torch's, which dropout draws from. ``step`` counts the optimizer's steps, ``since`` the
    epochs after the one with the ``best`` validation loss, and ``rows`` has one entry a whole epoch.
    """

    model: Any
    averaged: Any
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator
    generators: dict[str, torch.Generator]
    step: int = 0
    since: int = 0
    best: float = math.inf
    best_weights: dict[str, Tensor] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)


def save_training(now: Training, key: dict[str, Any], path: str | Path) -> None:
    """Write the state after a whole epoch in place of the one before.

    Parameters
    ----------
    now : Training
        With the weights of a best epoch.
    key : dict
        What tells this fit from others, plain values by name.
    path : str or Path

    Raises
    ------
    InputError
        If nothing can be written there.
    """
    path = Path(path)
    tensors = _tensors(now)
    record = {
        "schema": STATE_SCHEMA,
        "key": key,
        "step": now.step,
        "since": now.since,
        "best": now.best,
        "rows": now.rows,
        "rng": now.rng.bit_generator.state,
    }
    text = json.dumps(record, default=plain, allow_nan=False)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                file.write(save(tensors, {"record": text, "sha256": _digest(text, tensors)}))
                file.flush()
                os.fsync(file.fileno())  # or a power cut may leave the new name on an empty file
            # Gone only if another process has ended the same fit and removed all that belongs to its state.
            with suppress(FileNotFoundError):
                os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def restore_training(now: Training, key: dict[str, Any], path: str | Path) -> None:
    """Put a training that has just begun into the state that :func:`save_training` wrote.

    Raises
    ------
    InputError
        If the file is damaged, or holds the state of a fit with another key.
    """
    record, tensors = _read(Path(path))
    others = sorted(name for name in record["key"] | key if record["key"].get(name) != key.get(name))
    if others:
        expected = "that of this fit, or no file (delete it to start again)"
        raise InputError(path, "state", expected, f"one of a fit with another {', '.join(others)}")
    now.model.load_state_dict(tensors["model"])
    if now.averaged is not now.model:
        now.averaged.load_state_dict(tensors["averaged"])
    moments = {
        int(name.removeprefix("optimizer ")): values
        for name, values in tensors.items()
        if name.startswith("optimizer ")
    }
    groups = now.optimizer.state_dict()["param_groups"]
    now.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    now.rng.bit_generator.state = record["rng"]
    for name, generator in now.generators.items():
        generator.set_state(tensors["generators"][name])
    now.step, now.since, now.best = record["step"], record["since"], record["best"]
    now.best_weights, now.rows = tensors["best"], record["rows"]


def forget_training(path: str | Path) -> None:
    """Remove the state, and what processes that were killed while they wrote it have left."""
    path = Path(path)
    with writing(path):
        for file in [path, *path.parent.glob(f".{glob.escape(path.name)}.*")]:
            file.unlink(missing_ok=True)


@contextmanager
def own_generators(device: torch.device, seed: int) -> Iterator[dict[str, torch.Generator]]:
    """The generators that dropout draws from, by type of device: seeded, and in the end as they were."""
    generators = {"cpu": torch.default_generator}
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        generators["cuda"] = torch.cuda.default_generators[number]
    elif device.type == "mps":
        generators["mps"] = torch.mps._get_default_mps_generator()
    before = {name: generator.get_state() for name, generator in generators.items()}
    try:
        for generator in generators.values():
            generator.manual_seed(seed)
        yield generators
    finally:
        for name, generator in generators.items():
            generator.set_state(before[name])


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the file system refuses (a full disk, no permission), in one sentence."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(path, "file", "a place that can be written", reason) from error


def _tensors(now: Training) -> dict[str, Tensor]:
    """All tensors by ``part/name``, on the CPU."""
    assert now.best_weights is not None
    parts = {"model": now.model.state_dict(), "best": now.best_weights}
    if now.averaged is not now.model:
        parts["averaged"] = now.averaged.state_dict()
    for number, moments in now.optimizer.state_dict()["state"].items():
        parts[f"optimizer {number}"] = moments
    parts["generators"] = {name: generator.get_state() for name, generator in now.generators.items()}
    return {
        f"{part}/{name}": tensor.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, tensor in named.items()
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The record of a state, and its tensors by part and name."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if header["sha256"] != _digest(header["record"], tensors):
            raise ValueError("bytes that do not match their checksum")
        record = json.loads(header["record"])
        if record["schema"] != STATE_SCHEMA:
            raise ValueError(f"schema {record['schema']}")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        expected = "the whole state of an unfinished fit, or none (delete it to start again)"
        raise InputError(path, "file", expected, f"something else ({reason})") from error
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, inner = name.split("/", 1)
        parts.setdefault(part, {})[inner] = tensor
    return record, parts


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
