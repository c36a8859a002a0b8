"""One process or many: the same samples in the same order, the same figures, and one that dies ends all."""

import json
import os
import shutil
import signal

import numpy as np
import psutil
import pytest
from support.projects import edit_yaml
from support.training import begin, end, outputs, wait_for_epoch

EPOCHS = 30


def shorten(folder):
    """20 training windows in batches of 7, 7 and 6."""
    edit_yaml(folder / "params.yaml", {"train": {"epochs": EPOCHS, "batch_size": 7}})


@pytest.fixture
def odd_project(project):
    shorten(project)
    return project


@pytest.fixture(scope="module")
def alone(tiny_project, tmp_path_factory):
    """The validation losses of one process."""
    folder = tmp_path_factory.mktemp("alone") / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    shorten(folder)
    end(begin(folder), 0)
    return val_losses(folder)


def val_losses(project):
    lines = (project / "results/live/plots/metrics/val_loss.tsv").read_text().splitlines()[1:]
    return [float(line.split("\t")[1]) for line in lines]


WITNESS = """
import json, os
from torch import nn
from trackstack.core.params import Section


class Params(Section):
    pass


class Model(nn.Module):
    def __init__(self, params, shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape.window * shape.channels, shape.classes))

    def forward(self, windows_BLC):
        if self.training:
            with open(f"seen-{os.environ.get('RANK', 0)}.jsonl", "a") as file:
                print(json.dumps(windows_BLC[:, 0].tolist()), file=file)
        return self.layers(windows_BLC)
"""


def seen(project):
    """The first row of each window of each batch that training looked at, the parts of all processes put together."""
    files = [file.read_text().splitlines() for file in sorted(project.glob("seen-*.jsonl"))]
    for file in project.glob("seen-*.jsonl"):
        file.unlink()
    return [[row for part in parts for row in json.loads(part)] for parts in zip(*files, strict=True)]


def test_the_processes_see_the_same_samples_in_the_same_order_as_one(project):
    off = dict.fromkeys(("rotation", "mirror", "gain", "stretch", "shift", "jitter"), 0)
    (project / "src/pipeline/models/witness.py").write_text(WITNESS)
    params = {"train": {"model": "witness", "batch_size": 7, "augment": off}, "models": {"witness": {}}}
    edit_yaml(project / "params.yaml", params)
    end(begin(project), 0)
    alone = seen(project)
    assert [len(batch) for batch in alone] == 2 * [7, 7, 6]
    assert len({tuple(row) for batch in alone[:3] for row in batch}) == 20
    end(begin(project, TRACKSTACK_NPROC="2"), 0)
    together = seen(project)
    assert [len(batch) for batch in together] == [len(batch) for batch in alone]
    for batch, expected in zip(together, alone, strict=True):
        assert np.allclose(batch, expected, atol=1e-6)


def test_four_processes_train_as_one_does(odd_project, alone):
    """The default model: what batch norm, dropout and augmentation do is that of the whole batch."""
    output = end(begin(odd_project, TRACKSTACK_NPROC="4"), 0)
    assert output.count("epoch ") == EPOCHS, "only the first process speaks"
    assert val_losses(odd_project) == pytest.approx(alone, abs=1e-4)
    start = json.loads(next((odd_project / "runs").glob("*/journal-1.jsonl")).read_text().splitlines()[0])
    assert start["environment"]["device"] == "cpu, 4 processes"
    assert start["tags"]["command"] == "stages/train.py data/cache results/model results/live"


def test_two_processes_that_were_stopped_go_on_to_the_same_bytes(odd_project, alone):
    end(begin(odd_project, TRACKSTACK_NPROC="2"), 0)
    undisturbed = outputs(odd_project)
    assert val_losses(odd_project) == pytest.approx(alone, abs=1e-4)
    for folder in ("runs", "results/model", "results/live"):
        shutil.rmtree(odd_project / folder)
    process = begin(odd_project, TRACKSTACK_NPROC="2")
    wait_for_epoch(process, 2)
    process.send_signal(signal.SIGTERM)
    assert "interrupted: " in end(process, 75)
    assert "going on from step" in end(begin(odd_project, TRACKSTACK_NPROC="2"), 0)
    assert outputs(odd_project) == undisturbed


def test_a_process_that_dies_ends_all_with_one_line(odd_project):
    edit_yaml(odd_project / "params.yaml", {"train": {"epochs": 100000}})
    process = begin(odd_project, TRACKSTACK_NPROC="2")
    wait_for_epoch(process, 1)
    ranks = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK")]
    assert sorted(child.environ()["RANK"] for child in ranks) == ["0", "1"]
    (last,) = (child for child in ranks if child.environ()["RANK"] == "1")
    os.kill(last.pid, signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error == "process 1 of the training was killed by SIGKILL; dvc repro goes on from there\n"
    assert not any(child.is_running() for child in ranks)


def test_what_is_wrong_in_all_processes_is_said_once(odd_project):
    edit_yaml(odd_project / "params.yaml", {"train": {"batch_size": 1}})
    output = end(begin(odd_project, TRACKSTACK_NPROC="2"), 1)
    assert output == "params.yaml: train.batch_size is 1; expected at least 2, the number of processes\n"


LATE_HELPER = """
    def forward(self, windows_BLC):
        if not self.training:
            import pipeline.models.late
"""


def test_a_file_that_only_the_processes_import_is_missed_in_dvc_yaml_as_well(odd_project):
    (odd_project / "src/pipeline/models/late.py").write_text("VALUE = 1\n")
    model = WITNESS.replace("    def forward(self, windows_BLC):\n", LATE_HELPER.lstrip("\n"))
    (odd_project / "src/pipeline/models/witness.py").write_text(model)
    params = {"train": {"model": "witness", "epochs": 1}, "models": {"witness": {}}}
    edit_yaml(odd_project / "params.yaml", params)
    last = end(begin(odd_project, TRACKSTACK_NPROC="2"), 1).splitlines()[-1]
    assert last.startswith("src/pipeline/models/late.py: stage train imports it, but dvc.yaml does not list it")
