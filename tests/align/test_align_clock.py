"""A clock that jumps: its bins are left out, the bins behind it are right, and the session says so."""

from dataclasses import replace

import numpy as np
import pytest

import v1lib
from v1lib.errors import InputError
from v1lib.session import load_session, save_session

#: Ten bins, so that bins behind the jump are the same bins as without one.
SIZE_S, AT_S, WIDTH_S = 0.48, 95.0, 0.048


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("jumped") / "mouse"
    v1lib.simulate_recording(path, minutes=3, n_units=4, seed=31, frame_shape=(30, 40))
    return v1lib.open_recording(path)


@pytest.fixture(scope="module")
def jumped(recording):
    """The recording as a camera computer whose clock is set forward stamps it."""

    def late(stream):
        time = stream["time"].values
        return stream.assign_coords(time=(stream["time"].dims, time + SIZE_S * (time > AT_S)))

    return replace(recording, **{name: late(getattr(recording, name)) for name in ("world", "eye", "top")})


@pytest.fixture(scope="module")
def sessions(recording, jumped):
    """Without and with the jump, by the clock that was planted."""
    true = v1lib.ClockFit(0.12, 114.0, 0.0, 0.0, 1.0, 0)
    place = v1lib.ClockJump(AT_S - 0.02, AT_S + SIZE_S + 0.02, SIZE_S, 0.0)
    return v1lib.align(recording, clock=true), v1lib.align(jumped, clock=replace(true, jumps=(place,)))


def test_bins_at_a_jump_are_left_out_and_a_stretch_begins_behind_it(sessions):
    _, session = sessions
    centers = session["time"].values + session.attrs["start_s"]
    assert not ((centers > AT_S - 0.02 - WIDTH_S / 2) & (centers < AT_S + SIZE_S + 0.02 + WIDTH_S / 2)).any()
    assert session["stretch"].values.tolist() == (centers > AT_S).astype(int).tolist()
    # 0.52 s are 10.8 bins, which touch 11 or 12.
    assert session.attrs["bins_at_clock_jumps"] in (11, 12)
    assert np.ptp(np.diff(session["time"].values)) / WIDTH_S == pytest.approx(
        session.attrs["bins_at_clock_jumps"], abs=1e-6
    )
    assert session.attrs["bins_without_frames"] in (9, 10, 11)  # those that no camera saw


def test_bins_behind_a_jump_are_those_of_a_clock_that_did_not_jump(sessions):
    plain, session = sessions
    number = np.rint(session["time"].values / WIDTH_S - 0.5).astype(int)
    number -= 10 * (session["stretch"].values == 1)
    same = plain.isel(time=number)
    for name in ("activity", "frames"):
        np.testing.assert_array_equal(session[name].values, same[name].values)
    # A sample that lies on an edge falls to one side or the other by rounding.
    alike = np.isclose(session["behavior"], same["behavior"], atol=0.02, equal_nan=True)
    assert alike.mean() > 0.999


def test_an_estimated_jump_is_found_and_recorded(jumped, tmp_path):
    session = v1lib.align(jumped)
    (said,) = session.attrs["clock_jumps"]
    size, after, before = (float(word) for word in (said.split()[0], *said.split()[-4:-1:2]))
    assert abs(size - SIZE_S) < 0.004 and after <= AT_S + 0.02 and before >= AT_S + SIZE_S - 0.02
    assert before - after < SIZE_S + 0.1
    assert abs(session.attrs["clock_offset_s"] - 0.12) < 0.003 and session["stretch"].values.max() == 1
    save_session(session, tmp_path / "session.nc")
    stored = load_session(tmp_path / "session.nc")
    assert list(np.atleast_1d(stored.attrs["clock_jumps"])) == [said]
    assert stored.attrs["bins_at_clock_jumps"] == session.attrs["bins_at_clock_jumps"]


def test_a_jump_of_the_eyes_stamps_alone_is_no_jump_of_the_clock(recording, jumped):
    expected = r"mouse_REYE\.nc: timestamps: .* \+0\.4[78].* s between 9[45]\..* only the eye's stamps"
    with pytest.raises(InputError, match=expected):
        v1lib.align(replace(recording, eye=jumped.eye))
    with pytest.raises(InputError, match=r"those of the head camera do not skip, so that the eye's stamps"):
        v1lib.align(replace(jumped, world=recording.world))


def test_a_jump_that_no_stamps_show_is_left_to_the_clock(recording):
    """The cameras lose frames and count on: none of their stamps skips."""

    def silent(stream, dim):
        time = stream["time"].values
        lost = (time > AT_S) & (time <= AT_S + SIZE_S)
        stream = stream.isel({dim: ~lost})
        moved = np.where(stream["time"] > AT_S, stream["time"] - SIZE_S, stream["time"])
        return stream.assign_coords(time=(dim, moved))

    streams = {"world": "frame", "eye": "time", "top": "time"}
    lost = replace(
        recording, **{name: silent(getattr(recording, name), dim) for name, dim in streams.items()}
    )
    beside = np.abs(lost.eye["time"].values - AT_S) < 0.5
    assert np.diff(lost.eye["time"].values[beside]).max() < 0.035
    (said,) = v1lib.align(lost).attrs["clock_jumps"]
    assert float(said.split()[0]) == pytest.approx(-SIZE_S, abs=0.004)


def test_a_lag_of_the_eye_is_passed_on_and_recorded(recording, tmp_path):
    plain, lagging = v1lib.align(recording), v1lib.align(recording, eye_lag_s=0.006)
    assert plain.attrs["clock_jumps"] == "none" and plain.attrs["bins_at_clock_jumps"] == 0
    assert (plain.attrs["clock_eye_lag_s"], lagging.attrs["clock_eye_lag_s"]) == (0.0, 0.006)
    difference = lagging.attrs["clock_offset_s"] - plain.attrs["clock_offset_s"]
    assert difference == pytest.approx(0.006, abs=1e-9)
    save_session(plain, tmp_path / "session.nc")
    assert load_session(tmp_path / "session.nc").attrs["clock_jumps"] == "none"
    with pytest.raises(InputError, match="not both"):
        v1lib.align(recording, clock=v1lib.ClockFit(0.1, 0.0, 0.0, 0.0, 1.0, 0), eye_lag_s=0.006)
