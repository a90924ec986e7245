"""A simulated schedule is never faster than its parts allow, and exact where arithmetic says what it is."""

import dataclasses
import json
import re
import sys
import time

import pytest
import yaml

from benchmarks import costs
from benchmarks.schedule import Costs, Family, lower_bounds, read_costs, simulate
from book import scaling
from book.progress import ROOT
from v1lib.errors import InputError
from v1lib.plan import PLANS, read_plan
from v1lib.session import validate_session
from v1lib.splits import split
from v1lib.variants import TABLES, VARIANTS, fit_config

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
@pytest.mark.parametrize("longest_first", [True, False])
def test_no_schedule_beats_its_lower_bounds_nor_is_graham_worse_than_their_sum(
    n_workers, bandwidth, longest_first
):
    costs = with_(bandwidth_bytes_s=bandwidth)
    bounds, done = lower_bounds(costs, n_workers), simulate(costs, n_workers, longest_first=longest_first)
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


def measured(n_bins=1000):
    """A file's content: every animal and variant of the small plan at the same costs, in round numbers."""
    entries = yaml.safe_load(PLANS["ladder_standard"].read_text())
    session = {"train": 500, "validation": 100, "bins": n_bins, "open_s": 7.0, "read_bytes": 2e6}
    variant = {"epochs": 10, "train_s": 0.01, "predict_s": 0.002, "setup_s": 3.0, "memory_gib": 1.5}
    return {
        "overhead_s": 0.02,
        "bandwidth_bytes_s": 1e8,
        "worker_memory_gib": 4.0,
        "plans": {
            "ladder_standard": {
                "before_s": 20.0,
                "sessions": {name: dict(session) for name in entries["animals"]},
                "variants": {
                    next(iter(entry)) if isinstance(entry, dict) else entry: dict(variant)
                    for entry in entries["variants"]
                },
            }
        },
    }


def test_costs_of_each_fit_of_a_plan_come_from_those_of_its_session_and_its_variant(tmp_path):
    path = tmp_path / "costs.json"
    content = measured()
    content["plans"]["ladder_standard"]["sessions"]["sparse"] |= {"bins": 2000, "read_bytes": 5e6}
    content["plans"]["ladder_standard"]["variants"]["network"] |= {"epochs": 20, "memory_gib": 3.0}
    path.write_text(json.dumps(content))
    costs = read_costs(path, "ladder_standard")
    n = len(read_plan("ladder_standard").variants)  # to three animals, with three seeds
    assert len(costs.families) == 9 * n and all(one.n_fits == 1 for one in costs.families.values())
    assert (costs.n_before, costs.before_s, costs.overhead_s) == (3, 20.0, 0.02)
    # An epoch takes 500 * 0.01 + 100 * 0.002 = 5.2 s; all bins are predicted once more.
    expected = {
        "usual, own, seed 0": (7 + 3 + 52 + 2, 2e6, 1.5),
        "sparse, own, seed 2": (7 + 3 + 52 + 4, 5e6, 1.5),
        "steady, network, seed 1": (7 + 3 + 104 + 2, 2e6, 3.0),
    }
    for name, (seconds, n_bytes, memory) in expected.items():
        one = costs.families[name]
        assert one.seconds == pytest.approx(seconds) and (one.read_bytes, one.memory_gib) == (n_bytes, memory)
    # In the order in which the plan hands them out.
    names = list(costs.families)
    assert names[:2] == ["usual, mean rate, seed 0", "usual, behaviour GLM, seed 0"]
    assert names[n].endswith("mean rate, seed 1") and names[3 * n].startswith("sparse")


def test_costs_that_are_missing_or_cannot_be_are_refused(tmp_path):
    path = tmp_path / "costs.json"
    broken = [measured() for _ in range(6)]
    del broken[0]["overhead_s"]
    broken[1]["bandwidth_bytes_s"] = 0
    del broken[2]["plans"]["ladder_standard"]["variants"]["own"]
    del broken[3]["plans"]["ladder_standard"]["sessions"]["usual"]["train"]
    broken[4]["plans"]["ladder_standard"]["variants"]["own"]["train_s"] = float("nan")
    broken[5]["plans"]["ladder_standard"]["sessions"] = 3
    for content in (*map(json.dumps, broken), "{", "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"costs\.json: "):
            read_costs(path, "ladder_standard")
    with pytest.raises(InputError, match=r"none\.json: costs of ladder_standard"):
        read_costs(tmp_path / "none.json", "ladder_standard")
    with pytest.raises(InputError, match=r"read_costs: plan: expected ablations_quick or .*, found 'tables'"):
        read_costs(path, "tables")


def test_what_is_made_before_delays_all():
    costs = with_(families=one_family(), overhead_s=0.0, n_before=3, before_s=50.0)
    assert simulate(costs, 1).seconds == pytest.approx(3 * 50 + 1200)
    assert simulate(costs, 2).seconds == pytest.approx(2 * 50 + 600)
    assert simulate(costs, 12).seconds == pytest.approx(50 + 100)
    assert lower_bounds(costs, 12)["longest fit"] == pytest.approx(150)
    with pytest.raises(InputError, match="lower_bounds: n_workers: expected a whole number of at least 1"):
        lower_bounds(costs, 0)
    for n_workers in (1, 2, 3, 12, 50):
        assert simulate(costs, n_workers).seconds >= max(lower_bounds(costs, n_workers).values()) * (1 - 1e-9)


def test_the_longest_fits_begin_first():
    families = {"short": Family(1.0, 0.0, 1.0, 10), "long": Family(10.0, 0.0, 1.0, 1)}
    costs = with_(families=families, overhead_s=0.0)
    assert simulate(costs, 2).seconds == pytest.approx(10.0)
    # In their own order two workers do ten short ones in 5 s, and one of them the long one after that.
    assert simulate(costs, 2, longest_first=False).seconds == pytest.approx(15.0)


# How costs are measured.


def test_processor_seconds_of_a_variant_add_up(monkeypatch):
    session = costs.noise(12_000, 3, (16, 20), False)
    assert len(split(session, "paper").train) == 10
    monkeypatch.setattr(costs, "stand_in", lambda plan: session)
    begun = time.process_time()
    found = costs.measure_variant("tables_simulated", "behaviour GLM")
    whole = time.process_time() - begun
    assert found["epochs"] == fit_config(VARIANTS["behaviour GLM"], 0).epochs
    n_batches, n_epochs, n_predicted = costs.TIMED["tables_simulated"]
    # Two chunks of 64 targets a batch; of several epochs each time is the shortest.
    timed = n_epochs * (n_batches * 128 * found["train_s"] + n_predicted * found["predict_s"])
    assert 0 < timed + found["setup_s"] <= whole
    assert min(found["train_s"], found["predict_s"], found["setup_s"]) > 0 and found["memory_gib"] > 0.05
    assert sys.modules["v1lib.fit"].time is time


def test_noise_in_files_is_divided_as_the_archive_is():
    session = costs.noise(1003, 3, (4, 5), True)
    validate_session(session)
    parts = split(session, "paper")
    assert len(parts.train) == len(parts.test) == 10
    assert sum(len(parts.bins(part)) for part in ("train", "validation", "test")) == 1003
    assert len(parts.bins("test")) == pytest.approx(0.3 * 1003, abs=10)  # half a bin a segment, rounded


def test_of_two_measurements_the_best_of_each_stays():
    old = {"overhead_s": 2.0, "one": {"train_s": 1.0, "memory_gib": 3.0}, "bandwidth_bytes_s": 5.0}
    new = {"overhead_s": 1.0, "one": {"train_s": 2.0, "memory_gib": 4.0}, "bandwidth_bytes_s": 4.0, "bins": 7}
    old, new = old | {"train": 90}, new | {"train": 120}
    expected = {"overhead_s": 1.0, "one": {"train_s": 1.0, "memory_gib": 4.0}, "bandwidth_bytes_s": 5.0}
    assert costs.best(old, new) == expected | {"bins": 7, "train": 120} and costs.best({}, new) == new


# What the page on scaling says without a number, of the costs that the repository keeps.


@pytest.fixture(scope="module", params=scaling.PLANS)
def kept(request):
    return scaling.costs_of(request.param)


def test_a_thousand_workers_wait_for_one_fit(kept):
    bounds = lower_bounds(kept, 1000)
    assert simulate(kept, 1000).limit == "longest fit"
    assert simulate(kept, 1000).seconds < 1.1 * bounds["longest fit"]
    assert max(bounds["reading"], bounds["scheduler"], bounds["workers"]) < bounds["longest fit"] / 3
    assert simulate(kept, 1000).seconds == pytest.approx(simulate(kept, len(kept.families)).seconds)


def test_a_worker_of_the_example_holds_every_fit(kept):
    assert max(one.memory_gib for one in kept.families.values()) < kept.worker_memory_gib


def test_kept_costs_are_those_of_the_present_variants():
    raw = scaling.measured()["plans"]
    for plan in scaling.PLANS.values():
        for name, one in raw[plan]["variants"].items():
            assert one["epochs"] == fit_config(VARIANTS[name], 0).epochs, name
    rows = [[row for part in TABLES[name].values() for row in part] for name in ("published", "network")]
    for plan, expected in zip(scaling.PLANS.values(), rows, strict=True):
        assert set(raw[plan]["variants"]) == set(expected)
    assert [scaling._label(a) for a in raw["tables_paper"]["variants"]] == [
        scaling._label(b).replace("S, 1 bin", "S").replace("prod, 1 bin", "prod")
        for b in raw["tables_simulated"]["variants"]
    ]


def test_the_page_gets_all_that_it_asks_for():
    text = (ROOT / "book" / "scaling.md").read_text()
    filled = scaling.filled(text)
    assert "{computed}" not in filled and not scaling.asks(filled)
    assert scaling.values()["table of fits"] in filled
    with pytest.raises(ValueError, match="asks for 'hours', which"):
        scaling.filled("It takes {computed}`hours`.")
    assert not re.search(r"\b(nan|inf)\b", filled)


def test_the_figure_is_the_same_bytes_each_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        scaling.draw(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second and first.startswith(b"<?xml")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0042, "4.2 ms"),
        (1, "1.0 s"),
        (59, "59 s"),
        (120, "2.0 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (3600 * 47, "47 h"),
        (86400 * 50, "50 days"),
        (86400 * 1500, "1,500 days"),
    ],
)
def test_times_as_a_person_says_them(seconds, words):
    assert scaling.in_time(seconds) == words
