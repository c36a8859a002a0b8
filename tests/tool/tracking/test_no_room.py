"""A disk that is full: the run goes on, and its record is whole again as soon as there is room."""

import contextlib
import json

import pytest
from support.damage import no_room

from trackstack.records.query import list_runs
from trackstack.tracking.run import start_run

RUN = "r000000000001"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(bytes(20_000))
    return tmp_path


def records(home):
    lines = (home / f"runs/{RUN}/journal-1.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("bytes_left", [0, 1, 70, 110, 300])
def test_what_there_is_no_room_for_waits_and_is_written_in_its_order(home, capsys, bytes_left):
    with start_run("mine", {}, run_id=RUN) as run:
        run.log({"loss": 0.5}, 0)
        size = (home / f"runs/{RUN}/journal-1.jsonl").stat().st_size
        with no_room(size + bytes_left):
            for step in range(1, 6):
                run.log({"loss": 0.5}, step)
        run.log({"loss": 0.5}, 6)
        run.flush()
    assert [record["step"] for record in records(home) if record["type"] == "metrics"] == list(range(7))
    assert records(home)[-1]["status"] == "finished"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {home}/runs/{RUN}/journal-1.jsonl: ")
    assert line.endswith(": the run goes on, and its record waits for room")


def test_a_record_that_cannot_be_kept_costs_no_result_and_the_run_again_makes_it_whole(home, capsys):
    with contextlib.ExitStack() as full, start_run("mine", {}, run_id=RUN, stage="train") as run:
        full.enter_context(no_room((home / f"runs/{RUN}/journal-1.jsonl").stat().st_size))
        run.log({"loss": 0.5}, 0)
        run.log_artifact(home / "model")
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.endswith(": the run goes on, and its record waits for room")
    assert second.endswith("/model itself is whole")
    assert third.endswith("3 records, the end among them, were not kept; make room, and run it again")
    assert not (home / f"runs/{RUN}/artifacts/1/model").exists()
    with start_run("mine", {}, run_id=RUN, stage="train") as run:
        run.log({"loss": 0.5}, 0)
        run.log_artifact(home / "model")
    (row,) = list_runs(home)
    assert (row["status"], row["metrics"], row["damage"]) == ("finished", {"loss": 0.5}, [])
