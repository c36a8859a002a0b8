"""What the stage that recorded a run put out: by the dvc.lock of that very execution, or not at all."""

import hashlib

import pytest
import yaml
from support.projects import run_in

from trackstack.core.files import read_json
from trackstack.records.own_stages import own_entries
from trackstack.records.query import every_run
from trackstack.tracking.journal import Journal

UPSTREAM = {"stage": "draw", "deps": ["draw.py"], "params": {}, "stages": {}, "data": []}


@pytest.fixture
def drawn(tmp_path):
    """A repository whose dvc.lock is that of a run's last execution; and what executes it once more."""
    (tmp_path / "draw.py").write_text("")
    stage = {"cmd": "python draw.py", "deps": ["draw.py"], "outs": ["out.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"draw": stage}}))
    run_in(tmp_path, "git init -q -b main && dvc init -q && git add -A && git commit -qm One")
    commit = run_in(tmp_path, "git rev-parse HEAD").stdout.strip()

    def draw(value, data=()):
        journal = Journal(tmp_path / "runs/r1")
        number = journal.attempt
        start = {"type": "start", "time": number, "run": "r1", "attempt": number, "stage": "run", "series": number}
        more = {
            "name": "draw",
            "params": {},
            "tags": {"source": commit},
            "environment": {},
            "upstream": UPSTREAM | {"data": [*data]},
        }
        journal.write(start | more)
        journal.write({"type": "metrics", "time": number, "step": 0, "values": {"value": value}})
        journal.write({"type": "end", "time": number, "status": "finished", "error": None})
        journal.close()
        entry = {"cmd": "python draw.py", "deps": [item("draw.py", b"")], "outs": [item("out.txt", b"%d" % value)]}
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"draw": entry}}))

    draw(1)
    return tmp_path, draw


def item(path, content):
    return {"path": path, "hash": "md5", "md5": hashlib.md5(content).hexdigest(), "size": len(content)}


def outputs_of(root):
    """By the series, the MD5 of what it put out."""
    found = {run.series.number: own_entries(run.series, root) for run in every_run(root)}
    return {number: [out["md5"] for entry in one.values() for out in entry["outs"]] for number, one in found.items()}


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_an_execution_with_another_outcome_is_not_taken_for_the_one_before(drawn):
    root, draw = drawn
    draw(2)
    assert outputs_of(root) == {1: [], 2: [md5(b"2")]}


def test_what_was_kept_with_the_run_in_time_stays(drawn):
    root, draw = drawn
    assert outputs_of(root) == {1: [md5(b"1")]}
    draw(2)
    assert outputs_of(root) == {1: [md5(b"1")], 2: [md5(b"2")]}
    assert read_json(root / "runs/r1/outputs-1.json", "")["stages"]["draw"]["outs"][0]["md5"] == md5(b"1")


def test_a_hash_of_before_dvc_3_is_not_compared_with_one_of_today(drawn):
    root, draw = drawn
    draw(2, data=[{"path": "draw.py", "md5": "of other line ends"}])
    assert outputs_of(root)[2] == [md5(b"2")]
    draw(3, data=[{"path": "draw.py", "hash": "md5", "md5": "of other content"}])
    assert outputs_of(root)[3] == []
