"""trackstack doctor: on a real cluster and without one, in any repository; every line a verdict and what to do."""

import json

import pytest
from support.projects import run_in
from typer.testing import CliRunner

from trackstack.cli import app
from trackstack.cluster import doctor
from trackstack.cluster.init import set_up


def findings(exit_code):
    """What `trackstack doctor` says in the working folder, by subject, and its whole output."""
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == exit_code
    return {finding["what"]: finding for finding in json.loads(done.output)}, done.output


@pytest.fixture
def here(repository, monkeypatch):
    """A DVC repository of somebody, in which the test stands."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("TRACKSTACK_SINKS", raising=False)
    return repository


def test_on_a_cluster_it_names_limits_places_and_what_would_go_wrong(cluster, here, tmp_path, monkeypatch):
    list(set_up(here))
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somebody:secret@example.org")
    monkeypatch.setenv("SBATCH_PARTITION", "nope")
    monkeypatch.setenv("TRACKSTACK_SCRATCH", str(tmp_path))
    found, output = findings(exit_code=1)
    assert found["SLURM"]["found"].startswith("lab, ")
    assert "batch* 1-00:00:00 gpu:2" in found["partitions"]["found"]
    assert found["requeue"]["verdict"] == "ok"
    assert found["kill wait"]["found"] == "20 s from TERM to KILL"
    assert found["locks"]["verdict"] == "ok"
    assert "symlink" in found["links"]["found"]
    for name, place in (("checkout", here), ("DVC cache", here), ("home", here), ("scratch", tmp_path)):
        assert found[name]["found"].startswith(str(place))
    assert found["submission"]["verdict"] == "fail"
    assert "nvalid partition" in found["submission"]["found"]
    assert found["MLFLOW_TRACKING_URI"]["verdict"] == "warn"
    assert "secret" not in output
    monkeypatch.delenv("SBATCH_PARTITION")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [finding.verdict for finding in doctor._submission()] == ["ok"]
    assert list(doctor._mlflow()) == []


def test_without_slurm_a_lock_or_scripts_it_looks_at_all_the_rest(here, path_without_slurm, monkeypatch):
    monkeypatch.setenv("PATH", path_without_slurm)
    found, _ = findings(exit_code=0)
    assert found["packages"]["found"].endswith(" as in trackstack's requirements")
    assert found["sbatch"]["verdict"] == "warn"
    assert {found[name]["verdict"] for name in ("packages", "DVC cache", "links", "locks", "home")} == {"ok"}
    assert run_in(here, "git status --porcelain --untracked-files=all runs .doctor*").stdout == "", (
        "it leaves nothing"
    )
    (submission,) = doctor._submission()
    assert (submission.verdict, submission.todo) == ("warn", "trackstack init")


def test_a_check_that_fails_hides_no_other(here, path_without_slurm, monkeypatch):
    monkeypatch.setenv("PATH", path_without_slurm)
    (here / ".dvc/config").write_text("[core\n")
    (here / "requirements.lock").write_bytes(b"\xff")
    found, _ = findings(exit_code=1)
    assert {found[name]["verdict"] for name in ("packages", "cache")} == {"fail"}
    assert found["locks"]["verdict"] == "ok"


def test_a_package_of_another_version_fails_and_says_what_to_type(here):
    lines = ["--index-url https://example.org", "# by hand", "rich==0.0.1 \\", "    --hash=sha256:00", "typer>=0.1"]
    windows = 'no-such-package==1 ; sys_platform == "win32"'
    (here / "requirements.lock").write_text("\n".join([*lines, windows]) + "\n")
    (packages,) = doctor._packages()
    assert packages.verdict == "fail"
    assert packages.found.startswith("rich ")
    assert packages.found.endswith(", not 0.0.1")
    assert packages.todo == "pip install --requirement requirements.lock"
    (here / "src/trackstack").mkdir(parents=True)
    (here / "requirements.lock").write_text("no-such-package==1\n")
    (packages,) = doctor._packages()
    assert (packages.found, packages.todo) == ("no-such-package is not installed", "make venv")


def test_a_dvc_lock_that_was_cut_short_is_named_with_what_mends_it(here):
    assert list(doctor._records()) == []
    (here / "dvc.lock").write_text("schema: '2.0'\nstages:\n  tra")
    (finding,) = doctor._records()
    assert (finding.verdict, finding.todo) == ("fail", "trackstack repair")
    assert finding.found.startswith("dvc.lock: damaged")


def test_short_limits_and_a_missing_folder_are_said(tmp_path):
    requeue, wait, _ = doctor._job_limits({"JobRequeue": "0", "KillWait": "5 sec"})
    assert (requeue.verdict, wait.verdict) == ("warn", "warn")
    assert doctor._place("scratch", tmp_path / "none").verdict == "fail"
