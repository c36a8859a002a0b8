"""`trackstack repair` mends what a kill left behind, and touches nothing that is whole or in use."""

import json
import os
import signal

import pytest
import yaml
from conftest import ROOT, edit_yaml
from test_resume import begin, wait_for_epoch


def test_nothing_is_said_where_nothing_is_wrong(tiny_project, run):
    before = (tiny_project / "dvc.lock").read_bytes()
    assert run(tiny_project, "trackstack repair").stdout == ""
    assert (tiny_project / "dvc.lock").read_bytes() == before


@pytest.mark.parametrize("part", [0, 0.5, 0.999])
def test_a_dvc_lock_cut_anywhere_is_restored(project, run, part):
    lock = project / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[: int(len(whole) * part)])
    (project / ".dvc/tmp/rwlock").write_text('{"write": {')
    lines = run(project, "trackstack repair").stdout.splitlines()
    assert ".dvc/tmp/rwlock: was cut short by a kill; removed" in lines
    run(project, "dvc repro")
    assert yaml.safe_load(lock.read_bytes()) == yaml.safe_load(whole)
    assert run(project, "dvc status").stdout == "Data and pipelines are up to date.\n"


def test_an_orphan_is_ended_and_a_dvc_at_work_is_left_alone(project, run):
    edit_yaml(project / "params.yaml", {"train": {"epochs": 100000}})
    process = begin(project, "exec dvc repro")
    wait_for_epoch(process, 1)
    error = run(project, "trackstack repair", expect=1).stderr
    assert error == f"process {process.pid}: dvc is at work here; wait for its end, or stop it\n"
    os.kill(process.pid, signal.SIGSTOP)  # so that its end is not seen by the trainer before repair asks
    process.kill()
    process.wait()
    run(project, "trackstack repair")
    process.stdout.read()  # returns when the orphan has closed its end
    (journal,) = (file for file in project.glob("runs/*/journal-1.jsonl") if "100000" in file.read_text())
    assert json.loads(journal.read_text().splitlines()[-1])["status"] == "interrupted"


def test_a_repro_killed_anywhere_ends_with_the_bytes_of_an_undisturbed_one(project, run):
    """Five kills of the fifty that benchmarks/kill_anywhere.py does."""
    run(project, "dvc config cache.type copy")
    command = ["python", str(ROOT / "benchmarks/kill_anywhere.py"), "--kills", "5", "--seed", "1"]
    output = run(project, [*command, "--project", str(project)]).stdout
    assert output.splitlines()[-1].startswith("5 kills, 0 with other bytes; phases hit: ")
    assert output.count("same bytes") == 5
    assert " in train " in output
