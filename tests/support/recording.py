"""Real processes that record runs, and what each back end holds of them, read with its own client."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.processes import until
from support.projects import ROOT, command_environment
from trackstack.cli import app
from trackstack.system.locks import locked
from trackstack.tracking.delivery.place import Place

Point = tuple[str, str, int, float]
"""A run's key, a metric, a step and the value."""

SCRIPT = """
import sys
from trackstack.tracking.run import start_run

name, epochs = sys.argv[1], int(sys.argv[2])
with start_run(name, {"lr": 0.1, "name": name}) as run:
    for epoch in range(epochs):
        run.log({"train_loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1), "val_accuracy": epoch / epochs}, step=epoch)
"""


def environment(home, sinks, **more):
    """That of a process that records; `sinks` None leaves the default."""
    given = command_environment() | {"PYTHONPATH": str(ROOT / "src"), "TRACKSTACK_HOME": str(home)}
    del given["TRACKSTACK_SINKS"]
    return given | ({} if sinks is None else {"TRACKSTACK_SINKS": sinks}) | more


def start(home, sinks, *arguments, script=SCRIPT, **more):
    home.mkdir(exist_ok=True)
    file = home / "script.py"
    if not file.exists() or file.read_text() != script:  # others may be reading it
        file.write_text(script)
    command = [sys.executable, "-P", "script.py", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=home, env=environment(home, sinks, **more), stderr=pipe, stdout=pipe, text=True
    )


def record(home, sinks, *arguments, expect=0, **more):
    process = start(home, sinks, *arguments, **more)
    output, error = process.communicate(timeout=900)
    assert process.returncode == expect, error
    return output + but_for_delays(error)


def but_for_delays(error):
    """What a process said, but for lines that its delivery is late: on a busy machine it may be, and loses nothing."""
    delay = ": it takes long, and the delivery goes on by itself; nothing is lost: trackstack sync delivers it\n"
    return "".join(line for line in error.splitlines(keepends=True) if not line.endswith(delay))


def trackstack(home, *arguments, expect=0, sinks="sqlite", **more):
    """A command, in this process; what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in set(os.environ) - set(given := environment(home, sinks, **more)):
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(app, arguments)
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == expect or expect is None, done.output
    return done.output


def wait_until_nobody_delivers(home):
    """A run may end before its files are out; whoever delivers it holds a lock."""
    places = [Place(home, folder) for folder in home.glob("runs/.delivery/*/*/*/")]
    until(lambda: not any(place.is_served() and any(place.list_waiting()) for place in places), "the delivery")
    for folder in (home / "runs").glob("[!.]*/"):
        with locked(folder / "sync.lock", patience=900) as mine:
            assert mine


def points(home):
    connection = sqlite3.connect(home / "project.db")
    rows = connection.execute(
        "SELECT run_key, attempt, metric, epoch, value FROM points JOIN runs ON runs.id = run_id"
    )
    values = rows.fetchall()
    connection.close()
    return values


def statuses(home):
    connection = sqlite3.connect(home / "project.db")
    rows = connection.execute("SELECT status, reproduced FROM runs ORDER BY id").fetchall()
    connection.close()
    return rows


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def in_journals(home: Path) -> set[Point]:
    """The points of all whole lines; the first record of a point counts."""
    found = {}
    for journal in sorted(home.glob("runs/*/journal-*.jsonl")):
        for line in journal.read_bytes().split(b"\n")[:-1]:
            entry = json.loads(line)
            if entry["type"] == "metrics":
                for name, value in entry["values"].items():
                    found.setdefault((journal.parent.name, name, entry["step"]), value)
    return {(*point, value) for point, value in found.items()}


def in_back_ends(home: Path, sinks: tuple[str, ...]) -> dict[str, list[Point]]:
    """What each back end holds, sorted: a point that is there twice is in the list twice."""
    readers = {"sqlite": in_sqlite, "mlflow": in_mlflow, "tensorboard": in_tensorboard, "wandb": in_wandb}
    return {name: sorted(readers[name](home)) for name in sinks}


def in_sqlite(home: Path) -> list[Point]:
    return [(run if attempt == 1 else f"{run}-{attempt}", *rest) for run, attempt, *rest in points(home)]


def in_mlflow(home: Path, uri: str | None = None) -> list[Point]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri or f"sqlite:///{home}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id], max_results=1000)
    return [
        (run.data.tags["trackstack.key"], name, metric.step, metric.value)
        for run in runs
        for name in run.data.metrics
        if not name.startswith("system/")
        for metric in client.get_metric_history(run.info.run_id, name)
    ]


def in_tensorboard(home: Path) -> list[Point]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = []
    for folder in home.glob("runs/*/tensorboard*"):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        key = folder.parent.name + folder.name.removeprefix("tensorboard")
        for name in events.Tags()["tensors"]:
            if events.SummaryMetadata(name).plugin_data.plugin_name == "scalars" and not name.startswith("system/"):
                found += [(key, name, e.step, e.tensor_proto.double_val[0]) for e in events.Tensors(name)]
    return found


def in_wandb(home: Path) -> list[Point]:
    from support.wandb_reader import history, read_wandb

    return [
        (file.stem.removeprefix("run-"), name, step, value)
        for file in home.glob("runs/*/**/offline-run-*/*.wandb")
        for step, values in history(read_wandb(file))
        for name, value in values.items()
        if not name.startswith("_")
    ]


PACED = SCRIPT.replace("import sys\n", "import sys, time\n") + "        time.sleep(0.002)\n"
"""Goes on for some seconds, so that there is something to kill."""
EVERYTHING = ("sqlite", "mlflow", "tensorboard", "wandb")


def kill_while_logging(home: Path, names: dict[str, str], instants: random.Random, seconds: float) -> int:
    """Start a run for each name at once, and kill at a random instant each what its value says: parent, child, both.

    Returns:
        How many of the runs lost a process by it.
    """
    runs = {name: start(home, ",".join(EVERYTHING), name, "1000", script=PACED) for name in names}
    hit = set()
    moments = sorted((time.monotonic() + instants.uniform(0.3, seconds), name) for name in names)
    for moment, name in moments:
        time.sleep(max(0.0, moment - time.monotonic()))  # the instant of the kill, not a wait for anything
        parent = runs[name].pid
        victims = {"parent": [parent], "child": children(parent), "both": [*children(parent), parent]}
        for pid in victims[names[name]]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                hit |= {name} if pid != parent else set()
    for name, process in runs.items():
        process.communicate(timeout=900)
        hit |= {name} if process.returncode == -signal.SIGKILL else set()
    return len(hit)


def kill_while_syncing(home: Path, after: float) -> bool:
    """Start `trackstack sync`, and kill it; whether it was still at work."""
    command = [sys.executable, "-P", "-m", "trackstack.cli", "sync"]
    process = subprocess.Popen(
        command, cwd=home, env=environment(home, ""), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    process.kill()
    return process.wait() == -signal.SIGKILL


def after_sync(home: Path) -> tuple[list[Point], dict[str, list[Point]]]:
    """Deliver what is left; the points that the journals hold, and those that each back end does."""
    wait_until_nobody_delivers(home)
    trackstack(home, "sync")
    return sorted(in_journals(home)), in_back_ends(home, EVERYTHING)
