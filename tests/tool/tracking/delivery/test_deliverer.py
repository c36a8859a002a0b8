"""One process delivers many runs, and when it is killed another one does."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from support.processes import started, until
from support.recording import environment, in_journals, in_sqlite, statuses

from trackstack.tracking.delivery.place import Place

SCRIPT = """
import sys
from trackstack.tracking.run import start_run

with start_run(sys.argv[1], {"name": sys.argv[1]}) as run:
    for step, line in enumerate(sys.stdin):
        run.log({"loss": 1 / (step + 1)}, step)
        print(step, flush=True)
"""


def log(run, steps):
    for step in steps:
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.stdout.readline() == f"{step}\n"


def end(run):
    _, error = run.communicate(timeout=900)
    assert (run.returncode, error) == (0, "")


def start(home, name, prefix=()):
    command = [*prefix, sys.executable, "-P", "script.py", name]
    pipe = subprocess.PIPE
    return started(command, cwd=home, env=environment(home, "sqlite"), stdin=pipe, stderr=pipe)


def deliverer(home, but=()):
    """The process of the one that lives."""
    found = []

    def is_there():
        places = [Place(home, folder) for folder in home.glob("runs/.delivery/*/*/*/")]
        found[:] = {place.deliverer() for place in places if place.is_served()} - {None, *but}
        return found

    until(is_there, "a deliverer")
    (process,) = found
    return process


@pytest.fixture
def home(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    yield tmp_path
    with contextlib.suppress(ProcessLookupError):
        os.kill(deliverer(tmp_path), signal.SIGTERM)


def test_one_process_serves_all_runs_and_another_run_starts_the_next_when_it_is_killed(home):
    with start(home, "one") as one, start(home, "two") as two:
        log(one, range(3))
        log(two, range(3))
        first = deliverer(home)
        os.kill(first, signal.SIGKILL)
        second = deliverer(home, but=[first])
        os.kill(second, signal.SIGKILL)
        log(two, range(3, 5))
        end(two)  # it waits for the third one
        third = deliverer(home, but=[first, second])
        log(one, range(3, 5))
        end(one)
        assert deliverer(home) == third, "it lingers, and serves both"
    assert statuses(home) == [("finished", 0)] * 2
    assert sorted(in_sqlite(home)) == sorted(in_journals(home))


def test_what_a_host_left_that_is_gone_is_delivered_by_another_one(home):
    """This host by another name; whoever was killed there calls nobody."""
    elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "-"]
    if subprocess.run([*elsewhere, "true"], capture_output=True, timeout=900, check=False).returncode:
        pytest.skip("only root gives a host another name")
    with start(home, "lost", elsewhere) as lost:
        log(lost, range(3))
        first = deliverer(home)
        for process in (first, lost.pid):
            os.kill(process, signal.SIGKILL)
        lost.wait(900)
    assert not (home / "project.db").exists() or len(in_sqlite(home)) <= 3
    with start(home, "here") as here:
        end(here)
        until(lambda: sorted(status for status, _ in statuses(home)) == ["finished", "lost"], "both to be there")
    assert sorted(in_sqlite(home)) == sorted(in_journals(home))
