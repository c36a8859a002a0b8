"""Write the journal of a run that never executed here, from the stage outputs that DVC holds of it.

For runs that came out of the run cache, from a colleague, or whose records were lost: whatever commit or experiment
still names their outputs, in the cache or at a remote, gives back parameters, curves and final figures.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trackstack import UserError
from trackstack.tracking.environment import destinations
from trackstack.tracking.journal import Journal, journals


def rebuild(revision: str, home: Path) -> tuple[str, bool]:
    """Make sure that the run of a commit or experiment has a record; return its id, and whether one was written.

    Raises:
        UserError: no such revision, or DVC has no outputs of it.
    """
    commit = _resolve(revision)
    outputs = _outputs(commit)
    model = json.loads(_read(commit, f"{outputs['model']}/model.json"))
    folder = home / "runs" / model["run"]
    if folder.exists() and journals(folder):
        return model["run"], False
    records = list(_records(commit, outputs, model, experiment_names().get(commit)))
    journal = Journal(folder)
    for record in records:
        journal.write(record | {"destinations": destinations(home)} if record["type"] == "start" else record)
    journal.close()
    return model["run"], True


def experiment_names() -> dict[str, str]:
    """Every DVC experiment of this repository: commit to name."""
    lines = _git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    refs = [line.split(" ", 1) for line in lines]
    # refs/exps/ab/cdef…/NAME; the queue's own entries have other shapes
    return {commit: ref.rsplit("/", 1)[1] for commit, ref in refs if ref.count("/") == 4}


def _records(commit: str, outputs: dict[str, str], model: dict, experiment: str | None) -> Iterator[dict[str, Any]]:
    when = float(_git("show", "-s", "--format=%ct", commit))
    tags = {"git_commit": commit, "rebuilt": "true", "model_name": model["model"]}
    yield {
        "type": "start",
        "time": when,
        "run": model["run"],
        "attempt": 1,
        "stage": "train",
        "series": 1,
        "name": experiment or f"{model['model']}-{model['run']}",
        "params": {
            "dataset": model["dataset"],
            "models": {model["model"]: model["model_params"]},
            **{name: model[name] for name in ("train", "losses", "metrics") if name in model},
        },
        "tags": tags | ({"dvc_exp": experiment} if experiment else {}),
        "data": None,
        "environment": {"user": _git("show", "-s", "--format=%an", commit), "device": "unknown", "packages": {}},
    }
    for step, values in sorted(_curves(commit, outputs["live"]).items()):
        yield {"type": "metrics", "time": when, "step": step, "values": values}
    if "evaluation" in outputs:
        values = json.loads(_read(commit, f"{outputs['evaluation']}/metrics.json"))
        yield {"type": "metrics", "time": when, "step": model["kept"]["epoch"], "values": values}
    yield {"type": "end", "time": when, "status": "finished", "error": None}


def _curves(commit: str, live: str) -> dict[int, dict[str, float]]:
    """DVCLive's tables, one per metric, as values by step."""
    found: dict[int, dict[str, float]] = {}
    plots = f"{live}/plots/metrics"
    for path in _files(commit).ls(plots, detail=False):
        for row in csv.DictReader(io.StringIO(_read(commit, path)), delimiter="\t"):
            name = Path(path).stem
            found.setdefault(int(row["step"]), {})[name] = float(row[name])
    return found


def _outputs(commit: str) -> dict[str, str]:
    """Output folders of train and evaluate at a commit by their own names: model, live, evaluation."""
    try:
        stages = yaml.safe_load(_git("show", f"{commit}:dvc.lock"))["stages"]
        outs = [out["path"] for stage in ("train", "evaluate") for out in stages.get(stage, {}).get("outs", [])]
    except (UserError, TypeError, KeyError):
        outs = []
    outputs = {Path(path).name: path for path in outs}
    if not {"model", "live"} <= set(outputs):
        raise UserError(f"{commit[:10]}: its dvc.lock names no trained model; reproduce it with dvc repro")
    return outputs


@functools.cache
def _files(commit: str) -> Any:
    """The files of a commit, those that DVC tracks included."""
    from dvc.api import DVCFileSystem  # a second to import: not before it is needed

    return DVCFileSystem(".", rev=commit)


def _read(commit: str, path: str) -> str:
    try:
        return _files(commit).read_text(path)
    except Exception as error:  # DVC, its storage and its remotes raise classes of many packages
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{commit[:10]}: DVC cannot give {path} ({reason}); dvc pull may bring it") from None


def _resolve(revision: str) -> str:
    """The commit of a revision or of a DVC experiment's name."""
    by_name = {name: commit for commit, name in experiment_names().items()}
    try:
        return by_name.get(revision) or _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except UserError:
        raise UserError(f"{revision}: neither a commit nor a DVC experiment; dvc exp list shows those") from None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()
