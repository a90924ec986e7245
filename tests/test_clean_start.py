"""A fresh machine gets exactly one environment, and every file that describes it says the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from book import install
from book.lock import pins, requirements
from book.progress import ROOT, in_words

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_LINES = [
    line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")
]
LOCK = {canonicalize_name(line.split("==")[0]): Version(line.split("==")[1]) for line in LOCK_LINES}

#: Their business is to name such folders.
NAME_FOLDERS = {"book/gate.py", "tests/test_gate.py", "tests/test_clean_start.py"}
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted|download\.pytorch|index-url|find-links|npmjs|/simple/|repo\.anaconda|deb\.debian"
)
MACHINE_FOLDERS = re.compile(r"(?<![\w.])/(?:work|opt|home|Users)/\w|(?<![\w.])/root/|\.pyenv")


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_lock_pins_everything_and_names_no_place():
    assert list(LOCK) == sorted(LOCK)
    for line in LOCK_LINES:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    assert LOCK["torch"] == Version("2.13.0")


@pytest.mark.parametrize("line", requirements())
def test_lock_satisfies_the_project(line):
    requirement = Requirement(line)
    pinned = LOCK.get(canonicalize_name(requirement.name))
    assert pinned is not None, f"{requirement.name} is not in the lock: run `make lock`"
    assert requirement.specifier.contains(pinned, prereleases=True)


def test_environment_is_the_lock():
    """What is installed here is what the lock pins: nothing else, nothing missing, no other version."""
    present = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
    missing = set(LOCK) - set(present)
    differing = {
        name: present[name].version
        for name in set(LOCK) & set(present)
        if Version(Version(present[name].version).public) != LOCK[name]
    }
    # A build of torch for another device brings parts of its own, which torch itself pins exactly.
    pinned_by_the_locked = {
        canonicalize_name(requirement.name)
        for name in set(LOCK) & set(present)
        for requirement in map(Requirement, present[name].requires or [])
        if any(specifier.operator == "==" for specifier in requirement.specifier)
    }
    extra = set(present) - set(LOCK) - pinned_by_the_locked - {"pip", "v1lib"}
    assert (missing, differing, extra) == (set(), {}, set()), "run `make env`"


def test_conda_and_binder_install_the_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    *others, pip = conda["dependencies"]
    assert set(others) == {f"python{PROJECT['project']['requires-python']}", "pip"}
    assert pip == {"pip": ["--requirement requirements.lock", "--editable ."]}

    binder = (ROOT / "binder" / "postBuild").read_text()
    assert "--requirement requirements.lock" in binder
    assert "--no-deps --no-build-isolation --editable ." in binder
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert Requirement(f"python{PROJECT['project']['requires-python']}").specifier.contains(version)


def test_no_registry_and_no_folder_of_a_machine_in_any_file():
    found = []
    for name in tracked_files():
        text = (ROOT / name).read_bytes().decode("utf-8", "replace")
        if name != "tests/test_clean_start.py" and REGISTRIES.search(text):
            found.append(f"{name}: {REGISTRIES.search(text).group()}")
        if name not in NAME_FOLDERS and MACHINE_FOLDERS.search(text):
            found.append(f"{name}: {MACHINE_FOLDERS.search(text).group()}")
    assert found == []


def test_readme_names_the_two_commands():
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line.strip() for line in lines]
    assert "make book" in commands
    assert "make test" in commands


def test_citation_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["project"]["license"]
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Multimodal Deep Learning Model Unveils Behavioral Dynamics of V1")
    assert [author["family-names"] for author in paper["authors"]] == ["Xu", "Hou", "Niell", "Beyeler"]


def test_continuous_checks_call_nothing_weaker():
    script = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^make --no-print-directory test\b", script, re.M)
    assert "V1LIB_REQUIRE_CHROMIUM=1" in script
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0


@pytest.fixture
def bare_machine(tmp_path):
    """The files that `make env` reads, without an environment."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder, *arguments):
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("target", ["env", "book", "test", "check", "notebooks", "lock"])
def test_python_that_is_too_old(bare_machine, target):
    # `false` stands for an interpreter that says its version is too low
    answer = make(bare_machine, target, "PYTHON=false")
    assert answer.returncode != 0
    assert answer.stderr.splitlines()[0].startswith("false is not Python 3.11 or newer: name one that is")
    assert not (bare_machine / ".venv").exists()


def test_no_python_at_all(bare_machine):
    answer = make(bare_machine, "env", "PYTHON=")
    assert answer.stderr.splitlines()[0].startswith(
        "Python 3.11 or newer is needed and none was found: install"
    )


def test_help_lists_every_target(bare_machine):
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.M)
    listed = re.findall(r"^  make (\w+) {2,}\S", make(bare_machine, "help").stdout, re.M)
    assert sorted(listed) == sorted(phony.split())


def test_serve_before_build(bare_machine):
    (bare_machine / ".venv").mkdir()
    (bare_machine / ".venv" / ".installed").touch()
    answer = make(bare_machine, "serve")
    assert "run `make book` first" in answer.stderr


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution",
            "connect to the network",
        ),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "make room"),
        ("ERROR: No matching distribution found for numpy==0.0.1", "numpy==0.0.1"),
    ],
)
def test_failed_installation_says_what_to_do(tmp_path, monkeypatch, log, sentence):
    file = tmp_path / "install.log"
    file.write_text(log)
    monkeypatch.setattr(install, "LOG", file)
    assert sentence in install.reason()
    assert "run `make env` again" in install.reason()


def test_lock_leaves_builds_out():
    report = {
        "install": [
            {"metadata": {"name": "torch", "version": "2.13.0+cpu"}},
            {"metadata": {"name": "Ruamel.Yaml_x", "version": "0.19.1"}},
        ]
    }
    assert pins(report) == ["ruamel-yaml-x==0.19.1", "torch==2.13.0"]


def test_durations_in_words():
    assert [in_words(seconds) for seconds in (-1, 0.4, 59, 61, 600)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min 01 s",
        "10 min 00 s",
    ]
