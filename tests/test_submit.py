"""trackstack submit: which stages, with which resources, in which order; golden text, and a real chain."""

import re

import pytest
from conftest import command_environment, edit_yaml, run_in

from trackstack import UserError
from trackstack.submit import chain, stale_jobs

LINE = "env -u SBATCH_GPUS_PER_NODE sbatch --parsable"


@pytest.fixture
def in_project(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.delenv("SBATCH_GPUS_PER_NODE", raising=False)
    return project


def dry_run(*targets):
    return list(chain(stale_jobs(list(targets)), dry_run=True))


def test_a_changed_parameter_submits_its_stage_and_what_follows_with_their_resources(in_project, monkeypatch):
    edit_yaml(in_project / "params.yaml", {"tensor_cache": {"window": 30}})
    monkeypatch.setenv("SBATCH_GPUS_PER_NODE", "v100:1")
    assert dry_run() == [
        f"job1=$({LINE} --job-name=tensor_cache slurm/repro.sh --single-item tensor_cache)",
        f'job2=$({LINE} --dependency="afterok:$job1" --kill-on-invalid-dep=yes --job-name=train '
        "--gpus-per-node=v100:1 --cpus-per-task=4 --time=01:00:00 slurm/repro.sh --single-item train)",
        f'job3=$({LINE} --dependency="afterok:$job2" --kill-on-invalid-dep=yes --job-name=evaluate '
        "slurm/repro.sh --single-item evaluate)",
    ]


def test_a_cluster_without_gpus_is_asked_for_none(in_project):
    edit_yaml(in_project / "params.yaml", {"train": {"lr": 0.1}})
    assert dry_run("train") == [
        "job1=$(sbatch --parsable --job-name=train --cpus-per-task=4 --time=01:00:00 slurm/repro.sh --single-item train)"
    ]


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"slurm": 5}, "dvc.yaml: train: meta.slurm: expected options of sbatch, such as cpus-per-task: 4"),
        ({"slurm": {"mem; rm -rf": 1}}, "dvc.yaml: train: meta.slurm.mem; rm -rf: expected an option of sbatch"),
        ({"slurm": {"mem": [1]}}, "dvc.yaml: train: meta.slurm.mem: expected an option of sbatch and a plain value"),
    ],
)
def test_resources_that_are_none_and_an_unknown_target_are_one_line(in_project, meta, said):
    edit_yaml(in_project / "params.yaml", {"train": {"lr": 0.1}})
    edit_yaml(in_project / "dvc.yaml", {"stages": {"train": {"meta": meta}}})
    with pytest.raises(UserError) as caught:
        stale_jobs()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="nope"):
        stale_jobs(["nope"])


def test_nothing_stale_submits_nothing_and_no_slurm_is_one_line(project, path_without_slurm):
    environment = command_environment() | {"PATH": path_without_slurm}
    nothing = run_in(project, "trackstack submit", env=environment).stdout
    assert nothing == "Nothing to do: all stages are up to date.\n"
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.1}})
    assert run_in(project, "trackstack submit", 1, env=environment).stderr == (
        "sbatch: not found, so there is no Slurm here; use dvc repro, or --dry-run to see what would be submitted\n"
    )


def test_the_chain_holds_a_gpu_for_training_alone_and_ends_where_a_stage_fails(cluster, cheap_project):
    edit_yaml(cheap_project / "params.yaml", {"tensor_cache": {"window": 30}})
    said = cluster.run(cheap_project, "trackstack submit", SBATCH_GPUS_PER_NODE="1").stdout
    jobs = re.findall(r"^(\w+): job (\d+)$", said, re.MULTILINE)
    assert [stage for stage, _ in jobs] == ["tensor_cache", "train"]
    for stage, job in jobs:
        found = cluster.wait(job)
        assert ("gpu" in found.get("TresPerNode", "")) == (stage == "train"), found
    assert run_in(cheap_project, "dvc status").stdout.strip() == "Data and pipelines are up to date."

    (cheap_project / "stages/ingest.py").write_text('raise RuntimeError("ingest is broken")\n')
    said = cluster.run(cheap_project, "trackstack submit").stdout
    stages, jobs = zip(*re.findall(r"^(\w+): job (\d+)$", said, re.MULTILINE), strict=True)
    assert stages == ("ingest", "parquet", "tensor_cache", "train")
    cluster.wait(jobs[0], "FAILED")
    for job in jobs[1:]:
        assert cluster.wait(job, "CANCELLED")["StartTime"] in ("Unknown", cluster.job(job)["EndTime"])
    assert cluster.run(cheap_project, "squeue -h").stdout == "", "nothing pends for ever"
