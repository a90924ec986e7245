"""The files of the paper's archive: where they lie, what they are called, and their arrays, checked."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from v1lib.errors import InputError
from v1lib.session import BEHAVIOR_UNITS

PARTS = ("train", "test")
FRAME_NAMES = ("vid_mean", "vid_middle", "vid_shift_mean", "vid_shift_middle")
#: The names of the files of each behaviour variable.
BEHAVIOR_NAMES = {name: name for name in BEHAVIOR_UNITS} | {"theta": "th", "pupil": "eyerad"}
NAMES = ("nsp", *FRAME_NAMES, *BEHAVIOR_NAMES.values(), "gz")
FILE_NAME = re.compile(rf"({'|'.join(PARTS)})_({'|'.join(NAMES)})_seg_(0|[1-9][0-9]{{0,3}})\.npy")

#: Functions that read a file, by its path inside the archive.
Members = dict[str, Callable[[], bytes]]


@dataclass(frozen=True)
class Mouse:
    """One mouse's folder: its path and, by their names, functions that read its files."""

    path: str
    files: Members

    def variables(self) -> list[str]:
        """Of which variables there is a file."""
        return sorted({variable for _, variable, _ in map(_parsed, self.files)})

    def n_segments(self, names: tuple[str, ...]) -> int:
        """One more than the highest number of a segment of these variables."""
        numbers = [int(number) for _, variable, number in map(_parsed, self.files) if variable in names]
        return max(numbers, default=0) + 1


def holds_osf_archive(path: Path) -> bool:
    """Whether a folder holds files of the archive, at the top or up to two levels down."""
    return bool(_archive_files(_folder_members(path)))


def _parsed(name: str) -> tuple[str, str, str]:
    """Part, variable and segment of a file's name."""
    return FILE_NAME.findall(name)[0]


def _folder_members(path: Path) -> Members:
    found = (file for depth in ("*", "*/*", "*/*/*") for file in path.glob(depth + ".npy"))
    return {file.relative_to(path).as_posix(): file.read_bytes for file in found}


@contextmanager
def opened(path: Path) -> Iterator[Members]:
    """Functions that read each file of the archive, by its path inside it."""
    if path.is_dir():
        yield _archive_files(_folder_members(path))
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        found = f"one that does not open ({' '.join(str(error).split())})"
        raise InputError(path, "file", "a complete zip or a folder", found) from error
    with archive:
        listed: Members = {}
        for info in archive.infolist():
            name = info.filename
            if not FILE_NAME.fullmatch(re.split(r"[/\\]", name)[-1]):
                continue
            if "\\" in name or ":" in name or {"", ".", ".."} & set(name.split("/")):
                raise InputError(path, name, "a plain relative name", "one that may lead elsewhere")
            if name in listed:
                raise InputError(path, name, "each member once", "more than one of that name")
            listed[name] = partial(archive.read, info)
        yield _archive_files(listed)


def _archive_files(members: Members) -> Members:
    """Those members that are files of the archive; macOS puts others of almost the same names into a zip."""
    return {
        name: read
        for name, read in members.items()
        if FILE_NAME.fullmatch(name.rpartition("/")[2]) and "__MACOSX" not in name.split("/")
    }


def choose_mouse(path: Path, members: Members, animal: str | None) -> tuple[str, Mouse]:
    """The name of the mouse, the only one if none is named, and its folder."""
    if not members:
        expected = "files {train,test}_<name>_seg_<k>.npy of a mouse, as in the paper's archive"
        raise InputError(path, "file", expected, "none")
    own = path.resolve().name if path.is_dir() else path.stem
    folders = sorted({name.rpartition("/")[0] for name in members})
    mice = [folder.rpartition("/")[2] or own for folder in folders]
    if animal is None and len(mice) > 1:
        raise InputError(path, "animal", "the name of one of its mice", f"none named, of {mice}")
    chosen = mice[0] if animal is None else animal
    if mice.count(chosen) != 1:
        several = f"more than one folder of {chosen}: {folders}"
        raise InputError(path, "animal", repr(chosen), several if chosen in mice else f"only {mice}")
    folder = folders[mice.index(chosen)]
    inside = {
        name.rpartition("/")[2]: read for name, read in members.items() if name.rpartition("/")[0] == folder
    }
    return chosen, Mouse(f"{path}/{folder}".rstrip("/"), inside)


def read_all(
    mouse: Mouse, names: tuple[str, ...], n_segments: int
) -> tuple[dict[str, list[np.ndarray]], str]:
    """The arrays of each name in order of time, checked and converted, and the digest of what was read.

    The counts come first in `names`: what is read after them must have as many bins.
    """
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in names}
    digest = hashlib.sha256()
    for segment in range(n_segments):
        for part in PARTS:
            for name in names:
                file = f"{part}_{name}_seg_{segment}.npy"
                where = f"{mouse.path}/{file}"
                content = _bytes(where, file, mouse)
                digest.update(file.encode() + b"\0" + content)
                values = _convert(where, name, _array(where, content))
                like = pieces[name][0] if pieces[name] else values
                n_bins = values.shape[0] if name == "nsp" else pieces["nsp"][-1].shape[0]
                if values.shape != (n_bins, *like.shape[1:]):
                    expected = f"shape {(n_bins, *like.shape[1:])}, that of the counts and of the first file"
                    raise InputError(where, name, expected, f"{values.shape}")
                pieces[name].append(values)
    return pieces, digest.hexdigest()


def _bytes(where: str, file: str, mouse: Mouse) -> bytes:
    if file not in mouse.files:
        expected = "one for each variable, part and segment"
        found = f"none (the folder has files of {', '.join(mouse.variables())})"
        raise InputError(where, "file", expected, found)
    try:
        return mouse.files[file]()
    except Exception as error:
        # A damaged member fails in zipfile, in its decompressor or in the file system, each in its own way.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(where, "file", "one that can be read", f"one that cannot ({reason})") from error


def _array(where: str, content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    try:
        values = np.load(stream, allow_pickle=False)
    except Exception as error:
        # Bytes that are no array fail in the parsing of the header, of a pickle or in the allocation.
        reason = " ".join(str(error).split())
        pickled = "pickle" in reason
        found = "pickled Python objects, or other bytes" if pickled else f"one that does not load ({reason})"
        raise InputError(where, "file", "a complete NumPy array of numbers", found) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        found = str(getattr(values, "dtype", type(values).__name__))
        raise InputError(where, "file", "a NumPy array of real numbers", found)
    if stream.read(1):
        raise InputError(where, "file", "one array", "bytes after it")
    return values


def _convert(where: str, name: str, values: np.ndarray) -> np.ndarray:
    """Counts as uint16, video as uint8 or float32, traces as float32; refused where they cannot be that."""
    dims = {"nsp": ("bin", "unit")}.get(name, ("bin", "y", "x") if name in FRAME_NAMES else ("bin",))
    if values.ndim != len(dims) or 0 in values.shape:
        raise InputError(where, name, f"an array of ({', '.join(dims)})", f"shape {values.shape}")
    if name == "nsp":
        whole = np.isfinite(values) & (values >= 0) & (values <= np.iinfo(np.uint16).max)
        whole &= np.equal(values, np.round(values))
        if not whole.all():
            found = f"{values[~whole][0]} in bin {np.argwhere(~whole)[0][0]}"
            raise InputError(where, name, "counts, whole numbers from 0 to 65,535", found)
        return values.astype(np.uint16)
    if name in FRAME_NAMES and values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is refused
        numbers = values.astype(np.float32)
    wrong = ~np.isfinite(numbers) if name in FRAME_NAMES else np.isinf(numbers)
    if wrong.any():
        expected = "finite values" if name in FRAME_NAMES else "finite values, or NaN where not measured"
        found = f"{values[wrong][0]} in bin {np.argwhere(wrong)[0][0]}"
        raise InputError(where, name, expected, found)
    return numbers


def joined(pieces: list[np.ndarray]) -> np.ndarray:
    """One array of all pieces, which are let go one by one, so that video is not in memory twice."""
    bins = sum(piece.shape[0] for piece in pieces)
    joined = np.empty((bins, *pieces[0].shape[1:]), np.result_type(*{piece.dtype for piece in pieces}))
    start = 0
    while pieces:
        piece = pieces.pop(0)
        joined[start : start + piece.shape[0]] = piece
        start += piece.shape[0]
    return joined
