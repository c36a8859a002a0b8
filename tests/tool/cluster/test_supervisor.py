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
    result = ends(supervisor, tmp_path, f"runs/r1/journal-1.jsonl: {FULL}", f"{DVC}: exited with 1")
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
    assert ends(supervisor, tmp_path, "the loss is nan", f"{DVC}: exited with 1").reason == "the loss is nan"


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
