"""A session goes into the layout of the paper's archive and comes back the same, or nothing is written."""

import numpy as np
import pytest
import xarray as xr
from archive_mouse import mouse_arrays, save_mouse
from lab_folder import aligned
from planted import planted_session

import v1lib
from v1lib.errors import InputError
from v1lib.readers import open_session, osf_write
from v1lib.splits import split

VARIABLES = ("frames", "behavior", "activity")


@pytest.fixture(scope="module")
def planted():
    session = planted_session(1003, 3, (4, 5))[0]
    session["behavior"][100:110, 4] = np.nan
    return session


def write(session, root, **choices):
    return v1lib.write_osf_archive(session, root, "mouse_1", **choices)


def refusal(session, root, animal="mouse_1", **choices):
    """The one sentence that writing ends in, with nothing changed under `root`."""
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    with pytest.raises(InputError) as caught:
        v1lib.write_osf_archive(session, root, animal, **choices)
    assert {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} == before
    assert not list(root.glob(".writing-*"))
    return str(caught.value)


def same_values(first, second):
    for name in VARIABLES:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name].values, second[name].values)


def test_the_files_are_the_papers_segments(planted, tmp_path):
    folder = write(planted, tmp_path)
    assert folder == tmp_path / "mouse_1" and [entry.name for entry in tmp_path.iterdir()] == ["mouse_1"]
    names = ("nsp", "vid_mean", "speed", "pitch", "roll", "phi", "th", "eyerad")
    expected = {f"{p}_{n}_seg_{k}.npy" for p in ("train", "test") for n in names for k in range(10)}
    assert {file.name for file in folder.iterdir()} == expected
    # 1003 bins in ten: segments of 100, the fourth of 101; 70 of 100 train, and int(0.7 * 101) = 70.
    theta = planted["behavior"].sel(variable="theta").values
    np.testing.assert_array_equal(np.load(folder / "train_th_seg_0.npy"), theta[:70])
    np.testing.assert_array_equal(np.load(folder / "test_th_seg_3.npy"), theta[370:401])
    np.testing.assert_array_equal(np.load(folder / "test_nsp_seg_9.npy"), planted["activity"].values[972:])


@pytest.mark.parametrize("n_segments", [None, 1, 2, 3, 8])
def test_a_session_comes_back_and_splits_alike(planted, tmp_path, n_segments):
    opened = open_session(write(planted, tmp_path, n_segments=n_segments), units="all")
    same_values(opened, planted)
    np.testing.assert_array_equal(opened["variable"], planted["variable"])
    np.testing.assert_allclose(opened["time"], planted["time"], rtol=1e-12)  # rounding of float64 alone
    assert split(opened, "paper") == split(planted, "paper", n_segments=n_segments)
    if n_segments in (1, 2):  # shorter segments have no room for the gaps
        assert split(opened, "guarded") == split(planted, "guarded", n_segments=n_segments)


def test_a_simulated_recording_comes_back(pristine, tmp_path):
    session = aligned(pristine)
    assert np.isnan(session["behavior"].values).any()
    opened = open_session(write(session, tmp_path, n_segments=3), units="all")
    same_values(opened, session)
    np.testing.assert_allclose(opened["time"], session["time"], rtol=0, atol=1e-9)
    assert split(opened, "paper") == split(session, "paper", n_segments=3)


@pytest.mark.parametrize("video", ["vid_mean", "vid_shift_middle"])
def test_an_archive_goes_back_as_it_was(tmp_path, video):
    arrays = mouse_arrays(bins=((7, 3), (4, 8), (6, 1)), video=video)
    for name in [name for name in arrays if "_speed_" in name]:
        arrays[name.replace("speed", "gz")] = arrays[name] * 2
    session = open_session(save_mouse(tmp_path / "in" / "mouse_1", arrays), frames=video, units="all")
    folder = write(session, tmp_path / "out")
    assert {file.name for file in folder.iterdir()} == set(arrays)
    for name, values in arrays.items():
        stored = np.load(folder / name)
        np.testing.assert_array_equal(stored, values.astype(stored.dtype))
    opened = open_session(folder, frames=video, units="all")
    xr.testing.assert_equal(opened, session)
    assert "3, the number of segments" in refusal(session, tmp_path / "out", n_segments=10)


def test_float_frames_come_back_to_the_bit(planted, tmp_path):
    session = planted.assign(frames=planted["frames"].astype(np.float32) / 7 - 3)
    same_values(open_session(write(session, tmp_path), units="all"), session)


def test_gaps_are_refused_unless_joined(tmp_path):
    session = planted_session(600, 2, (4, 5), n_stretches=4)[0]  # borders at 150, 300 and 450
    sentence = refusal(session, tmp_path, n_segments=2)  # files begin at 0, 210, 300 and 510
    assert "stretch" in sentence and "found 2 inside" in sentence
    opened = open_session(write(session, tmp_path, n_segments=2, join_gaps=True), units="all")
    same_values(opened, session)
    assert opened.sizes["time"] == 600 and len(np.unique(opened["stretch"])) == 4


def test_an_archive_of_the_animal_is_replaced_and_nothing_else(planted, tmp_path):
    folder = write(planted, tmp_path)
    write(planted, tmp_path, n_segments=3)
    assert len(list(folder.iterdir())) == 3 * 2 * 8
    (folder / "notes.txt").write_text("mine")
    assert "mouse_1: file: expected no folder" in refusal(planted, tmp_path)
    (folder / "notes.txt").rename(folder / "train_vid_middle_seg_0.npy")  # would be lost too
    assert "expected no folder" in refusal(planted, tmp_path)
    (tmp_path / "empty").mkdir()
    assert "expected no folder" in refusal(planted, tmp_path, "empty")
    (tmp_path / "file").write_text("mine")
    assert "expected no folder" in refusal(planted, tmp_path, "file")
    assert "that can be written" in refusal(planted, tmp_path / "file")


@pytest.mark.parametrize("place", ["save", "replace"])
def test_a_failed_write_leaves_the_old_archive(planted, tmp_path, monkeypatch, place):
    write(planted, tmp_path)
    calls = []

    def fail_late(function, source, target):
        def wrapped(*arguments, **named):
            calls.append(arguments)
            if len(calls) == (40 if place == "save" else 2):  # the second rename puts the new folder in place
                raise OSError(28, "disk full")
            return function(*arguments, **named)

        monkeypatch.setattr(source, target, wrapped)

    fail_late(
        *(
            (np.save, osf_write.np, "save")
            if place == "save"
            else (osf_write.os.replace, osf_write.os, "replace")
        )
    )
    assert "disk full" in refusal(planted.isel(unit=[0, 1]), tmp_path)
    assert calls


def test_sessions_that_do_not_fit_the_layout(planted, tmp_path):
    fluorescence = planted_session(300, 2, (4, 5), kind="fluorescence")[0]
    assert "fluorescence" in refusal(fluorescence, tmp_path)
    assert "none of the name phi or pupil" in refusal(planted.drop_sel(variable=["phi", "pupil"]), tmp_path)
    half = planted.isel(time=slice(0, None, 2)).assign_attrs(bin_width_s=0.096)
    assert "bin_width_s" in refusal(half, tmp_path)
    assert "ask for fewer segments" in refusal(planted.isel(time=slice(9)), tmp_path)
    assert "n_segments" in refusal(planted, tmp_path, n_segments=0)
    assert "kind" in refusal(planted.assign(activity=planted["activity"].drop_attrs()), tmp_path)
    for name in ("", "..", "a/b", "a\\b", ".hidden", "/tmp", 7):
        assert "animal" in refusal(planted, tmp_path, name)
    assert list(tmp_path.iterdir()) == []
