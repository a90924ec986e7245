"""The paper's archive becomes a valid session, from folders and zips alike; what is damaged is refused."""

import hashlib
import io
import shutil
import zipfile

import numpy as np
import pytest
import xarray as xr
from archive_mouse import BEHAVIOR, mouse_arrays, save_mouse, zipped

from v1lib.errors import InputError
from v1lib.features import behavior_table
from v1lib.readers import open_session
from v1lib.readers.osf_archive import PAPER_DROPPED, PAPER_KEPT
from v1lib.session import load_session, save_session, stretch_ranges, validate_session

ORDER = [f"{part}_{{}}_seg_{k}.npy" for k in range(3) for part in ("train", "test")]


@pytest.fixture
def arrays():
    return mouse_arrays()


@pytest.fixture
def mouse(tmp_path, arrays):
    """The folder of one new mouse in an archive's folder."""
    return save_mouse(tmp_path / "archive" / "mouse_a", arrays)


def refusal(path, **choices):
    """The one sentence that opening ends in."""
    with pytest.raises(InputError) as caught:
        open_session(path, **choices)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and ", found " in sentence
    return sentence


def test_values_land_in_their_bins(mouse, arrays):
    session = validate_session(open_session(mouse))
    assert session.sizes == {"time": 31, "y": 3, "x": 4, "variable": 6, "unit": 5}
    assert list(session["variable"].values) == ["speed", "pitch", "roll", "phi", "theta", "pupil"]
    assert stretch_ranges(session) == [(0, 7), (7, 10), (10, 18), (18, 22), (22, 28), (28, 31)]
    np.testing.assert_array_equal(session["stretch"].values[[0, 7, 10, 30]], [0, 1, 2, 5])
    for (a, b), name in zip(stretch_ranges(session), ORDER, strict=True):
        np.testing.assert_array_equal(session["frames"].values[a:b], arrays[name.format("vid_mean")])
        np.testing.assert_array_equal(session["activity"].values[a:b], arrays[name.format("nsp")])
        for column, stored in enumerate(BEHAVIOR):
            # NaN equals NaN here: what was not measured is still not there.
            expected = arrays[name.format(stored)].astype(np.float32)
            np.testing.assert_array_equal(session["behavior"].values[a:b, column], expected)
        assert set(session["part"].values[a:b]) == {name.split("_")[0]}
    assert np.isnan(session["behavior"].values).mean() > 0.1
    assert session["frames"].dtype == np.uint8 and session["activity"].dtype == np.uint16
    np.testing.assert_allclose(session["time"], 0.024 + 0.048 * np.arange(31), rtol=1e-12)
    assert session.attrs["animal"] == "mouse_a" and session.attrs["units_dropped"] == "none"
    assert session.attrs["angle_convention"] == "as in the archive" and "gyro_z" not in session


def test_differences_do_not_reach_over_the_border_of_a_file(mouse):
    session = open_session(mouse)
    column = behavior_table(session, ("d_speed",))[:, 0]
    assert np.isnan(column[[a for a, _ in stretch_ranges(session)]]).all()


def test_folder_archive_and_zip_give_the_same_session(mouse, tmp_path):
    expected = open_session(mouse)
    shallow = zipped(mouse, tmp_path / "mouse_a.zip")
    deep = zipped(mouse.parent, tmp_path / "renamed.bin", prefix="mouse-data-3-segment/")
    with zipfile.ZipFile(deep, "a") as archive:  # as macOS packs a folder
        archive.writestr("__MACOSX/mouse-data-3-segment/mouse_a/train_nsp_seg_0.npy", b"resource fork")
        archive.writestr("mouse-data-3-segment/mouse_a/._train_nsp_seg_0.npy", b"resource fork")
        archive.writestr("mouse-data-3-segment/.DS_Store", b"")
    before = sorted(tmp_path.rglob("*"))
    for path in (mouse.parent, mouse.parent.parent, shallow, deep):
        session = open_session(path)
        xr.testing.assert_equal(session, expected)
        assert session.attrs | {"source": ""} == expected.attrs | {"source": ""}
    assert sorted(tmp_path.rglob("*")) == before  # nothing was unpacked


def test_the_digest_covers_names_and_bytes_in_order(mouse):
    digest = hashlib.sha256()
    for name in ORDER:
        for variable in ("nsp", "vid_mean", *BEHAVIOR):
            file = mouse / name.format(variable)
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    assert open_session(mouse).attrs["source_sha256"] == digest.hexdigest()


def test_a_mouse_is_chosen_by_name(mouse, tmp_path):
    save_mouse(mouse.parent / "mouse_b", mouse_arrays(1, bins=((9, 5),)))
    sentence = refusal(mouse.parent)
    assert "animal" in sentence and "['mouse_a', 'mouse_b']" in sentence
    assert open_session(mouse.parent, animal="mouse_b").sizes["time"] == 14
    packed = zipped(mouse.parent, tmp_path / "both.zip")
    assert open_session(packed, animal="mouse_a").sizes["time"] == 31
    assert "only ['mouse_a', 'mouse_b']" in refusal(packed, animal="mouse_c")
    assert "'mouse_b'" in refusal(mouse, animal="mouse_b")
    shutil.copytree(mouse, mouse.parent / "again" / "mouse_a")
    assert "more than one folder of mouse_a" in refusal(mouse.parent, animal="mouse_a")


def test_a_session_file_keeps_the_parts(mouse, tmp_path):
    session = open_session(mouse)
    xr.testing.assert_identical(load_session(save_session(session, tmp_path / "s.nc")), session)


def test_the_gyroscope_is_kept_where_it_is(mouse, arrays):
    for name in ORDER:
        np.save(mouse / name.format("gz"), arrays[name.format("speed")] + 1)
    stored = np.concatenate([arrays[name.format("speed")] + 1 for name in ORDER])
    np.testing.assert_array_equal(open_session(mouse)["gyro_z"].values, stored.astype(np.float32))
    (mouse / "test_gz_seg_1.npy").unlink()
    assert "mouse_a/test_gz_seg_1.npy: file" in refusal(mouse)


def test_another_video_needs_no_mean_video(tmp_path):
    arrays = mouse_arrays(video="vid_shift_middle")
    mouse = save_mouse(tmp_path / "m", arrays)
    session = open_session(mouse, frames="vid_shift_middle")
    np.testing.assert_array_equal(session["frames"].values[:7], arrays["train_vid_shift_middle_seg_0.npy"])
    assert session["frames"].attrs["stored_as"] == "vid_shift_middle"
    sentence = refusal(mouse)
    assert "train_vid_mean_seg_0.npy" in sentence and "vid_shift_middle" in sentence


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda video: video.astype(np.int64), np.uint8),
        (lambda video: video.astype(">u2"), np.uint8),
        (lambda video: video.astype(np.int16) - 100, np.float32),
        (lambda video: video.astype(np.uint16) * 7, np.float32),
        (lambda video: video.astype(np.uint16) + (255 - int(video.max())), np.uint8),
        (lambda video: video.astype(np.uint16) + (256 - int(video.max())), np.float32),
        (lambda video: video / 255, np.float32),
        (lambda video: video.astype(np.float64), np.float32),
        (lambda video: np.asfortranarray(video), np.uint8),
    ],
)
def test_grey_values_stay_as_they_are(tmp_path, arrays, change, dtype):
    changed = {name: change(v) if "vid" in name else v for name, v in arrays.items()}
    frames = open_session(save_mouse(tmp_path / "m", changed))["frames"]
    stored = np.concatenate([changed[name.format("vid_mean")] for name in ORDER])
    assert frames.dtype == dtype
    np.testing.assert_array_equal(frames.values, stored.astype(dtype))


def test_one_file_beyond_bytes_makes_all_of_them_floats(mouse, arrays):
    name = "test_vid_mean_seg_1.npy"
    np.save(mouse / name, arrays[name].astype(np.int16) - 300)
    frames = open_session(mouse)["frames"].values
    assert frames.dtype == np.float32 and frames[:18].min() >= 0
    np.testing.assert_array_equal(frames[18:22], arrays[name].astype(np.float32) - 300)


@pytest.mark.parametrize(
    ("animal", "total"), [("070921_J553RT", 108), ("110421_J569LT", 52), ("101521_J559NC", 63)]
)
def test_the_papers_units(tmp_path, animal, total):
    dropped = PAPER_DROPPED[animal]
    assert total == PAPER_KEPT[animal] + len(dropped) and max(dropped) < total
    assert list(dropped) == sorted(set(dropped))
    arrays = mouse_arrays(bins=((4, 2),), n_units=total)
    for name, values in arrays.items():
        if "nsp" in name:
            values[:] = np.arange(total)  # each column tells its own number
    mouse = save_mouse(tmp_path / animal, arrays)
    session = open_session(tmp_path)
    assert session.sizes["unit"] == PAPER_KEPT[animal]
    np.testing.assert_array_equal(session["activity"].values[0], session["unit"].values)
    assert set(session["unit"].values) == set(range(total)) - set(dropped)
    assert session.attrs["units_dropped"] == list(dropped)
    assert open_session(mouse, units="all").sizes["unit"] == total
    save_mouse(mouse, mouse_arrays(bins=((4, 2),), n_units=total - 1))
    assert f"expected {total} units" in refusal(mouse) and f"found {total - 1}." in refusal(mouse)
    assert open_session(mouse, units="all").sizes["unit"] == total - 1


def test_other_mice_lose_units_below_3_hz_over_train_and_test(tmp_path):
    arrays = mouse_arrays(bins=((350, 150), (350, 150)), n_units=3, shape=(1, 1))
    for name, values in arrays.items():
        if "nsp" in name:
            values[:] = 0
            # 144 spikes in 1000 bins of 48 ms are 3 Hz: unit 0 has 143, unit 1 all, unit 2 all in test files.
            values[: {"train": 50, "test": 22}[name.split("_")[0]], :2] = 1
            values[:72, 2] = "test" in name
    arrays["test_nsp_seg_1.npy"][0, 0] = 0
    session = open_session(save_mouse(tmp_path / "m", arrays))
    assert session["unit"].values.tolist() == [1, 2] and session.attrs["units_dropped"] == [0]
    for name in arrays:
        if "nsp" in name:
            np.save(tmp_path / "m" / name, np.zeros((350 if "train" in name else 150, 3)))
    assert "3 Hz" in refusal(tmp_path / "m") and "0.00 Hz" in refusal(tmp_path / "m")


@pytest.mark.parametrize("n", [1, 3, 5, 8, 10, 12])
def test_any_number_of_segments(tmp_path, n):
    mouse = save_mouse(tmp_path / "m", mouse_arrays(bins=((3, 2),) * n))
    session = open_session(mouse, n_segments=n)
    # In order of number, not of name: segment 10 comes after segment 9.
    nine = np.load(mouse / f"train_nsp_seg_{n - 1}.npy")
    np.testing.assert_array_equal(session["activity"].values[5 * (n - 1) : 5 * (n - 1) + 3], nine)
    assert session["part"].values.tolist() == (["train"] * 3 + ["test"] * 2) * n
    assert f"expected {n + 1} segments, found {n}." in refusal(mouse, n_segments=n + 1)


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def npz(values):
    stream = io.BytesIO()
    np.savez(stream, values)
    return stream.getvalue()


def with_value(values, value):
    changed = values.astype(np.float64)
    changed.flat[-1] = value
    return npy(changed)


#: What a file holds instead, from its array, and what the sentence says.
DAMAGE = [
    ("nsp", lambda v: npy(v)[:-9], "complete NumPy array"),
    ("vid_mean", lambda v: npy(v)[:40], "complete NumPy array"),
    ("speed", lambda v: b"", "complete NumPy array"),
    ("speed", lambda v: b"speed\n" * 50, "complete NumPy array"),
    ("speed", lambda v: npy(v) + b"\0", "one array, found bytes after it"),
    ("speed", lambda v: npy(v.astype(object)), "pickled"),
    ("speed", lambda v: npz(v), "NumPy array of real numbers"),
    ("speed", lambda v: npy(v.astype(str)), "real numbers, found <U"),
    ("speed", lambda v: npy(v.astype(complex)), "found complex128"),
    ("speed", lambda v: npy(v > 0), "found bool"),
    ("speed", lambda v: npy(v[:, None]), "an array of (bin), found shape (8, 1)"),
    ("speed", lambda v: npy(np.float64(3)), "found shape ()"),
    ("nsp", lambda v: npy(v[:, 0]), "an array of (bin, unit)"),
    ("nsp", lambda v: npy(v[:0]), "found shape (0, 5)"),
    ("nsp", lambda v: npy(v[:, :4]), "expected shape (8, 5)"),
    ("vid_mean", lambda v: npy(v[:, 0]), "an array of (bin, y, x)"),
    ("vid_mean", lambda v: npy(v.swapaxes(1, 2)), "expected shape (8, 3, 4)"),
    ("vid_mean", lambda v: npy(v[1:]), "expected shape (8, 3, 4)"),
    ("th", lambda v: npy(v[1:]), "expected shape (8,)"),
    ("eyerad", lambda v: npy(np.append(v, 0)), "expected shape (8,)"),
    ("vid_mean", lambda v: with_value(v, np.nan), "finite values, found nan in bin 7"),
    ("vid_mean", lambda v: with_value(v, np.inf), "finite values, found inf in bin 7"),
    ("vid_mean", lambda v: with_value(v, 1e300), "finite values, found 1e+300"),
    ("pitch", lambda v: with_value(v, -np.inf), "found -inf in bin 7"),
    ("nsp", lambda v: with_value(v, np.nan), "whole numbers from 0 to 65,535, found nan"),
    ("nsp", lambda v: with_value(v, np.inf), "found inf"),
    ("nsp", lambda v: with_value(v, -1), "found -1.0 in bin 7"),
    ("nsp", lambda v: with_value(v, 0.5), "found 0.5"),
    ("nsp", lambda v: npy(v - 70000), "whole numbers"),
    ("nsp", lambda v: npy(v + 70000), "whole numbers"),
    ("roll", None, "expected one for each variable, part and segment, found none"),
    ("nsp", None, "expected one for each variable, part and segment, found none"),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("variable", "damage", "words"), DAMAGE)
def test_damage_is_named_with_its_file(mouse, arrays, tmp_path, variable, damage, words, packed):
    file = mouse / f"train_{variable}_seg_1.npy"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(arrays[file.name]))
    sentence = refusal(zipped(mouse.parent, tmp_path / "a.zip") if packed else mouse)
    assert words in sentence and f"mouse_a/{file.name}: " in sentence


def test_a_header_that_promises_too_much_is_refused(mouse):
    # 10**15 values of 8 bytes: more memory than there is, in a file of a few bytes.
    content = npy(np.zeros(4)).replace(b"(4,), }" + b" " * 15, b"(1000000000000000,), }")
    assert b"1000000000000000," in content
    (mouse / "train_speed_seg_0.npy").write_bytes(content)
    assert "train_speed_seg_0.npy: file: expected a complete NumPy array" in refusal(mouse)


def test_other_files_of_a_folder_do_not_matter(mouse):
    expected = open_session(mouse)
    for name in ("train_nsp_seg_00.npy", "valid_nsp_seg_9.npy", "train_nsp_seg_3.npy.part", "notes.txt"):
        (mouse / name).write_bytes(b"x")
    np.save(mouse / "train_vid_middle_seg_7.npy", np.zeros(3))  # of a video that was not asked for
    xr.testing.assert_identical(open_session(mouse), expected)


def test_folders_without_an_archive(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    sentence = refusal(tmp_path)
    assert "open_recording opens a lab folder" in sentence and "paper's archive" in sentence
    save_mouse(tmp_path / "a" / "b" / "c", mouse_arrays())
    assert "open_recording" in refusal(tmp_path)  # three levels down
    assert open_session(tmp_path / "a").attrs["animal"] == "c"


@pytest.mark.parametrize(
    "name",
    [
        "../mouse_a/train_nsp_seg_0.npy",
        "/mouse_a/train_nsp_seg_0.npy",
        "mouse_a/./train_nsp_seg_0.npy",
        "mouse_a//train_nsp_seg_0.npy",
        "..\\mouse_a\\train_nsp_seg_0.npy",
        "C:/mouse_a/train_nsp_seg_0.npy",
    ],
)
def test_zip_members_with_odd_names_are_refused(mouse, tmp_path, name):
    path = zipped(mouse.parent, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    assert "a plain relative name" in refusal(path) and name in refusal(path)


def test_damaged_zips(mouse, tmp_path):
    path = zipped(mouse.parent, tmp_path / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "a.zip: file: expected a complete zip" in refusal(path)
    # A byte of the data of the first member is changed; its checksum tells.
    start = content.index(b"seg_0.npy") + 60
    path.write_bytes(content[:start] + bytes([content[start] ^ 0xFF]) + content[start + 1 :])
    assert "a.zip/mouse_a/test_eyerad_seg_0.npy: file: expected one that can be read" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", b"x")
    assert "as in the paper's archive, found none" in refusal(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("m/train_nsp_seg_0.npy", b"x")
    assert "each member once" in refusal(path)


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"frames": "vid"}, "frames"),
        ({"units": "some"}, "units"),
        ({"animal": 3}, "animal"),
        ({"n_segments": 0}, "n_segments"),
        ({"n_segments": 2.5}, "n_segments"),
        ({"frame_shape": (3, 4)}, "frame_shape"),
    ],
)
def test_choices_that_are_refused(mouse, choice, named):
    assert named in refusal(mouse, **choice)
