"""The work of a task: whom it waits for, and whom it ends with."""

import os
import sys
import threading

from support.processes import started, until
from support.projects import command_environment
from support.searches import search_in, suggested

from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.rungs import variables
from trackstack.cluster.search.task import MOST_STARTS, _wait_for_lost_processes, work, work_on
from trackstack.cluster.search.units import take_unit
from trackstack.cluster.supervisor import JobResult, Supervisor
from trackstack.cluster.sweep import TrialStatus
from trackstack.system.lease import give_back_lease
from trackstack.tracking.run import start_run

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


def test_a_trial_has_failed_after_starts_that_got_no_further_however_often_others_were_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    monkeypatch.setenv("DVC_EXP_NAME", "s-0000")
    search = search_in(tmp_path)
    with opened(search.log) as log:
        log.append(suggested(0))
    with start_run("net", {"lr": 0.1}) as run:
        run.log({"val_loss": 0.5}, 7)
    unit, supervisor = take_unit(search), Supervisor()
    search.sweep.write("s-0000", TrialStatus("running", attempts=MOST_STARTS, step=3))
    assert work_on(search, unit, supervisor).status == "interrupted", "there is no repository to make a clone of"
    after = search.sweep.status("s-0000")
    assert (after.attempts, after.step) == (1, 7)
    search.sweep.write("s-0000", TrialStatus("running", attempts=MOST_STARTS, step=7))
    assert work_on(search, unit, supervisor).status == "failed"
    reason = f"started {MOST_STARTS} times, each time cut short: killed"
    assert read_events(search.log)[-1] == {"event": "fail", "trial": 0, "member": 0, "reason": reason}
    give_back_lease(unit.folder)
