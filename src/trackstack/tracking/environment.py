"""What a run's record says about where it ran, and where it is to be delivered."""

from __future__ import annotations

import os
import platform
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trackstack.system.git import try_git, user_name
from trackstack.tracking.addresses import mlflow_uri
from trackstack.tracking.sinks import is_installed

PACKAGES = ("torch", "numpy", "safetensors", "pyarrow", "polars", "scikit-learn", "dvc", "mlflow")


def home() -> Path:
    """Where runs and databases are kept: TRACKSTACK_HOME, else DVC's main checkout, else the working folder.

    DVC names the main checkout in DVC_ROOT even where a stage runs in a temporary copy of it.
    """
    return Path(os.environ.get("TRACKSTACK_HOME") or os.environ.get("DVC_ROOT") or Path.cwd()).absolute()


def destinations(home: Path) -> dict[str, dict[str, Any]]:
    """The back ends of a run that starts now, by TRACKSTACK_SINKS and each back end's own variables.

    Without TRACKSTACK_SINKS they are SQLite, and MLflow and TensorBoard where these are installed.
    """
    chosen, mode = os.environ.get("TRACKSTACK_SINKS"), os.environ.get("WANDB_MODE")
    if chosen is None:
        names = ["sqlite", *(name for name in ("mlflow", "tensorboard") if is_installed(name))]
    else:
        names = [name.strip() for name in chosen.split(",") if name.strip()]
    if mode in ("online", "offline") and "wandb" not in names:
        names.append("wandb")
    known: dict[str, dict[str, Any]] = {
        "sqlite": {"path": str(home / "project.db")},
        "mlflow": {
            "uri": mlflow_uri(home),
            "artifacts": str(home / "mlartifacts"),
            "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "trackstack",
        },
        "tensorboard": {},
        "wandb": {
            "mode": mode or "offline",
            "project": os.environ.get("WANDB_PROJECT") or "trackstack",
            "entity": os.environ.get("WANDB_ENTITY"),
        },
    }
    return {name: known.get(name, {}) for name in names if not (name == "wandb" and mode == "disabled")}


def environment(device: str) -> dict[str, Any]:
    """User, host, versions and device of this process."""
    return {
        "user": user_name(),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "packages": {name: installed for name in PACKAGES if (installed := _version(name))},
    }


def tags() -> dict[str, str]:
    """Commit, DVC experiment and SLURM job, as far as there are any."""
    known = {
        "git_commit": try_git(Path(), "rev-parse", "HEAD"),
        "git_dirty": str(bool(try_git(Path(), "status", "--porcelain", "--untracked-files=no"))).lower(),
        "dvc_exp": os.environ.get("DVC_EXP_NAME"),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        "slurm_array_task": os.environ.get("SLURM_ARRAY_TASK_ID"),
        "sweep": os.environ.get("TRACKSTACK_SWEEP"),
        "slurm_cluster": os.environ.get("SLURM_CLUSTER_NAME"),
        "command": " ".join(sys.argv),
    }
    return {name: value for name, value in known.items() if value}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
