"""The verdict on each stage, and the first cause where something differs."""

import pytest

from trackstack.reproduction.verdict import (
    DIFFERS,
    EQUAL,
    FIGURES,
    IDENTICAL,
    NOT_RECORDED,
    Inputs,
    Outcome,
    environment_differences,
    inputs_of,
    judge_stage,
    overall,
    undeclared,
)

ENTRY = {
    "cmd": "python train.py",
    "deps": [
        {"path": "train.py", "md5": "a"},
        {"path": "lib", "md5": "b.dir"},
        {"path": "data/rows.csv", "md5": "c"},
    ],
    "params": {"params.yaml": {"train": {"lr": 0.1, "seed": 0}}},
}


def judged(outcomes, entry=ENTRY, expected=ENTRY, environment=(), edited=None):
    data = {"data"}
    inputs = inputs_of(entry, data, edited)
    verdict = judge_stage("train", outcomes, expected and inputs_of(expected, data), inputs, list(environment))
    return verdict.verdict, verdict.cause, verdict.detail


MODEL = Outcome("model.bin", DIFFERS, "other bytes", has_figures=False)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([Outcome("a", IDENTICAL), Outcome(FIGURES, IDENTICAL)], IDENTICAL),
        ([Outcome("a.csv", EQUAL), Outcome("b", IDENTICAL)], EQUAL),
        ([MODEL], DIFFERS),
        ([MODEL, Outcome("a.json", IDENTICAL)], DIFFERS),
        ([MODEL, Outcome(FIGURES, IDENTICAL)], EQUAL),
        ([MODEL, Outcome(FIGURES, EQUAL)], EQUAL),
        ([MODEL, Outcome(FIGURES, DIFFERS)], DIFFERS),
        ([Outcome("a.csv", DIFFERS), Outcome(FIGURES, IDENTICAL)], DIFFERS),
        ([Outcome("outputs", NOT_RECORDED, has_figures=False)], NOT_RECORDED),
        ([Outcome("outputs", NOT_RECORDED, has_figures=False), Outcome(FIGURES, IDENTICAL)], EQUAL),
        ([], NOT_RECORDED),
    ],
)
def test_bytes_count_first_and_then_the_figures_of_the_record(outcomes, verdict):
    assert judged(outcomes)[0] == verdict


def changed(**parts):
    return ENTRY | parts


@pytest.mark.parametrize(
    ("entry", "cause", "detail"),
    [
        (changed(cmd="python train.py --fast"), "code", "its command was 'python train.py'"),
        (changed(deps=[{"path": "train.py", "md5": "x"}, *ENTRY["deps"][1:]]), "code", "train.py"),
        (changed(deps=[ENTRY["deps"][0], {"path": "lib", "md5": "x.dir"}, ENTRY["deps"][2]]), "code", "lib"),
        (
            changed(params={"params.yaml": {"train": {"lr": 0.2, "seed": 0}}}),
            "parameters",
            "params.yaml:train.lr: 0.1, now 0.2",
        ),
        (changed(deps=[*ENTRY["deps"][:2], {"path": "data/rows.csv", "md5": "x"}]), "data", "data/rows.csv"),
        (ENTRY, "environment", "numpy 2.0, now 2.1"),
    ],
)
def test_the_first_cause_is_code_then_parameters_then_data_then_environment(entry, cause, detail):
    assert judged([Outcome("a", DIFFERS)], entry, environment=["numpy 2.0, now 2.1"]) == (DIFFERS, cause, detail)


def test_where_nothing_else_differs_it_is_chance():
    assert judged([Outcome("a", DIFFERS)])[1] == "chance"
    assert judged([Outcome("a", DIFFERS)], expected=None)[1] == "chance"


def test_an_edited_file_on_which_no_stage_depends_is_a_cause():
    edited = undeclared(
        ["helper.py", "lib/a.py", "dvc.lock", "rows.csv", "settings.py", "train.py"],
        declared=["lib", "train.py"],
        params=["settings.py"],
    )
    assert edited == {"helper.py": True, "rows.csv": False, "settings.py": False}
    differs = [Outcome("a", DIFFERS)]
    assert judged(differs, edited=edited, environment=["numpy 2.0, now 2.1"])[1:] == (
        "code",
        "helper.py, on which no stage depends",
    )
    only_data = {"rows.csv": False}
    assert judged(differs, edited=only_data, environment=["numpy 2.0, now 2.1"])[1] == "environment"
    assert judged(differs, edited=only_data)[1:] == ("data", "rows.csv, on which no stage depends")


def test_of_a_stage_without_an_entry_only_what_was_recorded_is_compared():
    found = inputs_of(ENTRY, {"data"})
    same = Inputs(None, found.params, {}, {"data/rows.csv": "c"}, {})
    differs = [Outcome("a", DIFFERS)]
    assert judge_stage("train", differs, same, found, []).cause == "chance"
    other = same._replace(data={"data/rows.csv": "x"})
    assert judge_stage("train", differs, other, found, []).detail == "data/rows.csv"


def test_a_driver_that_was_not_there_is_a_difference_and_what_was_never_recorded_is_none():
    now = {"variables": {"LANG": "C"}, "driver": "550", "device": "cuda", "packages": {"numpy": "2.1"}}
    assert environment_differences({"user": "a", "device": "unknown", "packages": {}}, now) == []
    assert environment_differences(now | {"driver": None}, now) == ["driver not there, now 550"]


def test_the_environment_is_compared_package_by_package_and_without_the_host():
    before = {"host": "a", "user": "b", "python": "3.11.7", "packages": {"numpy": "2.0", "gone": "1"}, "cores": 4}
    now = {
        "host": "x",
        "user": "y",
        "python": "3.12.1",
        "packages": {"numpy": "2.1", "new": "3"},
        "cores": 4,
        "driver": "5",
    }
    assert environment_differences(before, now) == [
        "python 3.11.7, now 3.12.1",
        "gone 1, now not there",
        "new not there, now 3",
        "numpy 2.0, now 2.1",
    ]


def test_the_worst_stage_is_the_verdict_on_the_run():
    stages = [
        judge_stage(name, [Outcome("a", name)], None, inputs_of({}, ()), []) for name in (IDENTICAL, DIFFERS, EQUAL)
    ]
    assert overall(stages) == DIFFERS
