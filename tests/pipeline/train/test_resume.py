"""A training that is stopped or killed goes on where it was, and ends with the bytes of one that was left alone."""

import json
import os
import re
import shutil
import signal
import sqlite3
import time

import pytest
from support.projects import edit_yaml, run_in
from support.training import begin, end, outputs, wait_for_epoch

LONGER = {"train": {"epochs": 60, "keep": "best"}}


@pytest.fixture(scope="module")
def undisturbed(tiny_project, tmp_path_factory):
    """What a training of some seconds writes without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed") / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    edit_yaml(folder / "params.yaml", LONGER)
    shutil.rmtree(folder / "results/live")
    end(begin(folder), 0)
    return outputs(folder)


@pytest.fixture
def long_project(project):
    """A project that was never trained so long: no outputs, no record."""
    edit_yaml(project / "params.yaml", LONGER)
    for output in ("model", "live"):
        shutil.rmtree(project / "results" / output)
    (project / "project.db").unlink(missing_ok=True)
    return project


def test_a_training_that_is_stopped_again_and_again_ends_with_the_same_bytes(long_project, undisturbed):
    """By a deadline that is near from the start, by a stop file, by SIGTERM, and by Ctrl-C."""
    settings = {"TRACKSTACK_SINKS": "sqlite", "TRACKSTACK_STATUS_FILE": str(long_project / "status.json")}

    def stop(request, **more):
        process = begin(long_project, **settings, **more)
        request(process)
        output = end(process, 75)
        assert "interrupted: " in output
        status = json.loads((long_project / "status.json").read_text())
        assert status["status"] == "interrupted"
        assert not (long_project / "results/model").exists()

    def after_an_epoch(request):
        def do(process):
            wait_for_epoch(process)
            request(process)

        return do

    stop(lambda process: None, TRACKSTACK_DEADLINE=str(time.time()))
    file = long_project / "stop"
    stop(after_an_epoch(lambda process: file.touch()), TRACKSTACK_STOP_FILE=str(file))
    stop(after_an_epoch(lambda process: process.send_signal(signal.SIGTERM)))
    stop(after_an_epoch(lambda process: os.kill(process.pid, signal.SIGINT)))
    output = end(begin(long_project, **settings), 0)
    assert int(re.search(r"^going on from step (\d+),", output, re.MULTILINE)[1]) > 0
    assert outputs(long_project) == undisturbed
    assert json.loads((long_project / "status.json").read_text())["status"] == "finished"
    assert not list(long_project.glob("runs/*/checkpoints"))
    connection = sqlite3.connect(long_project / "project.db")
    assert connection.execute("SELECT status, reproduced FROM runs").fetchall() == [("finished", 0)]
    query = "SELECT count(*), count(DISTINCT epoch) FROM points WHERE metric = 'val_loss'"
    assert connection.execute(query).fetchall() == [(60, 60)]
    connection.close()


def test_dvc_repro_goes_on_with_what_was_stopped(long_project, undisturbed):
    process = begin(long_project, "exec dvc repro", TRACKSTACK_STOP_FILE=str(long_project / "stop"))
    wait_for_epoch(process, 3)
    (long_project / "stop").touch()
    end(process, 255)  # what dvc makes of 75
    assert "going on from step" in run_in(long_project, "dvc repro").stdout
    assert outputs(long_project) == undisturbed
    assert run_in(long_project, "dvc status").stdout == "Data and pipelines are up to date.\n"


def test_a_killed_trainer_goes_on_from_its_last_checkpoint(long_project, undisturbed):
    process = begin(long_project, TRACKSTACK_CHECKPOINT_SECONDS="0")
    wait_for_epoch(process, 20)
    process.kill()
    process.communicate()
    kept = sorted(long_project.glob("runs/*/checkpoints/*.safetensors"))
    assert len(kept) in (2, 3)
    for checkpoint in kept[1:]:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    output = end(begin(long_project), 0)
    assert output.count("damaged") == len(kept) - 1
    assert "going on from step" in output
    assert outputs(long_project) == undisturbed


def test_a_trainer_whose_dvc_was_killed_ends_and_writes_nothing(long_project, undisturbed):
    process = begin(long_project, "exec dvc repro train")
    wait_for_epoch(process, 3)
    process.kill()
    process.wait()
    edit_yaml(long_project / "params.yaml", {"train": {"epochs": 2}})  # another run, whose outputs are at stake
    run_in(long_project, "dvc repro train")
    process.communicate(timeout=60)  # the orphan held its end of the pipe until it ended
    assert len((long_project / "results/live/plots/metrics/val_loss.tsv").read_text().splitlines()) == 3
    edit_yaml(long_project / "params.yaml", LONGER)
    run_in(long_project, "dvc repro train")
    assert outputs(long_project) == undisturbed
