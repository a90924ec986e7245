"""The ways in which readers of lab folders have gone wrong without a word; one test or more for each."""

import sys
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from lab_folder import CLOCK, aligned, channel, refusal, rewrite, rewrite_units, stamps

import v1lib
from v1lib.align import eye_of
from v1lib.align.camera import mean_frames
from v1lib.align.eye import from_stored_angles
from v1lib.simulate.streams import EPHYS_START_S


@pytest.fixture(scope="module")
def session(pristine):
    return aligned(pristine)


def as_signed(data):
    data["WORLD_video"] = data["WORLD_video"].astype(np.int8)
    return data


# 1. Video saved as int8.


def test_video_saved_as_signed_bytes_is_read_as_bytes(folder, pristine, session):
    rewrite(folder, "world.nc", as_signed)
    with xr.open_dataset(folder / "mouse_world.nc", engine="h5netcdf") as stored:
        assert stored["WORLD_video"].dtype == np.int8 and stored["WORLD_video"].values.min() < 0
    before, after = v1lib.open_recording(pristine), v1lib.open_recording(folder)
    assert after.world["video"].dtype == np.uint8 and before.world["video"].values.max() > 127
    np.testing.assert_array_equal(before.world["video"].values, after.world["video"].values)
    np.testing.assert_array_equal(aligned(folder)["frames"], session["frames"])


@pytest.mark.parametrize("signed", [False, True])
def test_a_video_of_either_type_is_never_in_memory_whole(folder, monkeypatch, signed):
    def enlarge(data):
        large = data.isel(y=np.repeat(np.arange(16), 8), x=np.repeat(np.arange(20), 8))
        return as_signed(large) if signed else large

    rewrite(folder, "world.nc", enlarge)
    # At the default of 512 bins at once, half a minute is almost whole.
    monkeypatch.setattr(sys.modules[mean_frames.__module__], "_BINS_AT_ONCE", 4)
    tracemalloc.start()
    recording = v1lib.open_recording(folder)
    v1lib.align(recording, clock=CLOCK, frame_shape=(16, 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < recording.world["video"].nbytes / 2


# 2. Position data without the first time stamp.


@pytest.mark.parametrize("ending", ["world.nc", "REYE.nc", "TOP1.nc"])
@pytest.mark.parametrize("part", [slice(1, None), slice(None, -1)], ids=["time[1:]", "time[:-1]"])
def test_one_sample_more_than_stamps_is_refused_and_not_shifted(folder, ending, part):
    def drop(data):
        return data.drop_vars("timestamps").assign_coords(
            timestamps=("stamp", data["timestamps"].values[part])
        )

    rewrite(folder, ending, drop)
    sentence = refusal(folder)
    assert ending in sentence and "timestamps" in sentence and "one a sample" in sentence


def test_one_stamp_more_than_samples_is_refused_and_not_shifted(folder):
    def drop(data):
        times = data["timestamps"].values
        return (
            data.isel(frame=slice(1, None)).drop_vars("timestamps").assign_coords(timestamps=("stamp", times))
        )

    rewrite(folder, "TOP1.nc", drop)
    assert "one a sample" in refusal(folder)


def test_a_leading_nan_costs_its_sample_and_moves_no_other(folder, session):
    def blank(data):
        data["TOP1_props"][0] = np.nan
        return data

    rewrite(folder, "TOP1.nc", blank)
    after = aligned(folder)
    assert after.attrs["start_s"] == session.attrs["start_s"]
    before, now = (each["behavior"].sel(variable="speed").values for each in (session, after))
    np.testing.assert_array_equal(now[1:], before[1:])


# 3. Stored roll and pitch.


def test_stored_roll_and_pitch_are_not_used(folder, session):
    rewrite(folder, "imu.nc", channel("roll", lambda roll: 40 + 0 * roll))
    rewrite(folder, "imu.nc", channel("pitch", lambda pitch: -pitch))
    xr.testing.assert_equal(aligned(folder), session)


def test_roll_and_pitch_need_not_be_stored(folder, session):
    rewrite(folder, "imu.nc", lambda data: data.drop_sel(channel=["roll", "pitch"]))
    xr.testing.assert_equal(aligned(folder), session)


# 4. Order of the channels.


@pytest.mark.parametrize("seed", range(3))
def test_channels_and_columns_are_found_by_label_in_any_order(folder, session, seed):
    rng = np.random.default_rng(seed)
    for ending, dim in (("imu.nc", "channel"), ("REYE.nc", "ellipse_params")):
        rewrite(folder, ending, lambda data, dim=dim: data.isel({dim: rng.permutation(data.sizes[dim])}))
    xr.testing.assert_equal(aligned(folder), session)


def test_speed_is_found_by_label_behind_other_columns(folder, session):
    def add(data):
        others = data["TOP1_props"].assign_coords(prop=["head_yaw"]) * 0 - 7.0
        return (
            data.drop_vars("TOP1_props")
            .drop_dims("prop")
            .assign(TOP1_props=xr.concat([others, data["TOP1_props"]], "prop"))
        )

    rewrite(folder, "TOP1.nc", add)
    xr.testing.assert_equal(aligned(folder), session)


# 5. The head-fixed animal's speed.


def treadmill(folder):
    """Speed and a row of stamps that are fewer, padded with NaN."""
    stamps_ = np.full(900, np.nan)
    stamps_[:300] = EPHYS_START_S + np.linspace(5, 35, 300)
    values = np.stack([stamps_, np.full(900, 12.0)])
    speed = xr.Dataset(
        {"speed_data": (("speed_params", "sample"), values)},
        {"speed_params": ["timestamps", "cm_per_sec"]},
    )
    speed.to_netcdf(folder / "mouse_speed.nc", engine="h5netcdf")


def test_a_head_fixed_folder_is_refused_with_a_word_on_its_speed(folder):
    treadmill(folder)
    (folder / "mouse_TOP1.nc").unlink()
    sentence = refusal(folder)
    assert "TOP1.nc" in sentence and "mouse_speed.nc" in sentence and "not read" in sentence


def test_a_treadmill_beside_the_other_streams_changes_nothing(folder, session):
    treadmill(folder)
    xr.testing.assert_equal(aligned(folder), session)


# 6. Sign of phi, zero of the angles.


def test_stored_angles_of_the_eye_and_its_ellipses_tell_the_same_movement(pristine):
    """The file's own theta and phi (rad, phi down) and its ellipses, brought to one convention."""
    with xr.open_dataset(pristine / "mouse_REYE.nc", engine="h5netcdf") as data:
        stored = data["REYE_ellipse_params"].load()
    theta, phi = (stored.sel(ellipse_params=name).values for name in ("theta", "phi"))
    eye = eye_of(v1lib.open_recording(pristine))
    converted = from_stored_angles(theta, phi)
    for name in ("theta", "phi"):
        seen = np.isfinite(eye[name].values)
        slope = np.polyfit(converted[name].values[seen], eye[name].values[seen], 1)[0]
        assert slope == pytest.approx(1.0, abs=0.05)
    seen = np.isfinite(phi)
    assert np.corrcoef(phi[seen], eye["phi"].values[seen])[0, 1] < -0.98


def test_zero_is_the_median_of_the_eye_and_the_horizon_of_the_head(pristine, session):
    eye = eye_of(v1lib.open_recording(pristine))
    for name in ("theta", "phi"):
        assert float(np.nanmedian(eye[name])) == pytest.approx(0.0, abs=1e-9)
    truth = v1lib.bin_truth(v1lib.load_truth(pristine), session)
    for name in ("pitch", "roll"):
        difference = session["behavior"].sel(variable=name).values - truth[name].values
        # Two hundredths of a g of noise, averaged over a second, are tenths of a degree.
        assert abs(np.median(difference)) < 0.5


# 7. t0 by its name.


def test_t0_is_read_by_name_wherever_its_column_stands(folder, session):
    rewrite_units(folder, lambda table: table[["t0", "spikeT", "group", "ch"]].assign(late=99.0))
    xr.testing.assert_equal(aligned(folder), session)


# A clock that the pipeline left 8 hours off.


@pytest.mark.parametrize("hours", [-8, 8])
@pytest.mark.parametrize("ending", ["REYE.nc", "world.nc", "TOP1.nc"])
def test_stamps_eight_hours_off_are_refused(folder, ending, hours):
    rewrite(folder, ending, stamps(lambda times: times + 3600 * hours))
    sentence = refusal(folder)
    assert ending in sentence and "-600" in sentence and f"{hours:+d}.00 hours" in sentence


def test_a_camera_may_begin_minutes_before_the_ephys(folder, pristine):
    rewrite(folder, "REYE.nc", stamps(lambda times: times - 300))
    before, after = v1lib.open_recording(pristine), v1lib.open_recording(folder)
    np.testing.assert_allclose(after.eye["time"], before.eye["time"] - 300, atol=1e-6)
