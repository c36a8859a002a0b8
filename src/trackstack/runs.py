"""The runs of a home, read from their journals: what `trackstack runs` shows."""

from __future__ import annotations

import getpass
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.outputs import write_json
from trackstack.tracking.attempts import RunFolder, Told, tell
from trackstack.tracking.journal import now
from trackstack.tracking.lease import is_live


def run_folders(home: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    folders = [path.parent for path in (home / "runs").glob("*/journal-1.jsonl")]
    return sorted(folders, key=lambda folder: (folder / "journal-1.jsonl").stat().st_mtime)


def every_run(home: Path) -> list[Told]:
    """What the journals say of each series, oldest first."""
    return [
        told for folder in run_folders(home) for told in tell(folder, RunFolder(folder).refresh(), is_live(folder))
    ]


def list_runs(home: Path) -> list[dict[str, Any]]:
    """A row per series: id, name, status, user, when it started, how long it took, and its last figures."""
    return [_row(told) for told in every_run(home)]


def show_run(home: Path, key: str) -> dict[str, Any]:
    """Everything that is recorded of one run but its curves, found by id, by the beginning of it, or by name."""
    told = find_run(home, key)
    start = told.series.start
    kept = ("params", "tags", "data", "environment")
    artifacts = [{name: record[name] for name in ("kind", "path", "digest")} for record in told.series.artifacts]
    return _row(told) | {name: start[name] for name in kept} | {"artifacts": artifacts}


def compare_runs(home: Path, keys: list[str]) -> list[dict[str, Any]]:
    """A row per parameter, data digest, metric and source file that is not the same in all of the runs."""
    runs = [find_run(home, key) for key in keys]
    names = [told.series.key for told in runs]
    rows = []
    for what, values in (
        ("params", [flatten(told.series.start["params"]) for told in runs]),
        ("data", [(told.series.start["data"] or {}).get("digests", {}) for told in runs]),
        ("code", _source_files([told.series.start["tags"].get("source") for told in runs])),
        ("metrics", [last_figures(told) for told in runs]),
    ):
        for field in sorted(set().union(*values)):
            found = [one.get(field) for one in values]
            if any(value != found[0] for value in found):
                rows.append({"what": what, "field": field, **dict(zip(names, found, strict=True))})
    return rows


def find_run(home: Path, key: str) -> Told:
    """One series by its id, the beginning of it, or its name.

    Raises:
        UserError: none, or more than one.
    """
    every = every_run(home)
    exact = [told for told in every if key in (told.series.key, told.series.start["name"])]
    found = exact or [told for told in every if told.series.key.startswith(key)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{key}: no such run in {home / 'runs'}; trackstack runs list shows those there are")
    which = ", ".join(told.series.key for told in found[:5])
    raise UserError(f"{key}: {len(found)} runs match ({which}); type more of the id")


def promote_run(home: Path, key: str) -> Path:
    """Note that the model of a run is the chosen one, and return the run's folder: a sync brings it to MLflow.

    Raises:
        UserError: no such run, or one that has no model for MLflow.
    """
    series = find_run(home, key).series
    if series.status != "finished" or not any(record["kind"] == "model" for record in series.artifacts):
        raise UserError(f"{series.key}: is {series.status} and has no model to promote; expected a finished training")
    if "mlflow" not in series.start["destinations"]:
        raise UserError(
            f"{series.key}: was recorded without MLflow, which keeps promoted models; see TRACKSTACK_SINKS"
        )
    if not series.promoted:
        write_json(series.promotion_file, {"time": now(), "user": getpass.getuser()})
    return series.folder


def query(database: Path, sql: str) -> tuple[list[str], list[tuple]]:
    """Column names and rows of one statement that only reads.

    Raises:
        UserError: no database, malformed SQL, or a statement that would write.
    """
    if not database.exists():
        raise UserError(f"{database}: no such database; trackstack sync makes it from the journals")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    # VACUUM INTO and ATTACH make another file even where the database itself can only be read.
    connection.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK
    )
    try:
        cursor = connection.execute(sql)
        return [column[0] for column in cursor.description or []], cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        writes = any(word in str(error) for word in ("readonly", "authoriz"))
        reason = "runs sql only reads" if writes else str(error)
        raise UserError(f"{database}: {reason}; the tables are datasets, runs and metrics") from None
    finally:
        connection.close()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _source_files(commits: list[str | None]) -> list[dict[str, str]]:
    """The blobs of what stages run, per commit; nothing where a commit is not known here."""
    found = []
    for commit in commits:
        command = ["git", "ls-tree", "-r", str(commit), "src", "stages"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
        found.append({path: blob[:10] for _, _, blob, path in lines})
    return found


def _row(told: Told) -> dict[str, Any]:
    series = told.series
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
        "metrics": last_figures(told),
    }


def last_figures(told: Told) -> dict[str, float]:
    """The value of every metric at its last step."""
    figures: dict[str, tuple[int, float]] = {}
    for record in told.records:
        for name, value in record["values"].items() if record["type"] == "metrics" else ():
            if name not in figures or record["step"] > figures[name][0]:
                figures[name] = (record["step"], value)
    return {name: value for name, (_, value) in figures.items()}
