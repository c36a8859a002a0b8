"""trackstack init: job scripts and ignore lines in somebody's DVC repository, and nothing of theirs overwritten."""

import shlex
import subprocess

import pytest
from support.projects import ROOT, run_in
from typer.testing import CliRunner

from trackstack import UserError
from trackstack.cli import app
from trackstack.cluster.init import SCRIPTS, set_up, template


def snapshot(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts}


def test_it_writes_scripts_and_ignore_lines_once_and_what_runs_leave_is_not_committed(repository, monkeypatch):
    monkeypatch.chdir(repository)
    before = snapshot(repository)
    planned = CliRunner().invoke(app, ["init", "--dry-run"]).output
    assert "would write slurm/repro.sh\n" in planned
    assert snapshot(repository) == before, "a dry run writes nothing"
    written = CliRunner().invoke(app, ["init"]).output
    assert written == planned.replace("would write", "wrote").replace("would add", "added")
    after = snapshot(repository)
    assert CliRunner().invoke(app, ["init"]).output == "Nothing to do: all files are there.\n"
    assert snapshot(repository) == after, "a second time changes nothing"
    assert all((repository / name).stat().st_mode & 0o111 for name in SCRIPTS if name.endswith(".sh"))
    for name in (
        "runs/r1/journal-1.jsonl",
        "mlflow.db",
        "mlflow.db.lock",
        "project.db",
        "mlartifacts/1/model",
        "logs/a.out",
    ):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    committed = run_in(repository, "git add -A && git diff --cached --name-only").stdout.splitlines()
    own = {".gitignore", ".gitattributes", ".dvcignore", ".dvc/config", ".dvc/plots.html", "logs/.gitkeep"}
    assert set(committed) == {*own, *SCRIPTS}


def test_the_page_of_dvc_plots_needs_no_network_and_a_persons_own_is_kept(repository):
    list(set_up(repository))
    (repository / "points.csv").write_text("x,y\n1,2\n2,3\n")
    run_in(repository, "dvc plots show points.csv -o plots")
    page = (repository / "plots/index.html").read_text()
    assert "vegaEmbed('#" in page
    assert "<script src" not in page
    assert (repository / ".dvc/plots.html").read_text() == (ROOT / ".dvc/plots.html").read_text(), "trackstack init"
    (repository / ".dvc/config").write_text("[plots]\nhtml_template = mine.html\n")
    assert list(set_up(repository)) == []


def test_files_of_the_person_are_kept(repository):
    (repository / "slurm").mkdir()
    (repository / "slurm/site.env").write_text("export SBATCH_ACCOUNT=PAS1234\n")
    (repository / ".gitignore").write_bytes(b"/data\r\nruns\r\n*.bak")
    lines = list(set_up(repository))
    assert "kept slurm/site.env, which differs from trackstack's own" in lines
    assert (repository / "slurm/site.env").read_text() == "export SBATCH_ACCOUNT=PAS1234\n"
    ignored = (repository / ".gitignore").read_bytes()
    assert ignored.startswith(b"/data\r\nruns\r\n*.bak\n\n# ")
    assert b"/runs/" not in ignored
    assert b"\n/mlflow.db*\n" in ignored


def test_another_folder_is_one_line_with_what_to_type(repository, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="not the root of a DVC repository; type: git init && dvc init"):
        list(set_up(tmp_path))
    (repository / "deeper").mkdir()
    monkeypatch.chdir(repository / "deeper")
    done = CliRunner().invoke(app, ["init"])
    assert done.exit_code == 1
    assert (
        done.output
        == f"{repository / 'deeper'}: not the root of a DVC repository; type: cd {shlex.quote(str(repository))}\n"
    )


def test_this_repository_has_what_init_writes():
    assert list(set_up(ROOT, dry_run=True)) == []


def test_site_env_works_in_a_strict_shell_without_slurm(tmp_path, path_without_slurm):
    """The person's CDPATH leads to another folder `slurm`, where no environment is."""
    for folder in ("slurm", ".venv/bin", "home/slurm"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    (tmp_path / "slurm/site.env").write_text(template("slurm/site.env"))
    command = 'set -euo pipefail; source slurm/site.env; echo "cluster: ${SLURM_CLUSTER_NAME-none} ${PATH%%:*}"'
    environment = {"PATH": path_without_slurm, "CDPATH": str(tmp_path / "home")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"cluster: none {tmp_path}/.venv/bin\n", "", 0)
