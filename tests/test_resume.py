"""A training that is stopped or killed goes on where it was, and ends with the bytes of one that was left alone."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from conftest import ROOT, command_environment, edit_yaml, run_in

COMMAND = "exec env PYTHONPATH=src python -P stages/train.py data/cache results/model results/live"


def begin(project, command=COMMAND, **more):
    return subprocess.Popen(
        command,
        shell=True,
        cwd=project,
        env=command_environment() | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(process, epoch):
    """Read what it prints until that epoch's line."""
    for line in process.stdout:
        if line.startswith(f"epoch {epoch:3d} "):
            return
    pytest.fail(f"it ended before epoch {epoch}: {process.stderr.read()}")


def end(process, expect):
    output, error = process.communicate(timeout=120)
    assert process.returncode == expect, output + error
    return output + error


def outputs(project):
    """The bytes of everything that training wrote."""
    folders = (project / "results/model", project / "results/live")
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(project)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def undisturbed(tiny_project, tmp_path_factory):
    """A project whose training takes some seconds, trained without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed") / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    edit_yaml(folder / "params.yaml", {"train": {"epochs": 60, "keep": "best"}})
    run_in(folder, "dvc repro && git add -A && git commit -qm 'Longer'")
    return folder


@pytest.fixture
def long_project(undisturbed, tmp_path):
    """A copy of it that DVC takes for one that was never trained: no outputs, no record, no run cache."""
    folder = tmp_path / "a project"
    shutil.copytree(undisturbed, folder, symlinks=True, ignore=shutil.ignore_patterns("runs", "project.db"))
    for output in ("model", "live"):
        shutil.rmtree(folder / "results" / output)
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)
    lock = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").write_text(lock[: lock.index("\n  train:") + 1])  # train and evaluate are its last
    return folder


def interrupt_by_stop_file(process, project):
    wait_for_epoch(process, 1)
    (project / "stop").touch()


def interrupt_by_signal(process, project):
    wait_for_epoch(process, 2)
    process.send_signal(signal.SIGTERM)


def interrupt_by_deadline(process, project):
    """It came with the environment, and is near from the start."""


@pytest.mark.parametrize("interrupt", [interrupt_by_stop_file, interrupt_by_signal, interrupt_by_deadline])
def test_a_stopped_training_goes_on_to_the_same_bytes(long_project, undisturbed, interrupt):
    more = {"TRACKSTACK_SINKS": "sqlite", "TRACKSTACK_STATUS_FILE": str(long_project / "status.json")}
    stops = {"TRACKSTACK_STOP_FILE": str(long_project / "stop")}
    if interrupt is interrupt_by_deadline:
        stops = {"TRACKSTACK_DEADLINE": str(time.time())}
    process = begin(long_project, **more, **stops)
    interrupt(process, long_project)
    assert "interrupted: " in end(process, 75)
    status = json.loads((long_project / "status.json").read_text())
    assert status["status"] == "interrupted"
    assert not (long_project / "results/model").exists()

    output = end(begin(long_project, **more), 0)
    step = int(re.search(r"^going on from step (\d+),", output, re.MULTILINE)[1])
    assert (step > 0) == (interrupt is not interrupt_by_deadline)
    assert outputs(long_project) == outputs(undisturbed)
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
    assert outputs(long_project) == outputs(undisturbed)
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
    assert outputs(long_project) == outputs(undisturbed)


def test_a_trainer_whose_dvc_was_killed_ends_and_writes_nothing(long_project, undisturbed):
    process = begin(long_project, "exec dvc repro")
    wait_for_epoch(process, 3)
    process.kill()
    process.wait()
    edit_yaml(long_project / "params.yaml", {"train": {"epochs": 2}})  # another run, whose outputs are at stake
    run_in(long_project, "dvc repro")
    process.communicate(timeout=60)  # the orphan held its end of the pipe until it ended
    assert len((long_project / "results/live/plots/metrics/val_loss.tsv").read_text().splitlines()) == 3
    run_in(long_project, "git checkout -q params.yaml && dvc repro")
    assert outputs(long_project) == outputs(undisturbed)


def test_a_checkpoint_of_other_parameters_is_refused(long_project):
    process = begin(long_project, TRACKSTACK_CHECKPOINT_SECONDS="0")
    wait_for_epoch(process, 3)
    process.send_signal(signal.SIGTERM)
    end(process, 75)
    (folder,) = (long_project / "runs").iterdir()
    edit_yaml(long_project / "params.yaml", {"train": {"lr": 0.5}})
    process = begin(long_project, TRACKSTACK_CHECKPOINT_SECONDS="0")
    wait_for_epoch(process, 3)
    process.send_signal(signal.SIGTERM)
    end(process, 75)
    (other,) = set((long_project / "runs").iterdir()) - {folder}
    shutil.rmtree(other / "checkpoints")
    shutil.copytree(folder / "checkpoints", other / "checkpoints")
    error = end(begin(long_project), 1).splitlines()[-1]
    assert f"a checkpoint of run {folder.name}, not of {other.name}; remove it and start again" in error
    shutil.rmtree(other / "checkpoints")
    end(begin(long_project), 0)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TRACKSTACK_DEADLINE", "tomorrow", "TRACKSTACK_DEADLINE is 'tomorrow'; expected seconds since 1970"),
        ("TRACKSTACK_CHECKPOINT_SECONDS", "often", "TRACKSTACK_CHECKPOINT_SECONDS is 'often'; expected a number"),
        ("TRACKSTACK_DEVICE", "tpu", "TRACKSTACK_DEVICE is 'tpu'; expected cpu, cuda, cuda:0 ... or mps"),
        ("TRACKSTACK_NPROC", "two", "TRACKSTACK_NPROC is 'two'; expected a number of processes"),
        ("SLURM_JOB_GPUS", "0", "SLURM_JOB_GPUS is 0, but torch"),
    ],
)
def test_a_bad_setting_is_one_line(project, variable, value, expected):
    output = end(begin(project, **{variable: value}), 1)
    assert output.startswith(expected)
    assert len(output.splitlines()) == 1


def test_a_gpu_that_was_asked_for_and_is_not_there_is_one_line(project):
    output = end(begin(project, TRACKSTACK_DEVICE="cuda", CUDA_VISIBLE_DEVICES=""), 1)
    assert "cannot compute on cuda" in output
    assert len(output.splitlines()) == 1


def test_too_little_memory_is_one_line_and_the_run_can_go_on(project):
    edit_yaml(project / "params.yaml", {"train": {"model": "mlp"}, "models": {"mlp": {"hidden": 60000}}})
    output = end(begin(project, f"ulimit -v {8 * 2**20}; {COMMAND}"), 1).splitlines()
    assert "cpu is out of memory at train.batch_size 8" in output[-1]
    edit_yaml(project / "params.yaml", {"models": {"mlp": {"hidden": 16}}})
    end(begin(project), 0)


def test_the_docs_own_loop_goes_on_to_the_same_weights(tmp_path):
    command = [sys.executable, "-P", str(ROOT / "docs/own_loop.py")]
    more = {"PYTHONPATH": str(ROOT / "src"), "TRACKSTACK_SINKS": "sqlite"}
    weights = []
    for home in (tmp_path / "one", tmp_path / "two"):
        home.mkdir()
        environment = command_environment() | more
        if home.name == "two":
            stopped = subprocess.Popen(
                command, cwd=home, env=environment | {"TRACKSTACK_STOP_FILE": str(home / "stop")}
            )
            while not any(b"train_loss" in file.read_bytes() for file in home.glob("runs/*/journal-1.jsonl")):
                assert stopped.poll() is None
            (home / "stop").touch()
            assert stopped.wait(60) == 75
            assert list(home.glob("runs/*/checkpoints/step-*"))
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
        weights.append(done.stdout)
        connection = sqlite3.connect(home / "project.db")
        assert connection.execute("SELECT status FROM runs").fetchall() == [("finished",)]
        assert connection.execute("SELECT count(*) FROM points WHERE metric = 'train_loss'").fetchall() == [(20,)]
        connection.close()
    assert weights[0] == weights[1]
    assert len((ROOT / "docs/own_loop.py").read_text().splitlines()) <= 40


def test_ctrl_c_stops_a_training_like_any_request(long_project):
    process = begin(long_project)
    wait_for_epoch(process, 1)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 75
