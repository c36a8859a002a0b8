"""Who makes the parts, and what is said where there is no Dask, no scheduler, or no worker."""

import os
import sys

import pytest

from trackstack import UserError
from trackstack.system import dask_workers
from trackstack.system.dask_workers import dask_client, tasks_of_job

KEYS = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in os.environ:
        if name.startswith(("SLURM_", "TRACKSTACK_", "DASK_")):
            monkeypatch.delenv(name)


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Set what a job is for; `srun` is there."""
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "1")

    def describe(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))

    return describe


def test_a_job_is_for_a_process_on_each_node_or_as_many_as_it_says(job, monkeypatch):
    assert tasks_of_job() == 1
    job(JOB_NUM_NODES=4)
    assert tasks_of_job() == 4
    job(NTASKS_PER_NODE=2)
    assert tasks_of_job() == 8
    job(NTASKS=9)
    assert tasks_of_job() == 9
    job(STEP_NUM_TASKS=9)
    assert tasks_of_job() == 1, "the others are there already"
    job(STEP_NUM_TASKS=1)
    assert tasks_of_job() == 9
    monkeypatch.delenv("SLURM_JOB_ID")
    assert tasks_of_job() == 1


def test_a_job_without_dask_says_so_and_works_on_one_node(job, tmp_path, monkeypatch, capsys):
    job(JOB_NUM_NODES=2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with dask_client(tmp_path, most=0) as client:
        assert client is None
    assert capsys.readouterr().err == ""
    with dask_client(tmp_path, most=2) as client:
        assert client is None
    assert capsys.readouterr().err == (
        'Dask is not installed, so that this node works alone; for all nodes: pip install "trackstack[dask]"\n'
    )


def refusal(folder):
    with pytest.raises(UserError) as caught, dask_client(folder, most=9):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_scheduler_that_is_named_needs_dask(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_DASK", "tls://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert refusal(tmp_path) == (
        'TRACKSTACK_DASK is set, and Dask is not installed; type: pip install "trackstack[dask]"'
    )


def test_what_is_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 0.5)
    (tmp_path / "file.json").write_text("{}")
    expected = "expected a scheduler's address, tls://HOST:PORT, or its file"
    for given, said in {
        "nonsense": f": No such file or directory; {expected}",
        "file.json": f": no file of a scheduler; {expected}",
        "tls://127.0.0.1:1": f": with TLS Dask must be told of its keys; export {KEYS}, ",
        "127.0.0.1:1": ": no scheduler answers at tcp://127.0.0.1:1 (Timed out trying to connect to tcp://",
    }.items():
        monkeypatch.setenv("TRACKSTACK_DASK", given)
        assert refusal(tmp_path).startswith(f"TRACKSTACK_DASK is {given!r}{said}")


def test_workers_that_slurm_does_not_start_are_one_line_with_its_reason_and_leave_no_key(
    cluster, tmp_path, monkeypatch
):
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster.environment[name])
    monkeypatch.setenv("SLURM_JOB_ID", "9999999")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    said = refusal(tmp_path)
    assert said.startswith("Dask's workers did not start: srun: ")
    assert said.endswith(" invalid job 9999999; with one node none are needed: sbatch --nodes=1")
    assert not list(tmp_path.iterdir())
