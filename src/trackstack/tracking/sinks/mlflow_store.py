"""MLflow's store: how its database is made, what a request is refused with, and which of several runs counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trackstack import UserError
from trackstack.tracking.addresses import sqlite_uri
from trackstack.tracking.sinks.mlflow_records import milliseconds


def make_database(path: Path, artifacts: Path) -> None:
    """Make MLflow's database aside and move it into place: half a migration would be there for ever."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    partial.with_name(partial.name + "-journal").unlink(missing_ok=True)
    partial.write_bytes(_empty_database())
    with contextlib.closing(sqlite3.connect(partial)) as connection, connection:
        place = f"{artifacts.resolve().as_uri()}/0"
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", (place,))
        now = milliseconds(time.time())
        connection.execute("UPDATE experiments SET creation_time = ?, last_update_time = ?", (now, now))
    partial.rename(path)


def _empty_database() -> bytes:
    """A database as this version of MLflow makes it: in two seconds, so it is kept for the next home."""
    from mlflow.version import VERSION

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackstack"
    for file in folder.glob(f"mlflow-{VERSION}-*.db"):
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            if file.stem.endswith(_digest(content)):
                return content
    content = _new_database()
    with contextlib.suppress(OSError):  # a home that is full, or nobody's to write
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"mlflow-{VERSION}-{_digest(content)}.db"
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.replace(file)
        for old in folder.glob("mlflow-*.db"):
            if old != file:
                old.unlink()
    return content


def _new_database() -> bytes:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        SqlAlchemyStore(sqlite_uri(file), Path(folder).as_uri()).engine.dispose()
        return file.read_bytes()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def refused(code: str, request: Callable[..., Any], *arguments: Any) -> bool:
    """Whether MLflow answers a request with this error; raises any other."""
    from mlflow.exceptions import MlflowException

    try:
        request(*arguments)
    except MlflowException as error:
        if error.error_code != code:
            raise
        return True
    return False


def refuse_where_home_was(artifact_uri: str, database: Path | None, artifacts: Path) -> None:
    """Raise UserError where the database of a moved home would put a run's files into the old one, made for it again.

    Args:
        artifacts: the folder that a database made now would have.
    """
    if not database or database.parent != artifacts.parent.resolve() or not artifact_uri.startswith("file:"):
        return
    place = Path(unquote(urlsplit(artifact_uri).path)).parents[1]
    if place.name == artifacts.name and not place.parent.exists():
        aside = f"mv {shlex.quote(str(database))} {shlex.quote(f'{database}.before')}"
        raise UserError(
            f"{database}: MLflow would put files into {place.parent}, from where it was moved; "
            f"type: {aside} && trackstack sync; this makes it anew"
        )


def weight(run: Any) -> tuple[bool, int, int, str]:
    """The heaviest of several runs with one key is the one that was delivered to."""
    active = run.info.lifecycle_stage == "active"
    return active, len(run.data.metrics), len(run.data.params), run.info.run_id
