"""What a killed job leaves in a checkout is mended when the job is dead, and left alone when it may be alive."""

import json
import os
import subprocess

import pytest
from support.projects import run_in

from trackstack.cluster.repair import RWLOCK
from trackstack.cluster.stale_job import NOTE, mend, note_job


def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait(900)
    return process.pid


@pytest.fixture
def wounded(project):
    """A checkout whose dvc.lock cannot be parsed, and whose output is locked by process 1 of another node."""
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text()[: len(lock.read_text()) // 2] + "\n  cut: [")
    entry = {"pid": 1, "cmd": "dvc repro"}
    (project / RWLOCK).write_text(json.dumps({"write": {str(project / "data/cache"): entry}, "read": {}}))
    return project


def write_note(project, **changes):
    note = {"job": None, "restarts": 0, "host": os.uname().nodename, "pid": 1}
    (project / NOTE).write_text(json.dumps(note | changes))


def test_a_requeued_job_mends_what_its_earlier_life_has_left(wounded, monkeypatch):
    run_in(wounded, "dvc repro", expect=255)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    write_note(wounded, job="12", host="node7")
    monkeypatch.chdir(wounded)
    said = "\n".join(mend())
    assert "dropped the locks of a dead job's process 1" in said
    assert "dvc.lock: damaged, as by a kill; restored from git" in said
    assert run_in(wounded, "git status --porcelain").stdout == ""
    assert run_in(wounded, "dvc status").stdout.strip() == "Data and pipelines are up to date."
    assert not (wounded / NOTE).exists()


def test_nothing_is_touched_while_the_job_may_be_alive(wounded, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.chdir(wounded)
    before = (wounded / RWLOCK).read_text(), (wounded / "dvc.lock").read_text()
    for note in ({"pid": os.getpid()}, {"host": "node7", "pid": 999999}, {"job": "12", "restarts": 1}):
        write_note(wounded, **note)
        assert ["may be at work here still" in line for line in mend()] == [True]
        assert before == ((wounded / RWLOCK).read_text(), (wounded / "dvc.lock").read_text())


def test_a_process_that_is_gone_from_this_host_is_dead(project, monkeypatch):
    note_job(project, None, dead_pid())
    monkeypatch.chdir(project)
    assert list(mend()) == [], "nothing was broken"
    assert not (project / NOTE).exists()
