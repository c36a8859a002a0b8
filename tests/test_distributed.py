"""One process or many: the same samples in the same order, the same figures, and one that dies ends all."""

import json
import os
import shutil
import signal

import numpy as np
import psutil
import pytest
from conftest import edit_yaml
from test_resume import begin, end, outputs, wait_for_epoch

from trackstack.distributed import Ranks


@pytest.fixture
def odd_project(project):
    """20 training windows in batches of 7, 7 and 6."""
    edit_yaml(project / "params.yaml", {"train": {"epochs": 4, "batch_size": 7}})
    return project


def val_losses(project):
    lines = (project / "results/live/plots/metrics/val_loss.tsv").read_text().splitlines()[1:]
    return [float(line.split("\t")[1]) for line in lines]


@pytest.mark.parametrize("world", range(1, 6))
def test_the_shares_of_a_batch_are_the_batch_in_its_order(world):
    for total in range(12):
        shares = [list(range(total))[Ranks(rank, world).share(total)] for rank in range(world)]
        assert [row for share in shares for row in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


WITNESS = """
import json, os
from trackstack.models.mlp import Params
from trackstack.models import mlp

class Model(mlp.Model):
    def forward(self, windows_BLC):
        if self.training:
            with open(f"seen-{os.environ.get('RANK', 0)}.jsonl", "a") as file:
                print(json.dumps(windows_BLC[:, 0].tolist()), file=file)
        return super().forward(windows_BLC)
"""


def seen(project):
    """The first row of each window of each batch that training looked at, the parts of all processes put together."""
    files = [file.read_text().splitlines() for file in sorted(project.glob("seen-*.jsonl"))]
    for file in project.glob("seen-*.jsonl"):
        file.unlink()
    return [[row for part in parts for row in json.loads(part)] for parts in zip(*files, strict=True)]


@pytest.mark.parametrize("batch_size", [7, 10])
def test_the_processes_see_the_same_samples_in_the_same_order_as_one(project, batch_size):
    off = dict.fromkeys(("rotation", "mirror", "gain", "stretch", "shift", "jitter"), 0)
    (project / "src/trackstack/models/witness.py").write_text(WITNESS)
    params = {"train": {"model": "witness", "batch_size": batch_size, "augment": off}}
    edit_yaml(project / "params.yaml", params | {"models": {"witness": {"hidden": 8, "dropout": 0}}})
    end(begin(project), 0)
    alone = seen(project)
    assert [len(batch) for batch in alone] == 2 * {7: [7, 7, 6], 10: [10, 10]}[batch_size]
    assert len({tuple(row) for batch in alone[: len(alone) // 2] for row in batch}) == 20
    end(begin(project, TRACKSTACK_NPROC="2"), 0)
    together = seen(project)
    assert [len(batch) for batch in together] == [len(batch) for batch in alone]
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_two_and_four_processes_train_as_one_does(odd_project):
    """The default model: what batch norm, dropout and augmentation do is that of the whole batch."""
    end(begin(odd_project), 0)
    alone = val_losses(odd_project)
    for number in ("2", "4"):
        shutil.rmtree(odd_project / "runs")
        output = end(begin(odd_project, TRACKSTACK_NPROC=number), 0)
        assert output.count("epoch ") == 4, "only the first process speaks"
        assert val_losses(odd_project) == pytest.approx(alone, abs=1e-4)
    record = next((odd_project / "runs").glob("*/journal-1.jsonl")).read_text().splitlines()[0]
    assert json.loads(record)["environment"]["device"] == "cpu, 4 processes"


def test_several_processes_that_were_stopped_go_on_to_the_same_bytes(odd_project):
    edit_yaml(odd_project / "params.yaml", {"train": {"epochs": 30}})
    end(begin(odd_project, TRACKSTACK_NPROC="2"), 0)
    undisturbed = outputs(odd_project)
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


def test_more_processes_than_windows_in_a_batch_is_one_line(odd_project):
    edit_yaml(odd_project / "params.yaml", {"train": {"batch_size": 1}})
    output = end(begin(odd_project, TRACKSTACK_NPROC="2"), 1)
    assert output == "params.yaml: train.batch_size is 1; expected at least 2, the number of processes\n"
