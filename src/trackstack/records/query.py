"""Questions to the runs of a home: what `trackstack runs` shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from trackstack import UserError
from trackstack.records.index.index import RunIndex, read_index
from trackstack.records.index.rows import IndexedRun
from trackstack.records.looks import looks_at
from trackstack.records.reading import RunRecord, every_run, last_figures, read_run, run_folders
from trackstack.records.verdicts import verdicts_on
from trackstack.system.git import try_git
from trackstack.tracking.db import DAMAGED, what_is_wrong
from trackstack.tracking.params import flatten
from trackstack.tracking.series import SeriesRecords
from trackstack.tracking.sinks import Series

__all__ = ["RunRecord", "every_run", "last_figures", "read_run", "run_folders"]


class NoSuchRunError(UserError):
    """A home has no run by that name."""


def list_runs(home: Path) -> list[dict[str, Any]]:
    """A row per series, oldest first; see `IndexedRun.as_row`.

    A run that cannot be read has a row, too; `damage` says what of each is damaged.
    """
    return [run.as_row() for run in read_index(home)]


def show_run(home: Path, key: str) -> dict[str, Any]:
    """Everything that is recorded of one run but its curves, found by id, by the beginning of it, or by name."""
    indexed = find_indexed(read_index(home), key)
    run = read_series(indexed)
    start = run.series.start
    kept = ("params", "tags", "data", "environment")
    artifacts = [{name: record[name] for name in ("kind", "path", "digest")} for record in run.series.artifacts]
    damage = list(indexed.damage)
    notes: dict[str, Any] = {"artifacts": artifacts}
    for name, read in (
        ("verdicts", verdicts_on),
        ("test_looks", looks_at),
        ("versions", lambda series: series.versions),
    ):
        try:
            notes[name] = read(run.series)
        except UserError as error:
            notes[name] = None
            damage += [str(error)] * (str(error) not in damage)
    return indexed.as_row() | {"damage": damage} | {name: start.get(name) for name in kept} | notes


def compare_runs(index: RunIndex, keys: list[str]) -> list[dict[str, Any]]:
    """A row per parameter, data digest, metric and source file that is not the same in all of the runs."""
    runs = [read_series(find_indexed(index, key)) for key in keys]
    names = [run.series.key for run in runs]
    rows = []
    for what, values in (
        ("params", [flatten(run.series.start["params"]) for run in runs]),
        ("data", [_data(records) for records in runs]),
        ("code", source_files([run.series for run in runs])),
        ("metrics", [last_figures(run) for run in runs]),
    ):
        for field in sorted(set().union(*values)):
            by_run = [of_run.get(field) for of_run in values]
            if any(value != by_run[0] for value in by_run):
                rows.append({"what": what, "field": field, **dict(zip(names, by_run, strict=True))})
    return rows


def find_run(home: Path, key: str) -> SeriesRecords:
    """One series by its id, the beginning of it, or its name.

    Raises:
        UserError: none, or more than one.
    """
    return read_series(find_indexed(read_index(home), key))


def find_indexed(index: RunIndex, key: str) -> IndexedRun:
    """The same, as a list has it."""
    matching = index.find(key)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        if damage := index.damage_of(key):
            raise UserError(damage[-1])
        raise NoSuchRunError(f"{key}: no such run in {index.folder}; trackstack runs list shows those there are")
    which = ", ".join(run.key for run in matching[:5])
    raise UserError(f"{key}: {len(matching)} runs match ({which}); type more of the id")


def read_series(run: IndexedRun) -> SeriesRecords:
    """All that is recorded of a run that a list has.

    Raises:
        UserError: it was removed, or damaged, in this moment.
    """
    for one in read_run(run.folder).series:
        if one.series.number == run.number:
            return one
    raise NoSuchRunError(f"{run.key}: no longer in {run.folder}; trackstack runs list shows those there are")


def query(database: Path, sql: str) -> tuple[list[str], list[tuple]]:
    """Column names and rows of one statement that only reads.

    Raises:
        UserError: no database, malformed SQL, or a statement that would write.
    """
    if not database.exists():
        raise UserError(f"{database}: no such database; trackstack sync makes it from the journals")
    try:
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=60)
    except sqlite3.Error:
        raise UserError(f"{database}: cannot be opened; expected a file that you may read") from None
    # VACUUM INTO and ATTACH make another file even where the database itself can only be read.
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
    )
    try:
        cursor = connection.execute(sql)
        return [column[0] for column in cursor.description or []], cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        if DAMAGED.search(str(error)):
            raise UserError(f"{database}: {what_is_wrong(error)}") from None
        writes = any(word in str(error) for word in ("readonly", "authoriz"))
        reason = "runs sql only reads" if writes else str(error)
        raise UserError(f"{database}: {reason}; the tables are datasets, runs and metrics") from None
    finally:
        connection.close()


def source_files(runs: list[Series]) -> list[dict[str, str]]:
    """The blobs of the files of code that each run depended on; nothing where git does not know its source.

    Of a run that was no stage, all files that git kept.
    """
    files = []
    for series in runs:
        commit = series.start["tags"].get("source")
        listed = (try_git(Path(), "ls-tree", "-r", "-z", str(commit)) or "").split("\0")
        lines = [line.split(maxsplit=3) for line in filter(None, listed)]
        is_source = _source_filter(series.upstream) if lines else bool
        files.append({path: blob[:10] for _, _, blob, path in lines if is_source(path)})
    return files


def _source_filter(upstream: list[dict[str, Any]]) -> Callable[[str], bool]:
    """Whether a file is a dependency, and neither data nor the output of a stage, which have rows of their own."""
    from trackstack.core.dvc_yaml import DVC_LOCK, overlap  # with pydantic, a quarter of a second

    stages = [entry for record in upstream for entry in record.get("stages", {}).values()]
    deps = {dep for record in upstream for dep in record.get("deps", [])}
    deps |= {dep["path"] for entry in stages for dep in entry.get("deps", [])}
    other = {out["path"] for entry in stages for out in entry.get("outs", [])}
    other |= {data["path"] for record in upstream for data in record.get("data", [])}
    if not deps:
        return lambda path: Path(path).name != DVC_LOCK
    return lambda path: any(overlap(path, dep) for dep in deps) and not any(overlap(path, item) for item in other)


def _data(records: SeriesRecords) -> dict[str, str]:
    """The digests that the run itself gave, and the hashes that DVC has of what it read."""
    digests = dict((records.series.start["data"] or {}).get("digests", {}))
    for upstream in records.series.upstream:
        digests |= {data["path"]: data["md5"] for data in upstream.get("data", []) if "md5" in data}
    return digests
