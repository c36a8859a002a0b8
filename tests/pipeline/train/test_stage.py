"""The stage: a run's name, its outputs, and from where it can be called."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from support.projects import ROOT, command_environment, edit_yaml
from support.training import COMMAND, begin, end

from pipeline.evaluate.params import Params as EvaluateParams
from pipeline.evaluate.stage import evaluate
from pipeline.train.stage import run_id, train
from pipeline.windows.dataset import TensorCache
from trackstack.training.checkpoint import Checkpoints


def test_a_run_is_named_by_data_parameters_and_code(cache, choose, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = choose()
    name = run_id(cache, config)
    assert name == run_id(cache, config)
    assert name[0] == "r"
    assert len(name) == 13
    assert run_id(cache, choose(lr=0.5)) != name
    assert run_id(cache, choose(loss="focal")) != name
    assert run_id(cache, replace(config, model=config.model.model_copy(update={"dropout": 0.9}))) != name
    other = TensorCache(**vars(cache) | {"metadata": cache.metadata | {"digest": "other"}})
    assert run_id(other, config) != name


def test_the_run_stands_in_model_json_and_follows_the_code(project, run):
    before = json.loads((project / "results/model/model.json").read_text())["run"]
    with (project / "src/pipeline/train/augment.py").open("a") as file:
        file.write("# edited\n")
    run(project, "dvc repro train")
    assert json.loads((project / "results/model/model.json").read_text())["run"] != before


def test_dvclive_holds_every_epoch(tiny_project):
    lines = (tiny_project / "results/live/plots/metrics/val_accuracy.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "0", "1"]
    assert all(math.isfinite(float(line.split("\t")[1])) for line in lines[1:])


def test_without_validation_people_the_pipeline_has_no_such_figures_and_works(project, run):
    printed = run(project, "dvc exp run -S tensor_cache.validation=false").stdout
    assert " train, " in printed
    assert " val" not in printed.split(" windows")[0]
    figures = json.loads((project / "results/live/metrics.json").read_text())
    assert "train_loss" in figures
    assert not [name for name in figures if name.startswith("val_")]
    description = json.loads((project / "results/model/model.json").read_text())
    assert description["kept"].keys() == {"epoch", "train_loss", "lr"}
    assert "validation" not in (project / "results/evaluation/report.html").read_text().split("Confusion matrix")[0]
    run(project, "dvc plots show -o plots")
    page = (project / "plots/index.html").read_text()
    for drawn in ("train_loss", "Confusion matrix", "Calibration"):
        assert drawn in page
    run(project, "dvc plots diff -o plots HEAD")


def test_a_checkpoint_of_another_run_is_refused(project):
    run = json.loads((project / "results/model/model.json").read_text())["run"]
    folder = project / "runs" / run / "checkpoints"
    Checkpoints(folder, "r0").save(1, {})
    error = end(begin(project), 1).splitlines()[-1]
    assert (
        error
        == f"{folder}/step-000000001.safetensors: a checkpoint of run r0, not of {run}; remove it and start again"
    )


def test_too_little_memory_is_one_line_and_the_run_can_go_on(project):
    edit_yaml(project / "params.yaml", {"train": {"model": "mlp"}, "models": {"mlp": {"hidden": 60000}}})
    output = end(begin(project, f"ulimit -v {8 * 2**20}; {COMMAND}"), 1).splitlines()
    assert "cpu is out of memory at train.batch_size 8" in output[-1]
    edit_yaml(project / "params.yaml", {"models": {"mlp": {"hidden": 16}}})
    end(begin(project), 0)


HELPER = """
from torch import nn


class Average(nn.Module):
    def forward(self, windows_BLC):
        return windows_BLC.mean(1)
"""
MODEL_WITH_HELPER = """
from torch import nn

from pipeline.models.averaging import Average
from trackstack.core.params import Section


class Params(Section):
    pass


class Model(nn.Module):
    def __init__(self, params, shape):
        super().__init__()
        self.layers = nn.Sequential(Average(), nn.Linear(shape.channels, shape.classes))

    def forward(self, windows_BLC):
        return self.layers(windows_BLC)
"""


def test_a_model_that_imports_a_file_beside_it_needs_that_file_in_dvc_yaml(project, run):
    (project / "src/pipeline/models/averaging.py").write_text(HELPER)
    (project / "src/pipeline/models/linear.py").write_text(MODEL_WITH_HELPER)
    edit_yaml(project / "params.yaml", {"train": {"model": "linear"}, "models": {"linear": {}}})
    done = run(project, "dvc repro", expect=255)
    helper = "src/pipeline/models/averaging.py"
    expected = (
        f"{helper}: stage train imports it, but dvc.yaml does not list it, so that an edit of it would run nothing; "
        f"add {helper} to the deps of train"
    )
    assert expected in done.stderr.splitlines()
    assert "run r" not in done.stdout, "it is refused before it trains"
    stages = run(project, "git show HEAD:dvc.yaml").stdout.split("\n  evaluate:\n")
    for number, stage in enumerate(stages):
        stages[number] = stage.replace(
            "      - src/pipeline/modeling\n", f"      - src/pipeline/modeling\n      - {helper}\n"
        )
    (project / "dvc.yaml").write_text("\n  evaluate:\n".join(stages))
    assert "epoch   1 " in run(project, "dvc repro").stdout
    assert "Running stage" not in run(project, "dvc repro --dry").stdout
    with (project / helper).open("a") as file:
        file.write("# edited\n")
    assert "Running stage 'train'" in run(project, "dvc repro --dry").stdout


def test_a_layer_without_a_deterministic_kernel_is_named_and_trains_when_that_is_allowed(project, run):
    model = MODEL_WITH_HELPER.replace("from pipeline.models.averaging import Average\n", "import torch\n")
    model = model.replace("Average(), nn.Linear(", "nn.Flatten(), nn.Linear(shape.window * ")
    returned = "return self.layers(windows_BLC)"
    body = (
        "logits_BK = self.layers(windows_BLC)\n"
        "        index = torch.arange(logits_BK.numel())\n"
        "        return torch.zeros(logits_BK.numel()).put_(index, logits_BK.flatten()).view_as(logits_BK)"
    )
    (project / "src/pipeline/models/put.py").write_text(model.replace(returned, body))
    edit_yaml(project / "params.yaml", {"train": {"model": "put"}, "models": {"put": {}}})
    error = end(begin(project), 1).splitlines()[1:]
    assert error == [
        "params.yaml: put_, which the model or the loss uses, has no kernel whose results repeat to the bit; use "
        "another layer, or set train.deterministic: false"
    ]
    edit_yaml(project / "params.yaml", {"train": {"deterministic": False}})
    lines = end(begin(project), 0).splitlines()
    assert [line.split()[0] for line in lines] == ["run", "epoch", "epoch"], "and nothing else is said"
    printed = run(project, "dvc repro evaluate").stdout
    assert "test_accuracy" in printed
    table = next((project / "data/raw/tiny").glob("*.csv"))
    assert "predicted" in run(project, ["trackstack", "predict", str(table)]).stdout


def test_train_is_a_function_for_any_script_and_evaluate_agrees_with_its_figures(
    tiny_project, choose, tmp_path, monkeypatch, settings_of_torch
):
    """In bf16, outside of the project and of git; evaluated on the validation split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    for name in ("TRACKSTACK_HOME", "TRACKSTACK_NPROC", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    model, live, cache = tmp_path / "model", tmp_path / "live", tiny_project / "data/cache"
    train(cache, model, live, choose(precision="bf16", epochs=3))
    assert len((live / "plots/metrics/val_loss.tsv").read_text().splitlines()) == 4
    assert not (tmp_path / ".dvc").exists(), "what belongs to a stage is left alone"
    profile, params = tiny_project / "data/processed/profile.json", EvaluateParams(calibration_bins=10, threads=1)
    evaluate(cache, model, live, profile, tmp_path / "out", params, split="val")
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    kept = json.loads((model / "model.json").read_text())["kept"]
    assert found["val_accuracy"] == kept["val_accuracy"]
    assert found["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)


CELL = """
import sys
sys.path.insert(0, "../src")
{pin}
from pathlib import Path
from pipeline.train.config import TrainingConfig
from pipeline.train.stage import train
from trackstack.core.params import Parameters

config = TrainingConfig.choose(Parameters.load(Path("../params.yaml")))
train(Path("../data/cache"), Path("model"), Path("live"), config)
print("what comes after is executed once")
"""
PIN = "from trackstack.training.determinism import pin_environment; pin_environment()"


def run_cell(project, how, processes, pin):
    """Execute code that calls `train`, in a folder `notebooks`: as a notebook does, without a file, or as a script."""
    folder = project / "notebooks"
    folder.mkdir()
    code = CELL.format(pin=PIN if pin else "")
    command = [sys.executable, "-c", code]
    if how == "script":
        (folder / "my own train.py").write_text(code)
        command = [sys.executable, "my own train.py"]
    environment = command_environment() | {"TRACKSTACK_NPROC": str(processes), "TRACKSTACK_HOME": str(project)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("what comes after is executed once") == 1
    assert done.stdout.count("epoch ") == 2
    return done.stderr


def test_a_notebook_trains_the_run_of_the_stage_to_its_bytes(project):
    assert run_cell(project, "notebook", processes=1, pin=True) == ""
    for name in ("model.safetensors", "model.json"):
        assert (project / "notebooks/model" / name).read_bytes() == (project / "results/model" / name).read_bytes()


@pytest.mark.parametrize("how", ["notebook", "script"])
def test_a_notebook_and_any_script_can_train_in_two_processes(project, how):
    assert run_cell(project, how, processes=2, pin=False) == ""
    found, expected = (
        json.loads((project / folder / "model.json").read_text()) for folder in ("notebooks/model", "results/model")
    )
    assert found["run"] == expected["run"]
    assert found["kept"] == pytest.approx(expected["kept"], abs=1e-4)


def test_a_notebook_that_did_not_pin_the_instruction_set_is_warned(project):
    (warning,) = run_cell(project, "notebook", processes=1, pin=False).splitlines()
    assert warning.startswith("warning: torch may use other instruction sets than the stage does")
