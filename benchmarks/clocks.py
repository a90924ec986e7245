"""How well the ephys clock is found: on simulated recordings, on a measured mouse, and where it jumps.

``.venv/bin/python benchmarks/clocks.py [N]`` prints three tables:

1. errors of offset and drift over N (default 50) simulated ten-minute recordings, with the spread of their
   z-scores and how often two standard errors cover the truth;
2. by how much the estimate misses an offset and drift added to the gyroscope of the measured table
   (Meyer, O'Keefe and Poort 2020), by moving its stamps and by resampling it at 300 Hz on the moved clock;
3. how many of N / 5 planted jumps of each size are found, and how many are found where there is none.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from tqdm import tqdm

import v1lib
from v1lib.errors import InputError
from v1lib.readers.fetch import fetch
from v1lib.readers.head_eye import read_head_eye
from v1lib.simulate.streams import eye_and_gyro, to_ephys_clock

MEASURED = "meyer2020/example_freely_moving.npy"
MINUTES = 10.0
#: Offset (s) and drift (ppm) added to the measured gyroscope.
ADDED = ((0.5, 0.0), (-1.3, 0.0), (2.0, 400.0), (-2.0, -400.0), (0.007, 150.0), (0.503, -123.0), (0.0, 400.0))
JUMPS_S = (0.010, 0.015, 0.020, 0.050, 1.0)


def simulated(seed: int) -> tuple[tuple[np.ndarray, ...], float, float]:
    """Streams of a recording, and the offset (s) and drift (ppm) planted in it."""
    rng = np.random.default_rng([seed, 1])
    offset, drift = float(rng.uniform(-1, 1)), float(rng.uniform(-200, 200))
    streams = eye_and_gyro(seed, minutes=MINUTES, clock_offset_s=offset, clock_drift_ppm=drift, missing=0.05)
    return streams, offset, drift


def errors_of_recordings(n: int) -> None:
    """Print the table of errors over `n` simulated recordings."""
    errors, standard, seconds, jumps = [], [], [], 0
    for seed in tqdm(range(n), desc="recordings"):
        streams, offset, drift = simulated(seed)
        start = time.perf_counter()
        clock = v1lib.estimate_clock(*streams)
        seconds.append(time.perf_counter() - start)
        errors.append((clock.offset_s - offset, clock.drift_ppm - drift))
        standard.append((clock.offset_se_s, clock.drift_se_ppm))
        jumps += len(clock.jumps)
    z = np.array(errors) / np.array(standard)
    scaled = np.array(errors) * (1e3, 1.0)
    print(f"\n{n} simulated recordings of {MINUTES:.0f} minutes")
    print(f"{'':24}{'offset':>12}{'drift':>12}")
    rows = {
        "95th percentile of |error|": (np.percentile(np.abs(scaled), 95, axis=0), "ms", "ppm"),
        "mean error": (scaled.mean(axis=0), "ms", "ppm"),
        "mean standard error": (np.array(standard).mean(axis=0) * (1e3, 1.0), "ms", "ppm"),
        "mean of z": (z.mean(axis=0), "", ""),
        "s.d. of z": (z.std(axis=0, ddof=1), "", ""),
        "root mean square of z": (np.sqrt((z**2).mean(axis=0)), "", ""),
        "share within 1.96 s.e.": ((np.abs(z) < 1.96).mean(axis=0), "", ""),
    }
    for name, ((offset, drift), *units) in rows.items():
        print(f"{name:28}{offset:8.3f} {units[0]:3}{drift:8.3f} {units[1]}")
    print(f"jumps reported where there is none: {jumps}; {np.median(seconds):.2f} s a recording")


def errors_on_measured() -> None:
    """Print by how much clocks added to the measured table are missed."""
    try:
        path = fetch(MEASURED)
    except InputError as error:
        if error.variable != "download":
            raise
        print(f"\nmeasured table: left out, because it cannot be had ({error})")
        return
    print("\nclocks added to the gyroscope of the measured table: error of the estimate")
    for eye in ("right", "left"):
        table = read_head_eye(path, eye)
        stamps, theta, rate = (table[name].values for name in ("time", "theta", "yaw_rate"))
        before = v1lib.estimate_clock(stamps, theta, stamps, rate)
        print(
            f"{eye} eye as measured: {1e3 * before.offset_s:.2f} ± {1e3 * before.offset_se_s:.2f} ms, "
            f"{before.drift_ppm:.2f} ± {before.drift_se_ppm:.2f} ppm, r = {before.quality:.2f}"
        )
        print(f"{'added':>20}{'stamps moved':>24}{'resampled at 300 Hz':>24}")
        for offset, drift in tqdm(ADDED, desc=f"{eye} eye", leave=False):
            moved = to_ephys_clock(stamps, offset, drift)
            grid = np.arange(moved[0], moved[-1], 1 / 300)
            missed = []
            for at, values in ((moved, rate), (grid, np.interp(grid, moved, rate))):
                after = v1lib.estimate_clock(stamps, theta, at, values)
                # The clock of the table, followed by the one that was added to it.
                rates = 1 - 1e-6 * np.array([before.drift_ppm, drift])
                expected = np.array([before.offset_s + offset * rates[0], 1e6 * (1 - rates.prod())])
                missed.append(np.array([after.offset_s, after.drift_ppm]) - expected)
            text = "".join(f"{1e3 * o:11.3f} ms {d:6.3f} ppm" for o, d in missed)
            print(f"{offset:8.3f} s {drift:6.0f} ppm{text}")


def jumps_found(n: int) -> None:
    """Print how many planted jumps are found, at half of the recording, by moving all later eye stamps."""
    print(f"\njumps planted in {n} simulated recordings each, at a random time in their middle half")
    print(f"{'size':>8}{'found':>8}{'false':>8}{'place right':>14}{'rms error of size':>20}")
    for size in tqdm(JUMPS_S, desc="jump sizes"):
        found, false, placed, errors = 0, 0, 0, []
        for seed in range(1000, 1000 + n):
            (stamps, theta, *gyro), _, _ = simulated(seed)
            first = int(stamps.size * np.random.default_rng(seed).uniform(0.25, 0.75))
            stamps = stamps + size * (np.arange(stamps.size) >= first)
            jumps = v1lib.estimate_clock(stamps, theta, *gyro).jumps
            right = [j for j in jumps if j.after_s < stamps[first] and j.before_s > stamps[first - 1]]
            near = [j for j in jumps if abs(j.size_s - size) < 0.005]
            found, placed, false = found + bool(near), placed + bool(right), false + len(jumps) - bool(near)
            errors += [j.size_s - size for j in near]
        rms = 1e3 * np.sqrt(np.mean(np.square(errors))) if errors else np.nan
        print(f"{1e3 * size:5.0f} ms{found:8d}{false:8d}{placed:14d}{rms:17.2f} ms")


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    errors_of_recordings(number)
    errors_on_measured()
    jumps_found(max(number // 5, 1))
