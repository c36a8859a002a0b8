"""Look at a machine before the work starts: each finding is ok, a warning or a failure, with what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError, slurm
from trackstack.clones import cache_folder
from trackstack.tracking.environment import home, without_password
from trackstack.tracking.locks import try_lock, unlock

NETWORK = ("nfs", "nfs4", "gpfs", "lustre", "beegfs", "ceph", "panfs", "cifs", "smb3", "fuse.glusterfs", "wekafs")
CHECKPOINT_SECONDS = 10
"""What the trainer is granted to write a checkpoint after TERM."""
TRY_LOCK = (
    "import sys; from trackstack.tracking.locks import *; sys.exit(try_lock(__import__('pathlib').Path(sys.argv[1])))"
)
GPU_KERNEL = (
    "import torch; x = torch.ones(64, 64, device='cuda'); print(torch.cuda.get_device_name(), float((x @ x).sum()))"
)


class Finding(NamedTuple):
    """One line of the report."""

    what: str
    verdict: str
    """ok, warn or fail."""
    found: str
    todo: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, the quick ones first."""
    for check in (_python, _packages, _mlflow, _cluster, _places, _locks, _links, _internet, _gpu):
        try:
            yield from check()
        except (UserError, OSError, subprocess.SubprocessError) as error:
            yield Finding(check.__name__.strip("_"), "fail", " ".join(str(error).split())[:200])


def _python() -> Iterator[Finding]:
    fine = sys.version_info >= (3, 11)
    yield Finding("Python", "ok" if fine else "fail", f"{sys.version.split()[0]} in {sys.prefix}", "make venv")
    if modules := os.environ.get("LOADEDMODULES"):
        yield Finding("modules", "ok", modules.replace(":", ", "))


def _packages() -> Iterator[Finding]:
    lines = Path("requirements.lock").read_text().splitlines()
    wanted = dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line)
    differing = []
    for name, version in wanted.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if importlib.metadata.version(name).split("+")[0] != version:
                differing.append(f"{name} {importlib.metadata.version(name)}, not {version}")
            continue
        differing.append(f"{name} is not installed")
    found = f"{len(wanted)} as in requirements.lock" if not differing else "; ".join(differing[:5])
    yield Finding("packages", "fail" if differing else "ok", found, "make venv")


def _mlflow() -> Iterator[Finding]:
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        own = str(home()) in uri
        yield Finding(
            "MLFLOW_TRACKING_URI",
            "ok" if own else "warn",
            without_password(uri),
            "runs go there: unset it to keep them here",
        )


def _cluster() -> Iterator[Finding]:
    if not shutil.which("sbatch"):
        yield Finding("sbatch", "warn", "not found: no SLURM here", "dvc repro and sweep --local work without")
        return
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False, timeout=60)
    if shown.returncode:
        yield Finding("slurmctld", "fail", shown.stderr.strip()[:200], "is this a login node?")
        return
    config = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", shown.stdout, re.MULTILINE))
    yield Finding("SLURM", "ok", f"{config.get('ClusterName')}, {config.get('SLURM_VERSION')}")
    yield from _job_limits(config)
    account = os.environ.get("SBATCH_ACCOUNT")
    required = "associations" in config.get("AccountingStorageEnforce", "")
    verdict = "ok" if account or not required else "fail"
    yield Finding("account", verdict, account or "none", f"EDIT {slurm.SITE}, then source it")
    lines = subprocess.run(
        ["sinfo", "-h", "-o", "%P|%a|%l|%G"], capture_output=True, text=True, check=True, timeout=60
    )
    partitions = [line.split("|") for line in lines.stdout.splitlines()]
    text = "; ".join(f"{name} {limit}" + ("" if gpu == "(null)" else f" {gpu}") for name, _, limit, gpu in partitions)
    yield Finding("partitions", "ok" if partitions else "fail", text)
    test = subprocess.run(["sbatch", "--test-only", "slurm/repro.sh"], capture_output=True, text=True, check=False)
    yield Finding(
        "submission", "fail" if test.returncode else "ok", test.stderr.strip().splitlines()[-1], f"see {slurm.SITE}"
    )


def _job_limits(config: dict[str, str]) -> Iterator[Finding]:
    requeue = config.get("JobRequeue") == "1"
    yield Finding(
        "requeue",
        "ok" if requeue else "warn",
        f"JobRequeue={config.get('JobRequeue')}",
        "interrupted jobs may have to be submitted again: the same command resumes them",
    )
    wait = int(re.match(r"\d+", config.get("KillWait", "0"))[0])
    yield Finding(
        "kill wait",
        "ok" if wait >= CHECKPOINT_SECONDS else "warn",
        f"{wait} s from TERM to KILL",
        f"a checkpoint may take {CHECKPOINT_SECONDS} s: set TRACKSTACK_CHECKPOINT_SECONDS lower",
    )
    yield Finding("arrays", "ok", f"up to {config.get('MaxArraySize')} tasks; longer sweeps are split")


def _places() -> Iterator[Finding]:
    places = {"checkout": Path.cwd(), "DVC cache": cache_folder(Path.cwd()), "home": home()}
    if scratch := os.environ.get("TRACKSTACK_SCRATCH"):
        places["scratch"] = Path(scratch)
    for name, path in places.items():
        path.mkdir(parents=True, exist_ok=True)
        kind, disk, nodes = _file_system(path), shutil.disk_usage(path), os.statvfs(path)
        free, inodes = disk.free / disk.total, nodes.f_favail / nodes.f_files if nodes.f_files else 1
        alone = shutil.which("sbatch") and kind not in NETWORK
        verdict = "fail" if min(free, inodes) < 0.01 else "warn" if alone or min(free, inodes) < 0.05 else "ok"
        todo = "other nodes may not see it: put it on shared storage" if alone else "make room"
        yield Finding(name, verdict, f"{path}: {kind}, {disk.free >> 30} GiB and {inodes:.0%} of inodes free", todo)


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    best = max(
        (m for m in mounts if path.is_relative_to(m[0].replace("\\040", " "))), key=lambda m: len(m[0]), default=None
    )
    return best[1] if best else done.stdout.strip()


def _locks() -> Iterator[Finding]:
    """A lock that one process holds must be refused to another."""
    path = home() / "runs" / ".doctor.lock"
    path.parent.mkdir(exist_ok=True)
    mine = try_lock(path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    got_it = subprocess.run(
        [sys.executable, "-P", "-c", TRY_LOCK, str(path)], env=environment, check=False
    ).returncode
    unlock(path)
    works = mine and not got_it
    yield Finding(
        "locks",
        "ok" if works else "fail",
        "kept apart" if works else "two processes got the same lock",
        "keep TRACKSTACK_HOME on a file system with POSIX locks",
    )


def _links() -> Iterator[Finding]:
    cache = cache_folder(Path.cwd())
    with tempfile.TemporaryDirectory(dir=cache) as there, tempfile.TemporaryDirectory(dir=Path.cwd()) as here:
        source = Path(there, "file")
        source.write_text("x")
        kinds: dict[str, Callable[[Path], object]] = {
            "hardlink": lambda target: target.hardlink_to(source),
            "symlink": lambda target: target.symlink_to(source),
        }
        reflink = subprocess.run(
            ["cp", "--reflink=always", source, Path(here, "reflink")], capture_output=True, check=False
        )
        works = ["reflink"] if reflink.returncode == 0 else []
        for name, make in kinds.items():
            with contextlib.suppress(OSError):
                make(Path(here, name))
                works.append(name)
    yield Finding(
        "links",
        "ok" if works else "warn",
        ", ".join(works) or "copies only",
        "the cache is copied into each clone: move it",
    )


def _internet() -> Iterator[Finding]:
    if os.environ.get("WANDB_MODE") == "offline":
        yield Finding("internet", "ok", "not asked: WANDB_MODE=offline")
        return
    with contextlib.suppress(OSError), socket.create_connection(("wandb.ai", 443), timeout=3):
        yield Finding("internet", "ok", "reached")
        return
    yield Finding("internet", "warn", "not reached from here", "WANDB_MODE=offline; install packages on a login node")


def _gpu() -> Iterator[Finding]:
    if not shutil.which("nvidia-smi"):
        yield Finding(
            "GPU",
            "warn",
            "no NVIDIA driver on this machine",
            "on a GPU node: srun --gpus-per-node=1 trackstack doctor",
        )
        return
    done = subprocess.run(
        [sys.executable, "-c", GPU_KERNEL], capture_output=True, text=True, check=False, timeout=180
    )
    said = (done.stdout or done.stderr).strip().splitlines()
    yield Finding(
        "GPU",
        "fail" if done.returncode else "ok",
        said[-1] if said else "no answer",
        f"another CUDA build of torch: TORCH_BUILD in {slurm.SITE}, then make venv",
    )
