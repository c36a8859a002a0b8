"""A process that sleeps, and the same run started elsewhere meanwhile: one writer, one line, no point twice."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from support.processes import started, until
from support.recording import environment

from trackstack import UserError
from trackstack.tracking.run import start_run

RUN, STEPS = "r000000000001", 5
LOOP = f"""
import sys
from trackstack.tracking.run import start_run

with start_run("paced", {{}}, run_id="{RUN}") as run:
    for step in range({STEPS}):
        run.log({{"loss": 1 / (1 + step)}}, step)
        run.flush()
        print(step, flush=True)
        sys.stdin.readline()
"""


def test_a_run_whose_process_sleeps_is_refused_elsewhere_and_goes_on_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    command, given = [sys.executable, "-P", "-c", LOOP], environment(tmp_path, "")
    with started(command, cwd=tmp_path, env=given, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "0\n"
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it to sleep")
        with pytest.raises(UserError) as refused, start_run("paced", {}, run_id=RUN):
            pass
        os.kill(process.pid, signal.SIGCONT)
        process.communicate("\n" * STEPS, timeout=900)
    assert process.returncode == 0
    said = str(refused.value)
    assert said.startswith(f"run {RUN}: process {process.pid} on ")
    assert f", stopped (kill -CONT {process.pid} lets it go on), is at work on it; wait for its end" in said
    assert len(said.splitlines()) == 1
    (journal,) = (tmp_path / "runs" / RUN).glob("journal-*.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [record["step"] for record in records if record["type"] == "metrics"] == list(range(STEPS))
    assert records[-1]["status"] == "finished"
