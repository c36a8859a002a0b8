"""trackstack submit: which stages, with which resources, in which order; golden text, and a real chain."""

import os
import re
from pathlib import Path

import pytest
from conftest import command_environment, edit_yaml, run_in

LINE = "env -u SBATCH_GPUS_PER_NODE sbatch --parsable"


def submit(project, *arguments, expect=0, **environment):
    env = command_environment() | environment
    return run_in(project, ["trackstack", "submit", *arguments], expect, env=env)


def test_a_changed_parameter_submits_its_stage_and_what_follows_with_their_resources(project):
    edit_yaml(project / "params.yaml", {"tensor_cache": {"window": 30}})
    assert submit(project, "--dry-run", SBATCH_GPUS_PER_NODE="v100:1").stdout.splitlines() == [
        f"job1=$({LINE} --job-name=tensor_cache slurm/repro.sh --single-item tensor_cache)",
        f'job2=$({LINE} --dependency="afterok:$job1" --kill-on-invalid-dep=yes --job-name=train '
        "--gpus-per-node=v100:1 --cpus-per-task=4 --time=01:00:00 slurm/repro.sh --single-item train)",
        f'job3=$({LINE} --dependency="afterok:$job2" --kill-on-invalid-dep=yes --job-name=evaluate '
        "slurm/repro.sh --single-item evaluate)",
    ]


def test_a_cluster_without_gpus_is_asked_for_none(project):
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.1}})
    assert submit(project, "train", "--dry-run").stdout.splitlines() == [
        "job1=$(sbatch --parsable --job-name=train --cpus-per-task=4 --time=01:00:00 slurm/repro.sh --single-item train)"
    ]


def test_nothing_stale_submits_nothing(project):
    assert submit(project).stdout == "Nothing to do: all stages are up to date.\n"


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"slurm": 5}, "dvc.yaml: train: meta.slurm: expected options of sbatch, such as cpus-per-task: 4"),
        ({"slurm": {"mem; rm -rf": 1}}, "dvc.yaml: train: meta.slurm.mem; rm -rf: expected an option of sbatch"),
        ({"slurm": {"mem": [1]}}, "dvc.yaml: train: meta.slurm.mem: expected an option of sbatch and a plain value"),
    ],
)
def test_resources_that_are_none_are_one_line(project, meta, said):
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.1}})
    edit_yaml(project / "dvc.yaml", {"stages": {"train": {"meta": meta}}})
    errors = submit(project, "--dry-run", expect=1).stderr
    assert errors.startswith(said)
    assert errors.count("\n") == 1


def test_an_unknown_target_and_no_slurm_are_one_line(project, tmp_path):
    assert "nope" in submit(project, "nope", expect=1).stderr
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.1}})
    bare = os.pathsep.join(
        part for part in command_environment()["PATH"].split(os.pathsep) if not (Path(part) / "sbatch").exists()
    )
    if "/usr/bin" not in bare:  # Slurm lies beside git: give the command the few programs that it needs
        for name in ("git", "env", "bash"):
            (tmp_path / name).symlink_to(f"/usr/bin/{name}")
        bare += f"{os.pathsep}{tmp_path}"
    errors = submit(project, expect=1, PATH=bare).stderr
    assert errors == (
        "sbatch: not found, so there is no Slurm here; use dvc repro, or --dry-run to see what would be submitted\n"
    )


def test_the_chain_holds_a_gpu_for_training_alone_and_ends_where_a_stage_fails(cluster, project):
    edit_yaml(project / "params.yaml", {"tensor_cache": {"window": 30}})
    said = cluster.run(project, "trackstack submit", SBATCH_GPUS_PER_NODE="1", TRACKSTACK_DEVICE="cpu").stdout
    jobs = re.findall(r"^(\w+): job (\d+)$", said, re.MULTILINE)
    assert [stage for stage, _ in jobs] == ["tensor_cache", "train", "evaluate"]
    for stage, job in jobs:
        found = cluster.wait(job)
        assert ("gpu" in found.get("TresPerNode", "")) == (stage == "train"), found
    assert run_in(project, "dvc status").stdout.strip() == "Data and pipelines are up to date."


def test_when_ingest_fails_nothing_else_starts_and_nothing_pends(cluster, project):
    (project / "stages/ingest.py").write_text('raise RuntimeError("ingest is broken")\n')
    stages = ["ingest", "parquet", "tensor_cache", "train", "evaluate"]
    said = cluster.run(project, "trackstack submit").stdout
    jobs = re.findall(r": job (\d+)", said)
    assert len(jobs) == len(stages)
    cluster.wait(jobs[0], "FAILED")
    for job in jobs[1:]:
        assert cluster.wait(job, "CANCELLED")["StartTime"] in ("Unknown", cluster.job(job)["EndTime"])
    assert cluster.run(project, "squeue -h").stdout == ""
