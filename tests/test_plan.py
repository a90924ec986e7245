"""Plans are data: read whole, refused in one sentence before any work, each row with a key of its content."""

import copy
import shutil
from dataclasses import replace

import pytest
import yaml
from archive_mouse import mouse_arrays, save_mouse
from planted import planted_session

from v1lib import animals, fingerprint, simulate, store
from v1lib.errors import InputError
from v1lib.plan import PLANS, Plan, read_plan
from v1lib.published import ANIMALS
from v1lib.session import save_session
from v1lib.simulate import SIMPLE_MIXTURE, STANDARD_MIXTURE
from v1lib.variants import VARIANTS

SIMULATED = {"seed": 0, "minutes": 1.5, "n_units": 4, "frame_shape": [16, 20], "mixture": "simple"}
DEEPER = {"deeper": {"base": "own", "model": {"seq_len": 7}, "fit": {"epochs": 2}}}
PLAN = {
    "name": "small",
    "protocol": "paper",
    "warmup_bins": 6,
    "seeds": [0, 1],
    "animals": {"one": {"simulate": SIMULATED}},
    "variants": ["own", "own, no shifter", DEEPER],
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("V1LIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Nothing here may simulate or fit."""

    def forbidden(*arguments, **keywords):
        raise AssertionError("work was done")

    monkeypatch.setattr(store, "fit", forbidden)
    monkeypatch.setattr(store, "simulate_recording", forbidden)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    session, _ = planted_session(600, 3, (16, 20))
    return save_session(session, tmp_path_factory.mktemp("files") / "mouse.nc")


def changed(**entries):
    return copy.deepcopy(PLAN) | entries


def test_rows_are_every_combination_animal_by_animal(tmp_path, file):
    given = changed(animals={"one": {"simulate": SIMULATED}, "mine": {"open": str(file)}})
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(given, sort_keys=False))
    plan = read_plan(tmp_path / "plan.yml")
    assert plan == read_plan(str(tmp_path / "plan.yml")) == read_plan(given) == read_plan(plan)
    rows = plan.rows()
    assert len(rows) == len(set(rows)) == 2 * 2 * 3
    assert [row.animal_name for row in rows] == ["one"] * 6 + ["mine"] * 6
    assert rows[2].variant == VARIANTS["own"].changed({"seq_len": 7}, {"epochs": 2})
    assert str(rows[4]) == "one, own, no shifter, seed 1"


def test_a_plan_file_finds_what_lies_beside_it(tmp_path, file):
    shutil.copy(file, tmp_path / "beside.nc")
    (tmp_path / "plan.yml").write_text(yaml.safe_dump(changed(animals={"mine": {"open": "beside.nc"}})))
    ((_, animal),) = read_plan(tmp_path / "plan.yml").animals
    assert animal.path == str(tmp_path / "beside.nc")


def test_every_row_has_a_place_of_its_own_that_hangs_on_content_alone(file, tmp_path):
    given = changed(animals={"one": {"simulate": SIMULATED}, "mine": {"open": str(file)}})
    places = [row.place() for row in read_plan(given).rows()]
    assert len(set(places)) == len(places)

    moved = shutil.copy(file, tmp_path / "elsewhere.nc")
    renamed = changed(
        name="other", animals={"first": {"simulate": SIMULATED}, "second": {"open": str(moved)}}
    )
    spelled_out = {"deep": {"base": "own", "model": {"seq_len": 7, "n_fields": 2}, "fit": {"epochs": 2}}}
    renamed["variants"] = [{"mine": {"base": "own"}}, "own, no shifter", spelled_out]
    renamed["animals"]["first"]["simulate"] = SIMULATED | {"minutes": 1.5, "mixture": dict(SIMPLE_MIXTURE)}
    assert [row.place() for row in read_plan(renamed).rows()] == places


@pytest.mark.parametrize(
    "change",
    [
        {"warmup_bins": 7},
        {"protocol": "guarded"},
        {"seeds": [2, 3]},
        {"animals": {"one": {"simulate": SIMULATED | {"seed": 1}}}},
        {"animals": {"one": {"simulate": SIMULATED | {"mixture": "standard"}}}},
        {"variants": [{"a": {"base": "own", "fit": {"epochs": 3}}}]},
        {"variants": [{"a": {"base": "own", "model": {"n_fields": 1}}}]},
        {"variants": [{"a": {"base": "own", "control": "vision shuffled"}}]},
    ],
)
def test_what_a_result_depends_on_is_in_its_key(change):
    places = {row.place() for row in read_plan(PLAN).rows()}
    assert not places & {row.place() for row in read_plan(changed(**change)).rows()}


def test_another_source_torch_or_file_is_another_place(monkeypatch, tmp_path, file):
    own = shutil.copy(file, tmp_path / "own.nc")
    plan = read_plan(changed(animals={"mine": {"open": str(own)}}))
    row = plan.rows()[0]
    before, hash_before = row.place(), plan.sha256()
    save_session(planted_session(600, 3, (16, 20), seed=1)[0], own)
    after = row.place()
    assert after != before and plan.sha256() != hash_before
    monkeypatch.setattr(store, "source_hash", lambda: "another")
    assert row.place() != after
    assert fingerprint.source_hash() != "another"


def test_the_hash_of_a_plan_is_of_its_content():
    assert read_plan(PLAN).sha256() == read_plan(copy.deepcopy(PLAN)).sha256()
    assert read_plan(PLAN).sha256() != read_plan(changed(seeds=[0])).sha256()


def test_defaults_of_a_simulation_are_filled_in():
    bare = {name: SIMULATED[name] for name in ("seed", "minutes", "n_units")}
    ((_, animal),) = read_plan(changed(animals={"one": {"simulate": bare}}, variants=["own"])).animals
    full = bare | {"frame_shape": [60, 80], "mixture": dict(STANDARD_MIXTURE), "clock_drift_ppm": 114}
    assert animal == read_plan(changed(animals={"one": {"simulate": full}}, variants=["own"])).animals[0][1]
    assert animals.outline(animal).session.sizes["x"] == 80
    assert (
        simulate.check_arguments(**{**dict(animal.simulated), "mixture": STANDARD_MIXTURE, "motion": None})
        is None
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": 1}, r"plan: entries: expected exactly name, protocol.* found .*'schedule'"),
        ({"name": 3}, "plan: name: expected a name, found 3"),
        ({"protocol": "fair"}, "plan: protocol: expected guarded or paper or trials, found 'fair'"),
        ({"warmup_bins": "8"}, "plan: warmup_bins: expected a whole number"),
        ({"warmup_bins": 5}, "plan: warmup_bins: expected at least 6, the bins before .*'deeper'.* found 5"),
        ({"seeds": 3}, "plan: seeds: expected a list of whole numbers, found 3"),
        ({"seeds": [0, True]}, "plan: seeds: expected a whole number"),
        ({"seeds": [0, 0]}, r"plan: seeds: expected each once, found \[0, 0\]"),
        ({"animals": []}, "plan: animals: expected a mapping"),
        ({"animals": {1: {"simulate": SIMULATED}}}, "plan: animals: expected names, found 1"),
        ({"animals": {"one": {}}}, "plan: animal 'one': expected either simulate"),
        (
            {"animals": {"one": {"simulate": SIMULATED, "open": "x"}}},
            "animal 'one': expected either simulate",
        ),
        (
            {"animals": {"one": {"simulate": SIMULATED, "units": 4}}},
            "'one': expected simulate with a mapping",
        ),
        ({"animals": {"one": {"simulate": {"seed": 0}}}}, "'one': expected a value for minutes, n_units"),
        (
            {"animals": {"one": {"simulate": SIMULATED | {"eyes": 3}}}},
            "'one': expected arguments among .*'eyes'",
        ),
        (
            {"animals": {"one": {"simulate": SIMULATED | {"minutes": 0.1}}}},
            "'one': minutes: expected a number",
        ),
        ({"animals": {"one": {"simulate": SIMULATED | {"n_units": 0}}}}, "'one': n_units: expected a whole"),
        (
            {"animals": {"one": {"simulate": SIMULATED | {"mixture": "odd"}}}},
            "expected a mixture called standard",
        ),
        (
            {"animals": {"one": {"simulate": SIMULATED | {"mixture": {}}}}},
            "mixture: expected at least one formula",
        ),
        ({"animals": {"one": {"simulate": SIMULATED | {"mixture": {"x": 1}}}}}, "mixture formula 'x'"),
        ({"animals": {"one": {"open": 3}}}, "animal 'one': expected a path to open, found 3"),
        (
            {"animals": {"one": {"open": "no such file"}}},
            "plan: animal 'one': file: .* found nothing at .*no such file",
        ),
        (
            {"animals": {"one": {"simulate": SIMULATED}, "two": {"simulate": dict(SIMULATED)}}},
            "plan: animals: expected each once, found 'two', which is the same as 'one'",
        ),
        ({"variants": "own"}, "plan: variants: expected a list of variants, found 'own'"),
        ({"variants": ["own, no shifters"]}, "such as 'own, no shifter' .* found 'own, no shifters'"),
        ({"variants": [7]}, "plan: variants: expected a name, or a new name"),
        ({"variants": ["own", "own"]}, "plan: variants: expected each name once, found 'own' 2 times"),
        (
            {"variants": ["own", {"mine": {"base": "own", "model": {"seq_len": 6}}}]},
            "plan: variants: expected each once, found 'mine', which is the same as 'own'",
        ),
        ({"variants": [{"own": {"base": "own"}}]}, "variant 'own': expected a name that no variant"),
        ({"variants": [{"new": {"base": "owl"}}]}, "variants: expected a variant .* found 'owl'"),
        ({"variants": [{"new": {"model": {}}}]}, "plan: variant 'new': expected base, and any of"),
        (
            {"variants": [{"new": {"base": "own", "models": {}}}]},
            "plan: variant 'new': expected base, and any",
        ),
        (
            {"variants": [{"new": {"base": "own", "fit": 3}}]},
            "plan: variant 'new': fit: expected a mapping, found 3",
        ),
        (
            {"variants": [{"new": {"base": "own", "fit": {"epoch": 3}}}]},
            "variant 'new': fit: expected fields among",
        ),
        (
            {"variants": [{"new": {"base": "own", "fit": {"epochs": 0}}}]},
            "variant 'new' on animal 'one': epochs",
        ),
        (
            {"variants": [{"new": {"base": "own", "model": {"depth": 3}}}]},
            "on animal 'one': model: .*'depth'",
        ),
        (
            {"variants": [{"new": {"base": "own", "model": {"seed": 3}}}]},
            "variant 'new': model: expected no seed",
        ),
        ({"variants": [{"new": {"base": "own", "control": "dark"}}]}, "variant 'new': control: expected"),
        ({"variants": ["paper"]}, r"'paper' on animal 'one': frames: expected frames of \(60, 80\)"),
        (
            {"variants": [{"new": {"base": "network", "model": {"kernels": [99, 5, 3]}}}]},
            "on animal 'one': kernels: expected kernels and strides that leave something",
        ),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_in_one_sentence(change, said):
    with pytest.raises(InputError, match=said) as caught:
        read_plan(changed(**change))
    assert str(caught.value).startswith("plan: ") and "\n" not in str(caught.value)


def test_files_that_are_no_plan(tmp_path):
    path = tmp_path / "plan.yml"
    with pytest.raises(
        InputError,
        match=r"plan.yml: file: expected a plan in YAML, or one called .*ladder_quick.*, found no file",
    ):
        read_plan(path)
    path.write_text("name: [")
    with pytest.raises(InputError, match="YAML with each key once"):
        read_plan(path)
    path.write_text("- name")
    with pytest.raises(InputError, match=r"entries: expected exactly .* found list"):
        read_plan(path)
    path.write_text(yaml.safe_dump(PLAN) + "seeds: [5]\n")
    with pytest.raises(InputError, match=r"'seeds' twice in line \d+"):
        read_plan(path)


def test_animals_from_files_are_opened_once_and_refused_if_damaged(tmp_path, file, monkeypatch):
    given = changed(animals={"mine": {"open": str(file)}})
    read_plan(given)

    def forbidden(*arguments, **keywords):
        raise AssertionError("opened again")

    with monkeypatch.context() as patched:
        patched.setattr(animals, "open_session", forbidden)
        assert animals.outline(read_plan(given).animals[0][1]).units == ("u00", "u01", "u02")

    for choice in ({"frame_shape": [30, 40]}, {"animal": "J553RT"}):
        with pytest.raises(InputError, match=f"animal 'mine': choice {next(iter(choice))}"):
            read_plan(changed(animals={"mine": {"open": str(file)} | choice}))
    with pytest.raises(
        InputError, match="on animal 'mine': expected a simulated animal, whose truth is known"
    ):
        read_plan(given | {"variants": ["own, true retinal image"]})
    cut = tmp_path / "cut.nc"
    cut.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(InputError, match="plan: animal 'mine': file: expected a complete NetCDF-4 file"):
        read_plan(changed(animals={"mine": {"open": str(cut)}}))


def test_a_plan_is_hashable_and_immutable():
    plan = read_plan(PLAN)
    assert isinstance(plan, Plan) and len({plan, replace(plan), replace(plan, name="other")}) == 2
    with pytest.raises(AttributeError):
        plan.name = "other"


@pytest.mark.parametrize("name", sorted(PLANS))
def test_each_plan_of_the_library_can_be_run_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.setenv("V1LIB_DATA", str(tmp_path))
    if "paper" in name:
        for animal, n_units in zip(ANIMALS, (108, 52, 63), strict=True):
            files = mouse_arrays(n_units=n_units, shape=(60, 80))
            save_mouse(tmp_path / "mouse-data-10-segment-split-70-30-48ms" / animal, files)
    plan = read_plan(name)
    assert len(plan.rows()) == len(plan.animals) * len(plan.variants) * len(plan.seeds) > 0


def test_quick_rows_are_rows_of_standard_and_what_chapters_share_is_fitted_once():
    plans = {name: read_plan(name) for name in PLANS if "paper" not in name}
    keys = {name: {str(row.place()) for row in plan.rows()} for name, plan in plans.items()}
    assert keys["ladder_quick"] <= keys["ladder_standard"]
    assert keys["ablations_quick"] <= keys["ablations_standard"]
    for profile in ("quick", "standard"):
        assert keys[f"ladder_{profile}"] & keys[f"ablations_{profile}"], "the two share no row"


def test_an_environment_variable_in_a_path_is_read_and_must_be_set(file, monkeypatch):
    given = changed(animals={"mine": {"open": f"$THE_FOLDER/{file.name}"}})
    monkeypatch.setenv("THE_FOLDER", str(file.parent))
    assert read_plan(given).animals[0][1].path == str(file)
    for unset in (lambda: monkeypatch.setenv("THE_FOLDER", ""), lambda: monkeypatch.delenv("THE_FOLDER")):
        unset()
        with pytest.raises(InputError, match=r"'mine'.*environment variables are set.*THE_FOLDER"):
            read_plan(given)
    monkeypatch.setenv("THE_FOLDER", "/nowhere")
    with pytest.raises(InputError, match=rf"'mine'.*nothing at /nowhere/{file.name}"):
        read_plan(given)


@pytest.mark.parametrize("plan", [None, 3, True, ["ladder_quick"], "n" * 5000])
def test_what_is_no_plan_at_all_is_refused_in_a_sentence(plan):
    with pytest.raises(InputError, match="expected a"):
        read_plan(plan)


def test_yaml_that_python_cannot_hold_is_refused_in_a_sentence(tmp_path):
    for text in ("name: 2020-13-45", "[" * 3000):
        (tmp_path / "plan.yml").write_text(text)
        with pytest.raises(InputError, match=r"plan\.yml: file: expected YAML"):
            read_plan(tmp_path / "plan.yml")
