"""MLflow's store: how its database is made, what a request is refused with, and which of several runs counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackstack.tracking.addresses import sqlite_uri


def make_database(path: Path, artifacts: Path) -> None:
    """Make MLflow's database aside and move it into place: half a migration would be there for ever."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    partial.with_name(partial.name + "-journal").unlink(missing_ok=True)
    SqlAlchemyStore(sqlite_uri(partial), artifacts.resolve().as_uri()).engine.dispose()
    partial.rename(path)


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


def weight(run: Any) -> tuple[bool, int, int, str]:
    """The heaviest of several runs with one key is the one that was delivered to."""
    active = run.info.lifecycle_stage == "active"
    return active, len(run.data.metrics), len(run.data.params), run.info.run_id
