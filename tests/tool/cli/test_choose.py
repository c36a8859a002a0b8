"""What `trackstack runs best` and `runs table` print, and what they keep to themselves."""

import json

import pytest
from support.choosing import write_run, write_sweep, write_trial
from support.recording import trackstack

from trackstack.system import locks

BEST = ("runs", "best", "--by")
TABLE = ("runs", "table", "--rows", "train.lr", "--columns", "dataset", "--by")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_open_files", {})
    write_sweep(tmp_path)
    return tmp_path


def test_a_ranking_for_people_says_what_it_is_of(home):
    first, header, *rows = trackstack(home, *BEST, "val_loss").splitlines()
    assert first == "val_loss, lower is better, averaged over tensor_cache.fold (2), train.seed (3)"
    assert header.split() == ["train.lr", "mean", "sd", "runs", "run", "ids"]
    assert [row.split()[:5] for row in rows] == [
        ["1", "0.003", "0.249", "0.05541", "6"],
        ["2", "0.001", "0.309", "0.05541", "6"],
    ]


def test_every_run_by_itself_the_other_end_and_some_only(home):
    answer = json.loads(trackstack(home, *BEST, "val_accuracy", "--over", "", "--minimize", "--json"))
    assert [row["runs"] for row in answer["settings"]] == [1] * 12
    assert answer["settings"][0]["params"] == {"tensor_cache.fold": 1, "train.lr": 0.001, "train.seed": 0}
    said = trackstack(home, *BEST, "val_accuracy", "--where", "train.seed < 2 and val_accuracy > 0.65")
    assert "--where: 6 of 12 finished runs\n" in said
    assert "1 of 2 means lack some of the 4 values of tensor_cache.fold, train.seed that others have" in said


def test_test_figures_appear_nowhere_without_being_asked_for(home):
    for command in (
        (*BEST, "val_accuracy"),
        (*BEST, "val_accuracy", "--json"),
        (*BEST, "val_accuracy", "--over", ""),
        (*TABLE, "val_accuracy"),
        (*TABLE, "val_accuracy", "--json"),
        *((*TABLE, "val_accuracy", "--format", name) for name in ("markdown", "latex", "csv")),
    ):
        said = trackstack(home, *command)
        assert "test_" not in said.replace('"test_looks"', "")
        assert "0.7535" not in said  # the mean test accuracy of lr 0.001
    for command in (
        (*BEST, "test_accuracy"),
        (*TABLE, "test_accuracy"),
        (*BEST, "val_accuracy", "--where", "test_accuracy > 0.1"),
    ):
        said = trackstack(home, *command, expect=1)
        assert "test_accuracy: test figures are hidden while you choose; choose by val_accuracy, and when all" in said
        assert len(said.splitlines()) == 1
    assert "nearest: val_accuracy\n" in trackstack(home, *BEST, "test_acuracy", expect=1)
    assert not list(home.glob("runs/*/test-looks*"))


def test_a_look_at_test_figures_is_noted_shown_and_counted(home):
    said = trackstack(home, *BEST, "val_accuracy", "--test", USER="ada", LOGNAME="ada")
    assert "test_accuracy" in said
    assert "0.7535 ± 0.05541" in said
    assert said.endswith("test figures of these runs were looked at 1 time; runs show tells by whom\n")
    trackstack(home, *TABLE, "test_accuracy", "--test", "--where", "train.lr == 0.001")
    said = trackstack(home, *BEST, "val_accuracy")
    assert said.endswith("test figures of these runs were looked at 2 times; runs show tells by whom\n")
    assert "0.7535" not in said
    answer = json.loads(
        trackstack(home, *BEST, "val_accuracy", "--where", "train.lr == 0.003", "--json").partition("\n")[2]
    )
    assert answer["test_looks"] == 1
    shown = trackstack(home, "runs", "show", answer["settings"][0]["run_ids"][0])
    assert "ada: test_accuracy" in shown


def test_to_choose_runs_by_a_test_figure_is_a_look_at_all_of_them(home):
    trackstack(home, *BEST, "val_accuracy", "--where", "metrics.test_accuracy > 0.8", "--test")
    assert len(list(home.glob("runs/*/test-looks-1.json"))) == 12


def test_without_test_figures_there_is_nothing_to_look_at(tmp_path):
    write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.5})
    assert "--test: these runs have no test figure to show\n" in trackstack(tmp_path, *BEST, "val_accuracy", "--test")
    assert not list(tmp_path.glob("runs/*/test-looks*"))


def test_a_name_that_is_a_parameter_and_a_metric_is_asked_about(tmp_path):
    write_run(tmp_path, {"lr": 0.1}, {"val_loss": 1.0, "lr": 0.001})
    said = trackstack(tmp_path, *BEST, "val_loss", "--where", "lr > 0.01", expect=1)
    assert said == "--where: lr is a parameter and a metric; type params.lr or metrics.lr\n"
    assert "1 of 1" in trackstack(tmp_path, *BEST, "val_loss", "--where", "params.lr > 0.01 and metrics.lr < 0.01")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*BEST, "val_acuracy"), "--by val_acuracy: no finished run has it; nearest: val_accuracy"),
        ((*BEST, "val_accuracy", "--over", "train.seed,train.sed"), "--over train.sed: no finished run has it; nearest: train.seed"),
        ((*BEST, "val_accuracy", "--where", "train.model == cnn"), "--where cnn: no finished run has it; trackstack runs show"),
        ((*BEST, "val_accuracy", "--where", "train.lr > 1"), "no finished run with val_accuracy is left; --where: 0 of 12"),
        ((*BEST, "val_accuracy", "--where", "train.model > 1"), "--where: 'cnn' and 1 cannot be compared in this way"),
        ((*TABLE, "val_accuracy", "--format", "html"), "--format html: no such format; expected one of markdown, latex, csv"),
        (("runs", "table", "--rows", "lrr", "--by", "val_loss"), "--rows lrr: no finished run has it"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(home, arguments, expected):
    output = trackstack(home, *arguments, expect=1)
    assert output.startswith(expected)
    assert len(output.splitlines()) == 1


def test_a_home_without_a_finished_run_says_what_there_is(tmp_path):
    assert "no finished run is recorded in" in trackstack(tmp_path, *BEST, "val_loss", expect=1)
    write_run(tmp_path, {}, {"val_loss": 1.0}, status="failed")
    said = trackstack(tmp_path, *TABLE, "val_loss", expect=1)
    assert "runs; left out: 1 not finished (1 failed); trackstack runs list shows what there is\n" in said
