"""Which trials a sweep has, how they are named, and which stages they share; nothing is run."""

import json
import re

import pytest
import yaml
from support.projects import ROOT, edit_yaml

from trackstack import UserError
from trackstack.cluster.sweep.trials import _override, _parsed, expand, split_pipeline

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]["model"]
STAGES = {"ingest", "parquet", "tensor_cache", "train", "evaluate"}


@pytest.fixture
def in_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def in_shapes(shapes, monkeypatch):
    """Somebody else's repository, without a params.yaml: see `support.foreign.build_shapes`."""
    monkeypatch.chdir(shapes)


def overrides(*settings, table=None):
    return [trial.overrides for trial in expand(list(settings), table, None)]


def refusal(*settings, table=None):
    with pytest.raises(UserError) as caught:
        expand(list(settings), table, None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_expand_like_dvcs_and_identical_trials_are_one(in_project):
    assert overrides("train.lr=0.1,0.2", "train.seed=range(2)") == [
        ["train.lr=0.1", "train.seed=0"],
        ["train.lr=0.1", "train.seed=1"],
        ["train.lr=0.2", "train.seed=0"],
        ["train.lr=0.2", "train.seed=1"],
    ]
    assert overrides("train.lr=0.1,1e-1,0.10") == [["train.lr=0.1"]]
    assert overrides("models.cnn.widths=[8,8],[16,16]") == [
        ["models.cnn.widths=[8,8]"],
        ["models.cnn.widths=[16,16]"],
    ]


def test_parameters_of_any_file_are_set_as_dvc_sets_them(in_shapes, tmp_path, monkeypatch):
    settings = ["conf/shapes.toml:numbers.scale=1,2", "report/settings.toml:digits=range(2)"]
    assert overrides(*settings) == [
        [f"conf/shapes.toml:numbers.scale={scale}", f"report/settings.toml:digits={digits}"]
        for scale in (1, 2)
        for digits in (0, 1)
    ]
    table = tmp_path / "trials.csv"
    table.write_text("conf/shapes.toml:numbers.scale,conf/shapes.toml:shapes\n3,[circle]\n")
    assert overrides(table=table) == [["conf/shapes.toml:numbers.scale=3", "conf/shapes.toml:shapes=[circle]"]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("lr: 0.1\n")
    (tmp_path / "params.json").write_text(json.dumps({"train": {"lr": 0.1}}))
    assert overrides("params.yaml:lr=1,2", "params.json:train.lr=1") == [
        ["lr=1", "params.json:train.lr=1"],
        ["lr=2", "params.json:train.lr=1"],
    ]


def test_a_table_gives_a_trial_per_row_times_the_settings(in_project, tmp_path):
    table = tmp_path / "trials.csv"
    table.write_text('train.lr,models.cnn.widths\n0.1,"[8,8]"\n\n0.2,"[4,4]"\n')
    assert overrides("train.seed=1,2", table=table) == [
        ["train.lr=0.1", "models.cnn.widths=[8,8]", "train.seed=1"],
        ["train.lr=0.1", "models.cnn.widths=[8,8]", "train.seed=2"],
        ["train.lr=0.2", "models.cnn.widths=[4,4]", "train.seed=1"],
        ["train.lr=0.2", "models.cnn.widths=[4,4]", "train.seed=2"],
    ]


@pytest.mark.parametrize("text", ["C:\\data, new", "it's, so", "\\', and more", "a,b\\\\", "a, \\n", "${x}, \\${x}"])
def test_a_text_of_a_table_arrives_as_it_stands_there(text):
    """Whatever it has that the syntax of settings would take for something else."""
    assert _parsed(_override("conf.json:a.b", text)) == ("conf.json:a.b", text)


def test_names_are_safe_and_stay_the_same(in_project):
    first, second = (expand(["train.seed=1,2"], None, 'it\'s; a "test" $(x)') for _ in range(2))
    assert first == second
    assert all(re.fullmatch(r"it-s-a-test-x-[0-9a-f]{6}", trial.name) for trial in first)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.lr", "-S train.lr: Error parsing override 'train.lr'; expected name=value,value"),
        ("train.lrr=1,2", "-S train.lrr: params.yaml has no such parameter"),
        ("train.lr.x=1,2", "-S train.lr.x: params.yaml has no such parameter"),
        ("train.lr=-1,0.1", "-S train.lr=-1: params.yaml: train.lr is -1; expected greater than 0"),
        ("train.seed=range(0)", "nothing to sweep over"),
        ("+train.new=1", "-S +train.new=1: expected the name of a parameter that params.yaml has"),
        ("other.json:a=1", "-S other.json:a: other.json: no such file"),
        ("../other.json:a=1", "-S ../other.json:a=1: expected a file in this folder, such as conf/train.toml:lr=0.1"),
        ("data/catalog.yaml:nope=1", "-S data/catalog.yaml:nope: data/catalog.yaml has no such parameter"),
        ("train.model='a; touch x'", "-S train.model='a; touch x': "),
    ],
)
def test_settings_that_make_no_sense_are_one_line(in_project, setting, said):
    assert refusal(setting).startswith(said)


def test_parameters_of_other_files_that_make_no_sense_are_one_line(in_shapes, tmp_path, monkeypatch):
    assert refusal() == "nothing to sweep over; give -S section.parameter=value,value or --file trials.csv"
    said = "-S lr: params.yaml: no such file; a parameter of another file: -S params.json:lr=VALUES"
    assert refusal("lr=1,2") == said
    assert refusal("conf/shapes.toml:scal=1") == "-S conf/shapes.toml:scal: conf/shapes.toml has no such parameter"
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "a.toml"):
        (tmp_path / name).write_text("{")
        assert re.match(f"{name}: .*corrupted", refusal(f"{name}:x=1"))


def test_a_table_that_makes_no_sense_is_one_line(in_project, tmp_path):
    table = tmp_path / "trials.csv"
    for text, said in (
        ("train.lr\n", "no trials; expected a header of parameter names"),
        ("train.lr,train.seed\n1\n", "line 2: expected 2 values"),
    ):
        table.write_text(text)
        assert said in refusal(table=table)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("train.lr", {"train", "evaluate"}),
        (f"models.{MODEL}", {"train", "evaluate"}),
        ("tensor_cache.window", {"tensor_cache", "train", "evaluate"}),
        ("evaluate.calibration_bins", {"evaluate"}),
        ("dataset", STAGES),
    ],
)
def test_the_trials_have_the_stages_that_follow_a_parameter(name, changed):
    _, own = split_pipeline([name], ROOT)
    assert set(own) & STAGES == changed
    assert any("gpu" in options for options in own.values()) == ("train" in changed)


@pytest.mark.parametrize(
    ("name", "shared", "own"),
    [
        ("report/settings.toml:digits", ["measure@square", "measure@circle"], ["report/dvc.yaml:summary"]),
        ("conf/shapes.toml:numbers.scale", ["draw"], ["measure@circle", "measure@square", "report/dvc.yaml:summary"]),
        ("conf/shapes.toml:shapes", ["draw"], ["measure@circle", "measure@square", "report/dvc.yaml:summary"]),
        ("conf/shapes.toml:numbers", [], ["draw", "measure@circle", "measure@square", "report/dvc.yaml:summary"]),
    ],
)
def test_stages_follow_parameters_by_section_template_matrix_and_folder(shapes, name, shared, own):
    """In somebody else's repository: `vars`, `matrix`, `wdir` and a second dvc.yaml."""
    ends, changed = split_pipeline([name], shapes)
    assert sorted(ends) == sorted(shared)
    assert sorted(changed) == own


def test_a_whole_parameter_file_as_a_dependency_is_followed(project):
    edit_yaml(project / "dvc.yaml", {"stages": {"evaluate": {"params": [{"conf/all.yaml": None}]}}})
    edit_yaml(project / "dvc.yaml", {"stages": {"parquet": {"deps": ["conf/files"]}}})
    assert list(split_pipeline(["conf/all.yaml:anything"], project)[1]) == ["evaluate"]
    assert next(iter(split_pipeline(["conf/files/a.json:x"], project)[1])) == "parquet"


def test_what_no_stage_follows_is_one_line():
    with pytest.raises(UserError, match=r"no stage of dvc.yaml follows models.mlp: every trial would be the same"):
        split_pipeline(["models.mlp"], ROOT)
