"""Profiles: one YAML file each, notebook → parameter → value, over the notebooks' own (``quick``) values."""

from __future__ import annotations

from pathlib import Path

import nbformat
import yaml

from book.keys import default_parameters
from book.progress import ROOT

PROFILES = ("quick", "standard", "paper")


def chapters(root: Path = ROOT) -> list[Path]:
    """The notebooks that ``_toc.yml`` lists, in the order of the book.

    Raises
    ------
    FileNotFoundError
        A notebook is listed and is not there.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    listed = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    files = [root / f"{name}.ipynb" for name in listed if name.startswith("notebooks/")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"_toc.yml lists {', '.join(missing)}, which the folder notebooks/ does not hold: "
            "add the notebook or take it off the list."
        )
    return files


def read_profile(name: str, notebooks: list[Path], root: Path = ROOT) -> dict[str, dict[str, object]]:
    """Parameters by notebook stem, for every notebook of `notebooks`.

    Raises
    ------
    ValueError
        No such profile, or a notebook or parameter in it that the book does not have.
    """
    file = root / "book" / "profiles" / f"{name}.yml"
    if not file.is_file():
        raise ValueError(f"There is no profile {name!r}: choose one of {', '.join(PROFILES)}.")
    profile: dict[str, dict[str, object]] = {
        stem: values or {} for stem, values in (yaml.safe_load(file.read_text()) or {}).items()
    }
    by_stem = {path.stem: path for path in notebooks}
    for stem, values in profile.items():
        if stem not in by_stem:
            raise ValueError(f"{file.name}: {stem} is not a notebook of the book ({', '.join(by_stem)}).")
        known = default_parameters(nbformat.read(by_stem[stem], as_version=4))
        for parameter in values:
            if parameter not in known:
                names = ", ".join(known) or "none"
                raise ValueError(f"{file.name}: {stem} has no parameter {parameter!r}; it has {names}.")
    return {stem: profile.get(stem, {}) for stem in by_stem}
