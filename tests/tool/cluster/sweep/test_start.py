"""What keeps a sweep from starting, what it would submit, and that nothing else happens then."""

import shlex
import sys
from pathlib import Path

import pytest
from support.projects import run_in
from typer.testing import CliRunner

from trackstack import UserError
from trackstack.cli import app
from trackstack.cluster.sweep.start import refuse_dirty_tree


def refused(root, path):
    with pytest.raises(UserError) as caught:
        refuse_dirty_tree(root)
    assert str(caught.value).startswith(f"{path}: not "), str(caught.value)
    return str(caught.value)


def test_a_tree_is_refused_when_the_trials_would_lack_an_edit_or_a_file(project):
    with (project / "dvc.lock").open("a") as file:
        file.write("# touched\n")
    (project / "data/ingested/manifest.json").write_text("{}")  # an output that git keeps
    for name in ("notes.txt", "src/new.py", "src/trackstack/core/__pycache__/x.pyc"):  # no stage depends on these
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("a note\n")
    (project / ".gitignore").write_text("")  # of __pycache__
    run_in(project, "git commit -qm 'Nothing is ignored' .gitignore")
    refuse_dirty_tree(project)
    for name in ("src/trackstack/core/new.py", "stages/new.py", "src/dvc.yaml", "data/raw/new.dvc"):
        (project / name).write_text("{}")
        assert refused(project, name).endswith("git add it and commit, or remove it")
        (project / name).unlink()
    (project / "README.md").write_text("edited\n")
    assert refused(project, "README.md").endswith("git commit -a, or git stash")


def sweep(*options):
    """The command in this process: what it printed, and what it refused."""
    done = CliRunner().invoke(app, ["sweep", *options])
    assert done.exit_code == (1 if done.stderr else 0), done.output
    return done.stdout.splitlines(), done.stderr


def test_a_folder_that_is_no_dvc_repository_in_git_or_has_no_commit_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert (
        sweep("-S", "a=1,2")[1] == f"{tmp_path}: no DVC repository; run this where .dvc lies, or make one: dvc init\n"
    )
    (tmp_path / ".dvc").mkdir()
    assert "not a git repository" in sweep("-S", "a=1,2")[1]
    run_in(tmp_path, "git init -q")
    said = sweep("-S", "a=1,2")[1]
    assert said == f"{tmp_path}: no commit yet; type: git add -A && git commit -m 'First commit'\n"


def test_a_dry_run_prints_the_exact_submissions_splits_beyond_the_sites_limit_and_leaves_nothing(
    cluster, linear, path_without_slurm, monkeypatch
):
    monkeypatch.chdir(linear)
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    seeds = ["-S", "params.json:train.seed=range(18)"]
    said, _ = sweep(*seeds, "--max-parallel", "8", "-n", "my; sweep", "--dry-run")
    name = said[0].split()[1].rstrip(":")
    start = f"sbatch --parsable --job-name={name}"
    end = shlex.join(["slurm/sweep.sh", str(linear / "runs/.sweeps" / name), str(Path(sys.executable).parent)])
    kill = "--kill-on-invalid-dep=yes"
    assert said[1:] == [
        f"shared=$({start} --output=logs/%x_%j.out {end} shared)",
        f'array1=$(sbatch --parsable --dependency="afterok:$shared" {kill} --job-name={name} '
        f"--array=0-16%8 --cpus-per-task=2 {end} trials)",
        f'array2=$(sbatch --parsable --dependency="afterok:$shared,afterany:$array1" {kill} --job-name={name} '
        f"--array=0-0%8 --cpus-per-task=2 {end} trials)",
    ]
    monkeypatch.setenv("PATH", path_without_slurm)
    two = ["-S", "params.json:train.seed=1,2", "--dry-run"]
    assert "--array=0-1 " in sweep(*two)[0][2]
    lines, _ = sweep(*two, "--local")
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "params.json:train.seed=1",
        "params.json:train.seed=2",
    ]
    run_in(linear, "git rm -q slurm/sweep.sh && git commit -qm 'No script'")
    said = "slurm/sweep.sh: no such file here; trackstack init writes it, in the root of the checkout\n"
    assert sweep(*two)[1] == said
    assert not (linear / "runs").exists()


def test_what_does_not_apply_and_what_slurm_refuses_is_one_line(cluster, linear, monkeypatch):
    monkeypatch.chdir(linear)
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    monkeypatch.setenv("SBATCH_PARTITION", "nope")
    seeds = ["-S", "params.json:train.seed=1,2"]
    assert sweep(*seeds, "--local", "--pack", "2")[1].startswith("--local: runs -j trials at a time")
    assert sweep(*seeds, "-j", "2")[1].startswith("-j: is for --local")
    reason = "invalid partition specified: nope; Batch job submission failed: Invalid partition name specified"
    assert sweep(*seeds)[1] == f"sbatch refused: {reason}; sinfo lists those there are\n"
