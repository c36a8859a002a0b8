"""Loops of others, each ended in every way and gone on with: what does each back end say of the run?

    python benchmarks/endings.py [LOOP...]

A real process for each attempt. It ends after some points have been logged: by a signal that it sends to itself, by
`sys.exit(3)`, an exception or a deadline. Then the same script runs again, and has to end well as the same run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.recording import EVERYTHING, environment, in_back_ends, in_journals, trackstack

SIGNALS = {"SIGTERM": "interrupted", "SIGINT": "interrupted", "SIGKILL": "lost"}
ENDINGS = SIGNALS | {"sys.exit(3)": "failed", "exception": "failed", "deadline": "interrupted"}
POINTS_BEFORE = 3

BARE = """
import json, pathlib, sys, time
import trackstack
kept = pathlib.Path("kept.json")
with trackstack.Stop() as stop, trackstack.start_run("bare") as run:
    for step in range(json.loads(kept.read_text()) if kept.exists() else 0, 12):
        run.log({"loss": 1 / (step + 1)}, step)
        kept.write_text(json.dumps(step + 1))
        if stop.reason():
            break
"""
ALONE = """
import json, pathlib, sys
import trackstack
kept = pathlib.Path("kept.json")
with trackstack.start_run("alone") as run:
    for step in range(json.loads(kept.read_text()) if kept.exists() else 0, 12):
        kept.write_text(json.dumps(step + 1))
        run.log({"loss": 1 / (step + 1)}, step)
"""
LIGHTNING_ALONE = (
    (ROOT / "examples/loops/before/train_lightning.py").read_text().partition("trainer = ")[0]
    + """
import os, trackstack
class Log(lightning.Callback):
    def on_train_epoch_end(self, trainer, module):
        run.log({"train_loss": trainer.callback_metrics["train_loss"]}, trainer.current_epoch)
with trackstack.start_run("alone", params) as run:
    keep = lightning.pytorch.callbacks.ModelCheckpoint("kept", save_last=True, save_on_train_epoch_end=True)
    trainer = lightning.Trainer(max_epochs=8, **options, callbacks=[keep, Log()], logger=False)
    last = "kept/last.ckpt" if os.path.exists("kept/last.ckpt") else None
    trainer.fit(Line(params["lr"]), data, ckpt_path=last)
"""
)
OPTUNA = """
import optuna, trackstack
def objective(trial):
    with trackstack.Stop() as stop, trackstack.start_run("trial", {"number": trial.number}) as run:
        for step in range(6):
            run.log({"loss": 1.0 / (step + 1)}, step)
            if trial.number == 0:
                raise optuna.TrialPruned
            if stop.reason():
                trial.study.stop()
                break
    return 1.0
optuna.logging.set_verbosity(optuna.logging.ERROR)
optuna.create_study().optimize(objective, n_trials=2)
"""
ASK_NOTHING = dict.fromkeys(("loop alone", "Lightning alone"), tuple(ENDINGS)[:-1])
"""Loops that look at no deadline, with their endings."""
LOOPS = {
    "loop with Stop": BARE,
    "loop alone": ALONE,
    "own_loop": ROOT / "examples/loops/own_loop.py",
    "Lightning": ROOT / "examples/loops/train_lightning.py",
    "Lightning alone": LIGHTNING_ALONE,
    "Transformers": ROOT / "examples/loops/train_transformers.py",
    "scikit-learn": ROOT / "examples/loops/train_sklearn.py",
    "Optuna": OPTUNA,
}


def attempt(script: Path, ending: str) -> None:
    """In a process of its own: run a script, which is ended after some points; `well` lets it be."""
    import runpy

    from trackstack.tracking import run as module

    log, logged = module.Run.log, 0

    def log_and_end(self: module.Run, *arguments: object, **named: object) -> None:
        nonlocal logged
        log(self, *arguments, **named)  # type: ignore[arg-type]
        logged += 1
        if logged == POINTS_BEFORE and ending in SIGNALS:
            os.kill(os.getpid(), getattr(signal, ending))
        elif logged == POINTS_BEFORE and ending == "sys.exit(3)":
            sys.exit(3)
        elif logged == POINTS_BEFORE and ending == "exception":
            raise ValueError("out of ideas")

    module.Run.log = log_and_end  # type: ignore[method-assign]
    module.Keeper = lambda *_: None  # type: ignore[assignment,misc,return-value]
    runpy.run_path(str(script), run_name="__main__")


def execute(home: Path, script: Path, ending: str) -> int:
    """One attempt, its exit code."""
    more = {"TRACKSTACK_DEADLINE": str(time.time() + 5)} if ending == "deadline" else {}
    more |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "TRACKSTACK_CHECKPOINT_SECONDS": "0"}
    given = environment(home, ",".join(EVERYTHING), **more)
    command = [sys.executable, "-P", __file__, "--attempt", str(script), ending]
    with (home / "log").open("ab") as file:
        return subprocess.run(command, cwd=home, env=given, stdout=file, stderr=file, check=False).returncode


def said(home: Path) -> dict[str, list[str]]:
    """By back end, the statuses of the runs, after a delivery."""
    trackstack(home, "sync", sinks=",".join(EVERYTHING), WANDB_MODE="offline")
    rows = json.loads(trackstack(home, "runs", "list", "--json"))
    states = {"journal": [row["status"] for row in rows]}
    return states | {name: read(home) for name, read in READERS.items()}


def in_sqlite(home: Path) -> list[str]:
    """The column of the table."""
    import sqlite3

    connection = sqlite3.connect(home / "project.db")
    rows = connection.execute("SELECT status FROM runs ORDER BY started_at, id").fetchall()
    connection.close()
    return [row[0] for row in rows]


def in_mlflow(home: Path) -> list[str]:
    """MLflow's own word, and the tag where it has none."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id], order_by=["start_time"])
    return [run.data.tags.get("trackstack.status", run.info.status.lower()) for run in runs]


def in_wandb(home: Path) -> list[str]:
    """What the newest part of each run has in its summary."""
    from support.wandb_reader import read_wandb

    newest: dict[str, str] = {}
    for file in sorted(home.glob("runs/*/**/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        for record in read_wandb(file):
            for item in record.summary.update if record.WhichOneof("record_type") == "summary" else ():
                if item.key == "trackstack_status" or list(item.nested_key) == ["trackstack_status"]:
                    newest[file.stem] = json.loads(item.value_json)
    return list(newest.values())


def in_tensorboard(home: Path) -> list[str]:
    """Success or failure of its last session."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    found = []
    for folder in sorted(home.glob("runs/*/tensorboard*")):
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
        content = events.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
        found.append("finished" if end.status == api_pb2.STATUS_SUCCESS else "not finished")
    return found


READERS = {"sqlite": in_sqlite, "mlflow": in_mlflow, "wandb": in_wandb, "tensorboard": in_tensorboard}


def try_one(name: str, ending: str, home: Path) -> tuple[str, bool]:
    """A line on one loop that is ended in one way and gone on with, and whether it is what it should be."""
    loop = LOOPS[name]
    script = loop if isinstance(loop, Path) else home / "script.py"
    if isinstance(loop, str):
        script.write_text(loop)
    code, first = execute(home, script, ending), said(home)
    again, second = execute(home, script, "well"), said(home)
    expected = ENDINGS[ending]
    if name == "Optuna":  # the first trial is pruned, the second one ends; a new study makes both again
        right = again == 0 and first["journal"] == ["pruned", expected]
    else:
        right = first == {back_end: [expected] for back_end in first} | {"tensorboard": ["not finished"]}
        right &= again == 0 and all(states == ["finished"] for states in second.values())
        points = sorted(in_journals(home))
        right &= all(sorted(found) == points for found in in_back_ends(home, EVERYTHING).values())
    states = "; ".join(f"{back_end} {'+'.join(found)}" for back_end, found in first.items())
    return f"{name:16s} {ending:12s} exit {code:4d}  {states}  then {'+'.join(second['journal'])}", right


def main() -> None:
    """All loops and endings, or those of the loops that are named; exit code 1 when one is not as it should be."""
    if sys.argv[1:2] == ["--attempt"]:
        script, ending = Path(sys.argv[2]), sys.argv[3]
        sys.argv = [str(script)]
        attempt(script, ending)
        return
    began, bad = time.monotonic(), 0
    for name in sys.argv[1:] or LOOPS:
        for ending in ENDINGS:
            if ending not in ASK_NOTHING.get(name, ENDINGS):
                continue
            with tempfile.TemporaryDirectory() as folder:
                line, right = try_one(name, ending, Path(folder))
                if not right:
                    print((Path(folder) / "log").read_text()[-3000:])
                print(line if right else f"{line}   WRONG", flush=True)
                bad += not right
    print(f"{bad} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(int(bad > 0))


if __name__ == "__main__":
    main()
