"""`trackstack repair` mends what a kill left behind, and touches nothing that is whole or in use."""

import json
import os
import signal
import subprocess

import pytest
from support.foreign import foreign_environment
from support.projects import ROOT, run_in

from trackstack import UserError
from trackstack.cluster.repair import repair


def test_a_dvc_lock_cut_anywhere_is_restored(project, monkeypatch):
    monkeypatch.chdir(project)
    lock = project / "dvc.lock"
    whole = lock.read_bytes()
    assert list(repair()) == [], "nothing is said where nothing is wrong"
    for part in (0, 0.5, 0.999):
        lock.write_bytes(whole[: int(len(whole) * part)])
        (project / ".dvc/tmp/rwlock").write_text('{"write": {')
        assert list(repair()) == [
            "dvc.lock: was cut short by a kill; restored from git",
            ".dvc/tmp/rwlock: was cut short by a kill; removed",
        ]
        assert lock.read_bytes() == whole
    assert run_in(project, "dvc status").stdout == "Data and pipelines are up to date.\n"


def begin_repro(folder, printed):
    """Start `dvc repro`, and wait until it has printed something."""
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=foreign_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert any(printed in line for line in process.stdout)
    return process


def kill(process):
    """End `dvc` alone, in a way that its stage does not see before somebody repairs."""
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    process.wait()


def test_an_orphan_is_ended_with_its_checkpoint_and_a_dvc_at_work_is_left_alone(linear, monkeypatch):
    """In somebody else's repository, whose training stops when it is asked to."""
    monkeypatch.chdir(linear)
    params = json.loads((linear / "params.json").read_text())
    params["train"] |= {"epochs": 100000, "pause": 0.1}
    (linear / "params.json").write_text(json.dumps(params))
    process = begin_repro(linear, "going on from epoch 0")
    with pytest.raises(UserError) as caught:
        list(repair())
    assert str(caught.value) == f"process {process.pid}: dvc is at work here; wait for its end, or stop it"
    kill(process)
    assert all("a stage whose dvc is gone; asked to end" in line for line in repair())
    process.stdout.read()  # returns when the orphan has closed its end
    (journal,) = linear.glob("runs/*/journal-1.jsonl")
    assert json.loads(journal.read_text().splitlines()[-1])["status"] == "interrupted"
    assert list(linear.glob("runs/*/checkpoints/epoch.json"))


def test_a_script_in_a_folder_of_its_own_is_ended_and_every_lock_file_is_mended(shapes, monkeypatch):
    monkeypatch.chdir(shapes)
    (shapes / "scripts/draw.sh").write_text("echo begun\nsleep 300\n")
    process = begin_repro(shapes, "begun")
    kill(process)
    for name in ("dvc.lock", "report/dvc.lock"):
        (shapes / name).write_text("schema: '2.0'\nstages:\n  summ")
    said = list(repair())
    assert "asked to end" in said[0]
    assert said[-2:] == [
        f"{name}: was cut short by a kill, and git has none; removed" for name in ("dvc.lock", "report/dvc.lock")
    ]
    process.stdout.read()


def test_a_repro_killed_anywhere_ends_with_the_bytes_of_an_undisturbed_one(project):
    """Three kills of the fifty that benchmarks/kill_anywhere.py does."""
    run_in(project, "dvc config cache.type copy")
    command = ["python", str(ROOT / "benchmarks/kill_anywhere.py"), "--kills", "3", "--seed", "1"]
    output = run_in(project, [*command, "--project", str(project)]).stdout
    assert output.splitlines()[-1].startswith("3 kills, 0 with other bytes; phases hit: ")
    assert output.count("same bytes") == 3
    assert " in train " in output
