"""Many who ask for work at once: each trial is one process's, and a kill gives it back."""

import subprocess
import sys

from support.processes import started
from support.projects import command_environment
from support.searches import search_in

from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.looks import replay
from trackstack.cluster.search.units import take_unit
from trackstack.system.lease import give_back_lease

ASK = """
import os, sys
import numpy  # once, for all
from pathlib import Path
from trackstack.cluster.search import load_search
from trackstack.cluster.search.units import take_unit

search, children = load_search(Path(sys.argv[1])), []
for _ in range(64):
    if not (child := os.fork()):
        unit = take_unit(search)
        os.write(1, f"{unit.trial if unit else None}\\n".encode())
        os.read(0, 1)  # it keeps its unit until all have asked
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


def ask(search):
    """The trials that 64 processes get which ask at once, all of which keep theirs meanwhile."""
    command = [sys.executable, "-P", "-c", ASK, str(search.sweep.folder)]
    with started(command, env=command_environment(), stdin=subprocess.PIPE) as process:
        found = [process.stdout.readline().strip() for _ in range(64)]
        process.stdin.close()
        assert process.wait(60) == 0
        process.stdin = None
    return found


def test_of_64_that_ask_at_once_each_gets_a_trial_of_its_own(tmp_path):
    search = search_in(tmp_path, prune="none")
    with opened(search.log) as log:
        log.append({"event": "begin", "trials": 60, "budget": None})
    assert sorted(ask(search)) == sorted([*map(str, range(60)), *["None"] * 4])
    suggested = [event["trial"] for event in read_events(search.log) if event["event"] == "suggest"]
    assert suggested == list(range(60))
    assert list(replay(search)) == []
    assert "0" in ask(search), "who had it is gone"
    assert len(read_events(search.log)) == 62, "nothing was decided anew"


def test_a_unit_says_what_makes_its_experiment(tmp_path):
    search = search_in(
        tmp_path, over=[["params.json:seed=0"], ["params.json:seed=1"]], space={"m": {"choice": ["a"]}}
    )
    found = [take_unit(search) for _ in range(2)]
    assert [(unit.trial, unit.member, unit.run) for unit in found] == [
        (0, 0, ("s-0000-0", ["m='a'", "params.json:seed=0"])),
        (0, 1, ("s-0000-1", ["m='a'", "params.json:seed=1"])),
    ]
    for unit in found:
        give_back_lease(unit.folder)
    assert take_unit(search).trial == 0
