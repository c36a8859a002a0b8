"""The project database `project.db`: its schema, its upgrades, and helpers for people's own scripts.

    run = log_run(dataset_id=None, model_name="cnn", config={"lr": 0.003})
    log_metric(run, epoch=1, metric="val_accuracy", value=0.93)

The tables `datasets`, `runs` and `metrics` are the guide's, with columns added behind its own. Two things
need saying about `metrics`:

* `value` is REAL NOT NULL, and SQLite knows no NaN. As a text in that column a NaN would be greater than
  every number: a diverged run would top each `ORDER BY value DESC` and pass each `value > 0.9`. So it is a row of
  `nan_metrics`, and the view `points` shows both tables as one, NaN as NULL, which pandas reads as NaN.
  Infinities are ordinary values. Of a float only the sign of -0.0 is lost: SQLite stores 0.0.
* A row inserted into `points` goes to the right table, unless its point (run, metric, epoch) is there
  already: the first record wins.

The journal mode is the rollback journal, since WAL does not work on network file systems.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.tracking.environment import home
from trackstack.tracking.journal import now

BUSY_SECONDS = 60

GUIDE_TABLES = {
    "datasets": """
        CREATE TABLE datasets (
            id          INTEGER PRIMARY KEY,
            name        TEXT NOT NULL,
            version     TEXT NOT NULL,
            path        TEXT NOT NULL,
            num_samples INTEGER,
            created_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            description TEXT
        )""",
    "runs": """
        CREATE TABLE runs (
            id          INTEGER PRIMARY KEY,
            dataset_id  INTEGER REFERENCES datasets(id),
            model_name  TEXT NOT NULL,
            config      TEXT,
            started_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            finished_at TIMESTAMP,
            status      TEXT DEFAULT 'running'
        )""",
    "metrics": """
        CREATE TABLE metrics (
            id     INTEGER PRIMARY KEY,
            run_id INTEGER REFERENCES runs(id),
            epoch  INTEGER,
            metric TEXT NOT NULL,
            value  REAL NOT NULL
        )""",
}

ADDED_COLUMNS = {
    "datasets": {"digest": "TEXT"},
    "runs": {
        "run_key": "TEXT",
        "attempt": "INTEGER",
        "name": "TEXT",
        "stage": "TEXT",
        "user": "TEXT",
        "host": "TEXT",
        "git_commit": "TEXT",
        "dvc_exp": "TEXT",
        "slurm_job_id": "TEXT",
        "error": "TEXT",
        "reproduced": "INTEGER DEFAULT 0",
    },
    "metrics": {"recorded_at": "REAL"},
}

ADDED_TABLES = (
    "CREATE UNIQUE INDEX datasets_digest ON datasets (name, digest)",
    "CREATE UNIQUE INDEX runs_key ON runs (run_key, attempt)",
    """CREATE TABLE nan_metrics (
        run_id      INTEGER NOT NULL REFERENCES runs(id),
        epoch       INTEGER,
        metric      TEXT NOT NULL,
        recorded_at REAL,
        UNIQUE (run_id, metric, epoch)
    )""",
    """CREATE VIEW points AS
        SELECT run_id, epoch, metric, value, recorded_at FROM metrics
        UNION ALL
        SELECT run_id, epoch, metric, NULL, recorded_at FROM nan_metrics""",
    """CREATE TRIGGER insert_point INSTEAD OF INSERT ON points
        WHEN NOT EXISTS (
            SELECT 1 FROM points WHERE run_id = NEW.run_id AND metric = NEW.metric AND epoch = NEW.epoch
        )
        BEGIN
            INSERT INTO metrics (run_id, epoch, metric, value, recorded_at)
                SELECT NEW.run_id, NEW.epoch, NEW.metric, NEW.value, NEW.recorded_at
                WHERE NEW.value IS NOT NULL;
            INSERT INTO nan_metrics (run_id, epoch, metric, recorded_at)
                SELECT NEW.run_id, NEW.epoch, NEW.metric, NEW.recorded_at
                WHERE NEW.value IS NULL;
        END""",
    """CREATE TABLE artifacts (
        run_id INTEGER NOT NULL REFERENCES runs(id),
        kind   TEXT NOT NULL,
        path   TEXT NOT NULL,
        digest TEXT,
        PRIMARY KEY (run_id, path)
    )""",
    """CREATE TABLE lineage (
        run_id INTEGER NOT NULL REFERENCES runs(id),
        stage  TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (run_id, stage)
    )""",
)

HINTS = {
    "unable to open database file": "cannot be opened; expected a folder that exists and is writable",
    "database is locked": f"another process has been writing for more than {BUSY_SECONDS} s; try again",
    "FOREIGN KEY constraint failed": "no such dataset or run; expected an id from datasets.id or runs.id",
}


DAMAGED = re.compile("malformed|not a database")
"""What SQLite says of a file that is not as it was written."""
MEND = "type: trackstack repair && trackstack sync, which put it aside and fill a new one from the journals"


def get_connection(path: Path | str | None = None) -> sqlite3.Connection:
    """Open the project database, by default the home's; it is created or upgraded where necessary.

    Rows can be read by column name, the first change starts a transaction that waits for other writers,
    and foreign keys are enforced. Commit your changes and close the connection, or use `transaction`.

    Raises:
        UserError: it cannot be opened, is something else, or was made by a newer trackstack.
    """
    file = _file(path)
    with _errors_in_a_line(file), contextlib.ExitStack() as on_error:
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS)
        on_error.callback(connection.close)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        _upgrade(connection, file)
        connection.execute("PRAGMA journal_mode = DELETE")
        on_error.pop_all()
        return connection


@contextlib.contextmanager
def transaction(path: Path | str | None = None) -> Iterator[sqlite3.Connection]:
    """A connection whose changes are all made when the block ends, or none of them.

    Raises:
        UserError: the database cannot be opened, read or written.
    """
    with _errors_in_a_line(_file(path)), contextlib.closing(get_connection(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            yield connection


def log_run(dataset_id: int | None, model_name: str, config: dict[str, Any]) -> int:
    """Add a run to the home's database and return its id; numbers may be NumPy's or torch's."""
    values = (dataset_id, model_name, json.dumps(config, default=float))
    with transaction() as connection:
        cursor = connection.execute("INSERT INTO runs (dataset_id, model_name, config) VALUES (?, ?, ?)", values)
    assert cursor.lastrowid is not None, "a row was inserted"
    return cursor.lastrowid


def log_metric(run_id: int, epoch: int, metric: str, value: float) -> None:
    """Add a point to a run; one that is there already stays as it is."""
    with transaction() as connection:
        add_points(connection, [(run_id, int(epoch), metric, float(value), now())])


def add_points(connection: sqlite3.Connection, points: list[tuple[int, int, str, float, float]]) -> None:
    """Add points (run id, epoch, metric, value, time in seconds) that are not there yet."""
    connection.executemany(
        "INSERT INTO points (run_id, epoch, metric, value, recorded_at) VALUES (?, ?, ?, ?, ?)", points
    )


def upsert(connection: sqlite3.Connection, table: str, row: dict[str, Any], key: str, changing: str) -> int:
    """Add a row, or bring the changing columns of the one with its key up to date, and return its id.

    `key` and `changing` are column names with commas between them, the key those of a unique index.
    """
    state = ", ".join(f"{column} = excluded.{column}" for column in changing.split(", "))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f':{column}' for column in row)}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {state}",
        row,
    )
    same = " AND ".join(f"{column} = :{column}" for column in key.split(", "))
    return connection.execute(f"SELECT id FROM {table} WHERE {same}", row).fetchone()["id"]


def _file(path: Path | str | None) -> Path:
    return home() / "project.db" if path is None else Path(path)


@contextlib.contextmanager
def _errors_in_a_line(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        what = f"a folder is in its place; {MEND}" if file.is_dir() else what_is_wrong(error)
        raise UserError(f"{file}: {what}") from error


def what_is_wrong(error: sqlite3.Error | sqlite3.Warning) -> str:
    """An error of SQLite in words for people, with what to do where that is known."""
    text = str(error)
    return HINTS.get(text) or (f"damaged ({text}); {MEND}" if DAMAGED.search(text) else text)


def _upgrade(connection: sqlite3.Connection, file: Path) -> None:
    """Bring the schema up to date in one transaction; of processes that start together one does it."""
    if _version(connection, file) == len(UPGRADES):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for upgrade in UPGRADES[_version(connection, file) :]:
            upgrade(connection, file)
        connection.execute(f"PRAGMA user_version = {len(UPGRADES)}")


def _version(connection: sqlite3.Connection, file: Path) -> int:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= len(UPGRADES):
        raise UserError(
            f"{file}: schema version {version}, but this trackstack knows versions up to {len(UPGRADES)}; "
            "update trackstack"
        )
    return version


def _from_the_guide(connection: sqlite3.Connection, file: Path) -> None:
    """Version 0 is an empty file, or a database made by the guide's own SQL: its rows keep their ids."""
    for table, statement in GUIDE_TABLES.items():
        columns = _columns(connection, table)
        if not columns:
            connection.execute(statement)
        elif missing := _columns_of(statement) - columns:
            raise UserError(
                f"{file}: its table {table} has no column {min(missing)}, so it is not a project database; "
                "move it aside or set TRACKSTACK_HOME to another folder"
            )
        for column, kind in ADDED_COLUMNS[table].items():
            if column not in columns:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    # The guide lets a point be logged twice. Such rows are kept; `points` takes no further ones.
    twice = "SELECT 1 FROM metrics WHERE epoch IS NOT NULL GROUP BY run_id, metric, epoch HAVING count(*) > 1"
    unique = "" if connection.execute(twice).fetchone() else "UNIQUE"
    connection.execute(f"CREATE {unique} INDEX metrics_point ON metrics (run_id, metric, epoch)")
    for statement in ADDED_TABLES:
        connection.execute(statement)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}


def _columns_of(statement: str) -> set[str]:
    """The columns that a CREATE TABLE makes, one per line."""
    return {line.split()[0] for line in statement.strip().splitlines()[1:-1]}


UPGRADES: tuple[Callable[[sqlite3.Connection, Path], None], ...] = (_from_the_guide,)
"""The n-th brings a database from schema version n to the next; databases out there rely on each of them."""
