"""Real projects to test on: a tiny one that runs through in seconds, and the checkout with its sample data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch starts its threads; see trackstack.stage
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
ROOT = Path(__file__).resolve().parent.parent
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
}
TINY_PARAMS = {
    "dataset": "tiny",
    "tensor_cache": {"window": 20, "stride": 10, "folds": 4, "fold": 0},
    "train": {"epochs": 2, "batch_size": 8, "threads": 1},
    "models": {"cnn": {"widths": [8, 8]}},
    "evaluate": {"threads": 1},
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
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    if expect is not None and done.returncode != expect:
        pytest.fail(f"{command!r} exited with {done.returncode}, not {expect}:\n{done.stdout}\n{done.stderr}")
    return done


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


def edit_yaml(path: Path, changes: dict) -> None:
    """Merge nested changes into a YAML file."""

    def merge(into: dict, values: dict) -> None:
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    content = yaml.safe_load(path.read_text())
    merge(content, changes)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduced and committed project on tiny data; shared, so only to be read. See `project`."""
    folder = copy_checkout(tmp_path_factory.mktemp("tiny") / "a project", without=("data/bundled", "data/raw"))
    write_tiny_recordings(folder / "data/raw/tiny")
    edit_yaml(folder / "data/catalog.yaml", {"datasets": {"tiny": TINY_ENTRY}})
    edit_yaml(folder / "params.yaml", TINY_PARAMS)
    run_in(folder, "dvc add -q data/raw/tiny && dvc repro")
    run_in(folder, "git add -A && git commit -qm 'Tiny data'")
    return folder


@pytest.fixture
def project(tiny_project: Path, tmp_path: Path) -> Path:
    """A copy of the tiny project, to do with as the test likes."""
    folder = tmp_path / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    return folder


CHEAP_TRAINING = """# In the place of a training: logs, waits, fails and is interrupted like one.
import sys
import time
from pathlib import Path

from trackstack import UserError
from trackstack.stage import stage

with stage("train") as params:
    import trackstack
    from trackstack.stopping import Interrupted, Stop

    with Stop() as stop, trackstack.start_run("cheap", params.train.model_dump(mode="json")) as run:
        for step in range(params.train.epochs):
            if reason := stop.reason():
                raise Interrupted(reason)
            if params.train.lr > 1:
                raise UserError("the train_loss is nan")
            run.log({"train_loss": 1 / (1 + step)}, step)
            time.sleep(0.1)
    Path(sys.argv[2]).mkdir(parents=True)
    Path(sys.argv[2], "model.txt").write_text(f"{params.train.lr} {params.train.seed}")
"""


@pytest.fixture(scope="session")
def tiny_cheap_project(tiny_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `cheap_project`."""
    folder = tmp_path_factory.mktemp("cheap") / "a cheap project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    (folder / "stages/train.py").write_text(CHEAP_TRAINING)
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    train = {"deps": ["data/cache", "stages/train.py"], "params": ["train"], "outs": ["results/model"]}
    stages = {name: stage for name, stage in pipeline["stages"].items() if name != "evaluate"}
    pipeline = {"stages": stages | {"train": stages["train"] | train}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    run_in(folder, "git add -A && git commit -qm 'A cheap training'")
    return folder


@pytest.fixture
def cheap_project(tiny_cheap_project: Path, tmp_path: Path) -> Path:
    """A copy of the tiny project that ends with a training of some tenths of a second, still to be run.

    For tests of what is around the training: it needs no torch, and there is nothing to evaluate.
    """
    folder = tmp_path / "a project"
    shutil.copytree(tiny_cheap_project, folder, symlinks=True)
    return folder


@pytest.fixture(scope="session")
def path_without_slurm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with all that this machine has but Slurm."""
    folder = tmp_path_factory.mktemp("programs")
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"):
            (folder / program.name).symlink_to(program)
    return f"{Path(sys.executable).parent}{os.pathsep}{folder}"


@pytest.fixture
def run() -> Run:
    """Run a command in a folder: `run(folder, "dvc status")`."""
    return run_in


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw folder of `sensor_v2`, put together from the embedded remote."""
    folder = tmp_path_factory.mktemp("sample") / "sensor_v2"
    folder.mkdir()
    objects = ROOT / "data/bundled/files/md5"
    pointer = yaml.safe_load((ROOT / "data/raw/sensor_v2.dvc").read_text())["outs"][0]["md5"]
    for item in yaml.safe_load((objects / pointer[:2] / pointer[2:]).read_text()):
        shutil.copy(objects / item["md5"][:2] / item["md5"][2:], folder / item["relpath"])
    return folder


@pytest.fixture(scope="session")
def booted_cluster() -> Iterator[Any]:
    """A real Slurm of two nodes, one per process of the tests; see `cluster`."""
    import slurm_cluster  # which needs this file

    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running_cluster() as booted:
        yield booted


@pytest.fixture
def cluster(booted_cluster: Any) -> Iterator[Any]:
    """A real Slurm with an empty queue, see `slurm_cluster.Cluster`."""
    yield booted_cluster
    booted_cluster.empty()


@pytest.hookimpl(tryfirst=True)  # xdist looks at the marks in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a fixture that takes minutes runs in one process of the tests."""
    for item in items:
        if "fresh_start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("fresh_start"))
