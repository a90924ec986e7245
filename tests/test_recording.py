"""A lab folder is opened by its labels, and each way it can be broken ends in one sentence."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from lab_folder import CLOCK, refusal, rewrite, rewrite_units, stamps

import v1lib
from v1lib.align import eye_of
from v1lib.errors import InputError
from v1lib.recording import summarize_recording


def test_streams_come_back_with_their_shapes_and_clocks(pristine):
    recording = v1lib.open_recording(pristine)
    assert recording.source == "simulated"
    assert recording.world["video"].shape == (recording.world.sizes["frame"], 16, 20)
    assert recording.world["video"].dtype == np.uint8
    assert recording.world.attrs["interlaced"]
    assert len(recording.spikes) == 3
    assert abs(1 / np.median(np.diff(recording.world["time"])) - 30) < 0.1
    assert abs(1 / np.median(np.diff(recording.imu["time"])) - 300) < 0.1
    assert 5 < recording.world["time"][0] < 6
    assert np.isclose(np.median(np.linalg.norm(recording.imu["acc"], axis=1)), 1.0, atol=0.02)


def test_units_are_the_good_ones_in_order_of_channel(folder, pristine):
    table = pd.DataFrame(json.loads((pristine / "mouse_ephys_merge.json").read_text()))
    assert set(table["group"]) == {"good", "mua", "noise"}
    assert not table["ch"].is_monotonic_increasing
    spikes = v1lib.open_recording(pristine).spikes
    assert spikes["ch"].tolist() == [1, 3, 5]
    for unit, channel in enumerate((1, 3, 5)):
        np.testing.assert_array_equal(spikes[unit].t, table.loc[table["ch"] == channel, "spikeT"].item())


def test_the_unnamed_array_of_the_pipeline_is_the_imu(folder, pristine):
    rewrite(folder, "imu.nc", lambda data: data.rename(IMU_data="__xarray_dataarray_variable__"))
    np.testing.assert_array_equal(
        v1lib.open_recording(folder).imu["acc"], v1lib.open_recording(pristine).imu["acc"]
    )


def test_the_older_name_of_the_eye_file_is_known(folder):
    (folder / "mouse_REYE.nc").rename(folder / "mouse_Reye.nc")
    v1lib.open_recording(folder)


def test_a_progressive_camera_is_not_taken_apart(folder):
    def faster(data):
        start = data["timestamps"][0]
        return data.assign_coords(timestamps=start + (data["timestamps"] - start) / 2)

    rewrite(folder, "world.nc", faster)
    assert not v1lib.open_recording(folder).world.attrs["interlaced"]


@pytest.mark.parametrize("ending", ["world.nc", "REYE.nc", "TOP1.nc", "imu.nc", "ephys_merge.json"])
def test_a_missing_stream_is_named(folder, ending):
    (folder / f"mouse_{ending}").unlink()
    assert ending in refusal(folder)


@pytest.mark.parametrize("ending", ["world.nc", "REYE.nc", "TOP1.nc", "imu.nc", "ephys_merge.json"])
def test_a_stream_cut_short_is_named(folder, ending):
    file = folder / f"mouse_{ending}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert ending in refusal(folder)


@pytest.mark.parametrize("text", ["", "spikes: 3", '{"group": {"0": "good"', "[1, 2, 3]", "3", '{"a": 1}'])
def test_a_json_that_is_none_is_refused(folder, text):
    (folder / "mouse_ephys_merge.json").write_text(text)
    assert "ephys_merge.json" in refusal(folder)


@pytest.mark.parametrize("ending", ["world.nc", "REYE.nc", "TOP1.nc"])
def test_time_stamps_that_run_backwards_are_refused(folder, ending):
    def swap(data):
        stamps = data["timestamps"].values.copy()
        stamps[[100, 101]] = stamps[[101, 100]]
        return data.assign_coords(timestamps=("frame", stamps))

    rewrite(folder, ending, swap)
    sentence = refusal(folder)
    assert "timestamps" in sentence and "rise" in sentence and "sample 101" in sentence


def test_imu_samples_that_run_backwards_are_refused(folder):
    rewrite(folder, "imu.nc", lambda data: data.assign_coords(sample=data["sample"].values[::-1]))
    assert "sample" in refusal(folder)


def test_an_eye_that_is_missing_throughout_is_refused(folder):
    rewrite(
        folder, "REYE.nc", lambda data: data.assign(REYE_ellipse_params=data["REYE_ellipse_params"] * np.nan)
    )
    assert "NaN in every frame" in refusal(folder)


def test_no_good_unit_is_refused(folder):
    rewrite_units(folder, lambda table: table.assign(group="mua"))
    assert "none good" in refusal(folder)


def test_a_unit_without_spikes_is_refused(folder):
    def silence(table):
        row = table.index[table["ch"] == 3][0]
        table.at[row, "spikeT"] = []
        return table

    rewrite_units(folder, silence)
    assert "channel 3" in refusal(folder)


def test_spikes_out_of_order_are_refused(folder):
    def turn(table):
        row = table.index[table["ch"] == 3][0]
        table.at[row, "spikeT"] = table.at[row, "spikeT"][::-1]
        return table

    rewrite_units(folder, turn)
    assert "channel 3" in refusal(folder)


def test_frames_of_two_sizes_are_refused(folder):
    """Pictures of unequal size can only be stored as lists of unequal length."""
    file = folder / "mouse_world.nc"
    with h5py.File(file, "r+") as data:
        n = data["WORLD_video"].shape[0]
        dimension = data["WORLD_video"].dims[0][0]
        del data["WORLD_video"]
        ragged = data.create_dataset("WORLD_video", (n,), h5py.vlen_dtype(np.uint8))
        ragged.dims[0].attach_scale(dimension)
        for k in range(n):
            ragged[k] = np.zeros(320 if k < 5 else 80, np.uint8)
    assert "WORLD_video" in refusal(folder)


def test_video_of_colour_or_of_floats_is_refused(folder):
    rewrite(folder, "world.nc", lambda data: data.assign(WORLD_video=data["WORLD_video"].astype(np.float32)))
    assert "8-bit" in refusal(folder)


def test_a_column_that_is_not_there_is_named(folder):
    rewrite(folder, "TOP1.nc", lambda data: data.assign_coords(prop=["velocity"]))
    assert "prop speed" in refusal(folder)


def test_two_recordings_in_one_folder_are_refused(folder):
    shutil.copy(folder / "mouse_world.nc", folder / "second_world.nc")
    assert "second_world.nc" in refusal(folder)


def test_streams_that_hardly_overlap_are_refused(folder):
    rewrite(folder, "TOP1.nc", lambda data: data.assign_coords(timestamps=data["timestamps"] + 25.0))
    recording = v1lib.open_recording(folder)
    with pytest.raises(InputError, match="runs through most"):
        v1lib.align(recording, clock=CLOCK)


def cell(column, value):
    """Put `value` into one cell of a good unit's row."""

    def change(table):
        table = table.astype(object)
        table.at[table.index[table["ch"] == 3][0], column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("spikeT", "abc"),
        ("spikeT", ["x"]),
        ("spikeT", [[1.0, 2.0], [3.0]]),
        ("spikeT", {"0": 1.0}),
        ("spikeT", None),
        ("spikeT", ["1.0", "2.0"]),
        ("spikeT", [True, True]),
        ("spikeT", [-1.0, 2.0]),
        ("t0", "morning"),
        ("t0", None),
        ("t0", 12.0),
        ("ch", "three"),
    ],
)
def test_cells_of_the_units_table_that_are_no_numbers_are_named(folder, column, value):
    rewrite_units(folder, cell(column, value))
    assert column in refusal(folder) or "ch" in column


def test_json_nested_without_end_is_refused(folder):
    (folder / "mouse_ephys_merge.json").write_text("[" * 100_000)
    assert "ephys_merge.json" in refusal(folder)


@pytest.mark.parametrize(
    "change", [lambda t: t.astype(str), lambda t: (t * 1e9).astype("datetime64[ns]")], ids=["text", "dates"]
)
def test_time_stamps_that_are_no_numbers_are_refused(folder, change):
    rewrite(folder, "TOP1.nc", stamps(change))
    sentence = refusal(folder)
    assert "timestamps" in sentence and "numbers" in sentence


# Midnight comes while all streams run, or between the start of the ephys and the cameras' first frames.
@pytest.mark.parametrize("midnight_s", [15.0, 2.0])
def test_a_recording_may_cross_midnight(folder, pristine, midnight_s):
    """All clocks start again at 0; nothing else changes."""

    def later(values):
        return (values - 37_800 - midnight_s) % 86_400

    for ending in ("world.nc", "REYE.nc", "TOP1.nc"):
        rewrite(folder, ending, stamps(later))
    rewrite(folder, "imu.nc", lambda data: data.assign_coords(sample=later(data["sample"].values)))
    rewrite_units(folder, lambda table: table.assign(t0=later(table["t0"])))
    before, after = v1lib.open_recording(pristine), v1lib.open_recording(folder)
    for stream in ("world", "eye", "top", "imu"):
        expected = getattr(before, stream)["time"].values
        np.testing.assert_allclose(getattr(after, stream)["time"].values, expected, atol=1e-6)


def test_files_of_two_recordings_are_not_mixed(folder):
    (folder / "mouse_world.nc").rename(folder / "other_world.nc")
    sentence = refusal(folder)
    assert "one recording" in sentence and "other" in sentence


def test_the_folder_may_have_any_name(folder):
    moved = folder.rename(folder.with_name("renamed"))
    assert v1lib.open_recording(moved).source == "simulated"
    assert v1lib.load_truth(moved).sizes["unit"] == 3


@pytest.mark.parametrize(("values", "said"), [(np.nan, "NaN"), (-3.0, "0 or more")])
def test_speed_that_is_none_is_refused(folder, values, said):
    rewrite(folder, "TOP1.nc", lambda data: data.assign(TOP1_props=data["TOP1_props"] * 0 + values))
    assert said in refusal(folder)


def test_speed_in_another_unit_is_refused(folder):
    rewrite(folder, "TOP1.nc", lambda data: data.assign(TOP1_props=data["TOP1_props"] * 0 + 90.0))
    recording = v1lib.open_recording(folder)
    with pytest.raises(InputError, match="speed"):
        v1lib.align(recording, clock=CLOCK)


def test_an_inertial_channel_that_is_missing_throughout_is_refused(folder):
    def blank(data):
        data["IMU_data"].loc[{"channel": "gyro_z"}] = np.nan
        return data

    rewrite(folder, "imu.nc", blank)
    assert "gyro_z" in refusal(folder)


@pytest.mark.parametrize(
    ("ending", "variable", "labels"),
    [
        ("imu.nc", "IMU_data", {"channel": "acc_y"}),
        ("imu.nc", "IMU_data", {"channel": "gyro_z"}),
        ("TOP1.nc", "TOP1_props", {"prop": "speed"}),
        ("REYE.nc", "REYE_ellipse_params", {"ellipse_params": "X0"}),
        ("REYE.nc", "REYE_ellipse_params", {"ellipse_params": "Y0"}),
    ],
)
def test_an_infinite_value_is_refused_with_its_channel(folder, ending, variable, labels):
    def spoil(data):
        data[variable].loc[labels][100] = -np.inf
        return data

    rewrite(folder, ending, spoil)
    sentence = refusal(folder)
    assert ending in sentence and next(iter(labels.values())) in sentence
    assert "1 infinite ones, first at sample 100" in sentence


def test_a_missing_camera_centre_is_refused(folder):
    def forget(data):
        del data["REYE_ellipse_params"].attrs["cam_center_x"]
        return data

    rewrite(folder, "REYE.nc", forget)
    assert "cam_center_x" in refusal(folder)


def test_an_ellipse_that_is_none_is_refused(folder):
    def flat(data):
        data["REYE_ellipse_params"].loc[{"ellipse_params": "shortaxis"}] = 0.0
        return data

    rewrite(folder, "REYE.nc", flat)
    assert "shortaxis" in refusal(folder)


def test_one_lost_centre_does_not_cost_the_eye(folder, pristine):
    def lose(data):
        data["REYE_ellipse_params"].loc[{"ellipse_params": "X0"}][100] = np.nan
        return data

    rewrite(folder, "REYE.nc", lose)
    before, after = (eye_of(v1lib.open_recording(path))["theta"].values for path in (pristine, folder))
    assert np.isnan(after[100])
    other = np.isfinite(before) & (np.arange(before.size) != 100)
    np.testing.assert_allclose(after[other], before[other], atol=0.01)


def test_a_start_of_the_ephys_that_is_hours_off_is_refused(folder):
    """The spikes then fall outside of what the cameras saw."""
    rewrite_units(folder, lambda table: table.assign(t0=table["t0"] - 7200.0))
    recording = v1lib.open_recording(folder)
    with pytest.raises(InputError, match=r"spikeT of channel 1.*none there"):
        v1lib.align(recording, clock=CLOCK)


@pytest.mark.parametrize("ending", ["world.nc", "imu.nc"])
def test_a_damaged_block_of_data_is_named(folder, ending):
    """The file opens, and only reading the values meets the damage."""
    file = folder / f"mouse_{ending}"
    name = {"world.nc": "WORLD_video", "imu.nc": "IMU_data"}[ending]
    with xr.open_dataset(file, engine="h5netcdf") as data:
        data = data.load()
    file.unlink()
    data.to_netcdf(file, engine="h5netcdf", encoding={name: {"zlib": True}})
    with h5py.File(file) as stored:
        chunk = stored[name].id.get_chunk_info(0)
    content = bytearray(file.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{ending}: {name}.*: expected readable values"):
        v1lib.align(v1lib.open_recording(folder), clock=CLOCK)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bin_width_s": "0.05"},
        {"bin_width_s": None},
        {"bin_width_s": True},
        {"bin_width_s": float("nan")},
        {"bin_width_s": 1e9},
        {"bin_width_s": float("inf")},
        {"frame_shape": (5,)},
        {"frame_shape": 5},
        {"frame_shape": (5.7, 6.2)},
        {"frame_shape": (5, 6, 7)},
        {"clock": (0.12, 114.0)},
    ],
)
def test_arguments_of_align_that_make_no_session_are_refused(pristine, wrong):
    given = {"clock": CLOCK} | wrong
    with pytest.raises(InputError, match=next(iter(wrong))):
        v1lib.align(v1lib.open_recording(pristine), **given)


def test_align_takes_a_recording_and_any_kind_of_float(pristine):
    with pytest.raises(InputError, match=r"recording: expected a Recording .*, found PosixPath"):
        v1lib.align(pristine)
    session = v1lib.align(v1lib.open_recording(pristine), clock=CLOCK, bin_width_s=np.float32(0.0625))
    assert session.attrs["bin_width_s"] == 0.0625


def test_the_summary_of_a_recording_is_that_of_its_files(folder):
    def lose_a_fifth(data):
        data["REYE_ellipse_params"][::5] = np.nan
        return data

    rewrite(folder, "REYE.nc", lose_a_fifth)
    table = summarize_recording(v1lib.open_recording(folder))
    start = json.loads((folder / "mouse_ephys_merge.json").read_text())["t0"]["0"]
    files = {
        "head camera": ("world.nc", "timestamps", "camera", 0.0),
        "eye camera": ("REYE.nc", "timestamps", "camera", None),
        "camera above": ("TOP1.nc", "timestamps", "camera", 0.0),
        "inertial sensor": ("imu.nc", "sample", "ephys", 0.0),
    }
    assert list(table.index) == list(files)
    for stream, (ending, name, clock, missing) in files.items():
        with xr.open_dataset(folder / f"mouse_{ending}", engine="h5netcdf") as data:
            stamps = data[name].values - start
            if missing is None:
                missing = 100 * float(np.isnan(data["REYE_ellipse_params"].values[:, 0]).mean())
                assert missing >= 20
        row = table.loc[stream]
        assert row["clock"] == clock and row["samples"] == stamps.size
        # The table rounds to 0.1 Hz, ms and 0.1 %.
        assert row["rate (Hz)"] == pytest.approx(1 / np.median(np.diff(stamps)), abs=0.051)
        assert row["first stamp (s)"] == pytest.approx(stamps[0], abs=6e-4)
        assert row["last stamp (s)"] == pytest.approx(stamps[-1], abs=6e-4)
        assert row["missing (%)"] == pytest.approx(missing, abs=0.051)


def test_a_recording_says_in_a_line_what_it_holds(pristine):
    recording = v1lib.open_recording(pristine)
    said = repr(recording)
    assert "\n" not in said and len(said) < 200
    for part in ("mouse", "simulated", "0.5 min", "16 × 20", "3 units"):
        assert part in said
    for stream, dim in (("world", "frame"), ("eye", "time"), ("top", "time"), ("imu", "time")):
        assert str(getattr(recording, stream).sizes[dim]) in said


def test_a_file_and_a_folder_each_point_to_what_opens_them(pristine):
    with pytest.raises(InputError, match=r"a file \(v1lib\.open_session opens files\)"):
        v1lib.open_recording(pristine / "mouse_world.nc")
    with pytest.raises(InputError, match=r"a folder \(v1lib\.open_recording opens a lab folder, align"):
        v1lib.open_session(pristine)
    with pytest.raises(InputError, match="folder: expected a folder with a recording, found none"):
        v1lib.open_recording(pristine / "nowhere")
