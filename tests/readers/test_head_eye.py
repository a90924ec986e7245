"""Tables of head and eye open in this library's conventions, and other tables are refused."""

import numpy as np
import pytest
from scipy.signal import butter, filtfilt

from v1lib.errors import InputError
from v1lib.readers.head_eye import read_head_eye

MEYER = "meyer2020/example_freely_moving.npy"
HEADER = "time,pitch,roll,yaw_rate,theta,phi\n"


@pytest.fixture(scope="module")
def measured(real_file):
    return {eye: read_head_eye(real_file(MEYER), eye) for eye in ("left", "right")}


def up_turned_by(pitch, roll, axes):
    """Change of "up" in head axes (right, front, up) as the head turns about each of `axes`, (n, 3, k)."""
    p, r = np.deg2rad(pitch), np.deg2rad(roll)
    up = np.stack([-np.sin(r), np.sin(p) * np.cos(r), np.cos(p) * np.cos(r)], axis=1)
    return up, np.stack([np.cross(up, axis) for axis in np.eye(3)[list(axes)]], axis=2)


def test_a_csv_lands_where_it_belongs(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("phi, time,pitch,roll,yaw_rate,theta,note\n6,0.5,1,2,3,4,a\n,0.75,11,nan,13,14,b\n")
    table = read_head_eye(path, eye="left")
    assert table.attrs["eye"] == "left" and table["time"].attrs["units"] == "s"
    np.testing.assert_array_equal(table["time"], [0.5, 0.75])
    expected = {
        "pitch": [1, 11],
        "roll": [2, np.nan],
        "yaw_rate": [3, 13],
        "theta": [4, 14],
        "phi": [6, np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)
    units = {name: table[name].attrs["units"] for name in table}
    assert units == {"pitch": "deg", "roll": "deg", "yaw_rate": "deg/s", "theta": "deg", "phi": "deg"}


def test_columns_of_the_array_land_where_they_belong_with_their_signs(tmp_path):
    array = np.arange(30.0).reshape(3, 10) + 1
    array[1, 8] = np.nan
    np.save(tmp_path / "a.npy", array)
    left, right = (read_head_eye(tmp_path / "a.npy", eye) for eye in ("left", "right"))
    for table, (horizontal, vertical) in ((left, (6, 7)), (right, (8, 9))):
        np.testing.assert_array_equal(table["time"], array[:, 0])
        np.testing.assert_array_equal(table["pitch"], array[:, 1])
        np.testing.assert_array_equal(table["roll"], array[:, 2])
        np.testing.assert_array_equal(table["yaw_rate"], -array[:, 5])
        np.testing.assert_array_equal(table["theta"], -array[:, horizontal])
        np.testing.assert_array_equal(table["phi"], array[:, vertical])


GOOD = "0,1,2,3,4,5\n1,1,2,3,4,5\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "file"),
        (HEADER, "time"),
        (HEADER + "0,1,2,3,4,5\n", "time"),
        (HEADER.replace("yaw_rate", "yaw") + GOOD, "yaw_rate"),
        (HEADER + "0,1,2,3,4,5\n0,1,2,3,4,5\n", "time"),
        (HEADER + "1,1,2,3,4,5\n0,1,2,3,4,5\n", "time"),
        (HEADER + ",1,2,3,4,5\n1,1,2,3,4,5\n", "time"),
        (HEADER + "0,1,2,3,left,5\n1,1,2,3,4,5\n", "theta: expected numbers.*'left'"),
        (HEADER + "0,1,2,3,,5\n1,1,2,3,,5\n", "theta"),
        (HEADER + "0,1,2,3,4,inf\n1,1,2,3,4,5\n", "phi"),
        ("\x93NUMPY nonsense", "file|columns|array"),
        (HEADER + "0,1,2,3,4,5,6\n1,1,2,3,4,5,6\n", "line 2: expected 6 fields.* found 7"),
        (HEADER + "0,1,2,3,4,5\n1,1,2,3,4\n", "line 3: expected 6 fields.* found 5"),
        (HEADER + "0,1,2,3,NA,5\n1,1,2,3,4,5\n", "theta: expected numbers.*'NA'"),
        (HEADER + "0,1,null,3,4,5\n1,1,2,3,4,5\n", "roll: expected numbers.*'null'"),
        (HEADER + "0,1,2,3,4,None\n1,1,2,3,4,5\n", "phi: expected numbers.*'None'"),
    ],
)
def test_other_tables_are_refused_in_one_sentence(tmp_path, text, named):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        read_head_eye(path)
    assert "\n" not in str(caught.value) and "mine.csv" in str(caught.value)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 9)), np.zeros(10), np.zeros((3, 10), int), np.array([[{}] * 10], dtype=object)]
)
def test_other_arrays_are_refused_and_nothing_is_unpickled(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match="ten columns") as caught:
        read_head_eye(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_third_eye_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_head_eye(tmp_path / "none.csv")
    (tmp_path / "mine.csv").write_text(HEADER + GOOD)
    for eye in ("middle", ["right"], None):
        with pytest.raises(InputError, match="eye: expected one of"):
            read_head_eye(tmp_path / "mine.csv", eye=eye)


def test_the_measured_table_is_whole(measured):
    for eye, missing in (("left", 0.03), ("right", 0.12)):
        assert measured[eye].sizes["time"] == 36_014
        np.testing.assert_allclose(np.diff(measured[eye]["time"]), 1 / 60, atol=1e-6)
        assert abs(float(np.isnan(measured[eye]["theta"]).mean()) - missing) < 0.01


def test_yaw_is_positive_to_the_left(measured):
    """Gravity goes round in a tilted head against the head's turn: the sign that no eye can tell."""
    table = measured["left"]
    up, turned = up_turned_by(table["pitch"].values, table["roll"].values, [2])
    rate = np.deg2rad(table["yaw_rate"].values)
    low = butter(2, [0.05 / 30, 0.5 / 30], "band")
    changed = filtfilt(*low, np.gradient(up, axis=0) * 60, axis=0)
    expected = filtfilt(*low, turned[:, :, 0] * rate[:, None], axis=0)
    minutes = np.arange(rate.size) // 3600
    factors = [
        (changed[minutes == k] * expected[minutes == k]).sum() / (expected[minutes == k] ** 2).sum()
        for k in range(1, 10)
    ]
    # 1 but for the other two axes, which turn the head as well and are left out here.
    assert min(factors) > 0.2 and 0.3 < np.median(factors) < 1.2


def test_eyes_go_against_the_head_and_up_when_the_nose_goes_down(measured):
    for table in measured.values():
        velocity, rate = np.diff(table["theta"]) * 60, table["yaw_rate"].values
        slow = np.abs(velocity) < 150
        assert np.corrcoef(velocity[slow], (0.5 * (rate[1:] + rate[:-1]))[slow])[0, 1] < -0.4
        seen = np.isfinite(table["phi"].values)
        assert np.polyfit(table["pitch"].values[seen], table["phi"].values[seen], 1)[0] < -0.2


def test_with_the_right_ear_down_the_right_eye_rises_and_the_left_sinks(measured):
    slopes = {}
    for eye, table in measured.items():
        seen = np.isfinite(table["phi"].values)
        tilt = np.stack([table["pitch"], table["roll"], np.ones(seen.size)], axis=1)[seen]
        slopes[eye] = np.linalg.lstsq(tilt, table["phi"].values[seen], rcond=None)[0][1]
    assert slopes["right"] > 0.3 and slopes["left"] < -0.1
