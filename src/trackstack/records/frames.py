"""Runs as tables, for Python and notebooks: `trackstack.runs()`, `points()`, `duckdb()`, and one Parquet file.

A table is made as Arrow's, with a type for each column, and handed on as pandas' or Polars'. Packages are imported
when a table is wanted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackstack import UserError
from trackstack.records.choosing.listing import choose_runs
from trackstack.records.index.index import RunIndex, read_index
from trackstack.records.index.rows import FACTS, IndexedRun
from trackstack.records.query import find_indexed, read_series
from trackstack.records.reading import points_of
from trackstack.tracking.environment import home as usual_home
from trackstack.tracking.sinks import is_installed

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = {"pandas": ("pyarrow", "pandas"), "polars": ("pyarrow", "polars"), "arrow": ("pyarrow",)}
"""What a table can be, and the packages that it takes."""
EXACT = 2**53
"""Up to it a float holds every whole number."""
RUNS_AT_ONCE = 200
Home = Path | str | None


def runs(where: str | None = None, *, as_: str = "pandas", home: Home = None) -> Any:
    """A table with a row per run, oldest first: what `runs list` knows, every metric's last value, every parameter.

    Columns are called as in `--where`: parameters by dotted names, `params.` or `metrics.` before a name that would
    be there twice. What a run does not have is missing. Numbers, truth values and texts have types of their own; a
    parameter that is a list, or not of the same kind in all runs, is JSON text.

    Args:
        where: only these runs, such as `val_accuracy > 0.9 and train.model == "cnn"`.
        as_: pandas, polars or arrow.
        home: the folder that holds `runs/`; by default TRACKSTACK_HOME, or the working folder.

    Raises:
        UserError: a name that no run has; a package that is not installed.
    """
    _need(as_)
    return _as(_runs_table(_chosen(_index(home), where)), as_)


def points(run: str | Iterable[str], *, as_: str = "pandas", home: Home = None) -> Any:
    """A table with a row per value of a metric: run, metric, step, value, time.

    Args:
        run: an id, the beginning of one, or a name; or several, such as `trackstack.runs()["run"]`.
        as_: pandas, polars or arrow.
        home: see `runs`.

    Raises:
        UserError: no such run; a package that is not installed.
    """
    _need(as_)
    index = _index(home)
    keys = [run] if isinstance(run, str) else list(run)
    return _as(_points_table(find_indexed(index, str(key)) for key in keys), as_)


def duckdb(where: str | None = None, *, home: Home = None) -> Any:
    """A DuckDB connection with the views `runs` and `points`, for SQL over all that was recorded.

    trackstack.duckdb().sql("SELECT run, max(value) FROM points WHERE metric = 'val_accuracy' GROUP BY run")

    Args:
        where: only these runs; see `runs`.
        home: see `runs`.
    """
    _need("arrow", "duckdb")
    import duckdb as engine

    chosen = _chosen(_index(home), where)
    connection = engine.connect()
    connection.register("runs", _runs_table(chosen))
    connection.register("points", _points_table(run for run in chosen if run.number))
    return connection


def export_table(file: Path, where: str | None = None, *, home: Home = None) -> int:
    """Write the runs of a home as one Parquet file, which appears whole or not at all; returns how many there are.

    A row is one of `runs()`, with its points as a list in the column `points`: metric, step, value and time of each.

    Raises:
        UserError: it cannot be written; a package that is not installed.
    """
    _need("arrow")
    import pyarrow.parquet as pq

    chosen = _chosen(_index(home), where)
    table = _runs_table(chosen)
    if file.is_dir() or not file.parent.is_dir():
        why = "a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise UserError(f"{file}: {why}; expected a file such as runs.parquet")
    partial = file.with_name(f".{file.name}.partial")
    try:
        schema = table.schema.append(_points_field())
        with partial.open("wb") as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for start in range(0, len(chosen), RUNS_AT_ONCE):
                some = chosen[start : start + RUNS_AT_ONCE]
                rows = table.slice(start, RUNS_AT_ONCE)
                writer.write_table(rows.append_column(_points_field(), _points_lists(some)))
        partial.replace(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
    return len(chosen)


def _need(as_: str, *more: str) -> None:
    if as_ not in KINDS:
        raise UserError(f"as_={as_!r}: no such table; expected one of {', '.join(KINDS)}")
    for package in (*KINDS[as_], *more):
        if not is_installed(package):
            raise UserError(f'{package} is not installed; type: pip install "trackstack[dataframes]"')


def _index(home: Home) -> RunIndex:
    index = read_index(Path(home).absolute() if home is not None else usual_home())
    for text in index.damage():
        warnings.warn(text, stacklevel=3)
    return index


def _chosen(index: RunIndex, where: str | None) -> list[IndexedRun]:
    return choose_runs(index, where).runs


def _runs_table(chosen: Sequence[IndexedRun]) -> pa.Table:
    import pyarrow as pa

    figures = list(dict.fromkeys(name for run in chosen for name in run.figures))
    params = list(dict.fromkeys(name for run in chosen for name in run.params))
    columns = {name: pa.array([_fact(run, name) for run in chosen], kind) for name, kind in _fact_types().items()}
    for name in figures:
        values = [float(run.figures[name]) if name in run.figures else None for run in chosen]
        twice = name in params or name in FACTS
        columns[f"metrics.{name}" if twice else name] = pa.array(values, pa.float64(), from_pandas=False)
    for name in params:
        twice = name in figures or name in FACTS
        columns[f"params.{name}" if twice else name] = _typed([run.params.get(name) for run in chosen])
    return pa.table(columns)


def _fact_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    other = {
        "reproduced": pa.int64(),
        "promoted": pa.bool_(),
        "started": pa.timestamp("us", "UTC"),
        "seconds": pa.float64(),
        "tagged": pa.list_(pa.string()),
        "notes": pa.list_(pa.string()),
    }
    return {name: other.get(name, pa.string()) for name in FACTS}


def _fact(run: IndexedRun, name: str) -> Any:
    """What is known of every run, as its column has it."""
    value = run.facts[name]
    if name == "notes":
        return [note["text"] for note in value]
    return _microseconds(value) if name == "started" and value is not None else value


def _microseconds(seconds: float) -> int:
    """A time as Arrow counts it."""
    return round(seconds * 1e6)


def _typed(values: list[Any]) -> pa.Array:
    """Values of JSON as a column of one type; JSON text where there is none that holds them all."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return pa.array(values, pa.int64())
    if kinds in ({float}, {int, float}) and all(isinstance(v, float) or abs(v or 0) <= EXACT for v in values):
        return pa.array(
            [None if value is None else float(value) for value in values], pa.float64(), from_pandas=False
        )
    if not kinds <= {str}:
        values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(values, pa.string())


def _points_table(chosen: Iterable[IndexedRun]) -> pa.Table:
    import pyarrow as pa

    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for run in chosen:
        for row in _points(run):
            for column, value in zip(columns, (run.key, *row), strict=True):
                column.append(value)
    fields = [pa.field("run", pa.string()), *_point_fields()]
    return pa.Table.from_arrays(
        [pa.array(column, field.type, from_pandas=False) for column, field in zip(columns, fields, strict=True)],
        schema=pa.schema(fields),
    )


def _points(run: IndexedRun) -> Iterator[tuple[str, int, float, int]]:
    for metric, step, value, time in points_of(read_series(run).records):
        yield metric, int(step), float(value), _microseconds(time)


def _point_fields() -> list[pa.Field]:
    import pyarrow as pa

    kinds = {"metric": pa.string(), "step": pa.int64(), "value": pa.float64(), "time": pa.timestamp("us", "UTC")}
    return [pa.field(name, kind) for name, kind in kinds.items()]


def _points_field() -> pa.Field:
    import pyarrow as pa

    return pa.field("points", pa.list_(pa.struct(_point_fields())))


def _points_lists(chosen: Sequence[IndexedRun]) -> pa.Array:
    import pyarrow as pa

    names = [field.name for field in _point_fields()]
    rows = [[dict(zip(names, row, strict=True)) for row in _points(run)] if run.number else [] for run in chosen]
    return pa.array(rows, _points_field().type, from_pandas=False)


def _as(table: pa.Table, as_: str) -> Any:
    if as_ == "arrow":
        return table
    if as_ == "polars":
        import polars as pl

        return pl.from_arrow(table)
    import pandas as pd
    import pyarrow as pa

    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype()}
    return table.to_pandas(types_mapper=kinds.get)
