"""What the tests of every sink need: a series, its records, and deliveries by this process or by another one.

As a program it is the other one: `python -m support.sinks SINK DESTINATION FOLDER STEPS` delivers a series step by step
and says so, for tests that kill it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.processes import started
from trackstack.core.files import sealed, write_json
from trackstack.tracking.sinks import Series, open_sink, promotion_file

TESTS = Path(__file__).resolve().parents[1]
RUN = "r0123456789ab"
STARTED = 1_754_000_000.125
START = {
    "type": "start",
    "time": STARTED,
    "run": RUN,
    "attempt": 1,
    "series": 1,
    "stage": "train",
    "name": "cnn-quick-fox",
    "params": {
        "dataset": "tiny",
        "train": {"lr": 0.003, "augment": {"rotation": 20}, "resume": None},
        "widths": [32, 48],
    },
    "tags": {"git_commit": "c0ffee", "dvc_exp": "lucky-cat", "slurm_job_id": "4711", "model_name": "cnn"},
    "data": {
        "name": "tiny",
        "version": "ffbd28c19235",
        "path": "data/raw/tiny",
        "num_samples": 244102,
        "description": "Ten subjects",
        "digests": {"ingest": "d1", "parquet": "d2", "tensor_cache": "d3"},
    },
    "environment": {"user": "ada", "host": "node7", "packages": {"torch": "2.13.0+cpu", "numpy": "2.4.0"}},
    "destinations": {},
}
BATCH = 20


def make_series(
    folder: Path, status: str = "running", number: int = 1, start: dict[str, Any] | None = None, **state: Any
) -> Series:
    """A series of a run whose folder is the given one; `start` changes its start record."""
    record = START | (start or {})
    state = {"finished": None if status == "running" else STARTED + 100} | state
    return Series(record["run"], number, folder, record, status=status, **state)


def metrics(step: int, time: float | None = None, **values: float) -> dict[str, Any]:
    return {"type": "metrics", "time": STARTED + step if time is None else time, "step": step, "values": values}


def system(seconds: float, **values: float) -> dict[str, Any]:
    return {"type": "system", "time": STARTED + seconds, "values": values}


def epochs(first: int, end: int) -> list[dict[str, Any]]:
    return [metrics(step, loss=step / 7, lr=1 / (step + 3)) for step in range(first, end)]


def batches(steps: int) -> Iterator[list[dict[str, Any]]]:
    """The records of so many epochs in pieces."""
    for first in range(0, steps, BATCH):
        yield epochs(first, min(first + BATCH, steps))


def artifact(kind: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "artifact",
        "time": STARTED + 50,
        "kind": kind,
        "path": path,
        "digest": f"digest of {path}",
    } | more


def note_promotion(series: Series, name: str, *aliases: str, version: str = "v1.0.0") -> None:
    """Note in the run's folder that its models are a version of a named model."""
    about = {"name": name, "version": version, "aliases": list(aliases), "user": "ada", "time": STARTED, "why": "so"}
    models = [
        about | {"digest": one["digest"], "commit": "c0ffee"} for one in series.artifacts if one["kind"] == "model"
    ]
    write_json(promotion_file(series.folder, series.number), sealed({"models": models}))


def deliver(
    name: str, destination: dict[str, Any], series: Series, records: list[dict[str, Any]], artifacts: bool = True
) -> bool:
    """As a process of its own does: with a new sink, after the question whether the series is there; the answer."""
    sink = open_sink(name, destination)
    was_there = sink.has(series)
    sink.deliver(series, records)
    if artifacts:
        sink.deliver_artifacts(series)
    sink.close()
    return was_there


def start_delivery(
    name: str, destination: dict[str, Any], folder: Path, steps: int, *arguments: str, **environment: str
) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """Start a process that delivers a series and prints a line after each batch."""
    kept = {variable: value for variable, value in os.environ.items() if not variable.startswith("WANDB")}
    kept["PYTHONPATH"] = f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"
    command = [sys.executable, "-P", "-m", "support.sinks", name, json.dumps(destination), str(folder), str(steps)]
    return started([*command, *arguments], env=kept | environment, stderr=subprocess.PIPE)


def kill_delivery(name: str, destination: dict[str, Any], folder: Path, after: int, steps: int = 100 * BATCH) -> None:
    """Start to deliver, and kill the process when it has said so many times that it delivered a batch."""
    with start_delivery(name, destination, folder, steps) as process:
        for _ in range(after):
            assert process.stdout.readline() == "delivered\n"
        process.kill()


def main() -> None:
    name, destination, folder, steps = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    sink, series = open_sink(name, destination), make_series(folder)
    for batch in batches(steps):
        sink.deliver(series, batch)
        print("delivered", flush=True)
    series.status, series.finished = "finished", STARTED + 100
    sink.deliver(series, [])
    sink.deliver_artifacts(series)
    sink.close()


if __name__ == "__main__":
    main()
