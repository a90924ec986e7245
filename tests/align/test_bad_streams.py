"""Streams as they go wrong in a laboratory: each ends in a sentence, or in a mask that is recorded."""

import shutil

import h5py
import numpy as np
import pytest
import xarray as xr
from lab_folder import CLOCK, aligned, channel, refusal, rewrite, rewrite_units, samples, stamps

import v1lib
from v1lib.errors import InputError
from v1lib.session import stretch_ranges

CAMERAS = ("world.nc", "REYE.nc", "TOP1.nc")


@pytest.fixture(scope="module")
def session(pristine):
    return aligned(pristine)


def from_sample(first, change):
    """Change the stamps from one sample on."""

    def changed(times):
        return np.r_[times[:first], change(times[first:])]

    return changed


# One stream longer than another.


@pytest.mark.parametrize("ending", CAMERAS)
def test_a_stream_half_as_long_as_the_others_is_refused(folder, ending):
    rewrite(folder, ending, lambda data: data.isel(frame=slice(data.sizes["frame"] // 2)))
    with pytest.raises(InputError, match="runs through most") as caught:
        aligned(folder)
    named = {"world.nc": "WORLD_video", "REYE.nc": "REYE_ellipse_params", "TOP1.nc": "TOP1_props"}
    assert caught.value.variable == named[ending]


def test_a_stream_twice_as_long_as_the_others_is_refused(folder):
    def twice(data):
        times = data["sample"].values
        return xr.concat([data, data.assign_coords(sample=times + times[-1] - times[0] + 1 / 300)], "sample")

    rewrite(folder, "imu.nc", twice)
    with pytest.raises(InputError, match="runs through most"):
        aligned(folder)


def test_a_stream_that_begins_late_shortens_the_session_by_what_it_records(folder, session):
    rewrite(folder, "TOP1.nc", lambda data: data.isel(frame=slice(300, None)))  # five seconds
    late = aligned(folder)
    assert late.attrs["start_s"] == pytest.approx(session.attrs["start_s"] + 5.0, abs=0.1)
    assert late.attrs["outside_s"] == pytest.approx(session.attrs["outside_s"] + 5.0, abs=0.1)
    assert session.attrs["outside_s"] < 0.5
    assert late["time"][-1] < session["time"][-1] - 4.8
    assert v1lib.summarize_session(late)["outside of the session (s)"] == round(late.attrs["outside_s"], 1)


# Clocks that were set.


@pytest.mark.parametrize("ending", CAMERAS)
def test_a_clock_that_starts_over_at_zero_is_refused(folder, ending):
    rewrite(folder, ending, stamps(from_sample(400, lambda times: times - times[0])))
    sentence = refusal(folder)
    assert "rise" in sentence and "sample 400" in sentence and ending in sentence


def test_a_clock_that_starts_over_in_the_afternoon_is_no_midnight(folder):
    """From 15:00, zero is more than half a day back, as it is at midnight; then midnight was hours away."""
    for ending in CAMERAS:
        rewrite(folder, ending, stamps(lambda times: times + 4.5 * 3600))
    rewrite(folder, "imu.nc", samples(lambda times: times + 4.5 * 3600))
    rewrite_units(folder, lambda table: table.assign(t0=table["t0"] + 4.5 * 3600))
    v1lib.open_recording(folder)
    rewrite(folder, "REYE.nc", stamps(from_sample(400, lambda times: times - times[0])))
    sentence = refusal(folder)
    assert "REYE.nc" in sentence and "between samples 399 and 400" in sentence


@pytest.mark.parametrize("hours", [1, 2, 12])
def test_the_inertial_sensors_clock_may_not_jump_by_hours(folder, hours):
    rewrite(folder, "imu.nc", samples(from_sample(5000, lambda times: times + 3600 * hours)))
    sentence = refusal(folder)
    assert "imu.nc: sample" in sentence and f"{3600 * hours + 1 / 300:.3f} s" in sentence
    assert "between samples 4999 and 5000" in sentence


def test_summer_time_that_begins_while_the_cameras_run_is_refused(folder):
    """All cameras' stamps jump an hour ahead at one instant, and the inertial sensor's go on."""
    instant = 37_800.0 + 15.0
    for ending in CAMERAS:
        rewrite(folder, ending, stamps(lambda times: np.where(times > instant, times + 3600, times)))
    sentence = refusal(folder)
    assert "steps below 600 s" in sentence and "3600.0" in sentence and "clock that was set" in sentence


def test_summer_time_that_ends_while_the_cameras_run_is_refused(folder):
    instant = 37_800.0 + 15.0
    for ending in CAMERAS:
        rewrite(folder, ending, stamps(lambda times: np.where(times > instant, times - 3600, times)))
    assert "rise" in refusal(folder)


def test_cameras_an_hour_behind_the_ephys_are_refused(folder):
    for ending in CAMERAS:
        rewrite(folder, ending, stamps(lambda times: times - 3600))
    assert "-1.00 hours" in refusal(folder)


def test_cameras_an_hour_ahead_of_the_ephys_are_refused(folder):
    for ending in CAMERAS:
        rewrite(folder, ending, stamps(lambda times: times + 3600))
    with pytest.raises(InputError, match="runs through most"):
        aligned(folder)


# Stamps that are none.


@pytest.mark.parametrize("ending", CAMERAS)
@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "finite times, found 1 that are not, first at sample 50"), (None, "at sample 50")],
    ids=["NaN", "twice"],
)
def test_stamps_that_are_missing_or_come_twice_are_refused_with_their_place(folder, ending, value, said):
    def spoil(times):
        times[50] = times[49] if value is None else value
        return times

    rewrite(folder, ending, stamps(spoil))
    sentence = refusal(folder)
    assert f"{ending}: timestamps" in sentence and said in sentence
    assert value is not None or "rise" in sentence


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9], ids=["ms", "µs", "ns"])
@pytest.mark.parametrize("ending", CAMERAS)
def test_stamps_in_another_unit_are_refused(folder, ending, factor):
    rewrite(folder, ending, stamps(lambda times: np.rint(times * factor).astype(np.int64)))
    sentence = refusal(folder)
    assert f"{ending}: timestamps" in sentence and "seconds since midnight" in sentence and "ms" in sentence


def test_samples_of_the_inertial_sensor_in_ms_are_refused(folder):
    rewrite(folder, "imu.nc", samples(lambda times: times * 1e3))
    assert "imu.nc: sample: expected seconds since midnight" in refusal(folder)


@pytest.mark.parametrize("factor", [30_000.0, 1e3], ids=["samples", "ms"])
def test_spikes_in_samples_or_ms_are_refused(folder, factor):
    def scale(table):
        return table.assign(spikeT=[[factor * t for t in times] for times in table["spikeT"]])

    rewrite_units(folder, scale)
    sentence = refusal(folder)
    assert "spikeT of channel" in sentence and "times in s" in sentence and "samples or ms" in sentence


# The eye.


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    """Three minutes, long enough for a clock to be estimated without one of them."""
    path = tmp_path_factory.mktemp("minutes") / "mouse"
    v1lib.simulate_recording(path, minutes=3, n_units=2, seed=9, frame_shape=(16, 20))
    return path


def test_an_eye_lost_for_a_minute_is_missing_for_a_minute_and_no_longer(minutes, tmp_path):
    folder = shutil.copytree(minutes, tmp_path / "mouse")
    whole = v1lib.align(v1lib.open_recording(folder))

    def lose(data):
        data["REYE_ellipse_params"][3000:6600] = np.nan
        return data

    rewrite(folder, "REYE.nc", lose)
    recording = v1lib.open_recording(folder)
    session = v1lib.align(recording)
    begin, end = recording.eye["time"].values[[3000, 6599]] - session.attrs["start_s"]
    time, half = session["time"].values, session.attrs["bin_width_s"] / 2
    within = (time - half >= begin) & (time + half <= end)
    outside = (time + half < begin) | (time - half > end)
    for name in ("theta", "phi", "pupil"):
        values = session["behavior"].sel(variable=name).values
        before = whole["behavior"].sel(variable=name).values
        assert np.isnan(values[within]).all() and within.sum() > 1200
        np.testing.assert_array_equal(np.isnan(values[outside]), np.isnan(before[outside]))
        # Zero of the angles is the median of what is left.
        change = values[outside] - before[outside]
        assert np.nanstd(change) < 0.02
        missing = v1lib.summarize_session(session)[f"{name} missing (%)"]
        assert missing == pytest.approx(100 * np.isnan(values).mean(), abs=0.006) and missing > 33
    np.testing.assert_array_equal(
        session["behavior"].sel(variable="speed"), whole["behavior"].sel(variable="speed")
    )
    for name in ("pitch", "roll"):
        change = (session["behavior"] - whole["behavior"]).sel(variable=name).values
        # The clock is a fraction of a millisecond another, which moves some samples to the next bin.
        assert np.isfinite(change).all() and change.std() < 0.05
    assert len(stretch_ranges(session)) == len(stretch_ranges(whole))
    difference = session.attrs["clock_offset_s"] - whole.attrs["clock_offset_s"]
    assert abs(difference) < 4 * session.attrs["clock_offset_se_s"]


# The inertial sensor.


def test_a_gyroscope_at_full_scale_is_not_measured_there(folder, session):
    recording = v1lib.open_recording(folder)
    z = recording.imu["gyro"].sel(axis="up").values
    full = 80.0
    rewrite(folder, "imu.nc", channel("gyro_z", lambda values: values.clip(-full, full)))
    clipped = v1lib.open_recording(folder)
    lost = np.abs(z) >= full
    assert 0.005 < lost.mean() < 0.3
    np.testing.assert_array_equal(np.isnan(clipped.imu["gyro"].sel(axis="up")), lost)
    assert np.isfinite(clipped.imu["acc"]).all()
    assert clipped.imu.attrs["masked"] == pytest.approx(lost.mean(), abs=1e-12)
    after = aligned(folder)
    assert after.attrs["imu_masked"] == clipped.imu.attrs["masked"] and session.attrs["imu_masked"] == 0.0
    assert v1lib.summarize_session(after)["inertial sensor masked (%)"] == round(100 * lost.mean(), 3)
    # Tilt is missing in the bins in which the sensor was at full scale from end to end, and only there.
    at = CLOCK.to_camera(recording.imu["time"].values) - after.attrs["start_s"]
    number = np.floor(at / 0.048).astype(int)
    for name in ("pitch", "roll"):
        missing = np.isnan(after["behavior"].sel(variable=name).values)
        for k in range(after.sizes["time"]):
            assert missing[k] == lost[number == k].all()


def test_an_accelerometer_that_is_stuck_is_not_measured_there(folder):
    """One axis for two seconds, another from the middle of these on: three seconds lack one of them."""

    def stick(first, last):
        def stuck(values):
            values[first:last] = values[first]
            return values

        return stuck

    rewrite(folder, "imu.nc", channel("acc_x", stick(3000, 3600)))
    rewrite(folder, "imu.nc", channel("acc_y", stick(3300, 3900)))
    imu = v1lib.open_recording(folder).imu
    for axis, first, last in (("forward", 3000, 3600), ("left", 3300, 3900)):
        lost = np.isnan(imu["acc"].sel(axis=axis).values)
        assert np.flatnonzero(lost).tolist() == list(range(first, last))
    assert np.isfinite(imu["acc"].sel(axis="up")).all() and np.isfinite(imu["gyro"]).all()
    assert imu.attrs["masked"] == pytest.approx(900 / imu.sizes["time"], abs=1e-12)


@pytest.mark.parametrize("label", ["gyro_z", "acc_x"])
def test_a_channel_that_is_mostly_at_full_scale_is_refused(folder, label):
    def clip(values):
        return values.clip(*np.quantile(values, [0.2, 0.45]))

    rewrite(folder, "imu.nc", channel(label, clip))
    sentence = refusal(folder)
    assert f"imu.nc: {label}:" in sentence and "full scale" in sentence and "75.0 %" in sentence


def test_a_working_sensor_of_sixteen_bits_loses_nothing(folder):
    """In steps of its converter (±5 V, 16 bits, 400 deg/s or 1.6 g a volt) some neighbours are equal."""
    step = 10 / 2**16
    repeats = 0
    for sensor, scale in (("acc", 1.6), ("gyro", 400.0)):
        for axis in "xyz":
            quantum = step * scale
            rewrite(folder, "imu.nc", channel(f"{sensor}_{axis}", lambda v, q=quantum: q * np.rint(v / q)))
    imu = v1lib.open_recording(folder).imu
    for sensor in ("acc", "gyro"):
        repeats += int((np.diff(imu[sensor].values, axis=0) == 0).sum())
        assert np.isfinite(imu[sensor]).all()
    assert repeats > 20 and imu.attrs["masked"] == 0.0


# The head camera.


def test_damaged_frames_are_named_by_their_numbers(folder):
    rewrite(
        folder,
        "world.nc",
        lambda data: data,
        encoding={"WORLD_video": {"zlib": True, "chunksizes": (4, 16, 20)}},
    )
    file = folder / "mouse_world.nc"
    with h5py.File(file) as stored:
        chunk = stored["WORLD_video"].id.get_chunk_info(70)
        assert chunk.chunk_offset[0] == 280
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    file.write_bytes(content)
    recording = v1lib.open_recording(folder)
    expected = r"mouse_world\.nc: WORLD_video, frames 280 to 283: expected readable values, found damaged"
    with pytest.raises(InputError, match=expected):
        v1lib.align(recording, clock=CLOCK)


def test_frames_of_one_grey_level_are_no_pictures(folder, session):
    """Black ones for a third of a second, a white one alone."""

    def blank(data):
        data["WORLD_video"][300:310] = 0
        data["WORLD_video"][500] = 255
        return data

    rewrite(folder, "world.nc", blank)
    after = aligned(folder)
    assert after.attrs["constant_frames"] == 11 and session.attrs["constant_frames"] == 0
    left_out = after.attrs["bins_without_frames"] - session.attrs["bins_without_frames"]
    # A third of a second is 6.9 bins, of which the first and last are covered in part.
    assert left_out == session.sizes["time"] - after.sizes["time"] and left_out in (6, 7, 8)
    summary = v1lib.summarize_session(after)
    assert summary["constant frames"] == 11 and summary["bins without frames"] == left_out
    assert summary["stretches"] == len(stretch_ranges(after)) == len(stretch_ranges(session)) + 1
    # No black or white gets into what is left: frames are means of the pictures that remain.
    same = np.isin(session["time"].values, after["time"].values)
    change = np.abs(after["frames"].values.astype(int) - session["frames"].values[same].astype(int))
    differs = change.reshape(len(change), -1).max(axis=1) > 0
    assert 0 < differs.sum() <= 5
    assert after["frames"].values[differs].std(axis=(1, 2)).min() > 10


def test_a_torn_frame_is_taken_for_what_it_shows(folder, session):
    """Rows of one grey level can be a wall: such a frame stays, and nothing claims that it was found."""

    def tear(data):
        data["WORLD_video"][300, 8:] = 0
        return data

    rewrite(folder, "world.nc", tear)
    after = aligned(folder)
    assert after.attrs["constant_frames"] == 0
    np.testing.assert_array_equal(after["time"], session["time"])


# What the session says of all this.


def test_the_summary_tells_clock_and_masks(minutes):
    session = v1lib.align(v1lib.open_recording(minutes))
    summary = v1lib.summarize_session(session)
    said = session.attrs
    for row, value, error, unit in (
        ("clock offset (ms)", "clock_offset_s", "clock_offset_se_s", 1e3),
        ("clock drift (ppm)", "clock_drift_ppm", "clock_drift_se_ppm", 1.0),
    ):
        number, spread = (float(part) for part in summary[row].split(" ± "))
        assert number == pytest.approx(unit * said[value], abs=0.0051)
        assert spread == pytest.approx(unit * said[error], abs=0.0051) and spread > 0
    assert summary["clock quality"] == round(said["clock_quality"], 3)
    assert summary["speed masked (%)"] == round(100 * said["speed_masked"], 3) > 0
    assert summary["constant frames"] == 0 and summary["inertial sensor masked (%)"] == 0
    assert summary["stretches"] == len(stretch_ranges(session))


def test_a_session_of_another_source_has_no_such_rows(session):
    bare = session.copy()
    bare.attrs = {name: session.attrs[name] for name in ("animal", "source", "bin_width_s")}
    rows = v1lib.summarize_session(bare).index
    assert not [row for row in rows if "clock" in row or "masked" in row or "constant" in row]


def test_the_summary_tells_the_jumps_of_a_clock(session):
    jumps = ["+2.000000 s (se 0.001000 s) between 10.0000 and 10.1000 s", "-1.000000 s"]
    for stored, said in ((jumps, "; ".join(jumps)), (jumps[0], jumps[0]), ("none", "none")):
        summary = v1lib.summarize_session(session.assign_attrs(clock_jumps=stored, bins_at_clock_jumps=3))
        assert summary["clock jumps"] == said and summary["bins at clock jumps"] == 3
