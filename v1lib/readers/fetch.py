"""Real recordings from their public sources: pinned, checked, kept.

Every file is named by repository, commit and path, and by the sha256 of its bytes, so that what a chapter
reads today is what it read when it was written. A file is looked for in the folder ``V1LIB_DATA``, where that
variable is set, then in the cache folder (``data`` below :func:`v1lib.cache.cache_root`), and only then
downloaded.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

from v1lib.cache import cache_root
from v1lib.errors import InputError
from v1lib.fingerprint import sha256

with warnings.catch_warnings():
    # Its progress bar, which is not used here, complains in notebooks that lack a widget for it.
    warnings.simplefilter("ignore")
    import pooch

DOWNLOAD_TIMEOUT_S = 30
DOWNLOAD_RETRIES = 2


class Source(NamedTuple):
    """Where the public copy of a file lies, and what its bytes must be."""

    repository: str
    commit: str
    path: str
    sha256: str

    @property
    def url(self) -> str:
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


_PARK = ("surlab/Park_et_al", "bdff7ce60297cc5cdcb46687645f43e80f8d719c")
_IMU = ("rfayat/sensors_IMU_head_tilt_rodents", "f143a925988a75502485d343340f09e8ef4fe1d0")
_EKS = ("paninski-lab/eks", "528c3cf804e3ad3feeb9cb9b33415de814ddc492")
_PYNAPPLE = ("pynapple-org/pynapple", "7ac20f7a5232785e926c0bd8745093281e1f65fb")
_MEYER = ("arnefmeyer/meyer-et-al_currbiol_2020", "423adbdce0be5622bb6f36b5bfba30c46d83d468")
_EYE_VIDEO = "5285c561-80da-4563-8694-739da92e5dd0.left"

#: The files by name; a name is also the file's place below ``V1LIB_DATA`` or the cache folder. All are
#: MIT-licensed, but for the one that says otherwise.
SOURCES = {
    # Mouse visual cortex under two-photon imaging, drifting gratings (Park et al. 2024).
    "park2024/230803_mrcuts25_fov6_grat-000_data.mat": Source(
        *_PARK,
        "sample-data/glm/230803_mrcuts25_fov6_grat-000_data.mat",
        "ed4e01cf205e93791205b3b78bc441b4071847eed8788b3faaeebf50b987416b",
    ),
    "park2024/230803_mrcuts24_fov1_grat-000_data.mat": Source(
        *_PARK,
        "sample-data/glm/230803_mrcuts24_fov1_grat-000_data.mat",
        "832214faef26d711bb98f820b1a2d3d5dfcfc412e319a387c128a95c86a43da6",
    ),
    # A head-mounted inertial sensor on a rodent, and the same kind of sensor turned by hand.
    "rodent_imu/example_imu.csv": Source(
        *_IMU,
        "notebooks/data/example_imu.csv",
        "3b38d86620886ce8a5a046f9932dda818d788f19d4dffb5e9b750f59d7a69b7a",
    ),
    "rodent_imu/example_sensor_calibration.csv": Source(
        *_IMU,
        "notebooks/data/example_sensor_calibration.csv",
        "b29aebfbc1935d6e575a61cca3dcfeb971932f2910014fa43d3f3e308bc5d87b",
    ),
    # Four points on the edge of a mouse's pupil, tracked by two networks in one video.
    f"ibl_pupil/{_EYE_VIDEO}.rng=0.csv": Source(
        *_EKS,
        f"data/ibl-pupil/{_EYE_VIDEO}.rng=0.csv",
        "bbcbf8972b462d31842cb4f3208407f56dbc132449c33a12039e0731b3e1ba1c",
    ),
    f"ibl_pupil/{_EYE_VIDEO}.rng=1.csv": Source(
        *_EKS,
        f"data/ibl-pupil/{_EYE_VIDEO}.rng=1.csv",
        "be04a81ea5b69fb637eea389a3052963f6b76d64122535a9b617640b78207fb2",
    ),
    # A small Neurodata Without Borders file of three units.
    "pynapple_nwb/A8604-211122.nwb": Source(
        *_PYNAPPLE,
        "tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb",
        "6c9913f1a36c43dc627a541f4e521eb17e305879eb4d9bce949f77970994ac22",
    ),
    # Head and eyes of a freely moving mouse for ten minutes (Meyer, O'Keefe and Poort 2020). Its repository
    # states no licence: the file is only ever fetched from there, and no copy of it is kept in this one.
    "meyer2020/example_freely_moving.npy": Source(
        *_MEYER,
        "data/example_freely_moving.npy",
        "a58dc10f641fc970f30d5366f50e184a9b9acdbe5714e723e6d0928d084012e3",
    ),
}


def fetch(name: str) -> Path:
    """Give the path of a real recording's file, downloading it if it is not here yet.

    Parameters
    ----------
    name : str
        A key of :data:`SOURCES`, such as ``"rodent_imu/example_imu.csv"``.

    Returns
    -------
    Path
        A file whose sha256 has been checked. With ``V1LIB_DATA`` set, a missing file is downloaded into that
        folder if it can be written to, else into the cache folder.

    Raises
    ------
    InputError
        For a name that is not in the table, a file with a wrong checksum, or a download that fails; the last
        has ``variable == "download"``.
    """
    if name not in SOURCES:
        raise InputError("fetch", "name", f"one of {sorted(SOURCES)}", repr(name))
    source = SOURCES[name]
    folders = [cache_root() / "data"]
    if os.environ.get("V1LIB_DATA"):
        folders.insert(0, Path(os.environ["V1LIB_DATA"]))
    for folder in folders:
        path = folder / name
        if path.is_file():
            _check(path, source.sha256)
            return path
    return _download(name, source, next((f for f in folders if _can_write(f)), folders[-1]))


def _check(path: Path, expected: str) -> None:
    found = sha256(path)
    if found != expected:
        raise InputError(path, "sha256", f"{expected} (delete the file to fetch it again)", found)


def _can_write(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)


def _download(name: str, source: Source, folder: Path) -> Path:
    # pooch announces each download on stderr, which would end up on a page of the book.
    pooch.get_logger().setLevel("ERROR")
    keeper = pooch.create(
        path=folder,
        base_url="",
        registry={name: f"sha256:{source.sha256}"},
        urls={name: source.url},
        retry_if_failed=DOWNLOAD_RETRIES,
    )
    downloader = pooch.HTTPDownloader(progressbar=False, timeout=DOWNLOAD_TIMEOUT_S)
    try:
        return Path(keeper.fetch(name, downloader=downloader))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        raise InputError(
            source.url,
            "download",
            f"a network connection, or the file itself at {name} below the folder named by V1LIB_DATA",
            f"{type(error).__name__} while writing to {folder}",
        ) from error
