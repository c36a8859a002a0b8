"""A training that is stopped or killed goes on where it was, and ends with the bytes of one that was left alone."""

import json
import os
import re
import shutil
import signal
import sqlite3
import time

import pytest
import torch
from safetensors.torch import load_file
from support.projects import edit_yaml, run_in
from support.training import begin, end, outputs, wait_for_epoch

from pipeline.train.loop import Runtime, Trainer
from pipeline.train.stage import train
from trackstack.system.stopping import Interrupted

EPOCHS = 16
PAUSE = {"PAUSE": "1.5"}
"""In each validation, for what is to arrive before the training ends."""
SLEEPER = """

import os
import time


class Model(Model):
    def forward(self, windows_BLC):
        if not self.training:
            time.sleep(float(os.environ.get("PAUSE", 0)))
        return super().forward(windows_BLC)
"""


@pytest.fixture(scope="module")
def untrained(tiny_project, tmp_path_factory):
    """A project that was never trained so long: no outputs, no record."""
    folder = tmp_path_factory.mktemp("untrained") / "a project"
    ignored = shutil.ignore_patterns("runs", "model", "live", "project.db")
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=ignored)
    edit_yaml(folder / "params.yaml", {"train": {"epochs": EPOCHS, "keep": "best"}})
    with (folder / "src/pipeline/models/cnn.py").open("a") as file:
        file.write(SLEEPER)
    return folder


@pytest.fixture(scope="module")
def undisturbed(untrained, tmp_path_factory):
    """What its training writes without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed") / "a project"
    shutil.copytree(untrained, folder, symlinks=True)
    end(begin(folder), 0)
    return outputs(folder)


@pytest.fixture
def long_project(untrained, tmp_path):
    return shutil.copytree(untrained, tmp_path / "a project", symlinks=True)


def run_of(outputs):
    return json.loads(outputs["results/model/model.json"])["run"]


def test_a_training_that_is_stopped_and_killed_again_and_again_ends_with_the_same_bytes(long_project, undisturbed):
    """By a stop file under DVC, by SIGTERM, by SIGKILL with a damaged checkpoint behind it, and by Ctrl-C."""
    settings = {"TRACKSTACK_SINKS": "sqlite", "TRACKSTACK_STATUS_FILE": str(long_project / "status.json")}
    status, stop = long_project / "status.json", long_project / "stop"

    def begun(*command, **more):
        process = begin(long_project, *command, **settings, **PAUSE, **more)
        wait_for_epoch(process)
        return process

    def interrupted(process, code):
        output = end(process, code)
        assert "interrupted: " in output
        assert json.loads(status.read_text())["status"] == "interrupted"
        assert not (long_project / "results/model").exists()
        return output

    process = begun("exec dvc repro train", TRACKSTACK_STOP_FILE=str(stop))
    stop.touch()
    interrupted(process, 255)  # what dvc makes of 75
    process = begun()
    process.send_signal(signal.SIGTERM)
    interrupted(process, 75)

    process = begun(TRACKSTACK_CHECKPOINT_SECONDS="0")
    process.kill()
    process.communicate(timeout=900)
    kept = sorted(long_project.glob("runs/*/checkpoints/*.safetensors"))
    assert len(kept) in (2, 3)
    for checkpoint in kept[1:]:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    process = begun()
    os.kill(process.pid, signal.SIGINT)
    assert interrupted(process, 75).count("damaged") == len(kept) - 1

    output = end(begin(long_project, **settings), 0)
    assert int(re.search(r"^going on from step (\d+),", output, re.MULTILINE)[1]) > 0
    assert outputs(long_project) == undisturbed
    assert json.loads(status.read_text())["status"] == "finished"
    assert not list(long_project.glob("runs/*/checkpoints"))
    connection = sqlite3.connect(long_project / "project.db")
    assert connection.execute("SELECT status, reproduced FROM runs").fetchall() == [("finished", 0)]
    query = "SELECT count(*), count(DISTINCT epoch) FROM points WHERE metric = 'val_loss'"
    assert connection.execute(query).fetchall() == [(EPOCHS, EPOCHS)]
    connection.close()


def test_a_trainer_whose_dvc_was_killed_ends_and_writes_nothing_and_dvc_repro_goes_on_with_it(
    long_project, undisturbed
):
    process = begin(long_project, "exec dvc repro train", **PAUSE)
    wait_for_epoch(process)
    process.kill()
    process.wait()
    code = long_project / "src/pipeline/train/augment.py"
    before = code.read_text()
    code.write_text(f"{before}# edited\n")  # another run, whose outputs are at stake
    run_in(long_project, "dvc repro train")
    process.communicate(timeout=900)  # the orphan held its end of the pipe until it ended
    assert run_of(outputs(long_project)) != run_of(undisturbed)
    code.write_text(before)
    assert "going on from step" in run_in(long_project, "dvc repro train").stdout
    assert outputs(long_project) == undisturbed
    assert run_in(long_project, "dvc status train").stdout == "Data and pipelines are up to date.\n"


def test_a_deadline_that_is_near_from_the_start_ends_it_before_its_first_step(
    tiny_project, cache, choose, in_a_notebook, monkeypatch, capsys
):
    model, live, config = in_a_notebook / "model", in_a_notebook / "live", choose(keep="best")
    monkeypatch.setenv("TRACKSTACK_DEADLINE", str(time.time()))
    with pytest.raises(Interrupted) as caught:
        train(tiny_project / "data/cache", model, live, config)
    assert caught.value.code == 75
    assert "interrupted: the deadline is near; dvc repro goes on from here" in capsys.readouterr().err
    assert not model.exists()
    monkeypatch.delenv("TRACKSTACK_DEADLINE")
    train(tiny_project / "data/cache", model, live, config)
    assert "going on from step 0, after 0 epochs" in capsys.readouterr().out
    found, undisturbed = load_file(model / "model.safetensors"), Trainer(cache, config, Runtime()).fit()[0]
    assert all(torch.equal(found[name], value) for name, value in undisturbed.state_dict().items())
