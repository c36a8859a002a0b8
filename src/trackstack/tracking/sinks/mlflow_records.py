"""A series in MLflow's terms: tags, parameters, points and places of artifacts. Nothing is contacted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from trackstack.tracking.params import flatten
from trackstack.tracking.sinks import Series

FOLDERS = {"report": "reports", "plot": "plots", "file": "files", "model": "model"}
KEY_TAG, DIGEST_TAG = "trackstack.key", "trackstack.digest"
MAX_VALUE, MAX_NAME, MAX_DIGEST = 6000, 250, 36


class Point(NamedTuple):
    """A value of a metric, its time in ms."""

    name: str
    step: int
    time: int
    value: float


def milliseconds(seconds: float) -> int:
    """A record's time as MLflow has it."""
    return round(seconds * 1000)


def clean(name: str) -> str:
    """A name as MLflow accepts it: certain characters, and no path that means another one."""
    parts = re.sub(r"[^/\w.\- :]", "_", name)[:MAX_NAME].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"


def run_params(start: dict[str, Any]) -> dict[str, str]:
    """The parameters by dotted names; text stays as it is, the rest becomes JSON."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in flatten(start["params"]).items()
    }
    return {clean(name): text[:MAX_VALUE] for name, text in texts.items()}


def run_tags(series: Series) -> dict[str, str]:
    """What a run is created with."""
    start = series.start
    tags = {f"trackstack.{name}": value for name, value in start["tags"].items()}
    digests = (start.get("data") or {}).get("digests") or {}
    tags |= {f"{DIGEST_TAG}.{stage}": value for stage, value in digests.items()}
    tags |= {"trackstack.run": series.run, "trackstack.attempt": str(series.number), KEY_TAG: series.key}
    tags |= {"mlflow.source.name": start["stage"], "mlflow.source.type": "LOCAL"}
    tags["mlflow.user"] = start["environment"].get("user")
    tags["mlflow.source.git.commit"] = start["tags"].get("git_commit")
    return {clean(name): str(value)[:MAX_VALUE] for name, value in tags.items() if value}


def dataset_input(data: dict[str, Any]) -> Any:
    """The dataset version that a run was trained on."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data["name"],
        digest=data["version"][:MAX_DIGEST],
        source_type="local",
        source=json.dumps({"uri": data["path"]}),
        profile=json.dumps({"num_rows": data["num_samples"]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def to_points(started: float, records: list[dict[str, Any]]) -> Iterator[Point]:
    """The points of records, in order; a step of a system record is the whole seconds since the series started."""
    for record in records:
        is_system = record["type"] == "system"
        step = int(record["time"] - started) if is_system else record["step"]
        for name, value in record["values"].items():
            name = clean(f"system/{name}" if is_system else name)
            yield Point(name, step, milliseconds(record["time"]), value)


def artifacts_digest(series: Series, with_model: bool) -> str:
    """Changes when there is something new to deliver."""
    known = sorted([artifact["kind"], artifact["path"], artifact["digest"]] for artifact in series.artifacts)
    return hashlib.sha256(json.dumps([with_model, series.versions, known]).encode()).hexdigest()[:16]


def artifact_folder(artifact: dict[str, Any]) -> PurePosixPath:
    """`artifacts/plots/a.png` and `artifacts/a.png` of kind plot are both `plots/a.png`."""
    kind, parts = FOLDERS[artifact["kind"]], PurePosixPath(artifact["path"]).parts[1:]
    return PurePosixPath(kind, *(parts[1:] if parts[:1] == (kind,) else parts))
