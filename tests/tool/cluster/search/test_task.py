"""The work of a task: whom it waits for, and whom it ends with."""

import os
import sys
import threading

from support.processes import started, until
from support.projects import command_environment
from support.searches import search_in

from trackstack.cluster.search.rungs import variables
from trackstack.cluster.search.task import _wait_for_lost_processes, work
from trackstack.cluster.supervisor import JobResult, Supervisor

SLEEP = [sys.executable, "-c", "import time; print('there', flush=True); time.sleep(600)"]


def test_it_waits_for_what_a_killed_task_left_in_a_clone_and_not_for_somebodys_shell(tmp_path, capsys):
    of_trial = variables(tmp_path, 0, 0)
    with started(SLEEP, cwd=tmp_path) as shell:
        assert shell.stdout.readline() == "there\n"
        _wait_for_lost_processes(tmp_path, of_trial)
        assert capsys.readouterr().out == ""
        with started(SLEEP, cwd=tmp_path, env=command_environment() | of_trial) as lost:
            assert lost.stdout.readline() == "there\n"
            _wait_for_lost_processes(tmp_path, variables(tmp_path, 1, 0))
            waiting = threading.Thread(target=_wait_for_lost_processes, args=(tmp_path, of_trial))
            waiting.start()
            said = []
            until(lambda: said.append(capsys.readouterr().out) or "".join(said), "it to say whom it waits for")
            assert "".join(said) == f"waiting for process {lost.pid}, whose task was killed\n"
            assert waiting.is_alive()
            lost.kill()
            lost.wait()
            waiting.join(60)
            assert not waiting.is_alive()


def test_a_worker_whose_command_is_gone_takes_nothing_and_asks_its_training_to_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    search, supervisor = search_in(tmp_path), Supervisor()
    supervisor.folder.mkdir(parents=True)
    nobody = os.getpid()  # who is not the parent of this process
    assert work(search, supervisor, nobody) == JobResult("interrupted", "stopped between two trials")
    until(supervisor.stop_file.exists, "the stop file")
    assert not (search.sweep.folder / "units").exists()
