"""What is kept lies where the user says, else where the system keeps such things."""

import sys
from pathlib import Path

import pytest

from v1lib import store
from v1lib.cache import cache_root
from v1lib.readers import fetch


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in ("V1LIB_CACHE", "V1LIB_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {}, ".cache/v1lib"),
        ("linux", {"XDG_CACHE_HOME": ""}, ".cache/v1lib"),  # empty counts as not set
        ("linux", {"XDG_CACHE_HOME": "elsewhere"}, "elsewhere/v1lib"),
        ("darwin", {"XDG_CACHE_HOME": "elsewhere"}, "Library/Caches/v1lib"),
        ("win32", {}, "AppData/Local/v1lib/Cache"),
        ("win32", {"LOCALAPPDATA": "elsewhere"}, "elsewhere/v1lib/Cache"),
        ("darwin", {"V1LIB_CACHE": "mine"}, "mine"),
        ("win32", {"V1LIB_CACHE": "mine"}, "mine"),
    ],
)
def test_the_folder_is_the_chosen_one_or_the_systems(monkeypatch, home, platform, variables, folder):
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value and str(home / value))
    assert cache_root() == home / folder


def test_a_tilde_is_the_users_home(monkeypatch):
    monkeypatch.setenv("V1LIB_CACHE", "~/kept")
    assert cache_root() == Path("~/kept").expanduser() and "~" not in str(cache_root())


def test_runs_and_downloads_lie_under_one_folder(monkeypatch, home):
    monkeypatch.setenv("V1LIB_CACHE", str(home / "kept"))
    made = store.kept("things", {"a": 1}, lambda path: path.write_text("x"), suffix=".txt")
    assert made.parent == home / "kept" / "things"
    name = next(iter(fetch.SOURCES))
    monkeypatch.setattr(fetch, "_download", lambda name, source, folder: folder / name)
    assert fetch.fetch(name) == home / "kept" / "data" / name
