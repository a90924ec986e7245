"""A simulated schedule is never faster than its parts allow, and exact where arithmetic says what it is."""

import dataclasses
import json

import pytest

from benchmarks.schedule import Costs, Family, lower_bounds, read_costs, simulate
from v1lib.errors import InputError

FAMILIES = {
    "network": Family(seconds=900.0, read_bytes=2e8, memory_gib=1.5, n_fits=36),
    "glm": Family(seconds=20.0, read_bytes=2e8, memory_gib=0.5, n_fits=50),
    "own": Family(seconds=2000.0, read_bytes=3e8, memory_gib=2.0, n_fits=9),
}
COSTS = Costs(FAMILIES, overhead_s=0.02, bandwidth_bytes_s=1e8, worker_memory_gib=4.0)


def with_(**changed):
    return dataclasses.replace(COSTS, **changed)


def one_family(**changed):
    return {"fit": dataclasses.replace(Family(100.0, 0.0, 1.0, 12), **changed)}


def test_one_worker_does_everything_in_a_row():
    done = simulate(COSTS, 1)
    total = sum((0.02 + one.read_bytes / 1e8 + one.seconds) * one.n_fits for one in FAMILIES.values())
    assert done.seconds == pytest.approx(total, rel=1e-9) and done.limit == "workers"
    assert done.utilisation == pytest.approx(sum(f.seconds * f.n_fits for f in FAMILIES.values()) / total)


@pytest.mark.parametrize("n_workers", [1, 2, 7, 30, 95, 1000])
@pytest.mark.parametrize("bandwidth", [1e6, 1e8, 1e12])
def test_no_schedule_beats_its_lower_bounds_nor_is_graham_worse_than_their_sum(n_workers, bandwidth):
    costs = with_(bandwidth_bytes_s=bandwidth)
    bounds, done = lower_bounds(costs, n_workers), simulate(costs, n_workers)
    assert done.seconds >= max(bounds.values()) * (1 - 1e-9)
    # Graham 1969: no worker idles while fits wait, except for the scheduler and for reading.
    assert done.seconds <= sum(bounds.values()) * (1 + 1e-9)
    assert 0 < done.utilisation <= 1


def test_fits_that_divide_evenly_take_their_number_a_worker():
    costs = with_(families=one_family(), overhead_s=0.0)
    assert simulate(costs, 4).seconds == pytest.approx(300.0) and simulate(costs, 4).utilisation == 1.0
    assert simulate(costs, 5).seconds == pytest.approx(300.0)
    assert simulate(costs, 12).seconds == pytest.approx(100.0)


def test_workers_beyond_the_fits_wait_for_the_longest():
    done = simulate(with_(overhead_s=0.0, bandwidth_bytes_s=1e15), 1000)
    assert done.seconds == pytest.approx(2000.0) and done.limit == "longest fit"


def test_readers_share_the_bandwidth():
    costs = with_(families=one_family(seconds=1.0, read_bytes=1e8), overhead_s=0.0)
    done = simulate(costs, 12)
    # Twelve of 1 s each at a twelfth of the bandwidth, all done at 12 s.
    assert done.seconds == pytest.approx(13.0) and done.limit == "reading"
    # Two of unequal size: the small one at half speed until 2 s, the large one's rest alone until 4 s.
    mixed = {
        "small": Family(0.0, 1e8, 1.0, 1),
        "large": Family(0.5, 3e8, 1.0, 1),
    }
    assert simulate(with_(families=mixed, overhead_s=0.0), 2).seconds == pytest.approx(4.5)


def test_a_slow_scheduler_hands_out_one_fit_after_another():
    costs = with_(families=one_family(seconds=3.0, n_fits=100), overhead_s=1.0)
    done = simulate(costs, 1000)
    assert done.seconds == pytest.approx(103.0) and done.limit == "scheduler"


def test_a_fit_that_no_worker_can_hold_is_refused():
    with pytest.raises(
        InputError, match=r"memory of own: expected at most 1\.8 GiB, a worker's memory, found 2"
    ):
        simulate(with_(worker_memory_gib=1.8), 3)


def test_measured_costs_are_read_and_what_is_missing_refused(tmp_path):
    path = tmp_path / "costs.json"
    content = dataclasses.asdict(COSTS)
    path.write_text(json.dumps(content))
    assert read_costs(path) == COSTS
    for broken in (
        "{",
        json.dumps({name: value for name, value in content.items() if name != "overhead_s"}),
        json.dumps(content | {"bandwidth_bytes_s": 0}),
        json.dumps(content | {"families": {"fit": {"seconds": 1.0}}}),
    ):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"costs\.json: "):
            read_costs(path)


def test_the_longest_fits_begin_first():
    families = {"short": Family(1.0, 0.0, 1.0, 10), "long": Family(10.0, 0.0, 1.0, 1)}
    assert simulate(with_(families=families, overhead_s=0.0), 2).seconds == pytest.approx(10.0)
