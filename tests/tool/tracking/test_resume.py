"""A run that is interrupted and gone on with, by real processes on real back ends."""

import socket

import pytest
from support.processes import until
from support.recording import (
    EVERYTHING,
    but_for_delays,
    in_back_ends,
    in_journals,
    record,
    start,
    statuses,
    wait_until_nobody_delivers,
)

from trackstack.tracking.delivery.note import read_note

SCRIPT = """
import sys
from trackstack.tracking.run import start_run

series, steps, code = int(sys.argv[1]) or None, int(sys.argv[2]), int(sys.argv[3])
with start_run("resumed", {}, run_id="r0123456789ab", series=series) as run:
    for step in range(steps):
        run.log({"loss": 1 / (step + 3)}, step)
    sys.exit(code)
"""


def wait_until_ended(folder, attempt):
    until(lambda: attempt in read_note(folder)["ended"], f"attempt {attempt} to be delivered")


def test_a_run_gone_on_with_reproduced_and_evaluated_is_one_run_with_each_point_once(tmp_path):
    pytest.importorskip("wandb")
    sinks = ",".join(EVERYTHING)
    record(tmp_path, sinks, "0", "30", "75", script=SCRIPT, expect=75)
    record(tmp_path, sinks, "1", "50", "0", script=SCRIPT)  # the first one's child may still be at work
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 0)]
    record(tmp_path, sinks, "0", "50", "0", script=SCRIPT)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 1)]
    measured = SCRIPT.replace("series=series", 'series=series, stage="evaluate"').replace('"loss"', '"test_loss"')
    record(tmp_path, sinks, "1", "2", "0", script=measured)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 1)]
    expected = sorted(in_journals(tmp_path))
    assert [name for _, name, _, _ in expected] == ["loss"] * 50 + ["test_loss"] * 2
    for name, points in in_back_ends(tmp_path, EVERYTHING).items():
        assert points == expected, name


def test_a_run_that_began_without_mlflow_and_goes_on_with_it_is_all_there_and_stays_where_it_began(tmp_path):
    stage = SCRIPT.replace("series=series", 'stage="train"')
    record(tmp_path, "sqlite", "0", "30", "75", script=stage, expect=75)
    record(tmp_path, "mlflow", "0", "40", "75", script=stage, expect=75)
    said = record(tmp_path, "mlflow", "0", "50", "0", script=stage, MLFLOW_EXPERIMENT_NAME="other")
    assert said == (
        "warning: mlflow: run r0123456789ab goes on where it began, with experiment trackstack, not other\n"
    )
    wait_until_nobody_delivers(tmp_path)
    expected = sorted(in_journals(tmp_path))
    assert len(expected) == 50
    for name, points in in_back_ends(tmp_path, ("sqlite", "mlflow")).items():
        assert points == expected, name


def test_a_delivery_that_hangs_does_not_keep_the_next_attempt_from_its_record(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for series, steps, code in (("0", "30", 75), ("1", "50", 0)):
            arguments = (series, steps, str(code))
            process = start(tmp_path, "sqlite,mlflow", *arguments, script=SCRIPT, MLFLOW_TRACKING_URI=uri)
            _, error = process.communicate(timeout=240)
            assert process.returncode == code
            # Whoever interrupts a run does not want to wait, and is told nothing.
            assert error.count("warning: mlflow: ") == (0 if code else 1), error
            assert but_for_delays(error) == ""
    wait_until_ended(tmp_path / "runs/r0123456789ab", attempt=2)  # by its own child, which waited for the first one's
    assert statuses(tmp_path) == [("finished", 0)]
    assert in_back_ends(tmp_path, ("sqlite",)) == {"sqlite": sorted(in_journals(tmp_path))}
