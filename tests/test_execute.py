"""Executing notebooks: what is finished stays, what changed runs again, what fails is told in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import build, execute, pages, progress
from book.build import compose, execute_chapters
from book.execute import execute_all, is_current, store_in_place, use_kept_outputs
from book.execute_one import lacks_recording
from book.gate import check_notebook
from book.keys import INJECTED, content_key, has_tag
from v1lib.errors import InputError
from v1lib.readers.fetch import SOURCES

pytestmark = pytest.mark.slow  # each starts kernels

METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "v1lib": {"data": "simulated"},
}


@pytest.fixture(autouse=True)
def own_durations(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "DURATIONS", tmp_path / "durations.json")


def write(path, *code):
    cells = [new_markdown_cell("# A title"), new_code_cell("seed = 0", metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=[*cells, *map(new_code_cell, code)], metadata=METADATA)
    nbformat.write(notebook, path)
    return path


def test_reuse_failure_and_repair(tmp_path, capsys):
    folder = tmp_path / "executed"
    good = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    bad = write(tmp_path / "02_bad.ipynb", "print(1)", "raise ValueError('no unit fired')")
    values = {"01_good": {}, "02_bad": {}}

    (failure,) = execute_all([good, bad], folder, values).values()
    assert "02_bad: code cell 3: ValueError: no unit fired" in failure.sentence
    assert not failure.lacks_recording
    assert sorted(file.name for file in folder.glob("[!.]*.ipynb")) == ["01_good.ipynb"]
    first = (folder / "01_good.ipynb").read_bytes()
    record = nbformat.reads(first.decode(), as_version=4).metadata.v1lib.executed
    assert record.peak_memory_mb > 20, "an empty kernel alone holds more"

    write(bad, "print(1)")
    capsys.readouterr()
    assert execute_all([good, bad], folder, values) == {}
    assert "01_good: nothing changed" in capsys.readouterr().out
    assert (folder / "01_good.ipynb").read_bytes() == first

    store_in_place(good, nbformat.reads(first.decode(), as_version=4))
    stored = nbformat.read(good, as_version=4)
    assert check_notebook(stored, "notebooks/01_good", []) == []
    assert stored.cells[2].outputs[0].text == "1\n"
    assert dict(stored.metadata.v1lib.executed) == {
        name: record[name] for name in ("code", "library", "lock")
    }


def test_notebooks_run_side_by_side(tmp_path, monkeypatch):
    meet = """
import time
from pathlib import Path
Path({own!r}).touch()
for _ in range(600):  # a minute
    if Path({other!r}).exists():
        break
    time.sleep(0.1)
else:
    raise TimeoutError("the other notebook did not run")
"""
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    notebooks = [
        write(tmp_path / "01_one.ipynb", meet.format(own=first, other=second)),
        write(tmp_path / "02_two.ipynb", meet.format(own=second, other=first)),
    ]
    monkeypatch.setattr(execute, "LANES", 2)
    assert execute_all(notebooks, tmp_path / "executed", {"01_one": {}, "02_two": {}}) == {}


def test_an_ended_build_leaves_nothing_running(tmp_path):
    mark = tmp_path / "kernel"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    path = write(tmp_path / "01_long.ipynb", code)
    program = (
        "import signal, sys; from pathlib import Path; from book import execute, progress\n"
        f"progress.DURATIONS = Path({str(tmp_path / 'durations.json')!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended'))\n"
        f"folder = Path({str(tmp_path / 'executed')!r})\n"
        f"execute.execute_all([Path({str(path)!r})], folder, {{'01_long': {{}}}})"
    )
    build = subprocess.Popen([sys.executable, "-c", program], cwd=progress.ROOT)
    until(lambda: mark.exists() and mark.read_text())
    build.terminate()
    assert build.wait(timeout=60) == 1
    until(lambda: not psutil.pid_exists(int(mark.read_text())))  # a kernel ends when its parent has gone


def until(happened, seconds=120.0):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_parameters_of_a_profile_reach_the_page(tmp_path):
    folder = tmp_path / "executed"
    path = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    assert execute_all([path], folder, {"01_good": {"seed": 41}}) == {}
    executed = nbformat.read(folder / "01_good.ipynb", as_version=4)
    original = nbformat.read(path, as_version=4)
    key = content_key(original, {"seed": 41})
    assert check_notebook(executed, "notebooks/01_good", [], expected_key=key) == []
    assert executed.cells[-1].outputs[0].text == "42\n"

    pages.show_values_used(original, "standard", {"seed": 41})
    folded, shown = original.cells[1:3]
    assert has_tag(folded, "parameters") and has_tag(folded, "hide-input")
    assert has_tag(shown, INJECTED) and not has_tag(shown, "hide-input")
    assert shown.source.splitlines() == ["# The values used for this page: profile standard", "seed = 41"]


def test_half_written_result_is_not_used(tmp_path):
    folder = tmp_path / "executed"
    folder.mkdir()
    path = write(tmp_path / "01_good.ipynb", "print(seed + 1)")
    (folder / "01_good.ipynb").write_text('{"cells": [')
    assert execute_all([path], folder, {"01_good": {}}) == {}
    assert nbformat.read(folder / "01_good.ipynb", as_version=4).cells[2].outputs[0].text == "1\n"


def test_notebook_may_not_rely_on_its_folder(tmp_path):
    path = write(tmp_path / "01_bad.ipynb", "open('01_bad.ipynb')")
    (failure,) = execute_all([path], tmp_path / "executed", {"01_bad": {}}).values()
    assert "FileNotFoundError" in failure.sentence


NO_NETWORK = "raise InputError('https://host.invalid/a.mat', 'download', 'a network', 'none')"
FETCHING = ("from v1lib.errors import InputError", "print(seed + 1)", NO_NETWORK)


def write_kept(path, *code, **record):
    """A notebook whose stored outputs are those of an earlier, complete execution; the record is changed."""
    notebook = nbformat.read(write(path, *code), as_version=4)
    for count, cell in enumerate(notebook.cells[1:], start=1):
        cell.execution_count = count
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", name="stdout", text="kept\n")]
    key = content_key(notebook, {})
    executed = {name: key[name] for name in ("code", "library", "lock")} | record
    notebook.metadata.v1lib["executed"] = nbformat.from_dict(executed)
    nbformat.write(notebook, path)
    return path


def test_without_its_recording_a_chapter_shows_the_kept_outputs(tmp_path, capsys):
    path = write_kept(tmp_path / "12_real.ipynb", *FETCHING)
    folder = tmp_path / "executed"
    assert execute_chapters([path], folder, {"12_real": {"seed": 3}}) == []
    assert "12_real: its recordings cannot be fetched" in capsys.readouterr().out
    shown = nbformat.read(folder / path.name, as_version=4)
    assert shown.cells[3].outputs[0].text == "kept\n"
    # It is tried again as soon as it is built again, whatever its record holds.
    assert pages.is_kept(shown)
    assert not is_current(folder / path.name, dict(shown.metadata.v1lib.executed))


def test_another_error_of_fetch_is_not_passed_over(tmp_path):
    fault = "raise InputError('https://host.invalid/a.mat', 'sha256', 'one', 'another')"
    path = write_kept(tmp_path / "12_real.ipynb", *FETCHING[:2], fault)
    (problem,) = execute_chapters([path], tmp_path / "executed", {"12_real": {}})
    assert "code cell 4: InputError: https://host.invalid/a.mat: sha256" in problem
    assert not (tmp_path / "executed" / path.name).exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("InputError", "https://host.invalid/a.mat: sha256: expected download: expected x, found y."),
        ("InputError", "download: expected a network, found none."),
        ("ValueError", "https://host.invalid/a.mat: download: expected a network, found none."),
        ("ConnectionError", "no network"),
    ],
)
def test_other_errors_are_no_failed_download(name, message):
    assert not lacks_recording(name, message)


def test_the_error_of_a_failed_download_is_known(tmp_path, monkeypatch):
    from v1lib.readers import fetch

    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path))
    monkeypatch.delenv("V1LIB_DATA", raising=False)
    monkeypatch.setattr(fetch, "DOWNLOAD_RETRIES", 0)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.raises(InputError) as caught:
        fetch.fetch("rodent_imu/example_imu.csv")
    assert lacks_recording(type(caught.value).__name__, str(caught.value))


def test_prose_may_change_under_kept_outputs(tmp_path):
    path = write_kept(tmp_path / "12_real.ipynb", *FETCHING, library="of another time")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "# Another title\n\nOther words."
    nbformat.write(notebook, path)
    assert use_kept_outputs(path, tmp_path / "shown.ipynb") is None


def test_stale_or_missing_outputs_stand_in_for_nothing(tmp_path):
    stale = write_kept(tmp_path / "12_stale.ipynb", *FETCHING, code="of another time")
    missing = write(tmp_path / "13_missing.ipynb", *FETCHING)
    folder = tmp_path / "executed"
    problems = execute_chapters([stale, missing], folder, {"12_stale": {}, "13_missing": {}})
    assert [problem.count(". ") for problem in problems] == [0, 0], "one sentence each"
    assert "12_stale" in problems[0] and "are not those of its present code" in problems[0]
    assert "13_missing" in problems[1] and "keeps no outputs" in problems[1]
    assert all("V1LIB_DATA" in problem for problem in problems)
    assert list(folder.glob("[!.]*.ipynb")) == []


@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_page_says_that_its_outputs_are_kept(tmp_path, monkeypatch, profile):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "status.md").write_text(f"# Status\n\nA table.\n\n{pages.STATUS_MARK}\n")
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    path = write_kept(tmp_path / "12_real.ipynb", *FETCHING, library="of another time")
    values = {"12_real": {} if profile == "quick" else {"seed": 3}}
    (tmp_path / "executed").mkdir()
    assert use_kept_outputs(path, tmp_path / "executed" / path.name) is None
    assert compose(tmp_path, profile, [path], values) == []

    page = nbformat.read(tmp_path / "source" / "notebooks" / path.name, as_version=4)
    title, label, notice = page.cells[0].source.split("\n\n", 2)
    assert title == "# A title" and "v1-data" in label
    assert notice.startswith(":::{admonition} Not computed when this page was built\n:class: warning\n")
    assert "could not be fetched" in notice and "`V1LIB_DATA`" in notice and "has changed since" in notice
    assert ("although this book was built at the profile standard" in notice) == (profile == "standard")
    assert not [cell for cell in page.cells if has_tag(cell, INJECTED)], "values that nothing was made with"
    provenance = page.cells[-1].source
    assert "quick, kept in the repository" in provenance and "seed = 0" in provenance
    assert "could not be fetched" in provenance
    status = (tmp_path / "source" / "book" / "status.md").read_text()
    assert "| {doc}`/notebooks/12_real` | quick, kept in the repository | simulated | – | – | – |" in status
    assert "could not be fetched" in status


def test_nbval_skips_what_it_cannot_fetch(tmp_path):
    source = next(iter(SOURCES.values()))
    path = write(tmp_path / "12_real.ipynb", "print(1)")
    notebook = nbformat.read(path, as_version=4)
    glued = {"application/papermill.record/text/plain": repr({"a.mat": source.sha256})}
    notebook.cells[2].outputs = [
        nbformat.v4.new_output("display_data", data=glued, metadata={"scrapbook": {"name": "data_checksums"}})
    ]
    nbformat.write(notebook, path)
    fetch = "v1lib.readers.fetch"
    program = f"""
import sys, pytest, {fetch}
{fetch}.DOWNLOAD_RETRIES = 0
sys.exit(pytest.main(["-p", "tests.skip_without_recordings", "--nbval-lax", "-rs", {str(path)!r}]))"""
    environment = {**os.environ, "V1LIB_CACHE": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    environment.pop("V1LIB_DATA", None)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=progress.ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    assert "2 skipped" in ran.stdout and "passed" not in ran.stdout
    assert f"{source.url}: download: expected" in ran.stdout
