"""trackstack submit: which stages, with which resources, in which order; golden text, and a real chain."""

import re

import pytest
from support.projects import ROOT, edit_yaml

from trackstack import UserError
from trackstack.cluster.submit import chain, stale_jobs

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
    cache, train, *_, evaluate = lines = dry_run()  # and those that a project has added
    assert cache == f"job1=$({LINE} --job-name=tensor_cache slurm/repro.sh --single-item tensor_cache)"
    assert train == (
        f'job2=$({LINE} --dependency="afterok:$job1" --kill-on-invalid-dep=yes --job-name=train '
        "--gpus-per-node=v100:1 --cpus-per-task=4 --time=01:00:00 slurm/repro.sh --single-item train)"
    )
    number = len(lines)
    assert evaluate == (
        f'job{number}=$({LINE} --dependency="afterok:$job{number - 1}" --kill-on-invalid-dep=yes '
        "--job-name=evaluate slurm/repro.sh --single-item evaluate)"
    )


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


def test_nothing_stale_submits_nothing_and_no_slurm_or_no_script_is_one_line(
    in_project, monkeypatch, path_without_slurm
):
    monkeypatch.setenv("PATH", path_without_slurm)
    assert dry_run() == []
    edit_yaml(in_project / "params.yaml", {"train": {"lr": 0.1}})
    jobs = stale_jobs()
    with pytest.raises(UserError) as caught:
        list(chain(jobs))
    assert str(caught.value) == (
        "sbatch: not found, so there is no Slurm here; use dvc repro, or --dry-run to see what would be submitted"
    )
    (in_project / "slurm/repro.sh").unlink()
    with pytest.raises(UserError, match=r"slurm/repro.sh: no such file here; trackstack init writes it"):
        list(chain(jobs, dry_run=True))


def test_stages_of_a_matrix_and_of_a_second_pipeline_are_submitted_by_their_addresses(shapes, monkeypatch):
    monkeypatch.chdir(shapes)
    submitted = [re.findall(r"--job-name=(\S+) slurm/repro.sh --single-item (\S+)\)", line)[0] for line in dry_run()]
    assert submitted[0] == ("draw", "draw")
    assert sorted(submitted[1:3]) == [("measure-circle", "measure@circle"), ("measure-square", "measure@square")]
    assert submitted[3] == ("report-dvc-yaml-summary", "report/dvc.yaml:summary")
    assert len(dry_run("measure")) == 3, "a group, and what it needs"
    settings = (shapes / "report/dvc.yaml").read_text()
    (shapes / "report/dvc.yaml").write_text(f"{settings}    meta: {{slurm: 5}}\n")
    with pytest.raises(UserError, match=r"^report/dvc.yaml:summary: meta.slurm: expected options of sbatch"):
        stale_jobs()


def test_the_chain_holds_a_gpu_for_training_alone_and_ends_where_a_stage_fails(cluster, linear):
    """In somebody else's repository."""

    def submit(**more):
        said = cluster.run(linear, "trackstack submit", PYTHONPATH=str(ROOT / "src"), **more).stdout
        stages, jobs = zip(*re.findall(r"^(\w+): job (\d+)$", said, re.MULTILINE) or [("", said)], strict=True)
        return list(stages), list(jobs)

    stages, jobs = submit(SBATCH_GPUS_PER_NODE="1")
    assert stages == ["prepare", "train", "evaluate"]
    for stage, job in zip(stages, jobs, strict=True):
        found = cluster.wait(job)
        assert ("gpu" in found.get("TresPerNode", "")) == (stage == "train"), found
        assert (found["NumCPUs"] == "2") == (stage == "train"), found
    assert submit()[1] == ["Nothing to do: all stages are up to date.\n"]

    (linear / "prepare.py").write_text('raise RuntimeError("prepare is broken")\n')
    stages, jobs = submit()
    assert stages == ["prepare", "train", "evaluate"]
    cluster.wait(jobs[0], "FAILED")
    for job in jobs[1:]:
        assert cluster.wait(job, "CANCELLED")["StartTime"] in ("Unknown", cluster.job(job)["EndTime"])
    assert cluster.run(linear, "squeue -h").stdout == "", "nothing pends for ever"
