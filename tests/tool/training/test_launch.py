"""How many processes there are, and what they run."""

import os
import signal
import sys

import pytest
import torch

from trackstack import UserError
from trackstack.training.launch import launch, needs_workers, num_local


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TRACKSTACK_NPROC", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKSTACK_DEVICE", "cpu")


def test_one_process_is_enough_unless_more_are_asked_for(monkeypatch):
    assert (num_local(), needs_workers()) == (1, False)
    monkeypatch.setenv("TRACKSTACK_NPROC", "3")
    assert (num_local(), needs_workers()) == (3, True)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a run")
    assert not needs_workers(), "one of them starts no others"


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5"])
def test_a_bad_number_of_processes_is_one_line(monkeypatch, text):
    monkeypatch.setenv("TRACKSTACK_NPROC", text)
    with pytest.raises(UserError) as caught:
        num_local()
    assert str(caught.value) == f"TRACKSTACK_NPROC is {text!r}; expected a number of processes"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_gpus_any_number_of_processes_computes_on_the_cpu(monkeypatch):
    monkeypatch.setenv("TRACKSTACK_DEVICE", "cuda")
    monkeypatch.setenv("TRACKSTACK_NPROC", "2")
    assert num_local() == 2


def test_the_processes_find_their_modules_where_this_one_does_and_nothing_of_it_stays(tmp_path, monkeypatch):
    (tmp_path / "added").mkdir()
    (tmp_path / "added/job.py").write_text(
        "import os, sys, pathlib\npathlib.Path(sys.argv[1], os.environ['RANK']).write_text(os.environ['WORLD_SIZE'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "added"))
    monkeypatch.setenv("TRACKSTACK_NPROC", "2")
    before = os.environ.get("PYTHONPATH"), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    launch(["-m", "job", str(tmp_path)])
    assert {name: (tmp_path / name).read_text() for name in "01"} == {"0": "2", "1": "2"}
    after = os.environ.get("PYTHONPATH"), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before
    assert "job" not in sys.modules


def test_a_process_that_fails_is_named_with_its_exit_code(tmp_path, monkeypatch):
    (tmp_path / "job.py").write_text("import os, sys\nsys.exit(3 if os.environ['RANK'] == '1' else 0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_NPROC", "2")
    with pytest.raises(UserError, match=r"^process 1 of the training failed with exit code 3$"):
        launch(["-m", "job"])
