"""What a run's record says about where it ran, and where it is to be delivered."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from trackstack.system.git import try_git
from trackstack.tracking.sinks import is_installed

PACKAGES = ("torch", "numpy", "safetensors", "pyarrow", "polars", "scikit-learn", "dvc", "mlflow")
SECRET_NAME = re.compile(r"(^|[-_])(api)?(key|token|secret|password|passwd|credentials?|auth)([-_]|$)", re.IGNORECASE)
REDACTED = "[redacted]"


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


def mlflow_uri(home: Path) -> str:
    """MLFLOW_TRACKING_URI, or the database at home; absolute, and without a password.

    MLflow reads that from its own MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home}/mlflow.db"
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"sqlite:///{Path.cwd() / relative[1]}" if relative else without_password(uri)


def environment(device: str) -> dict[str, Any]:
    """User, host, versions and device of this process."""
    return {
        "user": getpass.getuser(),
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


def redact(value: Any) -> Any:
    """The value without what must reach no record: passwords in URLs, and the values of secret variables.

    A variable counts as secret when its name looks like a key, a token or a password; so does a command-line
    flag of such a name (`--api-key X`, `--api-key=X`).
    """
    secrets = [v for name, v in os.environ.items() if SECRET_NAME.search(name) and len(v) >= 8] + _secret_arguments()
    return _without(value, sorted(secrets, key=len, reverse=True))


def _secret_arguments() -> list[str]:
    secrets = []
    for flag, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, value = flag.partition("=")
        if name.startswith("-") and SECRET_NAME.search(name):
            secrets.append(value or following)
    return [value for value in secrets if value]


def _without(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: REDACTED if SECRET_NAME.search(str(key)) and isinstance(item, str) else _without(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
    return value


def without_password(uri: str) -> str:
    """A URI as it may be shown: user name and password left out."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
