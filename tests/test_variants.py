"""Variants by name: what each becomes, and that the paper's tables are all there."""

import inspect
import json
from dataclasses import asdict

import pytest
from planted import planted_session

from v1lib.errors import InputError
from v1lib.features import GAZE_VARIABLES, behavior_columns
from v1lib.fit import FIELD_FIT, PAPER_FIT, SHORT_FIT
from v1lib.models.paper import paper_model
from v1lib.splits import split
from v1lib.variants import CONTROLS, TABLES, VARIANTS, Variant, controlled, fit_config, make_model


@pytest.fixture(scope="module")
def session():
    return planted_session(100, 3, (60, 80))[0]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_built(name, session):
    model = make_model(VARIANTS[name], session, seed=1)
    assert model.n_units == 3
    assert fit_config(VARIANTS[name], 1).seed == 1


def test_no_two_variants_are_the_same(session):
    seen = {}
    for name, variant in VARIANTS.items():
        model = make_model(variant, session, seed=0)
        made = [type(model).__name__, model.arguments, asdict(fit_config(variant, 0)), variant.control]
        text = json.dumps(made)
        assert text not in seen, f"{name} is {seen[text]}"
        seen[text] = name


@pytest.mark.parametrize(
    ("name", "columns", "sees", "shifts", "seq_len"),
    [
        ("network", "all_prod", True, True, 4),
        ("network, no vision", "all_prod", False, False, 4),
        ("network, no shifter", "all_prod", True, False, 4),
        ("network, no behaviour", None, True, True, 4),
        ("network, true retinal image", "all_prod", True, False, 4),
        ("network, Sensorium alone", None, True, True, 1),
        ("paper", "all_prod", True, True, 1),
        ("paper, no vision", "all_prod", False, False, 1),
        ("paper, no shifter", "all_prod", True, False, 1),
        ("paper, S", "S", True, True, 1),
        ("paper, 8 bins", "all_prod", True, True, 8),
        ("paper, ResNet-18 alone, no shifter", None, True, False, 1),
        ("own", "orig", True, True, 6),
        ("own, no vision", "orig", False, False, 6),
        ("own, no shifter", "orig", True, False, 6),
    ],
)
def test_what_a_variant_reads(session, name, columns, sees, shifts, seq_len):
    model = make_model(VARIANTS[name], session, seed=0)
    assert model.sees is sees and model.seq_len == seq_len
    assert (model.shifter is not None) is shifts
    wanted = behavior_columns(columns) if columns else ()
    assert model.columns == tuple(dict.fromkeys([*wanted, *(GAZE_VARIABLES if shifts else ())]))


def test_the_paper_s_network_is_the_paper_s(session):
    made, own = make_model(VARIANTS["paper, 8 bins"], session, 2), paper_model(session, seq_len=8, seed=2)
    assert made.arguments == own.arguments
    without = make_model(VARIANTS["paper, no shifter"], session, 2)
    changed = {
        name for name, value in without.arguments.items() if value != paper_model(session).arguments[name]
    }
    assert changed == {"gaze"}
    assert make_model(VARIANTS["paper, CNN alone"], session, 0).arguments["shifter_divisor"] == 4.0


def test_fits_are_those_of_the_base():
    assert fit_config(VARIANTS["network"], 0) == SHORT_FIT
    assert fit_config(VARIANTS["own, no behaviour"], 0) == FIELD_FIT
    assert fit_config(VARIANTS["published"], 0) == PAPER_FIT
    alone = fit_config(VARIANTS["paper, CNN alone"], 0)
    assert (alone.learning_rate, alone.epochs) == (1e-4, 100)


@pytest.mark.parametrize("base", ["network", "paper"])
def test_tables_have_the_paper_s_rows(base, session):
    sizes = {number: len(rows) for number, rows in TABLES[base].items()}
    assert sizes == {1: 10, 2: 3, 3: 8}
    assert all(row in VARIANTS for rows in TABLES[base].values() for row in rows)
    third = [make_model(VARIANTS[row], session, 0) for row in TABLES[base][3]]
    assert [model.seq_len for model in third] == list(range(1, 9))
    second = [make_model(VARIANTS[row], session, 0) for row in TABLES[base][2]]
    assert [len(model.reads) for model in second] == [3, 21, 66]
    assert all(model.seq_len == 1 for model in second)


def test_controls_are_of_the_session(session):
    planted, truth = planted_session(1510, 2, (8, 10))
    splits = split(planted, "paper")
    for control, moved in zip(CONTROLS[:2], ("frames", "behavior"), strict=True):
        given = controlled(Variant("own", control=control), planted, truth, splits, 0)
        assert [name for name in planted.data_vars if not given[name].identical(planted[name])] == [moved]
    assert controlled(VARIANTS["own"], planted, None, splits, 0) is planted
    with pytest.raises(InputError, match="session: truth: expected that of a simulated animal"):
        controlled(VARIANTS["own, true retinal image"], planted, None, splits, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base": "nothing"}, "base: expected joint or network or paper or own, found 'nothing'"),
        ({"base": "own", "control": "dark"}, "control: expected vision shuffled or"),
        ({"base": "own", "fit": (("speed", 1),)}, "fit: expected fields among"),
        ({"base": "own", "fit": (("seed", 1),)}, "fit: expected fields among"),
        ({"base": "own", "model": (("seed", 1),)}, "model: expected no seed"),
    ],
)
def test_a_variant_that_is_none(arguments, said):
    with pytest.raises(InputError, match=said):
        Variant(**arguments)


def test_an_argument_that_the_model_does_not_have(session):
    with pytest.raises(
        InputError, match=r"variant: model: expected arguments that 'paper' takes, found .*depth"
    ):
        make_model(VARIANTS["paper"].changed({"depth": 3}), session, 0)
    assert "depth" not in inspect.signature(paper_model).parameters
