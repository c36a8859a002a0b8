"""How a supervised command ended: what a full disk stops was interrupted, and no job is queued again for it."""

import json
import sys

import pytest

from trackstack import UserError
from trackstack.cluster.stale_job import NOTE
from trackstack.cluster.supervisor import JobResult, Supervisor

FULL = "No space left on device; make room, and type the same again"
DVC = "ERROR: failed to reproduce 'train'"


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    (tmp_path / ".dvc").mkdir()
    watches = Supervisor()
    watches.folder.mkdir(parents=True)
    return watches


def ends(supervisor, folder, *lines, recorded=None):
    """The result of a command that prints the lines and fails."""
    script = "import os, sys\nif sys.argv[1]: open(os.environ['TRACKSTACK_STATUS_FILE'], 'w').write(sys.argv[1])\n"
    script += "sys.exit('\\n'.join(sys.argv[2:]))"
    note = json.dumps(recorded) if recorded else ""
    return supervisor.run([sys.executable, "-S", "-c", script, note, *lines], folder)


def test_what_a_full_disk_stops_was_interrupted(supervisor, tmp_path):
    result = ends(
        supervisor,
        tmp_path,
        f"runs/r1/journal-1.jsonl: {FULL}",
        f"{DVC}: failed to run: python train.py, exited with 1",
    )
    assert (result.status, result.reason) == ("interrupted", f"runs/r1/journal-1.jsonl: {FULL}")
    assert (tmp_path / NOTE).exists(), "by which the next job mends a dvc.lock that was cut short"
    result = ends(supervisor, tmp_path, "Updating lock file 'dvc.lock'", f"{DVC}: [Errno 28] No space left on device")
    assert (result.status, result.reason) == ("interrupted", f"{DVC[7:]}: [Errno 28] No space left on device")
    result = ends(supervisor, tmp_path, "gone", recorded={"status": "failed", "reason": f"OSError: {FULL}"})
    assert (result.status, result.reason) == ("interrupted", f"OSError: {FULL}")


def test_what_fails_for_another_reason_failed(supervisor, tmp_path):
    result = ends(
        supervisor, tmp_path, f"warning: {FULL}", recorded={"status": "failed", "reason": "the loss is nan"}
    )
    assert (result.status, result.reason) == ("failed", "the loss is nan")
    assert not (tmp_path / NOTE).exists()
    assert (
        ends(supervisor, tmp_path, "the loss is nan", f"{DVC}: failed to run: python train.py, exited with 1").reason
        == "the loss is nan"
    )


def test_a_dvc_whose_run_cache_another_one_has_cleaned_is_started_again_but_not_for_ever(
    supervisor, tmp_path, capsys
):
    """DVC's own race, seen once in ten sweeps whose trials run equal stages: its words are played back here."""
    entry = f".dvc/cache/runs/9a/{'9a' * 32}/.0GiPKdemuJKZK_22vR8Q6A.tmp"
    lost = f"{DVC}: [Errno 2] No such file or directory: '{tmp_path / entry}'"
    script = "import os, sys\nif not os.path.exists('seen'): os.mkdir('seen'); sys.exit(sys.argv[1])"
    result = supervisor.run([sys.executable, "-S", "-c", script, lost], tmp_path)
    assert (result.status, capsys.readouterr().out.count("again: another dvc")) == ("finished", 1)
    result = ends(supervisor, tmp_path, "> python train.py", lost)
    assert result.status == "failed"
    assert result.reason.startswith("[Errno 2] No such file or directory"), "what DVC could not do, not its command"


def test_a_clone_that_there_is_no_room_for_is_an_interruption_and_asks_no_queue(supervisor, monkeypatch):
    def clone():
        raise UserError(f"work: git clone: {FULL}")

    result = supervisor.carry_out(clone)
    assert result == JobResult("interrupted", f"work: git clone: {FULL}")

    def push():
        raise UserError("work: git push: unpacker error")

    assert supervisor.carry_out(push).status == "failed"
    assert supervisor.carry_out(push, around="interrupted").status == "interrupted"
    supervisor.job = "12"  # of which no Slurm is asked
    assert not supervisor.requeue(result)
