"""What makes no result is not part of the key of any: nothing that makes one may depend on it."""

import ast
from pathlib import Path

import v1lib
from v1lib.fingerprint import READERS_OF_RESULTS

ROOT = Path(v1lib.__file__).parent


def imported(path):
    """Modules of v1lib that a file imports, by their dotted names, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "v1lib":
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == "v1lib"}
    return found


def test_nothing_that_makes_results_imports_what_only_reads_them():
    reads = {f"v1lib.{name}" for name in READERS_OF_RESULTS}
    makers = [
        path
        for path in ROOT.rglob("*.py")
        if path != ROOT / "__init__.py"
        and path.relative_to(ROOT).parts[0].removesuffix(".py") not in READERS_OF_RESULTS
    ]
    assert len(makers) > 50
    for path in makers:
        taken = {name for name in imported(path) if ".".join(name.split(".")[:2]) in reads}
        assert not taken, f"{path.relative_to(ROOT)} imports {taken}"


def test_each_reader_of_results_is_there():
    for name in READERS_OF_RESULTS:
        assert (ROOT / f"{name}.py").is_file() or (ROOT / name / "__init__.py").is_file(), name
