"""What the instruments of the simulated mouse make of a movement that is known."""

import numpy as np
import pytest
import xarray as xr

from v1lib.session import read_netcdf
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.kinematics import SAMPLE_RATE_HZ, rotation_matrix, simulate_motion
from v1lib.simulate.streams import (
    CAMERA_LEAD_S,
    EPHYS_START_S,
    EXPOSURE_S,
    _expose,
    camera_pose,
    write_eye,
    write_imu,
    write_top,
    write_world,
)


def still(seconds=20.0, **changes):
    """A mouse that stands still, but for `changes`: arrays over the motion's time."""
    n = round(seconds * SAMPLE_RATE_HZ)
    names = ("x", "y", "z", "speed", "yaw", "pitch", "roll", "theta", "phi", "torsion", "pupil")
    rest = {name: np.zeros(n) for name in names}
    rest |= {"x": np.full(n, 30.0), "y": np.full(n, 15.0), "z": np.full(n, 3.0), "pupil": np.full(n, 28.0)}
    rest |= {name: np.ones(n, bool) for name in ("head_measured", "eye_measured")} | changes
    return xr.Dataset(
        {name: ("time", values) for name, values in rest.items()}, {"time": np.arange(n) / SAMPLE_RATE_HZ}
    )


def test_a_fast_head_smears_its_picture_as_the_exposure_says():
    time = np.arange(6000) / SAMPLE_RATE_HZ
    camera = camera_of((60, 80), 100.0)
    turning = still(yaw=400.0 * time)
    [seen] = _expose(turning, camera, np.array([5.0]), slice(None))
    moments = 5.0 + EXPOSURE_S * (np.arange(200) + 0.5) / 200 - EXPOSURE_S / 2
    expected = render(camera, *camera_pose(turning, moments)).mean(axis=0)
    [sharp] = render(camera, *camera_pose(turning, np.array([5.0])))
    assert np.abs(seen - expected).mean() < 0.2 * np.abs(sharp - expected).mean()


def test_a_still_head_has_sharp_pictures():
    camera = camera_of((30, 40), 100.0)
    [seen] = _expose(still(), camera, np.array([5.0]), slice(None))
    np.testing.assert_array_equal(seen, render(camera, *camera_pose(still(), np.array([5.0])))[0])


def test_the_cameras_gain_drifts_slowly(tmp_path):
    write_world(tmp_path / "w.nc", np.random.default_rng(0), still(120.0), camera_of((16, 20), 100.0))
    bright = read_netcdf(tmp_path / "w.nc")["WORLD_video"].values.astype(float).mean(axis=(1, 2))
    relative = bright / bright.mean() - 1
    assert 0.01 < relative.std() < 0.08
    assert np.corrcoef(relative[:-30], relative[30:])[0, 1] > 0.8  # a second later it is nearly the same


def test_field_times_are_the_stamps_and_half_a_period_later(tmp_path):
    fields = write_world(tmp_path / "w.nc", np.random.default_rng(0), still(), camera_of((16, 20), 100.0))
    stamps = read_netcdf(tmp_path / "w.nc")["timestamps"].values
    # Seconds of the day are rounded to 1e-11.
    np.testing.assert_allclose(stamps - EPHYS_START_S - CAMERA_LEAD_S, fields[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.diff(fields, axis=1)[:, 0], 1 / 60, atol=1e-12)
    np.testing.assert_allclose(stamps - stamps[0], fields[:, 0] - fields[0, 0], atol=1e-9)


@pytest.fixture(scope="module")
def moving():
    return simulate_motion(np.random.default_rng(7), 20.0)


def stamped(path, moving):
    """A stream's file, and the movement at its stamps."""
    stream = read_netcdf(path)
    return stream, moving.interp(time=stream["timestamps"].values - EPHYS_START_S - CAMERA_LEAD_S)


def test_even_rows_are_exposed_at_the_stamps_and_odd_rows_half_a_period_later(tmp_path, moving):
    camera = camera_of((60, 80), 100.0)
    write_world(tmp_path / "w.nc", np.random.default_rng(0), moving, camera)
    world, at = stamped(tmp_path / "w.nc", moving)
    video, time = world["WORLD_video"].values / 255, at["time"].values
    for first in (0, 1):
        rows = slice(first, None, 2)
        errors = {}
        for late in (0.0, 1 / 60):
            expected = _expose(moving, camera, time + late, rows)
            gain = (video[:, rows] * expected).sum((1, 2)) / (expected**2).sum((1, 2))
            errors[late] = np.sqrt(((video[:, rows] - gain[:, None, None] * expected) ** 2).mean())
        # Noise of 0.01, and a 255th of rounding, but where brightness is clipped at 1.
        assert errors[first / 60] < 0.013 < 0.03 < errors[(1 - first) / 60]


def test_the_camera_above_sees_neck_and_speed_at_its_stamps(tmp_path, moving):
    write_top(tmp_path / "t.nc", np.random.default_rng(0), moving)
    top, at = stamped(tmp_path / "t.nc", moving)
    for name, place in (("neck_x", at["x"]), ("neck_y", at["y"])):
        error = top["TOP1_pts"].sel(point_loc=name).values - 20.0 * place.values  # 20 px/cm
        assert abs(error.mean()) < 5 / np.sqrt(error.size) and error.std() == pytest.approx(1.0, rel=0.15)
    error = top["TOP1_props"].sel(prop="speed").values - at["speed"].values
    running = (at["speed"].values > 2) & (error < 10)  # a speed below the noise is folded; some are lost
    assert running.sum() > 200 and (error >= 10).mean() < 0.01
    assert abs(error[running].mean()) < 5 * 0.4 / np.sqrt(running.sum())
    assert error[running].std() == pytest.approx(0.4, rel=0.2)


def test_the_eye_camera_sees_angles_and_pupil_at_its_stamps(tmp_path, moving):
    write_eye(tmp_path / "e.nc", np.random.default_rng(0), moving)
    eye, at = stamped(tmp_path / "e.nc", moving)
    ellipse = {
        str(name): eye["REYE_ellipse_params"].sel(ellipse_params=name).values
        for name in eye["ellipse_params"].values
    }
    seen = np.isfinite(ellipse["X0"])
    assert seen.mean() > 0.8
    # Turned back from the ellipse's centre: 130 px from the eye's centre to the pupil, 27 and 9 deg of rest.
    side = np.arcsin((ellipse["X0"] - 310.0) / 130)
    down = np.arcsin((ellipse["Y0"] - 245.0) / 130 / np.cos(side))
    found = {"theta": np.rad2deg(side) - 27.0, "phi": 9.0 - np.rad2deg(down), "pupil": ellipse["longaxis"]}
    # 0.4 px are 0.2 deg for an eye ahead, and up to three times that for one turned 50 deg and more.
    for name, noise in (("theta", 0.4), ("phi", 0.4), ("pupil", 0.25)):
        error = (found[name] - at[name].values)[seen]
        assert error.std() < noise and abs(error.mean()) < 5 * noise / np.sqrt(error.size)
    for name, sign in (("theta", 1), ("phi", -1)):  # the file's own angles, without noise
        rest = {"theta": 27.0, "phi": 9.0}[name]
        expected = np.deg2rad(sign * at[name].values + rest)[seen]
        np.testing.assert_allclose(ellipse[name][seen], expected, atol=1e-6)


def test_an_eye_camera_loses_frames_and_blinks(tmp_path):
    write_eye(tmp_path / "e.nc", np.random.default_rng(2), simulate_motion(np.random.default_rng(2), 300.0))
    eye = read_netcdf(tmp_path / "e.nc")
    steps = np.diff(eye["timestamps"].values) * 60
    assert steps.max() > 1.5 and (steps > 1.5).mean() < 0.001
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    blink = np.isnan(eye["REYE_ellipse_params"].values).all(axis=1)
    assert 0.005 < blink.mean() < 0.1
    likelihood = eye["REYE_pts"].values[:, 2::3]
    assert likelihood[blink].max() < 0.6 < likelihood[~blink].min()


def imu_of(folder, motion, seed=0):
    write_imu(folder / "i.nc", np.random.default_rng(seed), motion, 0.0, 0.0)
    data = read_netcdf(folder / "i.nc")["IMU_data"]
    return {str(name): data.sel(channel=name).values for name in data["channel"].values}


def test_an_accelerometer_feels_gravity_and_the_heads_own_acceleration(tmp_path):
    time = np.arange(6000) / SAMPLE_RATE_HZ
    swing = 30 + 1.0 * np.sin(2 * np.pi * 2.0 * time)  # 1 cm at 2 Hz: (4π)² cm/s², 0.161 g
    channels = imu_of(tmp_path, still(x=swing))
    # The clocks agree here, so sample k is sample k of the motion.
    part = slice(300, 5700)
    felt = channels["acc_x"][part] - channels["acc_x"][part].mean()
    expected = -((4 * np.pi) ** 2) / 981 * np.sin(2 * np.pi * 2.0 * time)[part]
    slope = (felt @ expected) / (expected @ expected)
    assert slope == pytest.approx(np.exp(-0.5 * (4 * np.pi * 0.02) ** 2), abs=0.03)  # smoothed over 20 ms
    assert channels["acc_z"].mean() == pytest.approx(1.0, abs=0.02)


def test_sensors_have_constant_errors_and_noise(tmp_path):
    errors = [imu_of(tmp_path, still(), seed)["gyro_z"] for seed in range(8)]
    assert 0.1 < np.std([one.mean() for one in errors]) < 1.5
    assert np.mean([np.diff(one).std() for one in errors]) == pytest.approx(1.5 * np.sqrt(2), rel=0.05)


def test_a_gyroscope_reads_no_more_than_its_range(tmp_path):
    time = np.arange(6000) / SAMPLE_RATE_HZ
    fast = np.where((time > 5) & (time < 5.2), 1500 * (time - 5), 0) + np.where(time >= 5.2, 300.0, 0)
    assert np.abs(imu_of(tmp_path, still(yaw=fast))["gyro_z"]).max() == 1000.0


def test_the_raw_voltages_are_those_of_the_values(tmp_path):
    channels = imu_of(tmp_path, simulate_motion(np.random.default_rng(1), 20.0))
    np.testing.assert_allclose((channels["acc_y_raw"] - 2.9) * 1.6, channels["acc_y"], atol=1e-12)
    np.testing.assert_allclose((channels["gyro_z_raw"] - 2.5) * 400, channels["gyro_z"], atol=1e-9)


def test_the_rotation_of_a_standing_head_is_the_identity():
    np.testing.assert_array_equal(rotation_matrix(np.zeros(1), np.zeros(1), np.zeros(1))[0], np.eye(3))
