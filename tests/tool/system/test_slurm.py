"""Slurm's commands as functions, with a stand-in for sbatch; on a real Slurm see tests/tool/cluster."""

import os
import shutil
from pathlib import Path

import pytest
from support.damage import damage
from support.projects import ROOT

from trackstack import UserError
from trackstack.system.slurm import refuse_without_script, sbatch_command, submit


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A program that notes the variables it was given, and answers with the text of a file."""
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\nenv > '{tmp_path}/given'\ncat '{tmp_path}/answer'\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_variables_of_an_outer_job_and_of_one_submission_are_not_handed_on(sbatch, monkeypatch):
    (sbatch / "answer").write_text("123;pitzer\n")
    for name in ("SLURM_CPU_BIND", "SRUN_CPUS_PER_TASK", "SBATCH_WAIT", "SBATCH_ARRAY_INX", "SBATCH_GPUS_PER_NODE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SBATCH_ACCOUNT", "PAS1234")
    assert submit(sbatch_command("job.sh"), without=["SBATCH_GPUS_PER_NODE"]) == "123"
    given = [line.partition("=")[0] for line in (sbatch / "given").read_text().splitlines()]
    assert [name for name in given if name.startswith(("SLURM_", "SRUN_", "SBATCH_"))] == ["SBATCH_ACCOUNT"]


@pytest.mark.parametrize("answer", ["", "sbatch: would do it\n"])
def test_an_answer_without_a_jobs_id_is_no_submission(sbatch, answer):
    (sbatch / "answer").write_text(answer)
    with pytest.raises(UserError, match=r"^sbatch answered '.*', not a job's id; type: unset SBATCH_TEST_ONLY$"):
        submit(sbatch_command("job.sh"))


@pytest.mark.parametrize("name", ["repro.sh", "site.env"])
@pytest.mark.parametrize("how", ["cut", "missing", "folder", "of Windows"])
def test_a_damaged_script_is_refused_before_anything_is_submitted(tmp_path, monkeypatch, name, how):
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    monkeypatch.chdir(tmp_path)
    file = Path("slurm", name)
    refuse_without_script(Path("slurm/repro.sh"))
    if how == "of Windows":
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    elif how == "cut":
        file.write_text(file.read_text().rpartition("\nfi\n")[0])
    else:
        damage(file, how)
    with pytest.raises(UserError, match=rf"^slurm/{name}: .*trackstack init"):
        refuse_without_script(Path("slurm/repro.sh"))
