"""Real projects to test on: a tiny one that runs through in seconds, and how commands are run in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch starts its threads; see trackstack.core.guard
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path(__file__).parent / "reference"
Run = Callable[..., subprocess.CompletedProcess]

TINY_ENTRY = {
    "path": "data/raw/tiny",
    "description": "Four people, two recordings each, two classes",
    "num_samples": 4 * 2 * 60,
    "features": [{"name": "ax"}, {"name": "ay"}, {"name": "az"}],
    "label": "label",
    "classes": ["up", "down"],
    "group": "subject",
    "series": "recording",
    "settings": {
        "parquet": {"max_rejected": 0},
        "tensor_cache": {"folds": 4, "window": 20, "stride": 10},
        "train": {"batch_size": 8, "epochs": 2},
    },
}
TINY_PARAMS = {
    "dataset": "tiny",
    "parquet": {"max_rejected": None},
    "tensor_cache": {"window": None, "stride": None, "folds": None, "fold": 0},
    "train": {"epochs": 2, "batch_size": 8, "threads": 1},
    "models": {"cnn": {"widths": [8, 8]}},
    "evaluate": {"baselines": False, "threads": 1},
}


def command_environment() -> dict[str, str]:
    """The tests' own interpreter first on PATH, and none of the settings of whoever runs the tests."""
    dropped = (
        "DVC_",
        "GIT_",
        "MAKE",
        "MFLAGS",
        "MLFLOW_",
        "PYTHONPATH",
        "PYTEST_",
        "SLURM_",
        "TRACKSTACK_",
        "WANDB_",
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "tester",
        "GIT_AUTHOR_EMAIL": "t@example.org",
    }
    environment |= {"GIT_COMMITTER_NAME": "tester", "GIT_COMMITTER_EMAIL": "t@example.org", "NO_COLOR": "1"}
    environment["TRACKSTACK_SINKS"] = ""  # the tests of the back ends name theirs; the others are not about them
    return environment


def run_in(
    folder: Path, command: str | list[str], expect: int | None = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run a command and return it with its output as text; any exit code but `expect` fails the test."""
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=env or command_environment(),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        timeout=1200,
        check=False,
    )
    if expect is not None and done.returncode != expect:
        pytest.fail(f"{command!r} exited with {done.returncode}, not {expect}:\n{done.stdout}\n{done.stderr}")
    return done


def stages_run(output: str) -> list[str]:
    """The stages that DVC executed, in order."""
    return re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)


def stages_from(project: Path, first: str) -> set[str]:
    """A stage and those that stand below it in dvc.yaml, whatever a project has added there."""
    names = list(yaml.safe_load((project / "dvc.yaml").read_text())["stages"])
    return set(names[names.index(first) :])


NOT_NEEDED = ("benchmarks/", "data/bundled", "data/raw", "docs/", "tests/")
"""What no stage reads: DVC goes through all that git tracks again and again, and each trial is a clone of it."""


def copy_checkout(target: Path, without: tuple[str, ...] = ()) -> Path:
    """Copy what git tracks or would track, as it is now, and commit it in a new repository."""
    listing = run_in(ROOT, "git ls-files -z --cached --others --exclude-standard").stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(without):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    run_in(target, "git init -q -b main && git add -A && git commit -qm 'A checkout'")
    return target


def write_tiny_recordings(folder: Path) -> None:
    """One CSV per subject; the classes differ in the sign of a slope, so that a model can learn them."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for subject in range(1, 5):
        lines = ["recording,subject,ax,ay,az,label"]
        for number, label in enumerate(("up", "down")):
            slope = np.linspace(-1, 1, 60)[:, None] * (1 if label == "up" else -1)
            signal = slope + random.normal(0, 0.3, (60, 3))
            recording = 2 * subject + number
            lines += [f"{recording},{subject},{x:.6f},{y:.6f},{z:.6f},{label}" for x, y, z in signal]
        (folder / f"subject_{subject}.csv").write_text("\n".join(lines) + "\n")


def merged(values: dict, changes: dict) -> dict:
    """The values with nested changes."""
    result = dict(values)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result


def edit_yaml(path: Path, changes: dict) -> None:
    """Merge nested changes into a YAML file."""
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), changes), sort_keys=False))


def reference_params() -> dict:
    """This project's parameters with the values that the tests expect, whatever it has chosen for itself."""
    own, expected = ROOT / "params.yaml", REFERENCE / "params.yaml"
    return merged(yaml.safe_load(own.read_text()), yaml.safe_load(expected.read_text()))


def write_reference(folder: Path) -> None:
    """Write `params.yaml` and `data/catalog.yaml` as the tests expect them."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    shutil.copy(REFERENCE / "catalog.yaml", folder / "data")
    (folder / "params.yaml").write_text(yaml.safe_dump(reference_params(), sort_keys=False))


CHEAP_TRAINING = """# In the place of a training: logs, waits, fails and is interrupted like one.
import sys
import time
from pathlib import Path

import trackstack
from trackstack import UserError

with trackstack.stage() as params:
    from pipeline.train.params import Params

    train = params.section("train", Params)
    with trackstack.Stop() as stop, trackstack.start_run("cheap", train.model_dump(mode="json")) as run:
        for step in range(train.epochs):
            if reason := stop.reason():
                raise trackstack.Interrupted(reason)
            if train.lr > 1:
                raise UserError("the train_loss is nan")
            run.log({"train_loss": 1 / (1 + step)}, step)
            time.sleep(0.1)
    Path(sys.argv[2]).mkdir(parents=True)
    Path(sys.argv[2], "model.txt").write_text(f"{train.lr} {train.seed}")
"""
