"""The SQLite sink: every point exactly once and exactly as recorded, whatever happens to a delivery."""

import json
import math
import os
import resource
import struct
import tempfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sinks import BATCH, RUN, START, STARTED, batches, epochs, kill_delivery, make_series, metrics, system

from trackstack import UserError
from trackstack.tracking import db
from trackstack.tracking.sinks import open_sink

POINTS = "SELECT metric, epoch, value, recorded_at FROM points ORDER BY metric, epoch"


def series(number=1, status="running", **state):
    return make_series(Path("runs", RUN), status, number, **state)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "project.db"


@pytest.fixture
def sink(path):
    return open_sink("sqlite", {"path": str(path)})


def rows(path, query):
    with closing(db.get_connection(path)) as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_a_series_becomes_a_row_with_its_dataset_and_lineage(sink, path):
    sink.deliver(series(), [])
    with closing(db.get_connection(path)) as connection:
        run = dict(connection.execute("SELECT * FROM runs").fetchone())
        dataset = dict(connection.execute("SELECT * FROM datasets").fetchone())
    assert json.loads(run.pop("config")) == START["params"]
    assert run == {
        "id": 1,
        "dataset_id": 1,
        "model_name": "cnn",
        "started_at": "2025-07-31 22:13:20",
        "finished_at": None,
        "status": "running",
        "run_key": "r0123456789ab",
        "attempt": 1,
        "name": "cnn-quick-fox",
        "stage": "train",
        "user": "ada",
        "host": "node7",
        "git_commit": "c0ffee",
        "dvc_exp": "lucky-cat",
        "slurm_job_id": "4711",
        "error": None,
        "reproduced": 0,
    }
    assert dataset.pop("created_at")
    assert dataset == {
        "id": 1,
        "name": "tiny",
        "version": "ffbd28c19235",
        "path": "data/raw/tiny",
        "num_samples": 244102,
        "description": "Ten subjects",
        "digest": "d1",
    }
    assert rows(path, "SELECT * FROM lineage ORDER BY stage") == [
        (1, "ingest", "d1"),
        (1, "parquet", "d2"),
        (1, "tensor_cache", "d3"),
    ]


def test_the_state_of_a_series_follows_its_deliveries(sink, path):
    query = "SELECT status, finished_at, error, reproduced FROM runs"
    sink.deliver(series(), [metrics(1, loss=0.5)])
    sink.deliver(series(status="failed", finished=1754000065.9, error="ValueError: no"), [])
    assert rows(path, query) == [("failed", "2025-07-31 22:14:25", "ValueError: no", 0)]
    sink.deliver(series(status="running"), [])
    assert rows(path, query) == [("running", None, None, 0)]
    sink.deliver(series(status="finished", finished=1754000125.0, reproduced=2), [])
    assert rows(path, query) == [("finished", "2025-07-31 22:15:25", None, 2)]


def test_a_run_without_data_or_a_models_name_is_called_by_its_own(sink, path):
    sink.deliver(series(start={"run": "rffffffffffff", "data": None, "tags": {}}), [metrics(1, loss=0.5)])
    found = rows(path, "SELECT dataset_id, model_name, git_commit, dvc_exp, slurm_job_id FROM runs")
    assert found == [(None, "cnn-quick-fox", None, None, None)]
    assert rows(path, "SELECT count(*) FROM metrics") == [(1,)]


def test_another_series_of_a_run_is_another_row_on_the_same_dataset(sink, path):
    for number in (1, 3):
        assert not sink.has(series(number))
        sink.deliver(series(number), [metrics(1, loss=number / 2)])
        assert sink.has(series(number))
    found = rows(path, "SELECT attempt, dataset_id, value FROM runs JOIN metrics ON run_id = runs.id")
    assert found == [(1, 1, 0.5), (3, 1, 1.5)]


def test_a_dataset_of_the_same_name_with_other_content_is_another_row(sink, path):
    sink.deliver(series(), [])
    data = START["data"] | {"version": "new", "digests": {"ingest": "other"}}
    sink.deliver(series(start={"run": "rffffffffffff", "data": data}), [])
    found = rows(path, "SELECT r.run_key, d.version FROM runs r JOIN datasets d ON d.id = r.dataset_id")
    assert found == [("r0123456789ab", "ffbd28c19235"), ("rffffffffffff", "new")]


def test_a_dataset_that_was_described_anew_stays_the_same_row(sink, path):
    sink.deliver(series(), [])
    data = START["data"] | {"description": "Ten subjects, 50 Hz", "path": "data/raw/moved"}
    sink.deliver(series(start={"run": "rffffffffffff", "data": data}), [])
    found = rows(path, "SELECT id, description, path FROM datasets")
    assert found == [(1, "Ten subjects, 50 Hz", "data/raw/moved")]


def test_repeated_and_overlapping_deliveries_leave_each_point_once(sink, path):
    records = [metrics(step, loss=1 / step, accuracy=step / 9) for step in range(1, 9)]
    for first, end in [(0, 3), (0, 3), (1, 6), (0, 8), (4, 5)]:
        sink.deliver(series(), records[first:end])
    assert rows(path, POINTS) == [
        *[("accuracy", step, step / 9, STARTED + step) for step in range(1, 9)],
        *[("loss", step, 1 / step, STARTED + step) for step in range(1, 9)],
    ]


@pytest.mark.parametrize("apart", [True, False])
def test_the_first_record_of_a_point_wins_with_its_time(sink, path, apart):
    first = [metrics(1, STARTED + 10, loss=0.5), metrics(2, STARTED + 11, loss=math.nan)]
    later = [metrics(1, loss=math.nan), metrics(2, loss=0.25), metrics(1, STARTED + 22, loss=9.0)]
    for batch in [first, later] if apart else [first + later]:
        sink.deliver(series(), batch)
    assert rows(path, POINTS) == [("loss", 1, 0.5, STARTED + 10), ("loss", 2, None, STARTED + 11)]


def test_the_use_of_the_machine_is_not_among_the_metrics(sink, path):
    sink.deliver(series(), [system(1.0, cpu_percent=93.0)])
    assert rows(path, POINTS) == []


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats() | st.integers(-(2**53), 2**53).map(float), min_size=1, max_size=20))
def test_values_come_back_bit_for_bit_but_for_the_sign_of_zero(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("values") / "project.db"
    sink = open_sink("sqlite", {"path": str(path)})
    sink.deliver(series(), [metrics(step, loss=value) for step, value in enumerate(values)])
    found = [
        math.nan if value is None else value for (value,) in rows(path, "SELECT value FROM points ORDER BY epoch")
    ]
    bits = [struct.pack("d", value) for value in found]
    assert bits == [struct.pack("d", math.nan if math.isnan(value) else value + 0.0) for value in values]


def test_the_guides_queries_and_pandas_read_what_was_delivered(sink, path):
    sink.deliver(series(), [metrics(1, val_accuracy=0.85), metrics(2, val_accuracy=0.95)])
    sink.deliver(series(2), [metrics(1, val_accuracy=0.7), metrics(2, val_accuracy=math.nan)])
    query = """
        SELECT d.name AS dataset, r.model_name, r.attempt, max(m.value) AS best
        FROM runs r JOIN metrics m ON m.run_id = r.id JOIN datasets d ON d.id = r.dataset_id
        WHERE m.metric = 'val_accuracy' AND m.value > 0.6 GROUP BY r.id ORDER BY best DESC"""
    with closing(db.get_connection(path)) as connection:
        frame = pd.read_sql(query, connection)
    assert frame.to_dict("list") == {
        "dataset": ["tiny", "tiny"],
        "model_name": ["cnn", "cnn"],
        "attempt": [1, 2],
        "best": [0.95, 0.7],
    }
    assert frame["best"].dtype == "float64"


def test_artifacts_are_listed_once_with_their_latest_digest(sink, path):
    model = {"type": "artifact", "time": 1.0, "kind": "model", "path": "artifacts/model", "digest": "a"}
    report = {"type": "artifact", "time": 1.0, "kind": "report", "path": "artifacts/report.html", "digest": "b"}
    sink.deliver(series(), [])
    for artifacts in [[model], [model, report], [model, report, report | {"digest": "c"}]] * 2:
        sink.deliver_artifacts(series(artifacts=artifacts))
    assert rows(path, "SELECT kind, path, digest FROM artifacts ORDER BY kind") == [
        ("model", "artifacts/model", "a"),
        ("report", "artifacts/report.html", "c"),
    ]


def test_asking_for_a_series_does_not_create_a_database(sink, path):
    assert not sink.has(series())
    assert not list(path.parent.iterdir())


def test_a_database_that_is_gone_or_empty_has_no_series(sink, path):
    sink.deliver(series(), [])
    path.unlink()
    assert not sink.has(series())
    path.touch()
    assert not sink.has(series())
    sink.deliver(series(), [metrics(1, loss=0.5)])
    assert sink.has(series())


def test_the_lock_lies_beside_the_file_that_is_written(sink, path, tmp_path):
    assert sink.lock_file() == path.with_name("project.db.lock")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "linked.db"
    link.symlink_to(path)
    assert open_sink("sqlite", {"path": str(link)}).lock_file() == sink.lock_file()


def delivery_fails(sink):
    with pytest.raises(UserError) as caught:
        sink.deliver(series(), [metrics(1, loss=0.5)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing_or_no_database_are_each_said_in_a_line(path):
    missing = path.parent / "missing" / "project.db"
    assert delivery_fails(open_sink("sqlite", {"path": str(missing)})) == (
        f"{missing}: cannot be opened; expected a folder that exists and is writable"
    )
    path.write_text("some notes of mine\n" * 100)
    sink = open_sink("sqlite", {"path": str(path)})
    assert delivery_fails(sink).startswith(f"{path}: damaged (file is not a database); type: ")
    with pytest.raises(UserError, match="file is not a database"):
        sink.has(series())
    below = open_sink("sqlite", {"path": str(path / "project.db")})
    with pytest.raises(UserError, match="Not a directory"):
        below.has(series())


def in_a_child(function):
    """Run a function in a forked process, in which it may give up what it is allowed to; its exit status."""
    if not (child := os.fork()):
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_read_only_database_is_said_in_a_line_and_catches_up_later(sink, path):
    sink.deliver(series(), [])

    def deliver_as_a_stranger():
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write anything
        assert delivery_fails(sink) == f"{path}: attempt to write a readonly database"

    if os.geteuid() == 0:
        for folder in path.parents:
            if Path(tempfile.gettempdir()) in folder.parents:
                folder.chmod(0o755)
    path.parent.chmod(0o555)
    path.chmod(0o444)
    assert in_a_child(deliver_as_a_stranger) == 0
    path.parent.chmod(0o755)
    path.chmod(0o644)
    sink.deliver(series(), [metrics(1, loss=0.5)])
    assert rows(path, "SELECT epoch, value FROM points") == [(1, 0.5)]


def test_a_full_disk_is_said_in_a_line_and_leaves_the_last_whole_batch(sink, path):
    done = [metrics(step, loss=step / 3) for step in range(10)]
    large = [metrics(step, loss=step / 3) for step in range(20_000)]
    sink.deliver(series(), done)

    def deliver_without_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        with pytest.raises(UserError) as caught:
            sink.deliver(series(), large)
        assert str(caught.value) in (f"{path}: disk I/O error", f"{path}: database or disk is full")

    assert in_a_child(deliver_without_space) == 0
    assert rows(path, "SELECT count(*) FROM points") == [(10,)]
    sink.deliver(series(), large)
    assert rows(path, "SELECT count(*), count(DISTINCT epoch) FROM points") == [(20_000, 20_000)]


def test_a_delivery_killed_at_any_instant_can_be_repeated(sink, path):
    counts = [0]
    for after in (0, 1, 7):
        kill_delivery("sqlite", {"path": str(path)}, Path("runs", RUN), after)
        counts.append(rows(path, "SELECT count(*) FROM points")[0][0])
    assert [count % (2 * BATCH) for count in counts] == [0] * 4, "each batch was delivered whole or not at all"
    assert counts == sorted(counts)
    assert counts[-1] >= 7 * 2 * BATCH
    steps = counts[-1] // 2 + 3 * BATCH
    sink.deliver(series(), [record for batch in batches(steps) for record in batch])
    assert rows(path, POINTS) == [
        *[("loss", record["step"], record["values"]["loss"], record["time"]) for record in epochs(0, steps)],
        *[("lr", record["step"], record["values"]["lr"], record["time"]) for record in epochs(0, steps)],
    ]
    assert rows(path, "SELECT count(*) FROM runs") == [(1,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
