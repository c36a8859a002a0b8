"""The lease of a run dies with its holder."""

import contextlib
import subprocess
import sys

import pytest
from support.processes import started
from support.projects import ROOT

from trackstack import UserError
from trackstack.system.lease import give_back_lease, is_live, keep_lease, take_lease

HOLDER = """
import sys
from pathlib import Path
from trackstack.system.lease import take_lease

take_lease(Path("r1"))
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holding(folder):
    """Another process that holds the lease of r1."""
    command = [sys.executable, "-P", "-c", HOLDER]
    with started(command, cwd=folder, stdin=subprocess.PIPE, env={"PYTHONPATH": str(ROOT / "src")}) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_lease_falls_with_its_holder(tmp_path):
    with holding(tmp_path) as process:
        assert is_live(tmp_path / "r1")
        process.kill()
        process.wait(900)
        assert not is_live(tmp_path / "r1")


def test_a_writer_that_lost_its_lock_to_another_one_writes_no_more(tmp_path):
    """As after a machine slept, while its file server gave the lock to the next one."""
    folder = tmp_path / "r1"
    take_lease(folder)
    keep_lease(folder)
    (folder / "lease.lock").open().close()  # which drops a POSIX lock
    with holding(tmp_path) as process:
        expected = (
            rf"^run r1: process {process.pid} on \S+ \(in {tmp_path}\) has taken it over; this process writes no"
        )
        with pytest.raises(UserError, match=expected):
            keep_lease(folder)
        give_back_lease(folder)
        assert is_live(folder)
        assert (folder / "lease.json").exists()


def test_a_writer_whose_folder_was_made_anew_writes_no_more(tmp_path):
    folder = tmp_path / "r1"
    take_lease(folder)
    (folder / "lease.lock").unlink()
    (folder / "lease.lock").touch()
    with pytest.raises(UserError, match="has taken it over"):
        keep_lease(folder)
