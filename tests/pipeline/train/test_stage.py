"""The stage: a run's name, its outputs, and from where it can be called."""

import json
import math
import shutil
import sys
from dataclasses import replace

import pytest
from support.projects import ROOT, command_environment, edit_yaml, run_in
from support.training import COMMAND, begin, end

from pipeline.evaluate.params import Params as EvaluateParams
from pipeline.evaluate.stage import evaluate
from pipeline.tensor_cache.params import Params as CacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.stage import run_id, train
from trackstack import UserError
from trackstack.training.checkpoint import Checkpoints
from trackstack.training.determinism import PINNED_ENVIRONMENT

EVALUATE = EvaluateParams(calibration_bins=10, baselines=False, threads=1)


def test_a_run_is_named_by_data_parameters_and_code(tiny_project, cache, choose, monkeypatch):
    """That it follows the code is seen in test_resume.py, where code is edited."""
    monkeypatch.chdir(ROOT)
    config = choose()
    name = run_id(cache, config)
    assert name == run_id(cache, config)
    assert name == json.loads((tiny_project / "results/model/model.json").read_text())["run"]
    assert name[0] == "r"
    assert len(name) == 13
    assert run_id(cache, choose(lr=0.5)) != name
    assert run_id(cache, choose(loss="focal")) != name
    assert run_id(cache, replace(config, model=config.model.model_copy(update={"dropout": 0.9}))) != name
    other = replace(cache, metadata=cache.metadata | {"digest": "other"})
    assert run_id(other, config) != name


def test_dvclive_holds_every_epoch(tiny_project):
    lines = (tiny_project / "results/live/plots/metrics/val_accuracy.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "0", "1"]
    assert all(math.isfinite(float(line.split("\t")[1])) for line in lines[1:])


def test_without_validation_people_there_are_no_such_figures_and_all_works(
    project, choose, in_a_notebook, monkeypatch, capsys
):
    """The experiment itself is typed in docs/experiments.md."""
    cache, model, live = (in_a_notebook / name for name in ("cache", "model", "live"))
    params = CacheParams(window=20, stride=10, folds=4, fold=0, validation=False)
    build(project / "data/processed", cache, params)
    train(cache, model, live, choose())
    printed = capsys.readouterr().out
    assert " train, " in printed
    assert " val" not in printed.split(" windows")[0]
    figures = json.loads((live / "metrics.json").read_text())
    assert "train_loss" in figures
    assert not [name for name in figures if name.startswith("val_")]
    description = json.loads((model / "model.json").read_text())
    assert description["kept"].keys() == {"epoch", "train_loss", "lr"}

    evaluation = project / "results/evaluation"
    evaluate(cache, model, live, project / "data/processed/profile.json", evaluation, EVALUATE)
    assert "validation" not in (evaluation / "report.html").read_text().split("Confusion matrix")[0]
    shutil.rmtree(project / "results/live")
    shutil.copytree(live, project / "results/live")
    run_in(project, "dvc plots show -o plots")
    page = (project / "plots/index.html").read_text()
    for drawn in ("train_loss", "Confusion matrix", "Calibration"):
        assert drawn in page
    run_in(project, "dvc plots diff -o plots HEAD")


def test_a_checkpoint_of_another_run_is_refused(tiny_project, cache, choose, in_a_notebook):
    run = run_id(cache, choose())
    folder = in_a_notebook / "runs" / run / "checkpoints"
    Checkpoints(folder, "r0").save(1, {})
    with pytest.raises(UserError) as caught:
        train(tiny_project / "data/cache", in_a_notebook / "model", in_a_notebook / "live", choose())
    assert str(caught.value) == (
        f"{folder}/step-000000001.safetensors: a checkpoint of run r0, not of {run}; remove it and start again"
    )


UNREPEATABLE = """
import torch
from torch import nn

from trackstack.core.params import Section


class Params(Section):
    pass


class Model(nn.Module):
    def __init__(self, params, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape.window * shape.channels, shape.outputs))

    def forward(self, windows_BLC):
        logits_BK = self.layers(windows_BLC)
        index = torch.arange(logits_BK.numel())
        return torch.zeros(logits_BK.numel()).put_(index, logits_BK.flatten()).view_as(logits_BK)
"""


def test_what_cannot_be_trained_is_one_line_and_then_what_can_is(project):
    """More than the memory holds, then a layer without a deterministic kernel, and the same where that is allowed."""
    edit_yaml(project / "params.yaml", {"train": {"model": "mlp"}, "models": {"mlp": {"hidden": 60000}}})
    output = end(begin(project, f"ulimit -v {8 * 2**20}; {COMMAND}"), 1).splitlines()
    assert "cpu is out of memory at train.batch_size 8" in output[-1]

    (project / "src/pipeline/models/put.py").write_text(UNREPEATABLE)
    edit_yaml(project / "params.yaml", {"train": {"model": "put"}, "models": {"put": {}}})
    assert end(begin(project), 1).splitlines()[1:] == [
        "params.yaml: put_, which the model or the loss uses, has no kernel whose results repeat to the bit; use "
        "another layer, or set train.deterministic: false"
    ]

    edit_yaml(project / "params.yaml", {"train": {"deterministic": False}})
    lines = end(begin(project), 0).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "epoch", "epoch"], "and nothing else is said"
    folders = "data/cache results/model results/live data/processed/profile.json results/evaluation"
    printed = run_in(project, f"env PYTHONPATH=src python -P stages/evaluate.py {folders}").stdout
    assert "test_accuracy" in printed
    table = next((project / "data/raw/tiny").glob("*.csv"))
    assert "predicted" in run_in(project, ["trackstack", "predict", str(table)]).stdout


def test_train_is_a_function_for_any_script_and_evaluate_agrees_with_its_figures(
    tiny_project, choose, in_a_notebook, monkeypatch, capsys
):
    """In bf16, outside of the project and of git; evaluated on the validation split."""
    for name in PINNED_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    model, live, cache = in_a_notebook / "model", in_a_notebook / "live", tiny_project / "data/cache"
    train(cache, model, live, choose(precision="bf16", epochs=3))
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: torch may use other instruction sets than the stage does")
    assert len((live / "plots/metrics/val_loss.tsv").read_text().splitlines()) == 4
    assert not (in_a_notebook / ".dvc").exists(), "what belongs to a stage is left alone"
    profile = tiny_project / "data/processed/profile.json"
    evaluate(cache, model, live, profile, in_a_notebook / "out", EVALUATE, split="val")
    found = json.loads((in_a_notebook / "out/metrics.json").read_text())
    kept = json.loads((model / "model.json").read_text())["kept"]
    assert found["val_accuracy"] == kept["val_accuracy"]
    assert found["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)


CELL = """
import os, sys
sys.path.insert(0, "../src")
{pin}
from pathlib import Path
from pipeline.train.config import TrainingConfig
from pipeline.train.stage import train
from trackstack.core.params import Parameters

config = TrainingConfig.choose(Parameters.load(Path("../params.yaml")))
for processes in {processes}:
    os.environ["TRACKSTACK_NPROC"] = str(processes)
    train(Path("../data/cache"), Path(f"model {{processes}}"), Path("live"), config)
print("what comes after is executed once")
"""
PIN = "from trackstack.training.determinism import pin_environment; pin_environment()"


def execute(project, code, script=None):
    """Code that calls `train`, in a folder `notebooks`: without a file, as a notebook does, or as a script."""
    folder = project / "notebooks"
    folder.mkdir()
    if script:
        (folder / script).write_text(code)
    command = [sys.executable, script] if script else [sys.executable, "-c", code]
    done = run_in(folder, command, env=command_environment() | {"TRACKSTACK_HOME": str(project)})
    assert done.stderr == ""
    assert done.stdout.count("what comes after is executed once") == 1
    return done.stdout.count("epoch ")


def assert_like_the_stage(project, model):
    found, expected = (
        json.loads((project / folder / "model.json").read_text()) for folder in (model, "results/model")
    )
    assert found["run"] == expected["run"]
    assert found["kept"] == pytest.approx(expected["kept"], abs=1e-4)


def test_a_notebook_trains_the_run_of_the_stage_to_its_bytes_and_in_two_processes_as_well(project):
    assert execute(project, CELL.format(pin=PIN, processes=(1, 2))) == 4
    for name in ("model.safetensors", "model.json"):
        assert (project / "notebooks/model 1" / name).read_bytes() == (project / "results/model" / name).read_bytes()
    assert_like_the_stage(project, "notebooks/model 2")


def test_any_script_can_train_in_two_processes(project):
    """They are pinned where the script is not, so that there is nothing to warn of."""
    assert execute(project, CELL.format(pin="", processes=(2,)), "my own train.py") == 2
    assert_like_the_stage(project, "notebooks/model 2")
