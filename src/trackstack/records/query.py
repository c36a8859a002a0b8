"""The runs of a home, read from their journals: what `trackstack runs` shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from trackstack import UserError, describe_error
from trackstack.core.dvc_yaml import DVC_LOCK, overlap
from trackstack.records.looks import looks_at
from trackstack.records.verdicts import verdicts_on
from trackstack.system.git import try_git
from trackstack.system.lease import is_live
from trackstack.tracking.db import DAMAGED, what_is_wrong
from trackstack.tracking.delivery.note import SYNC_NOTE, read_note
from trackstack.tracking.journal import journals
from trackstack.tracking.params import flatten
from trackstack.tracking.series import RunFolder, SeriesRecords, group_attempts
from trackstack.tracking.sinks import Series


class NoSuchRunError(UserError):
    """A home has no run by that name."""


def run_folders(home: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    found = {}
    for folder in (home / "runs").glob("[!.]*/"):
        try:
            first = min(journals(folder), default=None)
            note = folder / SYNC_NOTE  # without a journal, it was lost
            if first or note.exists():
                found[folder] = (first[1] if first else note).stat().st_mtime
        except NotADirectoryError:
            continue
        except OSError:  # to be named by whoever reads it
            found[folder] = 0.0
    return sorted(found, key=lambda folder: (found[folder], folder))


class RunRecord(NamedTuple):
    """What the journals of one run's folder say."""

    folder: Path
    series: list[SeriesRecords]
    damage: list[str]
    """What is not as it was written, a line each; nothing else is missing."""


def read_run(folder: Path) -> RunRecord:
    """Read the journals of a run; whatever is damaged hides nothing else."""
    try:
        reader = RunFolder(folder)
        live = is_live(folder)
        attempts = reader.refresh()
    except OSError as error:
        return RunRecord(folder, [], [f"{folder}: cannot be read: {describe_error(error)}"])
    damage = reader.damage(read_note(folder).get("ended", []))
    if not attempts and not live and (damage or (folder / SYNC_NOTE).exists()):
        damage.append(
            f"{folder}: no journal in it has a start; trackstack sync --all-exps rebuilds what DVC has of it"
        )
    series = group_attempts(folder, attempts, live)
    for records in series:
        try:
            _ = records.series.versions
        except UserError as error:
            damage.append(str(error))
    return RunRecord(folder, series, damage)


def every_run(home: Path) -> list[SeriesRecords]:
    """What the journals say of each series, oldest first."""
    return [series for folder in run_folders(home) for series in read_run(folder).series]


def list_runs(home: Path) -> list[dict[str, Any]]:
    """A row per series: id, name, status, user, when it started, how long it took, and its last figures.

    A run that cannot be read has a row, too; `damage` says what of each is damaged.
    """
    rows = []
    for record in map(read_run, run_folders(home)):
        rows += [_row(series) | _damage_of(series, record.damage) for series in record.series]
        if record.damage and not record.series:
            rows.append(_damaged_row(record))
    return rows


def show_run(home: Path, key: str) -> dict[str, Any]:
    """Everything that is recorded of one run but its curves, found by id, by the beginning of it, or by name."""
    run = find_run(home, key)
    start = run.series.start
    kept = ("params", "tags", "data", "environment")
    artifacts = [{name: record[name] for name in ("kind", "path", "digest")} for record in run.series.artifacts]
    damage = list(read_run(run.series.folder).damage)
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
    return _row(run) | _damage_of(run, damage) | {name: start.get(name) for name in kept} | notes


def compare_runs(home: Path, keys: list[str]) -> list[dict[str, Any]]:
    """A row per parameter, data digest, metric and source file that is not the same in all of the runs."""
    runs = [find_run(home, key) for key in keys]
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
    every = every_run(home)
    exact = [run for run in every if key in (run.series.key, run.series.start["name"])]
    matching = exact or [run for run in every if run.series.key.startswith(key)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        for folder in run_folders(home):
            if folder.name.startswith(key) and (damage := read_run(folder).damage):
                raise UserError(damage[-1])
        raise NoSuchRunError(f"{key}: no such run in {home / 'runs'}; trackstack runs list shows those there are")
    which = ", ".join(run.series.key for run in matching[:5])
    raise UserError(f"{key}: {len(matching)} runs match ({which}); type more of the id")


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
        is_source = _source_filter(series.upstream)
        files.append({path: blob[:10] for _, _, blob, path in lines if is_source(path)})
    return files


def _source_filter(upstream: list[dict[str, Any]]) -> Callable[[str], bool]:
    """Whether a file is a dependency, and neither data nor the output of a stage, which have rows of their own."""
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


def _row(run: SeriesRecords) -> dict[str, Any]:
    series = run.series
    return {
        "run": series.key,
        "name": series.start["name"],
        "status": series.status,
        "reproduced": series.reproduced,
        "promoted": series.promoted,
        "error": series.error,
        "user": series.start["environment"].get("user"),
        "started": series.start["time"],
        "seconds": None if series.finished is None else round(series.finished - series.start["time"], 1),
        "metrics": last_figures(run),
    }


def _damage_of(run: SeriesRecords, damage: list[str]) -> dict[str, Any]:
    """Without an end, which the damage may have taken away, nobody knows how it ended."""
    unknown = bool(damage) and run.series.status == "lost"
    return {"damage": damage} | ({"status": "damaged"} if unknown else {})


def _damaged_row(record: RunRecord) -> dict[str, Any]:
    nothing = dict.fromkeys(("name", "error", "user", "started", "seconds"))
    status = {"status": "damaged", "reproduced": 0, "promoted": False}
    return {"run": record.folder.name, **nothing, **status, "metrics": {}, "damage": record.damage}


def last_figures(run: SeriesRecords) -> dict[str, float]:
    """The value of every metric at its last step."""
    figures: dict[str, tuple[int, float]] = {}
    for record in run.records:
        for name, value in record["values"].items() if record["type"] == "metrics" else ():
            if name not in figures or record["step"] > figures[name][0]:
                figures[name] = (record["step"], value)
    return {name: value for name, (_, value) in figures.items()}
