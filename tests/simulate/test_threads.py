"""The same seed simulates the same mouse on any number of threads."""

import hashlib
import os
import subprocess
import sys

import pytest

SCRIPT = (
    "import sys, v1lib; "
    "v1lib.simulate_recording(sys.argv[1], minutes=1, n_units=12, seed=3, frame_shape=(16, 20))"
)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_byte(tmp_path):
    sums = []
    for threads in ("1", "2"):
        folder = tmp_path / threads / "mouse"
        env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], env=env, check=True)
        sums.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())})
    assert len(sums[0]) == 6 and sums[0] == sums[1]
