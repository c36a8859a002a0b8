"""One process or many: the same samples in the same order, the same figures, and one that dies ends all."""

import json
import os
import shutil
import signal

import numpy as np
import psutil
import pytest
import yaml
from support.projects import edit_yaml
from support.training import begin, end, outputs, wait_for_epoch

from pipeline.train.loop import Runtime, Trainer
from pipeline.train.stage import train
from trackstack import UserError

EPOCHS = 8
ODD = {"epochs": EPOCHS, "batch_size": 7}
"""20 training windows in batches of 7, 7 and 6."""
LATE = "src/pipeline/models/late.py"
WITNESS = """

import json
import os
import time


class Model(Model):
    def forward(self, windows_BLC):
        if self.training:
            with open(f"seen-{os.environ['RANK']}.jsonl", "a") as file:
                print(json.dumps(windows_BLC[:, 0].tolist()), file=file)
        else:
            import pipeline.models.late

            time.sleep(float(os.environ.get("PAUSE", 0)))
        return super().forward(windows_BLC)
"""
"""The default model, which writes down what it is trained on; in validation it imports a file that dvc.yaml does not list."""


@pytest.fixture(scope="module")
def together(tiny_project, tmp_path_factory):
    """A project that two processes have trained with the witness, and what they said."""
    folder = tmp_path_factory.mktemp("together") / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    edit_yaml(folder / "params.yaml", {"train": ODD})
    with (folder / "src/pipeline/models/cnn.py").open("a") as file:
        file.write(WITNESS)
    (folder / LATE).write_text("VALUE = 1\n")
    return folder, end(begin(folder, TRACKSTACK_NPROC="2"), 1)


def watched(cache, config):
    """The first row of each window of each batch that one process trains on, and its validation losses."""
    trainer, seen, losses = Trainer(cache, config, Runtime()), [], []
    trainer.model.register_forward_pre_hook(
        lambda model, inputs: seen.append(inputs[0][:, 0].tolist()) if model.training else None
    )
    trainer.fit(lambda epoch, figures: losses.append(figures["val_loss"]))
    return seen, losses


@pytest.fixture(scope="module")
def alone(cache, choose):
    return watched(cache, choose(**ODD))


def test_the_processes_see_the_same_samples_in_the_same_order_as_one(together, alone, cache, choose):
    """Augmented as those of the whole batch."""
    folder, _ = together
    files = [file.read_text().splitlines() for file in sorted(folder.glob("seen-*.jsonl"))]
    assert len(files) == 2
    batches = [[row for part in parts for row in json.loads(part)] for parts in zip(*files, strict=True)]
    assert [len(batch) for batch in batches] == EPOCHS * [7, 7, 6]
    for batch, expected in zip(batches, alone[0], strict=True):
        assert np.allclose(batch, expected, atol=1e-6)
    off = dict.fromkeys(("rotation", "mirror", "gain", "stretch", "shift", "jitter"), 0)
    epoch, _ = watched(cache, choose(batch_size=7, epochs=1, augment=off))
    assert len({tuple(row) for batch in epoch for row in batch}) == 20, "each window once"


def test_the_processes_train_as_one_does(together, alone):
    """The default model: what batch norm, dropout and augmentation do is that of the whole batch."""
    folder, output = together
    assert output.count("epoch ") == EPOCHS, "only the first process speaks"
    lines = (folder / "results/live/plots/metrics/val_loss.tsv").read_text().splitlines()[1:]
    assert [float(line.split("\t")[1]) for line in lines] == pytest.approx(alone[1], abs=1e-4)
    start = json.loads(next((folder / "runs").glob("*/journal-1.jsonl")).read_text().splitlines()[0])
    assert start["environment"]["device"] == "cpu, 2 processes"
    assert start["tags"]["command"] == "stages/train.py data/cache results/model results/live"


def test_a_file_that_only_the_processes_import_is_missed_in_dvc_yaml_as_well(together):
    last = together[1].splitlines()[-1]
    assert last.startswith(f"{LATE}: stage train imports it, but dvc.yaml does not list it")


def test_one_that_dies_ends_all_with_one_line_and_stopped_again_they_go_on_to_the_same_bytes(together, tmp_path):
    undisturbed = outputs(together[0])
    project = tmp_path / "a project"
    shutil.copytree(together[0], project, symlinks=True, ignore=shutil.ignore_patterns("runs", "model", "live"))
    pipeline = yaml.safe_load((project / "dvc.yaml").read_text())
    pipeline["stages"]["train"]["deps"].append(LATE)
    (project / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))

    process = begin(project, TRACKSTACK_NPROC="2", TRACKSTACK_CHECKPOINT_SECONDS="0", PAUSE="2")
    wait_for_epoch(process, 1)
    ranks = [child for child in psutil.Process(process.pid).children() if child.environ().get("RANK")]
    assert sorted(child.environ()["RANK"] for child in ranks) == ["0", "1"]
    (last,) = (child for child in ranks if child.environ()["RANK"] == "1")
    os.kill(last.pid, signal.SIGKILL)
    _, error = process.communicate(timeout=900)
    assert process.returncode == 1
    assert error == "process 1 of the training was killed by SIGKILL; dvc repro goes on from there\n"
    assert not any(child.is_running() for child in ranks)

    process = begin(project, TRACKSTACK_NPROC="2", PAUSE="2")
    wait_for_epoch(process)
    process.send_signal(signal.SIGTERM)
    assert "interrupted: " in end(process, 75)
    assert "going on from step" in end(begin(project, TRACKSTACK_NPROC="2"), 0)
    assert outputs(project) == undisturbed


def test_what_is_wrong_in_all_processes_is_said_once(tiny_project, choose, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKSTACK_NPROC", "2")
    with pytest.raises(UserError) as caught:
        train(tiny_project / "data/cache", tmp_path / "model", tmp_path / "live", choose(batch_size=1))
    assert str(caught.value) == "params.yaml: train.batch_size is 1; expected at least 2, the number of processes"
    assert capfd.readouterr() == ("", "")
