"""Files are found, checked and fetched as promised, and every refusal is one sentence."""

import hashlib

import pooch
import pytest

from v1lib.errors import InputError
from v1lib.readers import fetch as module
from v1lib.readers.fetch import SOURCES, Source, fetch

CONTENT = b"counter,ax\n1,0.5\n"
NAME = "demo/file.csv"


@pytest.fixture
def one_file(monkeypatch, tmp_path):
    """A table of one file whose public copy lies in a folder that stands for the network."""
    entry = Source("owner/name", "0" * 40, "file.csv", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(module, "SOURCES", {NAME: entry})
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("V1LIB_DATA", raising=False)
    monkeypatch.setattr(module, "DOWNLOAD_RETRIES", 0)
    return tmp_path


class FakeDownloader:
    """Writes what the network would have sent, or fails as it would, and counts the calls."""

    def __init__(self, sends):
        self.sends, self.calls = list(sends), []

    def __call__(self, *arguments, **choices):
        def download(url, output_file, keeper, **_):
            self.calls.append(url)
            sent = self.sends.pop(0)
            if isinstance(sent, Exception):
                raise sent
            with open(output_file, "wb") as file:
                file.write(sent)

        return download


@pytest.fixture
def network(monkeypatch):
    def install(*sends):
        downloader = FakeDownloader(sends)
        monkeypatch.setattr(pooch, "HTTPDownloader", downloader)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        return downloader

    return install


def test_every_source_is_pinned_to_a_commit_and_a_checksum():
    for name, source in SOURCES.items():
        assert len(source.commit) == 40 and len(source.sha256) == 64, name
        assert source.commit in source.url and source.path.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1]
    assert len({source.sha256 for source in SOURCES.values()}) == len(SOURCES)


def test_checksums_of_the_pupil_tracks_begin_as_published():
    starts = {SOURCES[name].sha256[:12] for name in SOURCES if name.startswith("ibl_pupil")}
    assert starts == {"bbcbf8972b46", "be04a81ea5b6"}


def test_data_folder_is_used_without_the_network(one_file, monkeypatch, network):
    (one_file / "data" / "demo").mkdir(parents=True)
    (one_file / "data" / NAME).write_bytes(CONTENT)
    monkeypatch.setenv("V1LIB_DATA", str(one_file / "data"))
    downloader = network()
    assert fetch(NAME) == one_file / "data" / NAME
    assert downloader.calls == [] and not (one_file / "cache").exists()


def test_download_happens_once_and_then_works_offline(one_file, network):
    downloader = network(CONTENT)
    path = fetch(NAME)
    assert path == one_file / "cache" / "data" / NAME and path.read_bytes() == CONTENT
    assert fetch(NAME) == path and len(downloader.calls) == 1


def test_download_goes_to_the_data_folder_when_it_is_set(one_file, monkeypatch, network):
    monkeypatch.setenv("V1LIB_DATA", str(one_file / "data"))
    network(CONTENT)
    assert fetch(NAME) == one_file / "data" / NAME


def test_a_failed_download_is_tried_again(one_file, monkeypatch, network):
    import requests

    monkeypatch.setattr(module, "DOWNLOAD_RETRIES", 2)
    downloader = network(requests.ConnectionError("down"), b"cut", CONTENT)
    assert fetch(NAME).read_bytes() == CONTENT
    assert len(downloader.calls) == 3


@pytest.mark.parametrize("sent", [ConnectionError("down"), b"other bytes"])
def test_failed_download_is_one_sentence_and_leaves_nothing(one_file, network, sent):
    network(sent)
    with pytest.raises(InputError) as caught:
        fetch(NAME)
    assert caught.value.variable == "download" and "V1LIB_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path for path in (one_file / "cache").rglob("*") if path.is_file()]


def test_wrong_bytes_are_refused_and_kept_for_inspection(one_file, monkeypatch):
    (one_file / "demo").mkdir()
    (one_file / NAME).write_bytes(CONTENT + b"x")
    monkeypatch.setenv("V1LIB_DATA", str(one_file))
    with pytest.raises(InputError, match=r"file\.csv: sha256: expected .* found") as caught:
        fetch(NAME)
    assert caught.value.variable == "sha256" and (one_file / NAME).exists()


def test_unknown_name_is_refused():
    with pytest.raises(InputError, match="expected one of"):
        fetch("nothing.mat")
