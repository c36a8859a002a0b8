"""Runs as tables: the same figures as in the journals, to the last bit, whoever tells them."""

import math
import sqlite3
import struct

import pytest
from support.choosing import write_run, write_trial
from support.recording import in_journals, in_mlflow, trackstack
from support.sinks import START

import trackstack as package
from trackstack import UserError
from trackstack.records import frames
from trackstack.tracking.environment import destinations

# MLflow keeps an infinity as the largest finite number: that is its way, and not compared here.
AWKWARD = (0.1 + 0.2, 1e-308, -5e-324, math.nan, 1 / 3, 2.0**60 + 256)


def bits(value):
    """A float by its bits, NaN as NaN."""
    return "nan" if value is None or math.isnan(value) else struct.pack("<d", value).hex()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Six trials whose figures are hard to keep, and a run of another kind."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKSTACK_SINKS", "sqlite,mlflow")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        where = destinations(folder)
    for seed, value in enumerate(AWKWARD):
        figures = {"val_loss": value, "val_accuracy": seed / 7}
        write_trial(folder, 0.1 * (seed + 1), seed, seed % 2, figures, destinations=where)
    odd = {"lr": 1, "train": {"seed": "none"}, "user": "u", "layers": [1, 2]}
    write_run(folder, odd, {"lr": 0.5}, destinations={}, name="odd", status="failed")
    return folder


def test_the_table_the_database_mlflow_and_the_journals_agree_to_the_last_bit(home):
    trackstack(home, "sync", sinks="sqlite,mlflow")
    of_sweep = package.runs('train.model == "cnn"', home=home)
    assert len(of_sweep) == len(AWKWARD)
    keys = set(of_sweep["run"])
    expected = sorted((*point[:3], bits(point[3])) for point in in_journals(home) if point[0] in keys)
    assert len(expected) == len(AWKWARD) * 2 * 2
    table = package.points(of_sweep["run"], home=home)
    rows = table[["run", "metric", "step", "value"]].itertuples(index=False)
    assert sorted((run, metric, int(step), bits(value)) for run, metric, step, value in rows) == expected
    assert sorted((*point[:3], bits(point[3])) for point in in_mlflow(home)) == expected
    sql = "SELECT run_key, metric, epoch, value FROM points JOIN runs ON runs.id = run_id"
    with sqlite3.connect(home / "project.db") as connection:
        assert sorted((*point[:3], bits(point[3])) for point in connection.execute(sql)) == expected
    views = package.duckdb('train.model == "cnn"', home=home)
    rows = views.sql("SELECT run, metric, step, value FROM points").fetchall()
    assert sorted((*point[:3], bits(point[3])) for point in rows) == expected
    last = {run: value for run, metric, step, value in expected if (metric, step) == ("val_loss", 1)}
    assert {run: bits(value) for run, value in zip(of_sweep["run"], of_sweep["val_loss"], strict=True)} == last


def test_columns_have_types_of_their_own_and_names_that_mean_one_thing(home):
    table = package.runs(home=home, as_="arrow")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["train.epochs"] == "int64"
    assert kinds["train.lr"] == kinds["val_loss"] == kinds["metrics.lr"] == "double"
    assert kinds["started"] == "timestamp[us, tz=UTC]"
    assert kinds["train.seed"] == "string", "a number in some runs and a text in another"
    assert kinds["params.lr"] == "int64"
    assert table["params.user"].to_pylist()[-1] == "u"
    assert table["layers"].to_pylist()[-1] == "[1, 2]"
    assert table["started"].to_pylist()[0].timestamp() == START["time"]
    assert [value is None for value in table["val_loss"].to_pylist()] == [False] * 6 + [True], "NaN is not missing"
    frame = package.runs(home=home)
    assert (str(frame["train.epochs"].dtype), str(frame["train.lr"].dtype)) == ("Int64", "float64")
    assert frame.shape == table.shape == package.runs(home=home, as_="polars").shape
    assert list(package.points("odd", home=home, as_="polars")["value"]) == [-1.0, 0.5]


def test_the_home_is_one_parquet_file_with_its_curves(home, tmp_path):
    import duckdb

    file = tmp_path / "runs.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "RUNS_AT_ONCE", 3)
        assert trackstack(home, "runs", "export-table", str(file)) == f"{file}: 7 runs\n"
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT run, p.metric, p.step, p.value FROM (SELECT run, unnest(points) AS p FROM read_parquet(?))",
            [str(file)],
        ).fetchall()
        columns = [
            row[0] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
        ]
    assert sorted((*point[:3], bits(point[3])) for point in found) == sorted(
        (*point[:3], bits(point[3])) for point in in_journals(home)
    )
    assert columns == [*package.runs(home=home).columns, "points"]
    assert [path.name for path in tmp_path.iterdir()] == ["runs.parquet"]


def test_a_home_without_runs_is_an_empty_table(tmp_path):
    assert package.runs(home=tmp_path).empty
    assert package.points([], home=tmp_path).empty


def test_what_cannot_be_had_is_one_line(home, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"as_='excel': no such table; expected one of pandas, polars, arrow"):
        package.runs(home=home, as_="excel")
    with pytest.raises(UserError, match="nothing: no such run in"):
        package.points("nothing", home=home)
    with pytest.raises(UserError, match=r"gone/runs.parquet: there is no folder .*gone; expected a file"):
        frames.export_table(tmp_path / "gone/runs.parquet", home=home)
    with pytest.raises(UserError, match=r": a folder; expected a file such as runs.parquet"):
        frames.export_table(tmp_path, home=home)
    monkeypatch.setattr(frames, "is_installed", lambda package: package != "duckdb")
    with pytest.raises(UserError, match=r'^duckdb is not installed; type: pip install "trackstack\[dataframes\]"$'):
        package.duckdb(home=home)


def test_a_figure_that_is_a_very_large_whole_number_is_in_the_table(tmp_path):
    write_run(tmp_path, {}, {"steps": 2**70, "loss": 2**53 + 1}, destinations={}, name="large")
    (row,) = package.runs(home=tmp_path, as_="arrow").select(["steps", "loss"]).to_pylist()
    assert row == {"steps": 2.0**70, "loss": 2.0**53}


def test_what_is_damaged_is_said_and_hides_no_other(home, tmp_path):
    run = write_run(tmp_path, {"a": 1}, {"loss": 1.0})
    write_run(tmp_path, {"a": 2}, {"loss": 2.0})
    (tmp_path / "runs" / run / "journal-1.jsonl").write_text("nothing\n")
    with pytest.warns(UserWarning, match="line 1 is damaged|no journal in it has a start"):
        found = package.runs(home=tmp_path)
    assert sorted(found["status"]) == ["damaged", "finished"]
    with pytest.warns(UserWarning, match="no journal in it has a start"):
        assert package.duckdb(home=tmp_path).sql("SELECT count(*) FROM points").fetchall() == [(2,)]
