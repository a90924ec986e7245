"""A session is what its schema says, or it is refused; files are whole or not there."""

import numpy as np
import pytest
import xarray as xr

import v1lib
from v1lib.errors import InputError
from v1lib.session import SCHEMA_VERSION, load_session, save_session, stretch_ranges, validate_session


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    n = 40
    time = 0.024 + 0.048 * np.arange(n)
    time[25:] += 1.0
    return xr.Dataset(
        {
            "frames": (("time", "y", "x"), rng.integers(0, 256, (n, 6, 8), dtype=np.uint8)),
            "behavior": (("time", "variable"), rng.normal(size=(n, 2)).astype(np.float32)),
            "activity": (
                ("time", "unit"),
                rng.poisson(1.0, (n, 3)).astype(np.uint16),
                {"kind": "spike_count"},
            ),
            "stretch": ("time", (np.arange(n) >= 25).astype(np.int32)),
        },
        {"time": time, "variable": ["speed", "theta"], "unit": [0, 1, 2]},
        {
            "schema_version": SCHEMA_VERSION,
            "animal": "a",
            "session": "s",
            "source": "simulated",
            "bin_width_s": 0.048,
            "v1lib_version": "0",
        },
    )


def test_a_good_session_passes_unchanged(session):
    assert validate_session(session) is session
    assert stretch_ranges(session) == [(0, 25), (25, 40)]


def broken(session):
    """Each way of breaking it, with what the sentence must name."""
    yield session.drop_vars("frames"), "frames"
    yield session.assign(frames=session["frames"].astype(np.int8)), "int8"
    yield session.assign(frames=session["frames"].transpose("time", "x", "y")), "frames"
    yield session.assign(frames=session["frames"].astype(np.float32) * np.nan), "frames"
    yield session.assign(behavior=session["behavior"].astype(np.float64)), "behavior"
    yield session.assign(behavior=session["behavior"] / 0), "infinity"
    yield session.assign_coords(variable=["speed", "yaw"]), "yaw"
    yield session.assign_coords(variable=["speed", "speed"]), "once"
    yield session.assign(activity=session["activity"].drop_attrs()), "kind"
    yield session.assign(activity=session["activity"].astype(np.float32)), "uint16"
    yield session.isel(unit=slice(0)), "unit"
    yield session.isel(time=slice(0)), "time"
    yield session.isel(time=slice(None, None, -1)), "stretch"
    yield session.isel(time=[0, 1, 3, 4]), "0.048"
    yield session.assign(stretch=xr.zeros_like(session["stretch"])), "step"
    yield session.assign_coords(time=session["time"].values[[1, 0, *range(2, 40)]]), "rising"
    yield session.assign_attrs(bin_width_s=-1.0), "bin_width_s"
    yield session.assign_attrs(schema_version=99), "99"
    yield session.drop_attrs(deep=False), "attribute"


def test_each_broken_session_ends_in_one_sentence(session):
    cases = list(broken(session))
    assert len(cases) == 19
    for number, (wrong, named) in enumerate(cases):
        with pytest.raises(InputError) as caught:
            validate_session(wrong, source="my.nc")
        sentence = str(caught.value)
        assert sentence.startswith("my.nc: ") and named in sentence and "\n" not in sentence, (
            number,
            sentence,
        )


def test_saving_a_broken_session_leaves_nothing(session, tmp_path):
    with pytest.raises(InputError):
        save_session(session.drop_vars("stretch"), tmp_path / "s.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(session, tmp_path, monkeypatch):
    save_session(session, tmp_path / "s.nc")
    before = (tmp_path / "s.nc").read_bytes()

    def fail(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(InputError, match="disk full"):
        save_session(session, tmp_path / "s.nc")
    assert (tmp_path / "s.nc").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["s.nc"]


def test_round_trip(session, tmp_path):
    save_session(session, tmp_path / "deep" / "s.nc")
    xr.testing.assert_identical(load_session(tmp_path / "deep" / "s.nc"), session)


@pytest.mark.parametrize("content", [b"", b"not a file of ours", None])
def test_files_that_are_none_are_refused(tmp_path, content):
    path = tmp_path / "s.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"s\.nc: file: expected a"):
        load_session(path)


def test_a_file_cut_short_is_refused(session, tmp_path):
    path = save_session(session, tmp_path / "s.nc")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="complete"):
        load_session(path)


def test_the_summary_counts_what_is_there(session):
    session["behavior"][:10, 1] = np.nan
    summary = v1lib.summarize_session(session)
    assert summary["units"] == 3 and summary["stretches"] == 2
    assert summary["theta missing (%)"] == 25.0
    assert summary["median rate (Hz)"] == round(float(session["activity"].mean("time").median()) / 0.048, 2)
