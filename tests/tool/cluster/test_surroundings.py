"""What a person, a module or an outer job has set is named where it is set, and nowhere else."""

import os
import sys
from pathlib import Path

import pytest
from support.hostile import git_config

from trackstack import UserError
from trackstack.cluster import surroundings
from trackstack.cluster.doctor import examine
from trackstack.system import git as git_module
from trackstack.system.programs import PERSONS_PYTHONPATH, USER_NAMES, begin_process
from trackstack.system.project import refuse_unusable_folder


@pytest.fixture
def here(repository, monkeypatch):
    """A DVC repository of somebody who has set nothing, in which the test stands."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "PYTHON", "CONDA", "SLURM_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PWD", str(repository))
    monkeypatch.setattr(git_module, "forgotten", [])
    monkeypatch.chdir(repository)
    return repository


def named(check):
    """Verdict and text by what a check names."""
    return {finding.what: (finding.verdict, finding.found) for finding in check()}


def test_where_nothing_is_set_nothing_is_said(here):
    said = [finding for check in (surroundings._python_path, surroundings._git) for finding in check()]
    said += [
        *surroundings._other_python(),
        *surroundings._outer_job(),
        *surroundings._folders(),
        *surroundings._umask(),
    ]
    assert said == []


def test_a_module_that_hides_a_package_is_a_failure_and_another_folder_a_warning(here, tmp_path, monkeypatch):
    (tmp_path / "psutil.py").write_text("raise RuntimeError('of another Python')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert named(surroundings._python_path) == {"PYTHONPATH": ("fail", f"{tmp_path} hides psutil")}
    dvc = next(finding for finding in surroundings.programs() if finding.what == "dvc")
    assert (dvc.verdict, dvc.found) == ("fail", "RuntimeError: of another Python")
    monkeypatch.setenv(PERSONS_PYTHONPATH, str(here))
    assert named(surroundings._python_path) == {"PYTHONPATH": ("warn", str(here))}, "before our own took its place"


def test_pips_settings_are_named_wherever_they_stand(here, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nuser = true\n[install]\ntarget = /elsewhere\nno-deps = false\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_PREFIX", "/there")
    verdict, found = named(surroundings._pip)["pip"]
    assert (verdict, found) == ("warn", "PIP_PREFIX=/there; global.user='true'; install.target='/elsewhere'")


def test_git_variables_and_line_ends_are_named(here, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    git_module.forget_outer_repository()
    for name, value in git_config(tmp_path, "line ends").items():
        monkeypatch.setenv(name, value)
    found = named(surroundings._git)
    assert found["git variables"] == ("warn", "GIT_DIR: not used by trackstack")
    assert found["line ends"][0] == "warn"
    (here / "slurm").mkdir()
    (here / "slurm/repro.sh").write_bytes(b"#!/bin/bash\r\n")
    assert named(surroundings._git)["line ends"] == (
        "fail",
        "slurm/repro.sh has those of Windows, and no shell runs it",
    )


def test_line_ends_that_outrank_those_of_the_repository_are_named(here):
    (here / "dvc.yaml").write_text("stages: {}\n")
    (here / ".gitattributes").write_text("* text=auto eol=lf\n")
    (here / ".git/info").mkdir(exist_ok=True)
    (here / ".git/info/attributes").write_text("*.ipynb diff\n")
    assert "line ends" not in named(surroundings._git)
    (here / ".git/info/attributes").write_text("* text eol=crlf\n")
    verdict, found = named(surroundings._git)["line ends"]
    assert verdict == "fail"
    assert found.startswith(".git/info/attributes asks for those of Windows")


def test_a_module_that_hides_one_of_pythons_own_is_named(here, tmp_path, monkeypatch):
    (tmp_path / "statistics.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert named(surroundings._python_path) == {"PYTHONPATH": ("fail", f"{tmp_path} hides statistics")}


def test_a_person_whom_the_machine_has_no_name_for_gets_one(here, monkeypatch):
    """By the variable that DVC looks at first, in all that we start; the doctor says what a typed dvc needs."""
    for name in USER_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 9)
    begin_process()
    assert os.environ["USER"] == f"uid{2**31 - 9}"
    assert named(surroundings._user)["user name"][0] == "warn"


def test_an_outer_job_conda_another_python_and_a_home_are_named(here, tmp_path, monkeypatch):
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o755)
    values = {"SLURM_JOB_ID": "7", "SLURM_CPU_BIND": "x", "CONDA_PREFIX": "/conda", "CONDA_DEFAULT_ENV": "base"}
    values |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": "/nonexistent"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert named(surroundings._outer_job)["outer job"][1].startswith("in job 7: 2 variables")
    assert set(named(surroundings._other_python)) == {"python on PATH", "conda"}
    assert named(surroundings._folders) == {"HOME": ("warn", "/nonexistent: cannot be written")}


def test_a_folder_says_what_its_name_costs(here, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(here)
    monkeypatch.setenv("PWD", str(tmp_path / "link"))
    assert named(surroundings._folders)["folder name"][0] == "ok"
    for name, verdict in (("a:b", "warn"), ("a#b", "warn"), ("{a}", "fail"), (os.fsdecode(b"\xe9"), "fail")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert named(surroundings._folders)["folder name"][0] == verdict
    with pytest.raises(UserError, match="UTF-8; rename it"):
        refuse_unusable_folder(Path())


@pytest.mark.parametrize(("mask", "verdict"), [(0o077, "warn"), (0o000, "warn"), (0o377, "fail")])
def test_an_odd_umask_is_named(here, mask, verdict):
    before = os.umask(mask)
    try:
        assert named(surroundings._umask)["umask"][0] == verdict
    finally:
        os.umask(before)


def test_no_git_is_a_finding_and_hides_no_other(here, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("trackstack.cluster.surroundings.MODULES", {})
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = {finding.what: finding for finding in examine()}
    assert (found["git"].verdict, found["git"].found) == ("fail", "git: not found")
    assert found["locks"].verdict == "ok"
