"""`trackstack repair` mends what a kill left behind, and touches nothing that is whole or in use."""

import contextlib
import json
import os
import signal
import subprocess

import pytest
from support.foreign import change, foreign_environment
from support.processes import started
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
            "dvc.lock: damaged, as by a kill; restored from git",
            ".dvc/tmp/rwlock: damaged, as by a kill; removed",
        ]
        assert lock.read_bytes() == whole
    for there, now in ((b"outs:", b"outr:"), (b"schema: '2.0'", b"schema: '2.1'"), (b"stages:", b"st\xe1ges:")):
        lock.write_bytes(whole.replace(there, now, 1))
        assert list(repair()) == ["dvc.lock: damaged, as by a kill; restored from git"]
        assert lock.read_bytes() == whole
    (project / ".dvc/tmp/rwlock").write_text('{"vrite": {}}')
    assert list(repair()) == [".dvc/tmp/rwlock: damaged, as by a kill; removed"]
    lock.unlink()
    lock.mkdir()
    assert list(repair()) == ["dvc.lock: a folder; move it away, then type: git checkout dvc.lock"]
    lock.rmdir()
    lock.write_bytes(whole)
    assert run_in(project, "dvc status").stdout == "Data and pipelines are up to date.\n"


@contextlib.contextmanager
def repro(folder, printed):
    """`dvc repro`, which has printed something."""
    with started(["dvc", "repro"], cwd=folder, env=foreign_environment(), stderr=subprocess.STDOUT) as process:
        assert any(printed in line for line in process.stdout), f"dvc repro has not printed {printed!r}"
        yield process


def kill(process):
    """End `dvc` alone, in a way that its stage does not see before somebody repairs."""
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    process.wait(900)


def test_an_orphan_is_ended_with_its_checkpoint_and_a_dvc_at_work_is_left_alone(linear, monkeypatch):
    """In somebody else's repository, whose training stops when it is asked to."""
    monkeypatch.chdir(linear)
    change(linear, train={"epochs": 100000, "pause": 0.1})
    with repro(linear, "going on from epoch 0") as process:
        with pytest.raises(UserError) as caught:
            list(repair())
        assert str(caught.value) == f"process {process.pid}: dvc is at work here; wait for its end, or stop it"
        kill(process)
        said = list(repair())
        assert said
        assert all("a stage whose dvc is gone; asked to end" in line for line in said)
        process.stdout.read()  # returns when the orphan has closed its end
    (journal,) = linear.glob("runs/*/journal-1.jsonl")
    assert json.loads(journal.read_text().splitlines()[-1])["status"] == "interrupted"
    assert list(linear.glob("runs/*/checkpoints/epoch.json"))


def test_a_script_in_a_folder_of_its_own_is_ended_and_every_lock_file_is_mended(shapes, monkeypatch):
    monkeypatch.chdir(shapes)
    (shapes / "scripts/draw.sh").write_text("echo begun\nsleep 300\n")
    with repro(shapes, "begun") as process:
        kill(process)
        for name in ("dvc.lock", "report/dvc.lock"):
            (shapes / name).write_text("schema: '2.0'\nstages:\n  summ")
        said = list(repair())
        process.stdout.read()
    assert "asked to end" in said[0]
    assert said[-2:] == [
        f"{name}: damaged, as by a kill, and git has none; removed" for name in ("dvc.lock", "report/dvc.lock")
    ]


def test_a_repro_killed_anywhere_ends_with_the_bytes_of_an_undisturbed_one(linear):
    """Five of the kills that benchmarks/kill_anywhere.py does in this repository, here in somebody else's."""
    change(linear, train={"epochs": 20, "pause": 0.05})
    command = ["python", str(ROOT / "benchmarks/kill_anywhere.py"), "--kills", "5", "--seed", "1"]
    output = run_in(linear, [*command, "--project", str(linear)], env=foreign_environment()).stdout
    assert output.splitlines()[-1].startswith("5 kills, 0 with other bytes; phases hit: ")
    assert output.count("same bytes") == 5
    assert " in train " in output
