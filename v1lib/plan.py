"""A plan of fits as data: animals x variants x seeds, each row a complete, hashable configuration."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from v1lib.animals import Animal, content, outline, read_animal
from v1lib.errors import InputError, check_whole
from v1lib.fingerprint import plain
from v1lib.splits import PROTOCOLS
from v1lib.store import place_of
from v1lib.variants import VARIANTS, Variant, fit_config, make_model

ENTRIES = ("name", "protocol", "warmup_bins", "seeds", "animals", "variants")
VARIANT_ENTRIES = ("base", "model", "fit", "control")
#: The plans that come with the library, by name.
PLANS = {file.stem: file for file in sorted((Path(__file__).parent / "plans").glob("*.yml"))}
RESULT_SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """One fit of a plan, and the bins that it is scored on."""

    animal_name: str
    animal: Animal
    variant_name: str
    variant: Variant
    seed: int
    protocol: str
    warmup_bins: int

    def __str__(self) -> str:
        return f"{self.animal_name}, {self.variant_name}, seed {self.seed}"

    def key(self) -> dict[str, Any]:
        """All that the result depends on besides the source of v1lib and torch's version; no names."""
        return {
            "schema": RESULT_SCHEMA,
            "animal": content(self.animal),
            "protocol": self.protocol,
            "warmup_bins": self.warmup_bins,
            "seed": self.seed,
            **_built(self.animal, json.dumps(content(self.animal)), self.variant).plain,
        }

    def place(self) -> Path:
        """Where its result lies, or will lie."""
        return place_of("results", self.key(), ".nc")


@dataclass(frozen=True)
class Plan:
    """Animals and variants by name, and the seeds of each of their fits."""

    name: str
    protocol: str
    warmup_bins: int
    seeds: tuple[int, ...]
    animals: tuple[tuple[str, Animal], ...]
    variants: tuple[tuple[str, Variant], ...]

    def rows(self) -> list[Row]:
        """Every fit, animal by animal, so that one who makes some in turn opens few sessions."""
        return [
            Row(animal_name, animal, variant_name, variant, seed, self.protocol, self.warmup_bins)
            for animal_name, animal in self.animals
            for seed in self.seeds
            for variant_name, variant in self.variants
        ]

    def sha256(self) -> str:
        """Of names and content, in hexadecimal; where the files of an animal lie is not in it."""
        parts = asdict(self) | {"animals": [(name, content(animal)) for name, animal in self.animals]}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_plan(plan: str | Path | Mapping | Plan) -> Plan:
    """Read and check a plan, before any work is done on it.

    Parameters
    ----------
    plan : str, Path, mapping or Plan
        A name of :data:`PLANS`, a YAML file, or what stands in one: ``name``; ``protocol`` (see
        :func:`v1lib.splits.split`); ``warmup_bins``, how many bins at the start of each test range no variant
        is scored on, so that all are scored on the same; ``seeds``; ``animals``, by name, each ``simulate``
        with arguments of :func:`v1lib.simulate.simulate_recording` (`mixture` may be ``standard`` or
        ``simple``) or ``open`` with a path and other arguments of :func:`v1lib.open_session`; and
        ``variants``, each a name of :data:`v1lib.variants.VARIANTS` or a new name with ``base`` (one of
        these) and what it changes:
        ``model``, ``fit``, ``control``.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        One sentence for an entry that is unknown, missing or of the wrong type, an unknown variant, an animal
        that is not there or does not suit a variant, the same row under two names, or a window that is longer
        than the warm-up.
    """
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, Mapping):
        return _checked(plan, "plan", Path.cwd())
    if not isinstance(plan, str | Path):
        expected = f"a file, a mapping, or one called {' or '.join(PLANS)}"
        raise InputError("read_plan", "plan", expected, f"{plan!r:.80}")
    path = PLANS.get(str(plan), Path(plan))
    return _checked(_read_yaml(path), str(path), path.parent)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which the last would stay."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            raise yaml.YAMLError(f"{key!r} twice in line {node.value[number][0].start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read_yaml(path: Path) -> Any:
    if not os.path.isfile(path):
        raise InputError(path, "file", f"a plan in YAML, or one called {' or '.join(PLANS)}", "no file")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(path, "file", "YAML with each key once", f"something else ({reason})") from error


def _amiss(given: Any) -> str:
    """Which entries of a plan are missing, and which are there that it does not have."""
    if not isinstance(given, Mapping):
        return type(given).__name__
    missing = [name for name in ENTRIES if name not in given]
    besides = [repr(name) for name in given if name not in ENTRIES]
    parts = ("no " + ", ".join(missing)) if missing else "", ", ".join(besides) if besides else ""
    return " and ".join(part for part in parts if part)


def _checked(given: Any, where: str, folder: Path) -> Plan:
    if not isinstance(given, Mapping) or set(given) != set(ENTRIES):
        raise InputError(where, "entries", f"exactly {', '.join(ENTRIES)}", _amiss(given))
    if not isinstance(given["name"], str) or not given["name"]:
        raise InputError(where, "name", "a name", repr(given["name"]))
    if given["protocol"] not in PROTOCOLS:
        raise InputError(where, "protocol", " or ".join(PROTOCOLS), repr(given["protocol"]))
    check_whole(where, "warmup_bins", given["warmup_bins"], 0)
    seeds = given["seeds"]
    if not isinstance(seeds, list | tuple) or not seeds:
        raise InputError(where, "seeds", "a list of whole numbers", repr(seeds))
    for seed in seeds:
        check_whole(where, "seeds", seed, 0)
    if len(set(seeds)) < len(seeds):
        raise InputError(where, "seeds", "each once", repr(seeds))
    if not isinstance(given["animals"], Mapping) or not given["animals"]:
        raise InputError(where, "animals", "a mapping of names to animals", f"{given['animals']!r:.80}")
    animals = {
        _name(where, "animals", name): read_animal(entry, where, name, folder)
        for name, entry in given["animals"].items()
    }
    if not isinstance(given["variants"], list | tuple) or not given["variants"]:
        raise InputError(where, "variants", "a list of variants", f"{given['variants']!r:.80}")
    variants = [_variant(entry, where) for entry in given["variants"]]
    names = [name for name, _ in variants]
    for name in names:
        if names.count(name) > 1:
            raise InputError(where, "variants", "each name once", f"{name!r} {names.count(name)} times")
    read = Plan(
        given["name"],
        given["protocol"],
        given["warmup_bins"],
        tuple(seeds),
        tuple(animals.items()),
        tuple(variants),
    )
    _check_rows(read, where)
    return read


def _name(where: str, entry: str, name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise InputError(where, entry, "names", repr(name))
    return name


def _variant(entry: Any, where: str) -> tuple[str, Variant]:
    """Name and content of a variant, from its name or from one line that changes a named one."""
    if isinstance(entry, str):
        return entry, _named(entry, where)
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise InputError(
            where, "variants", "a name, or a new name with its base and changes", f"{entry!r:.80}"
        )
    ((name, changes),) = entry.items()
    variable = f"variant {_name(where, 'variants', name)!r}"
    if name in VARIANTS:
        raise InputError(where, variable, "a name that no variant of the library has", "one that is taken")
    if not isinstance(changes, Mapping) or "base" not in changes or not set(changes) <= set(VARIANT_ENTRIES):
        raise InputError(where, variable, f"base, and any of {VARIANT_ENTRIES[1:]}", f"{changes!r:.80}")
    for part in ("model", "fit"):
        if not isinstance(changes.get(part, {}), Mapping):
            raise InputError(where, f"{variable}: {part}", "a mapping", repr(changes[part]))
    with _named_error(where, variable):
        base = _named(changes["base"], where)
        return name, base.changed(changes.get("model"), changes.get("fit"), changes.get("control"))


def _named(name: Any, where: str) -> Variant:
    if not isinstance(name, str) or name not in VARIANTS:
        near = get_close_matches(str(name), VARIANTS, 3)
        known = " or ".join(map(repr, near)) if near else ", ".join(map(repr, list(VARIANTS)[:8]))
        raise InputError(where, "variants", f"a variant of the library, such as {known}", repr(name))
    return VARIANTS[name]


@contextmanager
def _named_error(where: str, variable: str) -> Iterator[None]:
    """The same error with the plan's file, and what in it is at fault."""
    try:
        yield
    except InputError as error:
        if error.where == where:
            raise
        raise InputError(where, f"{variable}: {error.variable}", error.expected, error.found) from error


def _check_rows(plan: Plan, where: str) -> None:
    """Refuse rows that cannot be fitted or scored as the plan says, and rows that are the same."""
    animals: dict[str, str] = {}
    for name, animal in plan.animals:
        with _named_error(where, f"animal {name!r}"):
            outline(animal)
            _check_once(animals, json.dumps(content(animal)), name, where, "animals")
    for animal_name, animal in plan.animals:
        variants: dict[str, str] = {}
        for name, variant in plan.variants:
            variable = f"variant {name!r} on animal {animal_name!r}"
            with _named_error(where, variable):
                built = _built(animal, json.dumps(content(animal)), variant)
            _check_once(variants, json.dumps(built.plain), name, where, "variants")
            if built.lead > plan.warmup_bins:
                expected = f"at least {built.lead}, the bins before the one that variant {name!r} predicts"
                raise InputError(where, "warmup_bins", expected, str(plan.warmup_bins))
            if variant.control == "true retinal image" and not animal.simulated:
                raise InputError(where, variable, "a simulated animal, whose truth is known", "a file")


def _check_once(seen: dict[str, str], text: str, name: str, where: str, entry: str) -> None:
    if text in seen:
        raise InputError(where, entry, "each once", f"{name!r}, which is the same as {seen[text]!r}")
    seen[text] = name


class _Built(NamedTuple):
    """What a variant becomes on an animal, as plain values, and the bins before the one that it predicts."""

    plain: dict[str, Any]
    lead: int


@cache
def _built(animal: Animal, _content: str, variant: Variant) -> _Built:
    # Arguments are taken from the model, so that a default that is spelled out makes no other row.
    model, config = make_model(variant, outline(animal).session, 0), fit_config(variant, 0)
    key = {
        "class": type(model).__name__,
        "arguments": model.arguments,
        "fit": asdict(config),
        "control": variant.control,
    }
    return _Built(json.loads(json.dumps(key, default=plain)), model.seq_len - 1 + config.predict_offset)
