"""Animals of a plan: simulated by arguments, or opened from files; what is known of one before any work."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from v1lib.align import align
from v1lib.errors import InputError
from v1lib.fingerprint import sha256
from v1lib.readers import open_session
from v1lib.session import BEHAVIOR_UNITS
from v1lib.simulate import (
    SIMPLE_MIXTURE,
    STANDARD_MIXTURE,
    bin_truth,
    complete_arguments,
    load_truth,
    simulate_recording,
)
from v1lib.store import kept, kept_recording
from v1lib.variants import Items, frozen

MIXTURES = {"standard": STANDARD_MIXTURE, "simple": SIMPLE_MIXTURE}


@dataclass(frozen=True)
class Animal:
    """Where the session of an animal comes from.

    ``simulated`` are all arguments of :func:`v1lib.simulate.simulate_recording` but path and motion; if there
    are none, ``path`` is absolute and ``choices`` are the other arguments of :func:`v1lib.open_session`.
    """

    simulated: Items = ()
    path: str = ""
    choices: Items = ()


class Outline(NamedTuple):
    """What a model is built from, without the data: one bin of a session, and the labels of the units."""

    session: xr.Dataset
    units: tuple[str, ...]


def read_animal(entry: Any, where: str, name: str, folder: Path) -> Animal:
    """An animal from its entry in a plan.

    Parameters
    ----------
    entry : mapping
        ``simulate`` with arguments, or ``open`` with a path (a relative one from `folder`; environment
        variables such as ``$V1LIB_DATA`` may stand in it) and choices.
    where, name : str
        For the message of an error.

    Raises
    ------
    InputError
        If it is neither, or no recording can be simulated with these arguments.
    """
    variable = f"animal {name!r}"
    kinds = [kind for kind in ("simulate", "open") if isinstance(entry, Mapping) and kind in entry]
    if len(kinds) != 1:
        expected = "either simulate with arguments or open with a path"
        raise InputError(where, variable, expected, f"{entry!r:.80}")
    if kinds == ["open"]:
        if not isinstance(entry["open"], str):
            raise InputError(where, variable, "a path to open", repr(entry["open"]))
        choices = {choice: value for choice, value in entry.items() if choice != "open"}
        place = folder / _with_variables(entry["open"], where, variable)
        return Animal(path=str(place.absolute()), choices=frozen(choices))
    if len(entry) > 1 or not isinstance(entry["simulate"], Mapping):
        raise InputError(where, variable, "simulate with a mapping of arguments alone", f"{entry!r:.80}")
    return Animal(simulated=_simulated(dict(entry["simulate"]), where, variable))


def _with_variables(path: str, where: str, variable: str) -> str:
    """The path with environment variables such as ``$V1LIB_DATA`` in place."""
    for name in re.findall(r"\$\{?(\w+)", path):
        if not os.environ.get(name):
            found = f"{path!r} without {name}"
            raise InputError(where, variable, "a path whose environment variables are set", found)
    return os.path.expanduser(os.path.expandvars(path))


def _simulated(given: dict[str, Any], where: str, variable: str) -> Items:
    """All arguments of a simulation, its defaults filled in, so that the same recording has the same ones."""
    known = inspect.signature(simulate_recording).parameters
    names = [name for name in known if name not in ("path", "motion")]
    for name in given:
        if name not in names:
            raise InputError(where, variable, f"arguments among {names}", repr(name))
    missing = [name for name in names if known[name].default is inspect.Parameter.empty and name not in given]
    if missing:
        raise InputError(where, variable, f"a value for {', '.join(missing)}", "none")
    mixture = given.get("mixture", "standard")
    if isinstance(mixture, str):
        if mixture not in MIXTURES:
            expected = f"a mixture called {' or '.join(MIXTURES)}, or formulae with their shares"
            raise InputError(where, variable, expected, repr(mixture))
        mixture = MIXTURES[mixture]
    try:
        arguments = complete_arguments(**(given | {"mixture": mixture}))
    except InputError as error:
        raise InputError(where, f"{variable}: {error.variable}", error.expected, error.found) from error
    return frozen({name: arguments[name] for name in names})


def content(animal: Animal) -> dict[str, Any]:
    """What the session of an animal depends on, as plain values: arguments, or checksums and choices."""
    if animal.simulated:
        return {"simulated": [list(pair) for pair in animal.simulated]}
    return {"files": _checksum(animal.path), "choices": [list(pair) for pair in animal.choices]}


def _checksum(path: str) -> str:
    """sha256 of a file, or of all files of a folder with their names."""
    place = Path(path)
    if not place.exists():
        raise InputError(place, "file", "a recording", f"nothing at {place}")
    files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _checksum_of(path, stamps)


@cache
def _checksum_of(path: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _, _ in stamps:
        digest.update(f"{Path(file).relative_to(path)}\0{sha256(file)}\0".encode())
    return digest.hexdigest()


def outline(animal: Animal) -> Outline:
    """What is known of an animal's session: from arguments alone, or from its file, opened once.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be opened as asked.
    """
    if animal.simulated:
        arguments = dict(animal.simulated)
        units = range(arguments["n_units"])
        return _outline(arguments["frame_shape"], list(BEHAVIOR_UNITS), list(map(str, units)), "spike_count")

    def make(path: Path) -> None:
        session = open_session(animal.path, **dict(animal.choices))
        shape = (session.sizes["y"], session.sizes["x"])
        variables = [str(variable) for variable in session["variable"].values]
        units = [str(unit) for unit in session["unit"].values]
        path.write_text(json.dumps([shape, variables, units, session["activity"].attrs["kind"]]))

    return _outline(*json.loads(kept("outlines", content(animal), make, suffix=".json").read_text()))


def _outline(shape: tuple[int, int], variables: list[str], units: list[str], kind: str) -> Outline:
    session = xr.Dataset(
        {
            "frames": (("time", "y", "x"), np.zeros((1, *shape), np.uint8)),
            "behavior": (("time", "variable"), np.zeros((1, len(variables)), np.float32)),
            "activity": (("time", "unit"), np.zeros((1, len(units)), np.float32), {"kind": kind}),
        },
        {"variable": variables, "unit": units},
    )
    return Outline(session, tuple(units))


def simulate(animal: Animal) -> None:
    """Simulate an animal, if that has not been done yet; an animal to be opened is left for later."""
    if animal.simulated:
        _recording(animal)


def opened(animal: Animal) -> tuple[xr.Dataset, xr.Dataset | None]:
    """The session of an animal, and its truth on the session's bins if it is simulated.

    The last two are kept in memory, since rows of one animal follow each other.
    """
    return _opened(animal, json.dumps(content(animal)))


@lru_cache(maxsize=2)
def _opened(animal: Animal, _content: str) -> tuple[xr.Dataset, xr.Dataset | None]:
    if not animal.simulated:
        return open_session(animal.path, **dict(animal.choices)), None
    recording = _recording(animal)
    session = align(recording)
    return session, bin_truth(load_truth(recording.path), session)


def _recording(animal: Animal) -> Any:
    arguments = dict(animal.simulated)
    return kept_recording(**arguments | {"mixture": dict(arguments["mixture"])})
