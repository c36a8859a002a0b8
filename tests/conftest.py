"""The fixtures that tests of all folders use."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from support.projects import (
    CHEAP_TRAINING,
    NOT_NEEDED,
    TINY_ENTRY,
    TINY_PARAMS,
    Run,
    copy_checkout,
    edit_yaml,
    run_in,
    write_reference,
    write_tiny_recordings,
)
from support.shared import built_once

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch starts its threads; see training/determinism.py
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Before any test imports MLflow, which reads it then; see `SETTINGS` in tracking/sinks/mlflow_sink.py.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")

# As our programs do, see `begin_process`: the tests import all of torch, MLflow, DVC and W&B.
gc.set_threshold(10_000, 20, 20)

# A job in the background of a script ignores Ctrl-C, and so would all that the tests start and end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are shared: how long an example takes says nothing of the code.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Besides a diagonal of the table in `repository/test_hostile.py`, all of it."""
    parser.addoption("--matrix", action="store_true", help="every command under every hostile setting: an hour")


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduced and committed project on tiny data; shared, so only to be read. See `project`."""

    def build(place: Path) -> None:
        folder = copy_checkout(place / "a project", NOT_NEEDED)
        write_tiny_recordings(folder / "data/raw/tiny")
        write_reference(folder)
        edit_yaml(folder / "data/catalog.yaml", {"datasets": {"tiny": TINY_ENTRY}})
        edit_yaml(folder / "params.yaml", TINY_PARAMS)
        run_in(folder, "dvc add -q data/raw/tiny && dvc repro")
        run_in(folder, "git add -A && git commit -qm 'Tiny data'")

    return built_once(tmp_path_factory, "tiny", build) / "a project"


@pytest.fixture
def project(tiny_project: Path, tmp_path: Path) -> Path:
    """A copy of the tiny project, to do with as the test likes."""
    folder = tmp_path / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    return folder


@pytest.fixture(scope="session")
def tiny_cheap_project(tiny_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `cheap_project`."""

    def build(place: Path) -> None:
        folder = place / "a cheap project"
        shutil.copytree(tiny_project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
        (folder / "stages/train.py").write_text(CHEAP_TRAINING)
        pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
        deps = ["data/cache", "stages/train.py", "src/trackstack/core", "src/pipeline/train/params.py"]
        train = {"deps": deps, "params": ["train"], "outs": ["results/model"]}
        until_train = list(pipeline["stages"])[: list(pipeline["stages"]).index("train") + 1]
        stages = {name: pipeline["stages"][name] for name in until_train}
        pipeline = {"stages": stages | {"train": stages["train"] | train}}
        (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
        run_in(folder, "git add -A && git commit -qm 'A cheap training'")

    return built_once(tmp_path_factory, "cheap", build) / "a cheap project"


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
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository as `dvc init` makes it; shared, so only to be read. See `repository`."""

    def build(folder: Path) -> None:
        run_in(folder, "git init -q && dvc init -q && git commit -qm 'A DVC repository'")

    return built_once(tmp_path_factory, "empty repository", build)


@pytest.fixture
def repository(empty_repository: Path, tmp_path: Path) -> Path:
    """A fresh DVC repository of somebody."""
    return shutil.copytree(empty_repository, tmp_path / "somebody's")


@pytest.fixture(scope="session")
def booted_cluster() -> Iterator[Any]:
    """A real Slurm of two nodes, one per process of the tests; see `cluster`."""
    from support import slurm_cluster

    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm_cluster.running_cluster() as booted:
        yield booted


@pytest.fixture
def cluster(booted_cluster: Any) -> Iterator[Any]:
    """A real Slurm with an empty queue, see `slurm_cluster.Cluster`."""
    yield booted_cluster
    booted_cluster.empty()


SLOW_FIXTURES = {"booted_cluster", "fresh_start", "linear", "origin", "shapes", "tiny_project"}
SLOW_PATHS = (  # many real processes, documents typed, hundreds of cases
    "pipeline/evaluate/test_report.py",
    "pipeline/import_data/",
    "pipeline/parquet/",
    "pipeline/test_bad_input.py",
    "repository/",
    "tool/cluster/",
    "tool/records/test_rebuild.py",
    "tool/sharing/test_push.py",
    "tool/sharing/test_record.py",
    "tool/tracking/",
)


@pytest.hookimpl(tryfirst=True)  # xdist looks at the marks in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test-fast` leaves out what is marked slow here; tests that share a fixture of a module run in one process."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        if names & SLOW_FIXTURES or (path.startswith(SLOW_PATHS) and path != "repository/test_house.py"):
            item.add_marker(pytest.mark.slow)
        fixtures = getattr(item, "_fixtureinfo", None)
        definitions = fixtures.name2fixturedefs.values() if fixtures else ()
        shares = any(definition[-1].scope == "module" for definition in definitions)
        if shares and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(path))


@pytest.fixture
def settings_of_torch() -> Iterator[None]:
    """Torch's settings are put back after the test."""
    import torch

    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)
