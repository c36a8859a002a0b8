"""What a job holds, by lines of `scontrol show job` from two versions of Slurm."""

import pytest

from trackstack.system.allocation import allocation, read_allocation

TIMES = "EligibleTime=2026-03-01T10:00:00 StartTime=2026-03-01T10:02:30 EndTime=2026-03-01T11:02:30"


def test_memory_gpus_limit_and_waiting_are_read():
    shown = f"JobId=7 Restarts=0 {TIMES} NumNodes=2 NumCPUs=8 AllocTRES=cpu=8,mem=15.50G,node=2,billing=8,gres/gpu=4"
    expected = {"nodes": 2, "cpus": 8, "memory_mb": 15872.0, "gpus": 4, "limit_seconds": 3600, "queued_seconds": 150}
    assert read_allocation(shown) == expected


def test_an_older_slurm_says_tres_and_what_is_unknown_is_left_out():
    shown = "JobId=7 StartTime=2026-03-01T10:02:30 EndTime=Unknown NumCPUs=1 TRES=cpu=1,mem=500M,node=1,billing=1"
    assert read_allocation(shown) == {"nodes": 1, "cpus": 1, "memory_mb": 500.0, "gpus": 0}
    assert read_allocation("JobId=7 NumCPUs=3") == {"cpus": 3, "gpus": 0}


def test_a_job_without_slurms_commands_is_known_by_its_id(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert allocation() is None
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", "")
    assert allocation() == {"job": "7"}


@pytest.mark.parametrize(("text", "mebibytes"), [("4096K", 4.0), ("2G", 2048.0), ("1T", 1048576.0), ("x", None)])
def test_units_of_memory(text, mebibytes):
    assert read_allocation(f"TRES=mem={text}").get("memory_mb") == mebibytes
