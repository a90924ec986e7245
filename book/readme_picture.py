"""Write the README's picture from the outputs that the repository keeps: it is never older than they."""

from __future__ import annotations

import base64
import os

import nbformat

from book.progress import ROOT

NOTEBOOK = ROOT / "notebooks" / "02_alignment.ipynb"
PICTURE = ROOT / "book" / "_static" / "readme_result.png"
GLUED = "application/papermill.record/image/png"


def stored_picture() -> bytes:
    """The answer figure of :data:`NOTEBOOK`, PNG.

    Raises
    ------
    ValueError
        If the notebook holds no such output.
    """
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        for output in cell.get("outputs", []):
            if GLUED in output.get("data", {}) and output.metadata.scrapbook.name == "answer":
                return base64.b64decode(output.data[GLUED])
    raise ValueError(
        f"{NOTEBOOK.name}: output answer: expected a picture, found none (run `make notebooks`)."
    )


def main() -> None:
    """Write the picture beside its place and rename it."""
    beside = PICTURE.with_name(f".{PICTURE.name}")
    beside.write_bytes(stored_picture())
    os.replace(beside, PICTURE)


if __name__ == "__main__":
    main()
