"""A grating recording becomes a valid session, with what is nominal named, and bad files are refused."""

import numpy as np
import pytest
import xarray as xr
from scipy.io import savemat

from v1lib.errors import InputError
from v1lib.fingerprint import sha256
from v1lib.readers import open_session
from v1lib.readers.two_photon import draw_gratings
from v1lib.session import load_session, save_session, stretch_ranges, validate_session

TUNED = "park2024/230803_mrcuts25_fov6_grat-000_data.mat"
UNTUNED = "park2024/230803_mrcuts24_fov1_grat-000_data.mat"
WIDTH = 0.0625
TIMES = -1 + WIDTH * np.arange(49)
DIRECTIONS = np.tile(np.arange(0, 360, 45), 2)


def cells(values):
    """MATLAB's cell array of rows."""
    out = np.empty(len(values), dtype=object)
    for number, row in enumerate(values):
        out[number] = row
    return out


def content(rng, neurons=3):
    n = DIRECTIONS.size
    fields = {f"neuron{i + 1}": cells(rng.normal(size=(n, 49)) + 10 * (i + 1)) for i in range(neurons)}
    fields["pupil_zscore"] = cells(rng.uniform(0, 1, (n, 49)))
    fields["speed"] = cells(rng.uniform(0, 1, (n, 49)))
    return {"D": fields, "TE": {"direction": DIRECTIONS, "nTrials": n, "dt": WIDTH}, "t": TIMES}


@pytest.fixture
def write(tmp_path):
    def write(values, name="230803_mouse7_fov2_grat-000_data.mat"):
        savemat(tmp_path / name, values, do_compression=True)
        return tmp_path / name

    return write


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_values_land_in_their_bins(write, rng):
    values = content(rng, neurons=11)  # eleven, so that neuron10 sorts after neuron9 and not after neuron1
    path = write(values)
    session = open_session(path)
    assert session.sizes == {"time": 16 * 49, "y": 30, "x": 40, "variable": 2, "unit": 11}
    for trial in (0, 5, 15):
        part = session.isel(time=session["trial"].values == trial)
        for unit in (0, 9, 10):
            stored = values["D"][f"neuron{unit + 1}"][trial].astype("float32")
            np.testing.assert_array_equal(part["activity"].values[:, unit], stored)
        np.testing.assert_array_equal(
            part["behavior"].sel(variable="pupil"), values["D"]["pupil_zscore"][trial].astype("float32")
        )
        assert set(part["condition"].values) == {DIRECTIONS[trial]}
        np.testing.assert_allclose(part["trial_time"], TIMES)
    assert len(stretch_ranges(session)) == 16
    assert {b - a for a, b in stretch_ranges(session)} == {49}


def test_what_the_file_does_not_hold_is_absent_or_called_nominal(write, rng):
    path = write(content(rng))
    session = open_session(path, spatial_frequency_cpd=0.03)
    assert set(session["variable"].values) == {"speed", "pupil"}
    assert session["frames"].attrs["spatial_frequency_cpd"] == 0.03
    assert "nominal" in session["frames"].attrs["note"]
    assert "not px or mm" in session["behavior"].attrs["units_pupil"]
    assert session["activity"].attrs["kind"] == "fluorescence"
    assert session.attrs["animal"] == "mouse7" and session.attrs["session"] == "230803_mouse7_fov2"
    assert session.attrs["source_sha256"] == sha256(path)


def test_session_survives_its_own_file(write, rng, tmp_path):
    session = open_session(write(content(rng)))
    again = open_session(save_session(session, tmp_path / "s.nc"))
    xr.testing.assert_identical(again, session)


def moved(first, second, reach=3):
    """Shift in whole pixels that takes `first` to `second`, less than half a cycle, from the best overlap."""
    shifts = np.arange(-reach, reach + 1)
    return int(shifts[np.argmax([np.dot(np.roll(first - 128, shift), second - 128) for shift in shifts])])


def test_gratings_drift_where_their_direction_says():
    # 8 pixels a cycle and an eighth of a cycle a sample: one pixel a sample, in the direction of drift.
    nominal = dict(degrees_per_pixel=2.5, spatial_frequency_cpd=0.05, temporal_frequency_hz=2.0, contrast=1.0)
    times = np.array([-0.0625, 0.0, 0.0625])
    frames = draw_gratings(np.array([0.0, 90.0, 180.0, 270.0]), times, frame_shape=(32, 40), **nominal)
    frames = frames.astype(float)
    assert (frames[:, 0] == 128).all()  # grey before the onset
    assert moved(frames[0, 1, 0], frames[0, 2, 0]) == 1  # 0 degrees: to the right
    assert moved(frames[2, 1, 0], frames[2, 2, 0]) == -1
    assert moved(frames[1, 1, :, 0], frames[1, 2, :, 0]) == -1  # 90 degrees: up, towards row 0
    assert moved(frames[3, 1, :, 0], frames[3, 2, :, 0]) == 1
    assert np.ptp(frames[0, 1], axis=0).max() == 0  # a vertical grating is constant along y
    # Full contrast, sampled an eighth of a cycle apart around the centre: 127.5 (1 ± cos 22.5°).
    assert frames[:, 1:].min() == 10 and frames[:, 1:].max() == 245


def test_opposite_directions_differ_only_in_their_motion():
    nominal = dict(degrees_per_pixel=2.0, spatial_frequency_cpd=0.04, temporal_frequency_hz=2.0, contrast=0.5)
    times = 0.0625 * np.arange(8)
    there, back = draw_gratings(np.array([45.0, 225.0]), times, frame_shape=(30, 40), **nominal).astype(int)
    np.testing.assert_array_equal(there[0], back[0])
    # 2 Hz at 16 samples a second: period 8 samples, so running backwards in time is the opposite drift.
    np.testing.assert_allclose(there[1:], back[:0:-1], atol=1)


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.05, 0.5, 0.99])
def test_truncated_file_is_refused(write, rng, fraction):
    path = write(content(rng))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(InputError) as caught:
        open_session(path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_damaged_bytes_never_escape_as_another_error(write, rng):
    path = write(content(rng))
    whole = bytearray(path.read_bytes())
    for position in rng.integers(128, len(whole), 60):
        damaged = whole.copy()
        damaged[position] ^= 0x5A
        path.write_bytes(damaged)
        try:
            validate_session(open_session(path))
        except InputError as error:
            assert "\n" not in str(error)


def without(values, *names):
    for name in names[:-1]:
        values = values[name]
    del values[names[-1]]


def put(values, names, new):
    for name in names[:-1]:
        values = values[name]
    values[names[-1]] = new


def nan_in(rows, trial):
    rows = rows.copy()
    rows[trial] = rows[trial].copy()
    rows[trial][7] = np.nan
    return rows


BAD = {
    "no D": (lambda v: without(v, "D"), "D: expected a variable"),
    "no TE": (lambda v: without(v, "TE"), "TE: expected a variable"),
    "no t": (lambda v: without(v, "t"), "t: expected a variable"),
    "D no struct": (lambda v: put(v, ["D"], 3.0), "D: expected at least one field neuron1"),
    "no neurons": (
        lambda v: [without(v, "D", f"neuron{i}") for i in (1, 2, 3)],
        "D: expected at least one field",
    ),
    "no pupil": (lambda v: without(v, "D", "pupil_zscore"), "field pupil_zscore"),
    "no direction": (lambda v: without(v, "TE", "direction"), "field direction"),
    "a trial short": (
        lambda v: put(v, ["D", "neuron2"], v["D"]["neuron2"][:-1]),
        "neuron2: expected 16 trials",
    ),
    "a cell short": (
        lambda v: put(v, ["D", "speed"], cells([*v["D"]["speed"][:-1], np.zeros(48)])),
        "speed: expected 16 trials of 49 samples, found 16 cells of 48 to 49",
    ),
    "text in a cell": (lambda v: put(v, ["D", "speed"], cells(["a" * 49] * 16)), "speed: expected 16 trials"),
    "NaN": (
        lambda v: put(v, ["D", "neuron3"], nan_in(v["D"]["neuron3"], 4)),
        "neuron3: expected finite .* trial 5",
    ),
    "NaN direction": (
        lambda v: put(v, ["TE", "direction"], DIRECTIONS * np.nan),
        "TE.direction: expected finite",
    ),
    "dt of zero": (lambda v: put(v, ["TE", "dt"], 0.0), "TE.dt: expected a positive"),
    "dt and t disagree": (lambda v: put(v, ["TE", "dt"], 0.05), r"t: expected steps of TE\.dt"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_content_is_refused_in_one_sentence(write, rng, case):
    spoil, message = BAD[case]
    values = content(rng)
    spoil(values)
    with pytest.raises(InputError, match=message) as caught:
        open_session(write(values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"contrast": 1.2}, "contrast: expected a number from 0 to 1"),
        ({"contrast": np.nan}, "contrast: expected a finite"),
        ({"spatial_frequency_cpd": 0.3}, "two pixels a cycle"),
        ({"frame_shape": (0, 40)}, "frame_shape"),
        ({"frame_shape": 5}, "frame_shape"),
        ({"frame_shape": (3.5, 4)}, "frame_shape"),
        ({"contrast": "x"}, "contrast: expected a finite"),
        ({"colour": True}, "choice colour: expected a choice among"),
    ],
)
def test_bad_choices_are_refused(write, rng, choice, message):
    with pytest.raises(InputError, match=message):
        open_session(write(content(rng)), **choice)


def test_format_is_recognised_by_content(write, rng, tmp_path):
    session = open_session(write(content(rng)))
    save_session(session, tmp_path / "looks_like.mat")
    xr.testing.assert_identical(
        open_session(tmp_path / "looks_like.mat"), load_session(tmp_path / "looks_like.mat")
    )
    with pytest.raises(InputError, match="choice frame_shape"):
        open_session(tmp_path / "looks_like.mat", frame_shape=(10, 10))
    (tmp_path / "notes.mat").write_text("a text that is no recording")
    with pytest.raises(InputError, match="a session file or a two-photon"):
        open_session(tmp_path / "notes.mat")
    for path in (tmp_path, tmp_path / "nothing.nc"):
        with pytest.raises(InputError, match="expected a recording"):
            open_session(path)


@pytest.mark.parametrize(("name", "neurons"), [(TUNED, 53), (UNTUNED, 28)])
def test_the_real_recordings(real_file, name, neurons):
    session = validate_session(open_session(real_file(name)))
    assert session.sizes["unit"] == neurons and session.sizes["time"] == 128 * 49
    first = session.isel(time=session["trial_time"].values == 0)
    directions, counts = np.unique(first["condition"], return_counts=True)
    assert directions.tolist() == [0, 45, 90, 135, 180, 225, 270, 315] and set(counts) == {16}
    # A grating leaves the mean luminance where it was, so no frame tells the onset by its brightness alone.
    means = session["frames"].mean(("y", "x")).values
    assert abs(means[session["trial_time"] >= 0].mean() - means[session["trial_time"] < 0].mean()) < 3
    assert session["activity"].values.min() < 0  # why a Poisson likelihood cannot be used
