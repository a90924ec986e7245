"""What is compared: variants of models by the names that a table gives them, as plain data.

A variant is a base, what it changes of the base's arguments and fit, and the control, if any, that its
session goes through before training and test alike. :data:`VARIANTS` has the ladder of baselines, the
ablations, the controls and the rows of the paper's three tables; :data:`TABLES` says which make a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any

import xarray as xr

from v1lib import models
from v1lib.controls import shift_behavior, shuffle_vision, true_retinal_image
from v1lib.errors import InputError
from v1lib.fit import FitConfig, Model
from v1lib.models.paper import paper_model
from v1lib.splits import Splits

#: Mappings as pairs and lists as tuples, at every level, so that they can be hashed.
Items = tuple[tuple[str, Any], ...]

#: Bases, each with its fit: the textbook models, a tenth of the paper's network, that network itself, and
#: the project's own model.
BASES = {"joint": "JOINT_FIT", "network": "SHORT_FIT", "paper": "PAPER_FIT", "own": "FIELD_FIT"}
CONTROLS = ("vision shuffled", "behaviour shifted", "true retinal image")


@dataclass(frozen=True)
class Variant:
    """A model, how it is fitted, and what it is shown.

    Attributes
    ----------
    base : one of :data:`BASES`
    model : arguments of the base's model that differ from its defaults
    fit : fields of the base's :class:`v1lib.fit.FitConfig` that differ
    control : one of :data:`CONTROLS`, or None
    """

    base: str
    model: Items = ()
    fit: Items = ()
    control: str | None = None

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise InputError("variant", "base", " or ".join(BASES), repr(self.base))
        if self.control is not None and self.control not in CONTROLS:
            raise InputError("variant", "control", " or ".join(CONTROLS), repr(self.control))
        known = {field.name for field in fields(FitConfig)} - {"seed"}
        for name, _ in self.fit:
            if name not in known:
                raise InputError("variant", "fit", f"fields among {sorted(known)}", repr(name))
        for name, _ in self.model:
            if name == "seed":
                raise InputError("variant", "model", "no seed, which is that of the plan's row", "one")

    def changed(
        self,
        model: Mapping[str, Any] | None = None,
        fit: Mapping[str, Any] | None = None,
        control: str | None = None,
    ) -> Variant:
        """The same with other arguments; a control takes the place of the one before."""
        return Variant(
            self.base,
            frozen(dict(self.model) | dict(model or {})),
            frozen(dict(self.fit) | dict(fit or {})),
            control or self.control,
        )


def frozen(value: Any) -> Any:
    """Mappings as tuples of pairs in their order, lists as tuples, at every level."""
    if isinstance(value, Mapping):
        return tuple((name, frozen(item)) for name, item in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def make_model(variant: Variant, session: xr.Dataset, seed: int) -> Model:
    """The untrained model of a variant, of the right shape for a session.

    Raises
    ------
    InputError
        If the model has no such arguments, or does not fit the session.
    """
    arguments = dict(variant.model) | {"seed": seed}
    try:
        if variant.base == "network":
            return models.encoding_model(session, **(models.SMALL_NETWORK | arguments))
        if variant.base == "paper":
            return _paper_network(session, **arguments)
        if variant.base == "joint":
            return models.joint_model(session, **arguments)
        return models.field_model(session, **arguments)
    except TypeError as error:
        found = f"{dict(variant.model)} ({error})"
        raise InputError("variant", "model", f"arguments that {variant.base!r} takes", found) from error


def _paper_network(
    session: xr.Dataset, *, seed: int, vision: bool = True, shifter: bool = True, **arguments: Any
) -> Model:
    """The paper's network, also without vision or shifter."""
    whole = paper_model(session, seed=seed, **arguments)
    if vision and shifter:
        return whole
    given = ("frame_shape", "n_units", "behavior", "gaze", "vision", "output")
    sizes = {name: value for name, value in whole.arguments.items() if name not in given}
    behavior = arguments.get("behavior", "all_prod")
    return models.encoding_model(session, behavior, vision=vision, shifter=shifter, seed=seed, **sizes)


def fit_config(variant: Variant, seed: int) -> FitConfig:
    """How a variant is fitted."""
    fits = import_module("v1lib.fit")  # the package has its function under the module's name
    return replace(getattr(fits, BASES[variant.base]), **dict(variant.fit), seed=seed)


def controlled(
    variant: Variant, session: xr.Dataset, truth: xr.Dataset | None, splits: Splits, seed: int
) -> xr.Dataset:
    """The session that a variant is fitted to and tested on.

    Raises
    ------
    InputError
        If the control needs a truth and there is none.
    """
    if variant.control == "vision shuffled":
        return shuffle_vision(session, splits, seed=seed)
    if variant.control == "behaviour shifted":
        return shift_behavior(session, splits, seed=seed)
    if variant.control == "true retinal image":
        if truth is None:
            expected = f"that of a simulated animal for the control {variant.control!r}"
            raise InputError("session", "truth", expected, "none")
        return true_retinal_image(session, truth, splits)
    return session


#: Encoders of the paper's Table 1 by the names that it gives them.
_ENCODERS = {
    "CNN": "cnn",
    "autoencoder": "autoencoder",
    "ResNet-18": "resnet18",
    "EfficientNet-B0": "efficientnet",
    "Sensorium": "sensorium",
}
#: What the paper's fit of an encoder alone does otherwise.
_ENCODER_FIT = {"learning_rate": 1e-4, "epochs": 100}
_NO_SHIFTER: dict[str, Any] = {"network": False, "paper": False, "own": None}


def _variants() -> dict[str, Variant]:
    joint, network, own = Variant("joint"), Variant("network"), Variant("own")
    # Simulated sessions are not in files, by which the published fits are scaled.
    published = Variant("paper")
    paper = published.changed(fit={"scaling": "training"})
    found = _ladder(joint, network)
    for name, base in (("network", network), ("paper", paper), ("own", own)):
        found[name] = base
        found |= _ablations(name, base)
    found["published"] = published
    found |= {
        "network, no behaviour": network.changed({"behavior": None}),
        "own, no behaviour": own.changed({"behavior": None}),
        "own, the paper's shifter": own.changed({"shifter": "affine"}),
        "own, no windows": own.changed({"local": False}),
        "own, no energies": own.changed({"n_energies": 0}),
        "own, one field a unit": own.changed({"n_fields": 1}),
        "own, no division by contrast": own.changed({"normalize": False}),
        "own, 2 bins": own.changed({"seq_len": 2}),
    }
    for name, base in (("network", network), ("paper", paper), ("published", published)):
        found |= _table_rows(name, base)
    return found


def _ladder(joint: Variant, network: Variant) -> dict[str, Variant]:
    """Baselines, from nothing known to vision and behaviour bin by bin."""
    single = {"seq_len": 1, "hidden": None}
    return {
        "mean rate": joint.changed({"behavior": None, "vision": False}),
        "behaviour GLM": joint.changed({"behavior": "orig", "vision": False}),
        "LNP": joint.changed({"behavior": None}),
        "LNP, local field": joint.changed({"behavior": None, "local": True}),
        "additive": joint.changed({"combine": "additive", "local": True}),
        "multiplicative": joint.changed({"combine": "multiplicative", "local": True}),
        "CNN": network.changed({"behavior": None, **single}),
        "CNN + behaviour": network.changed(single),
    }


def _ablations(name: str, base: Variant) -> dict[str, Variant]:
    """A model without vision or shifter, and its controls."""
    no_shifter = base.changed({"shifter": _NO_SHIFTER[name]})
    return {
        f"{name}, no vision": base.changed({"vision": False}),
        f"{name}, no shifter": no_shifter,
        f"{name}, vision shuffled": base.changed(control="vision shuffled"),
        # With a shifter the gaze is shifted too, which the second of the two does not ask about.
        f"{name}, behaviour shifted": base.changed(control="behaviour shifted"),
        f"{name}, no shifter, behaviour shifted": no_shifter.changed(control="behaviour shifted"),
        f"{name}, true retinal image": no_shifter.changed(control="true retinal image"),
    }


def _row_name(name: str, behavior: str, seq_len: int) -> str:
    """A full model by what it does otherwise than its base: that has 4 bins (network) or 1 (the paper's)."""
    behavior_part = "" if behavior == "all_prod" else f", {behavior}"
    if seq_len == (models.SMALL_NETWORK["seq_len"] if name == "network" else 1):
        return name + behavior_part
    return f"{name}{behavior_part}, {seq_len} bin{'s' if seq_len > 1 else ''}"


def _table_rows(name: str, base: Variant) -> dict[str, Variant]:
    rows = {}
    for label, encoder in _ENCODERS.items():
        alone = {"behavior": None, "encoder": encoder, "seq_len": 1}
        row = base.changed(alone, None if name == "network" else _ENCODER_FIT)
        rows[f"{name}, {label} alone"] = row
        rows[f"{name}, {label} alone, no shifter"] = row.changed({"shifter": False})
    for behavior, seq_len in [("S", 1), ("orig_prod", 1), *(("all_prod", n) for n in range(1, 9))]:
        if (row_name := _row_name(name, behavior, seq_len)) != name:
            rows[row_name] = base.changed({"behavior": behavior, "seq_len": seq_len})
    return rows


def _tables(name: str) -> dict[int, tuple[str, ...]]:
    return {
        1: tuple(f"{name}, {label} alone{end}" for label in _ENCODERS for end in ("", ", no shifter")),
        2: tuple(_row_name(name, behavior, 1) for behavior in ("S", "orig_prod", "all_prod")),
        3: tuple(_row_name(name, "all_prod", n) for n in range(1, 9)),
    }


#: Every variant that a plan may name.
VARIANTS: dict[str, Variant] = _variants()
#: Rows of the paper's tables 1, 2 and 3: for the small network, for the paper's as it is fitted here, and as
#: it was published.
TABLES: dict[str, dict[int, tuple[str, ...]]] = {
    name: _tables(name) for name in ("network", "paper", "published")
}
