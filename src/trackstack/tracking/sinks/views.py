"""What the pages of MLflow and TensorBoard show first.

MLflow opens on traces, and a table without a metric. TensorBoard calls a run by its folder: so there is a folder of
links that are called as the runs are.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from trackstack.tracking.addresses import mlflow_uri, with_password

VIEW = "trackstack"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
"""MLflow keeps a view that was shared as a tag of the experiment, and shows what the page's address names."""
MOST_METRICS, MOST_PARAMS = 5, 6
BY_NAME, LONGEST_NAME = ".tensorboard", 80
METRICS = """
    SELECT metrics.key FROM latest_metrics AS metrics JOIN runs ON runs.run_uuid = metrics.run_uuid
    WHERE runs.experiment_id = :experiment AND metrics.key NOT LIKE 'system/%' GROUP BY metrics.key
"""
PARAMS = """
    SELECT params.key FROM params JOIN runs ON runs.run_uuid = params.run_uuid
    WHERE runs.experiment_id = :experiment GROUP BY params.key HAVING COUNT(DISTINCT params.value) > 1
"""


def path_of_runs(home: Path) -> str:
    """What comes behind the address of MLflow's server to see the table of runs; nothing where there are none.

    The columns are some metrics, test figures only where there is room, and parameters that differ. Where the
    database cannot be written they are as MLflow has them.
    """
    import sqlalchemy

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "trackstack"
    engine = sqlalchemy.create_engine(with_password(mlflow_uri(home)))
    page = ""
    try:
        with engine.begin() as database:
            known = database.execute(
                sqlalchemy.text("SELECT experiment_id FROM experiments WHERE name = :name"), {"name": name}
            ).scalar()
            if known is not None:
                page = f"/#/experiments/{known}/runs"
                _choose_columns(database, known)
                return f"{page}?viewStateShareKey={VIEW}"
    except sqlalchemy.exc.SQLAlchemyError:  # it is being written, or may not be
        pass
    finally:
        engine.dispose()
    return page


def _choose_columns(database: Any, experiment: int) -> None:
    from sqlalchemy import text

    here = {"experiment": experiment}
    metrics = [row[0] for row in database.execute(text(METRICS), here)]
    params = [row[0] for row in database.execute(text(PARAMS), here)]
    columns = ["attributes.`Created`", "attributes.`Duration`"]
    columns += [f"metrics.`{name}`" for name in sorted(metrics, key=_order)[:MOST_METRICS]]
    columns += [f"params.`{name}`" for name in sorted(params)[:MOST_PARAMS]]
    tag = here | {"key": VIEW_TAG, "value": json.dumps({"selectedColumns": columns})}
    database.execute(text("DELETE FROM experiment_tags WHERE experiment_id = :experiment AND key = :key"), tag)
    database.execute(
        text("INSERT INTO experiment_tags (experiment_id, key, value) VALUES (:experiment, :key, :value)"), tag
    )


def _order(metric: str) -> tuple[int, str]:
    """What one chooses by first, test figures last."""
    places = {"val": 0, "test": 2}
    return places.get(metric.partition("_")[0], 1), metric


def runs_by_name(home: Path) -> Path:
    """The folder for TensorBoard to show, with a link for each run; that of the runs where it cannot be written."""
    for journal in (home / "runs").glob("[!.]*/journal-1.jsonl"):
        with contextlib.suppress(OSError, ValueError, KeyError), journal.open("rb") as lines:
            name = json.loads(next(lines, b""))["name"]
            for folder in journal.parent.glob("tensorboard*"):
                link_by_name(name, folder)
    links = home / "runs" / BY_NAME
    for link in links.glob("*"):
        if not link.exists():  # the run was removed
            link.unlink(missing_ok=True)
    return links if links.is_dir() else home / "runs"


def link_by_name(name: str, folder: Path) -> None:
    """Let TensorBoard show a folder, `runs/<run>/tensorboard` or `tensorboard-2`, as `<name> <run>-2`."""
    number = folder.name.removeprefix("tensorboard")
    shown = re.sub(r"[^\w.,=+-]+", "-", name)[:LONGEST_NAME]
    link = folder.parent.parent / BY_NAME / f"{shown} {folder.parent.name}{number}"
    with contextlib.suppress(OSError):  # it is there, or this disk knows no links, and the page shows ids
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(Path("..", folder.parent.name, folder.name))
