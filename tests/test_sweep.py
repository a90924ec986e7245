"""A sweep makes each row once, whoever dies on the way, and says why a row has no result."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from dask.distributed import Client, LocalCluster
from planted import planted_session

from v1lib import store, variants
from v1lib.animals import opened
from v1lib.bootstrap import block_bins
from v1lib.errors import InputError
from v1lib.metrics import r_from_sums
from v1lib.plan import PLANS, read_plan
from v1lib.score import paper_score, score
from v1lib.session import load_session, save_session
from v1lib.splits import split
from v1lib.sweep import load_results, local_workers, sweep
from v1lib.sweep.__main__ import main

sweeps = sys.modules["v1lib.sweep"]
QUICK = {"quick": {"base": "own", "fit": {"epochs": 1}}}
BLIND = {"blind": {"base": "network, no vision", "model": {"hidden": 4}, "fit": {"epochs": 1}}}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("V1LIB_PROGRESS", "0")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two session files of three units."""
    folder = tmp_path_factory.mktemp("files")
    return [
        str(save_session(planted_session(1600, n, (16, 20), seed=seed)[0], folder / f"{seed}.nc"))
        for seed, n in ((0, 3), (1, 2))
    ]


@pytest.fixture(scope="module")
def cluster():
    """One worker in a thread of this process, so that what it does can be watched and spoiled."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as made:
        yield made


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as made:
        yield made


@pytest.fixture
def plan(files):
    return {
        "name": "tiny",
        "protocol": "paper",
        "warmup_bins": 6,
        "seeds": [0, 1],
        "animals": {"one": {"open": files[0]}},
        "variants": [QUICK, BLIND],
    }


@pytest.fixture
def fits(monkeypatch):
    """Seed and class of the model of each fit that is made."""
    made, fit = [], store.fit

    def counted(model, session, splits, config, **keywords):
        made.append((type(model).__name__, config.seed))
        return fit(model, session, splits, config, **keywords)

    monkeypatch.setattr(store, "fit", counted)
    return made


def without_costs(found):
    return found.drop_vars(["seconds", "peak_gib"])


def test_results_are_those_of_the_same_fits_made_by_hand(plan, client, files, one_thread):
    found = sweep(plan, scheduler=client)
    assert (found["reason"] == "").all() and found.attrs["protocol"] == "paper"
    session = load_session(files[0])
    splits = split(session, "paper", seq_len=6)
    width = float(session.attrs["bin_width_s"])
    for row in read_plan(plan).rows():
        run = store.kept_fit(
            lambda row=row: variants.make_model(row.variant, session, row.seed),
            session,
            splits,
            variants.fit_config(row.variant, row.seed),
        )
        lead = run.model.seq_len - 1
        shorter = replace(splits, test=tuple((a + 6 - lead, b) for a, b in splits.test))
        own = found.sel(variant=row.variant_name, seed=row.seed)
        expected = score(replace(run, splits=shorter), session)
        assert expected.attrs["n_bins"] == sum(b - a - 6 for a, b in splits.test)
        for name in ("r", "r_smooth", "bits_per_spike"):
            # Ranges that begin elsewhere are predicted in other pieces, whose float32 sums differ.
            np.testing.assert_allclose(own[name], expected[name], rtol=1e-5, atol=1e-7)
        figure = paper_score(replace(run, splits=shorter), session)["paper_r"]
        np.testing.assert_allclose(own["paper_r"], figure, rtol=1e-5, atol=1e-7)
        sums = own["block_sums"].values  # (unit, block, moment)
        np.testing.assert_allclose(r_from_sums(sums.sum(axis=1).T), expected["r"], rtol=1e-5, atol=1e-7)
        assert sums[:, :, 0].sum(axis=1) == pytest.approx(expected.attrs["n_bins"])
        assert own["weights"] == sum(p.numel() for p in run.model.parameters())
        assert own["seconds"] == run.provenance["seconds"] and 0.05 < own["peak_gib"] < 16
    assert block_bins(width) > 42  # the bins of each test range that are scored, which so is one block
    assert found["n_blocks"].values.tolist() == [len(splits.test)] == [10]


def test_a_second_run_does_nothing_and_asks_nobody(plan, client, fits):
    first = sweep(plan, scheduler=client)
    assert sorted(fits) == [("EncodingModel", 0), ("EncodingModel", 1), ("FieldModel", 0), ("FieldModel", 1)]
    fits.clear()
    again = sweep(plan, scheduler="tcp://127.0.0.1:9")
    assert fits == [] and again.identical(first) and load_results(plan).identical(first)


def test_an_animal_and_a_variant_are_two_lines_and_their_own_rows(plan, client, fits, files):
    first = sweep(plan, scheduler=client)
    fits.clear()
    plan["animals"]["two"] = {"open": files[1]}
    plan["variants"].append({"longer": {"base": "own", "model": {"seq_len": 7}, "fit": {"epochs": 1}}})
    more = sweep(plan, scheduler=client)
    assert len(fits) == 2 * (2 * 3 - 2)  # seeds, and what of animals x variants is new
    assert (more["reason"] == "").all() and not more["r"].isnull().any()
    assert more["unit_animal"].values.tolist() == ["one"] * 3 + ["two"] * 2
    assert more["unit_label"].values.tolist() == ["u00", "u01", "u02", "u00", "u01"]
    same = more.sel(variant=["quick", "blind"], animal=["one"]).isel(unit=slice(3))
    xr.testing.assert_identical(same.drop_attrs(), first.drop_attrs())


def test_blocks_beyond_those_of_an_animal_are_zero(plan, client, tmp_path):
    # Ten test ranges each: of 42 scored bins, one block; of 324, above one and a half times 208, two.
    longer = save_session(planted_session(11_000, 2, (16, 20))[0], tmp_path / "long.nc")
    alone = plan | {"variants": [BLIND], "seeds": [0]}
    both = alone | {"animals": alone["animals"] | {"long": {"open": str(longer)}}}
    found = sweep(both, scheduler=client)
    assert found["n_blocks"].values.tolist() == [10, 20]
    sums = found["block_sums"].isel(variant=0, seed=0)
    short = (found["unit_animal"] == "one").values
    assert (sums[short, 10:] == 0).all() and (sums.isel(moment=0)[short, :10] > 0).all()
    assert (sums.isel(moment=0)[~short] > 0).all()
    np.testing.assert_array_equal(sums[short, :10], load_results(alone)["block_sums"].isel(variant=0, seed=0))


def test_simulated_animals_are_made_by_the_worker_once_with_their_truth(plan, client, monkeypatch):
    made, simulate = [], store.simulate_recording

    def counted(*arguments, **keywords):
        made.append(keywords["seed"])
        return simulate(*arguments, **keywords)

    monkeypatch.setattr(store, "simulate_recording", counted)
    animal = {"seed": 3, "minutes": 1.5, "n_units": 4, "frame_shape": [16, 20], "mixture": "simple"}
    turned = {"turned": {"base": "own, true retinal image", "fit": {"epochs": 1}}}
    plan |= {"animals": {"one": {"simulate": animal}}, "variants": [QUICK, turned], "seeds": [0]}
    found = sweep(plan, scheduler=client)
    assert made == [3] and (found["reason"] == "").all()
    assert found["oracle_r"].mean() > 0.2 and (found["r"].mean("unit") < found["oracle_r"].mean()).all()
    assert (found["weights"].sel(variant="quick") > found["weights"].sel(variant="turned")).all()


def test_a_row_that_fails_is_listed_and_stops_no_other(plan, client, fits):
    plan["variants"].append({"wild": {"base": "own", "fit": {"epochs": 2, "learning_rate": 1e30}}})
    found = sweep(plan, scheduler=client)
    failed = found.sel(variant="wild")
    assert (failed["reason"].str.match(r"fit: .*: expected a finite number, found (nan|inf)\.")).all()
    for name in ("r", "block_sums", "seconds", "weights"):
        assert failed[name].isnull().all() and not found[name].sel(variant=["quick", "blind"]).isnull().any()
    assert load_results(plan).identical(found)
    fits.clear()
    assert sweep(plan, scheduler=client).identical(found)
    assert sorted(fits) == [("FieldModel", 0), ("FieldModel", 1)]  # what failed alone is tried again


def test_an_animal_that_cannot_be_simulated_fails_with_its_rows_alone(plan, client, monkeypatch):
    def broken(*arguments, **keywords):
        raise MemoryError

    monkeypatch.setattr(store, "simulate_recording", broken)
    animal = {"seed": 3, "minutes": 1.5, "n_units": 4, "frame_shape": [16, 20]}
    plan |= {"animals": plan["animals"] | {"big": {"simulate": animal}}, "variants": [BLIND]}
    reasons = sweep(plan, scheduler=client)["reason"]
    assert (reasons.sel(animal="one") == "").all() and (reasons.sel(animal="big") == "MemoryError").all()


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_result_is_named_and_made_again(plan, client, fits, damage):
    first = sweep(plan, scheduler=client)
    fits.clear()
    row, other = read_plan(plan).rows()[:2]
    content = row.place().read_bytes()[:3000] if damage == "cut" else other.place().read_bytes()
    row.place().write_bytes(content)
    seen = load_results(plan)
    assert row.place().name in seen["reason"].sel(variant="quick", seed=0, animal="one").item()
    assert seen["r"].isnull().sum() == 3
    with pytest.warns(UserWarning, match=f"{row.place().name}.* It is made again"):
        again = sweep(plan, scheduler=client)
    assert without_costs(again).identical(without_costs(first))
    assert fits == []  # the fit itself was still there


def test_a_full_disk_fails_the_rows_that_it_meets_and_the_next_run_ends_the_plan(
    plan, client, monkeypatch, fits
):
    whole = xr.Dataset.to_netcdf

    def full(dataset, *arguments, **keywords):
        if '"seed": 1' in dataset.attrs["row"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(dataset, *arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(xr.Dataset, "to_netcdf", full)
        found = sweep(plan, scheduler=client)
    assert (found["reason"].sel(seed=0) == "").all()
    assert found["reason"].sel(seed=1).str.contains(os.strerror(errno.ENOSPC)).all()
    fits.clear()
    assert (sweep(plan, scheduler=client)["reason"] == "").all()
    assert fits == []
    assert not list((Path(os.environ["V1LIB_CACHE"]) / "failures").iterdir())
    assert not list((Path(os.environ["V1LIB_CACHE"]) / "results").glob(".*"))


def test_a_worker_of_another_version_is_found_out(plan, client, monkeypatch):
    rows = read_plan(plan).rows()
    reason = sweeps._make(rows[0], "/elsewhere/0.nc", os.environ["V1LIB_CACHE"], "")
    assert reason.startswith(
        "worker: row one, quick, seed 0: expected the caller's version of v1lib and torch"
    )


def test_a_scheduler_that_does_not_answer(plan, monkeypatch, root):
    monkeypatch.setattr(sweeps, "TIMEOUT_S", 0.5)
    with pytest.raises(
        InputError, match=r"sweep: scheduler: expected one that answers within 0.5 s, found 'tcp:"
    ):
        sweep(plan, scheduler="tcp://127.0.0.1:9")
    for nonsense in ("nowhere", 8786):
        with pytest.raises(InputError, match=r"sweep: scheduler: expected one that answers"):
            sweep(plan, scheduler=nonsense)
    with pytest.raises(
        InputError, match="sweep: workers: expected none where a scheduler has its own, found 2"
    ):
        sweep(plan, scheduler="tcp://127.0.0.1:9", workers=2)
    with pytest.raises(InputError, match="sweep: workers: expected a whole number"):
        sweep(plan, workers=0)
    assert not (root / "runs").exists() and not (root / "failures").exists()


def test_workers_of_several_threads_are_refused(plan, fits):
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as wide,
        pytest.raises(InputError, match=r"expected workers of one thread each .* found 2 threads at"),
    ):
        sweep(plan, scheduler=wide)
    assert fits == []


class Watched:
    """What a cluster object is asked for."""

    def __init__(self, cluster):
        object.__setattr__(self, "asked", set())
        object.__setattr__(self, "cluster", cluster)

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self.cluster, name)


def test_of_a_cluster_nothing_is_needed_but_a_client(plan, cluster):
    bare, used = Watched(cluster), Watched(cluster)
    with Client(bare, set_as_default=False) as one:
        repr(one.dashboard_link)
    plan |= {"variants": [BLIND], "seeds": [0]}
    assert (sweep(plan, scheduler=used)["reason"] == "").all()
    assert used.asked <= bare.asked and "scheduler_address" in used.asked
    assert cluster.status.name == "running"


def test_memory_of_a_simulated_session_is_known_before_it_is_made():
    animal = {"seed": 3, "minutes": 1.5, "n_units": 4, "frame_shape": [16, 20], "mixture": "simple"}
    made = read_plan(
        {
            "name": "tiny",
            "protocol": "guarded",
            "warmup_bins": 6,
            "seeds": [0],
            "animals": {"one": {"simulate": animal}},
            "variants": [BLIND],
        }
    ).animals[0][1]
    session, _ = opened(made)
    # What is cut off at both ends, where not all streams run, is a second or two of 90.
    assert session["frames"].nbytes == pytest.approx(sweeps._frame_bytes(made), rel=0.05)


def test_workers_are_as_many_as_cores_and_memory_allow(plan, monkeypatch):
    read = read_plan(plan)
    cores = len(os.sched_getaffinity(0))

    class Memory:
        available = 2**40

    monkeypatch.setattr(sweeps.psutil, "virtual_memory", lambda: Memory)
    assert local_workers(read) == (cores, 2**40 // cores)
    assert local_workers(read, 7)[0] == 7
    Memory.available = 3 * 2**30
    assert local_workers(read) == (1, 3 * 2**30)
    Memory.available = 2**20
    assert local_workers(read)[0] == 1


def test_large_sessions_leave_room_for_fewer_workers(plan, monkeypatch):
    class Memory:
        available = 10 * 2**30

    monkeypatch.setattr(sweeps.psutil, "virtual_memory", lambda: Memory)
    monkeypatch.setattr(sweeps.os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert local_workers(read_plan(plan)) == (4, 10 * 2**30 // 4)  # 2 GiB each, and a little
    large = {"seed": 0, "minutes": 60, "n_units": 4, "frame_shape": [60, 80]}
    with_large = plan | {"animals": plan["animals"] | {"large": {"simulate": large}}}
    # 75,000 bins of 4,800 bytes are 0.34 GiB, six times that and 2 GiB are 4.0 GiB.
    assert local_workers(read_plan(with_large)) == (2, 5 * 2**30)


# What follows runs a scheduler and workers as processes of their own.


class Processes:
    """A scheduler and a worker with its nanny, on loopback."""

    def __init__(self, folder, *worker_arguments):
        self.file, self.log = folder / f"scheduler{time.monotonic_ns()}.json", open(folder / "log", "a")
        self.running = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.wait(self.file.exists)
        self.start("worker", "--nthreads", "1", "--no-dashboard", *worker_arguments)
        self.address = yaml.safe_load(self.file.read_text())["address"]

    def start(self, kind, *arguments):
        more = ["--dashboard-address", "127.0.0.1:0"] if kind == "scheduler" else []
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self.file), *arguments, *more],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    @staticmethod
    def wait(ready, seconds=300):
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def stop(self):
        for process in self.running:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # the group that start_new_session made
            except ProcessLookupError:
                pass
            process.wait()
        self.log.close()


@pytest.fixture
def processes(tmp_path):
    started = []

    def start(*arguments):
        started.append(Processes(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def in_background(plan, folder, *arguments):
    """The command line on a plan, in a process group of its own."""
    (folder / "plan.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
    return subprocess.Popen(
        [sys.executable, "-m", "v1lib.sweep", str(folder / "plan.yml"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever starts the tests in the background of a shell has them ignore Ctrl-C, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def slow_plan(plan, epochs=40):
    """Two rows with many epochs each, so that there is time to strike."""
    long = {"long": {"base": "own", "fit": {"epochs": epochs, "patience": epochs}}}
    return plan | {"variants": [long], "seeds": [0, 1]}


def undisturbed(plan, client, root, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("V1LIB_CACHE", str(root) + "-undisturbed")
        return without_costs(sweep(plan, scheduler=client))


@pytest.mark.slow
def test_one_worker_or_two_give_the_same_to_the_bit(plan, client, root, monkeypatch):
    expected = undisturbed(plan, client, root, monkeypatch)
    for workers in (1, 2):
        monkeypatch.setenv("V1LIB_CACHE", f"{root}-{workers}")
        assert without_costs(sweep(plan, workers=workers)).identical(expected)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_fit_costs_nothing(
    plan, client, processes, root, monkeypatch, tmp_path
):
    plan = slow_plan(plan)
    expected = undisturbed(plan, client, root, monkeypatch)
    remote = processes()
    with Client(remote.address, set_as_default=False) as watcher:
        page = urllib.request.urlopen(watcher.dashboard_link, timeout=300).read().decode()
        assert "Bokeh" in page or "bokeh" in page
        going = in_background(plan, tmp_path, "--scheduler", remote.address)
        Processes.wait(lambda: list((root / "unfinished").glob("*.safetensors")))
        (pid,) = watcher.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        out, err = going.communicate(timeout=600)
        (after,) = watcher.run(os.getpid).values()
    assert after != pid and going.returncode == 0, err
    assert re.search(r"^long\s+2\s+0\s+0$", out, re.M), out
    assert without_costs(load_results(plan)).identical(expected)
    assert len(list((root / "results").iterdir())) == 2


@pytest.mark.slow
def test_a_scheduler_that_is_killed_loses_nothing_that_is_finished(
    plan, client, processes, root, monkeypatch, tmp_path, fits
):
    plan = slow_plan(plan)
    expected = undisturbed(plan, client, root, monkeypatch)
    fits.clear()
    first = processes()
    going = in_background(plan, tmp_path, "--scheduler", first.address)
    Processes.wait(lambda: list((root / "results").glob("*.nc")))
    first.scheduler.kill()
    out, err = going.communicate(timeout=600)
    assert going.returncode == 2, out + err
    assert (
        "expected a scheduler that answers to the end (what is finished is kept: run the plan again)" in err
    )
    first.stop()
    finished = [row for row in read_plan(plan).rows() if row.place().exists()]
    stamps = [row.place().stat().st_mtime_ns for row in finished]
    again = sweep(plan, scheduler=client)
    assert [row.place().stat().st_mtime_ns for row in finished] == stamps
    assert len(fits) == 2 - len(finished) and without_costs(again).identical(expected)


@pytest.mark.slow
def test_a_row_that_kills_every_worker_fails_and_the_others_are_made(plan, processes, tmp_path):
    (tmp_path / "poison.py").write_text(
        "import os, signal\n"
        "from v1lib import results\n"
        "def outcome(row, make=results.outcome):\n"
        "    if row.seed == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return make(row)\n"
        "results.outcome = outcome\n"
    )
    remote = processes("--preload", str(tmp_path / "poison.py"))
    found = sweep(plan | {"variants": [BLIND]}, scheduler=remote.address)
    assert found["reason"].sel(seed=0).item() == ""
    said = (
        r"sweep: worker: expected one that lives until the row is made, found 4 that died, the last at tcp://"
    )
    assert re.match(said, found["reason"].sel(seed=1).item())
    assert load_results(plan | {"variants": [BLIND]}).identical(found)


@pytest.mark.slow
def test_ctrl_c_leaves_what_is_finished(plan, client, root, monkeypatch, tmp_path, fits):
    plan = slow_plan(plan)
    expected = undisturbed(plan, client, root, monkeypatch)
    fits.clear()
    going = in_background(plan, tmp_path, "--workers", "1")
    Processes.wait(lambda: list((root / "results").glob("*.nc")))
    os.killpg(going.pid, signal.SIGINT)
    _, err = going.communicate(timeout=600)
    assert going.returncode == 130 and "Stopped. What is finished is kept" in err and "Traceback" not in err
    finished = [row for row in read_plan(plan).rows() if row.place().exists()]
    again = sweep(plan, scheduler=client)
    assert len(fits) == 2 - len(finished) and without_costs(again).identical(expected)


@pytest.mark.slow
def test_a_script_that_every_worker_would_run_again_says_what_it_lacks(plan, root, tmp_path):
    script = tmp_path / "night.py"
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
    script.write_text(f"import v1lib\nv1lib.sweep({str(tmp_path / 'plan.yml')!r}, workers=1)\n")
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 1
    assert (
        "InputError: sweep: workers: expected ones that start (in a script, call"
        in ran.stderr.splitlines()[-1]
    )


def test_the_command_line_prints_what_became_of_the_rows(plan, client, tmp_path, capsys):
    plan["variants"].append({"wild": {"base": "own", "fit": {"learning_rate": 1e30}}})
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
    assert main([str(tmp_path / "plan.yml"), "--show"]) == 0  # nothing has failed yet
    assert re.search(r"^quick\s+0\s+0\s+2$", capsys.readouterr().out, re.M)
    sweep(plan, scheduler=client)
    assert main([str(tmp_path / "plan.yml"), "--show"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^quick\s+2\s+0\s+0$", out, re.M) and re.search(r"^wild\s+0\s+2\s+0$", out, re.M)
    assert re.search(r"^one, wild, seed 1: fit: .* expected a finite number", out, re.M)
    assert main([str(tmp_path / "none.yml")]) == 2
    assert re.search(
        r"none\.yml: file: expected a plan in YAML, or one called .*ladder_quick.*, found no file\.\n$",
        capsys.readouterr().err,
    )


def test_the_command_line_ends_well_where_rows_are_done_and_others_are_not_run_yet(
    plan, client, tmp_path, capsys
):
    sweep(plan | {"seeds": [0]}, scheduler=client)
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
    assert main([str(tmp_path / "plan.yml"), "--show"]) == 0
    assert re.search(r"^quick\s+1\s+0\s+1$", capsys.readouterr().out, re.M)


def test_a_run_that_leaves_rows_undone_does_not_end_well(plan, monkeypatch, tmp_path):
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(plan, sort_keys=False))
    monkeypatch.setattr(sys.modules["v1lib.sweep.__main__"], "sweep", lambda given, **_: load_results(given))
    assert main([str(tmp_path / "plan.yml")]) == 1


def test_the_command_line_takes_the_plans_of_the_library_by_name(capsys, monkeypatch):
    assert main(["--plans"]) == 0
    listed = capsys.readouterr().out
    assert re.findall(r"^(\w+): \w", listed, re.M) == list(PLANS) and "ladder_quick" in PLANS
    assert "on one simulated mouse, one fit" in " ".join(listed.split())
    assert main(["ladder_quick", "--show"]) == 0
    (plan,) = [read_plan(path) for name, path in PLANS.items() if name == "ladder_quick"]
    lines = capsys.readouterr().out.splitlines()
    assert [line[:-24].strip() for line in lines[1:]] == [name for name, _ in plan.variants]
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "a name that --plans lists" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "--plans" in said and all(name in said for name in PLANS)
