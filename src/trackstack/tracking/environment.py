"""What a run's record says about where it ran, and where it is to be delivered."""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
from pathlib import Path
from typing import Any

from trackstack.system.git import try_git, user_name
from trackstack.tracking.addresses import mlflow_uri, sqlite_uri
from trackstack.tracking.sinks import is_installed

DECISIVE_VARIABLES = re.compile(
    r"\w+_NUM_THREADS|OMP_\w+|MKL_\w+|KMP_\w+|(ONE)?DNN_\w+|ATEN_CPU_CAPABILITY|CUBLAS_WORKSPACE_CONFIG"
    r"|PYTHONHASHSEED|CUDA_VISIBLE_DEVICES|TF_(DETERMINISTIC|CUDNN|ENABLE)_\w+|XLA_FLAGS|JAX_\w+"
    r"|(TORCH|PYTORCH)_\w+|NCCL_ALGO|LC_ALL|LANG|TZ"
)
"""The environment variables that can change the bits of a result; their values are recorded."""
DATABASE, ARTIFACTS = "project.db", "mlartifacts"
"""At home: SQLite, and the files of MLflow's runs."""
CONTAINER_VARIABLES = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "CONTAINER_IMAGE")


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
        "sqlite": {"path": str(home / DATABASE)},
        "mlflow": {
            "uri": mlflow_uri(home),
            "artifacts": str(home / ARTIFACTS),
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


def destinations_at(home: Path, recorded: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A record's back ends with those at home where the home is now: it may have been moved or copied since."""
    found = dict(recorded)
    if "sqlite" in found:
        found["sqlite"] = {"path": str(home / DATABASE)}
    if "mlflow" in found:
        before, now = (sqlite_uri(folder) for folder in (Path(found["mlflow"]["artifacts"]).parent, home))
        uri = found["mlflow"]["uri"]
        uri = now + uri.removeprefix(before) if uri.startswith(f"{before}/") else uri
        found["mlflow"] = found["mlflow"] | {"uri": uri, "artifacts": str(home / ARTIFACTS)}
    return found


def environment(device: str) -> dict[str, Any]:
    """User, host, device, and whatever of this process and its machine can change the bits of a result.

    `drift` is there where the repository has a requirements.lock: how the packages differ from it.
    """
    # With pydantic, a quarter of a second that commands do without.
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.tracking.packages import drift, installed_packages

    packages = installed_packages()
    known = {
        "user": user_name(),
        "host": socket.gethostname(),
        "device": device,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _first_match(Path("/proc/cpuinfo"), r"model name\s*: (.+)"),
        "cores": len(os.sched_getaffinity(0)),
        "driver": _first_match(Path("/proc/driver/nvidia/version"), r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)"),
        "modules": [module for module in os.environ.get("LOADEDMODULES", "").split(":") if module],
        "container": next(filter(None, map(os.environ.get, CONTAINER_VARIABLES)), None),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if DECISIVE_VARIABLES.fullmatch(name)},
        "packages": packages,
        "drift": drift(dvc_root(Path.cwd()) or Path.cwd(), packages),
    }
    return {name: value for name, value in known.items() if value not in (None, [])} | {"packages": packages}


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


def _first_match(file: Path, pattern: str) -> str | None:
    """The group of a pattern in a file of the kernel; None where there is no such file."""
    try:
        match = re.search(pattern, file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return match[1] if match else None
