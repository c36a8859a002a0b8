"""Look at a machine before the work starts: each finding is ok, a warning or a failure, with what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from trackstack import UserError, slurm
from trackstack.clones import cache_folder
from trackstack.tracking.environment import home, without_password
from trackstack.tracking.locks import try_lock, unlock

NETWORK = ("nfs", "nfs4", "gpfs", "lustre", "beegfs", "ceph", "panfs", "cifs", "smb3", "fuse.glusterfs", "wekafs")
CHECKPOINT_SECONDS = 10
"""What the trainer may take to write a checkpoint after TERM."""
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
    for check in (_python, _packages, _mlflow, _cluster, _storage, _locks, _internet, _gpu):
        try:
            yield from check()
        except (UserError, OSError, subprocess.SubprocessError) as error:
            yield Finding(check.__name__.strip("_"), "fail", " ".join(str(error).split())[:200])


def _finding(what: str, fine: object, found: str, todo: str, otherwise: str = "fail") -> Finding:
    return Finding(what, "ok" if fine else otherwise, found, todo)


def _python() -> Iterator[Finding]:
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    yield _finding("Python", sys.version_info >= (3, 11), found, "make venv")
    if modules := os.environ.get("LOADEDMODULES"):
        yield Finding("modules", "ok", modules.replace(":", ", "))


def _packages() -> Iterator[Finding]:
    lines = Path("requirements.lock").read_text().splitlines()
    wanted = dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line)
    differing = []
    for name, version in wanted.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            differing.append(f"{name} is not installed")
            continue
        if installed.split("+")[0] != version:
            differing.append(f"{name} {installed}, not {version}")
    found = "; ".join(differing[:5]) or f"{len(wanted)} as in requirements.lock"
    yield _finding("packages", not differing, found, "make venv")


def _mlflow() -> Iterator[Finding]:
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        todo = "runs go there: unset it to keep them here"
        yield _finding("MLFLOW_TRACKING_URI", str(home()) in uri, without_password(uri), todo, "warn")


def _cluster() -> Iterator[Finding]:
    if not shutil.which("sbatch"):
        yield Finding("sbatch", "warn", "not found: no SLURM here", "dvc repro and sweep --local work without")
        return
    config = slurm.config()
    yield Finding("SLURM", "ok", f"{config.get('ClusterName')}, {config.get('SLURM_VERSION')}")
    yield from _job_limits(config)
    account = os.environ.get("SBATCH_ACCOUNT")
    required = "associations" in config.get("AccountingStorageEnforce", "")
    yield _finding("account", account or not required, account or "none", f"EDIT {slurm.SITE}, then source it")
    lines = slurm.run(["sinfo", "-h", "-o", "%P|%l|%G"]).splitlines()
    partitions = [" ".join(part for part in line.split("|") if part != "(null)") for line in lines]
    yield _finding("partitions", partitions, "; ".join(partitions) or "none", "is this a login node?")
    test = subprocess.run(["sbatch", "--test-only", "slurm/repro.sh"], capture_output=True, text=True, check=False)
    said = test.stderr.strip().splitlines() or ["no answer"]
    yield _finding("submission", test.returncode == 0, said[-1], f"see {slurm.SITE}")


def _job_limits(config: dict[str, str]) -> Iterator[Finding]:
    requeue = config.get("JobRequeue", "unknown")
    todo = "interrupted jobs may have to be submitted again: the same command resumes them"
    yield _finding("requeue", requeue == "1", f"JobRequeue={requeue}", todo, "warn")
    wait = config.get("KillWait", "unknown").split()[0]
    long = wait.isdigit() and int(wait) >= CHECKPOINT_SECONDS
    todo = (
        f"a checkpoint may take {CHECKPOINT_SECONDS} s, and a preempted training then goes on from the one before: "
        "TRACKSTACK_CHECKPOINT_SECONDS says how often one is written"
    )
    yield _finding("kill wait", long, f"{wait} s from TERM to KILL", todo, "warn")
    yield Finding("arrays", "ok", f"up to {config.get('MaxArraySize')} tasks; longer sweeps are split")


def _storage() -> Iterator[Finding]:
    """Where files lie, what is left there, and how DVC can link from its cache."""
    cache = cache_folder(Path.cwd())
    cache.mkdir(parents=True, exist_ok=True)
    yield from (
        _place(name, path) for name, path in (("checkout", Path.cwd()), ("DVC cache", cache), ("home", home()))
    )
    if scratch := os.environ.get("TRACKSTACK_SCRATCH"):
        yield _place("scratch", Path(scratch))
    links = _links(cache)
    todo = "the cache is copied into each clone: move it"
    yield _finding("links", links, ", ".join(links) or "copies only", todo, "warn")


def _place(name: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding(name, "fail", f"{path}: no such folder", f"EDIT {slurm.SITE}, then source it")
    kind, disk, nodes = _file_system(path), shutil.disk_usage(path), os.statvfs(path)
    free, inodes = disk.free / disk.total, nodes.f_favail / nodes.f_files if nodes.f_files else 1
    alone = shutil.which("sbatch") and kind not in NETWORK
    verdict = "fail" if min(free, inodes) < 0.01 else "warn" if alone or min(free, inodes) < 0.05 else "ok"
    todo = "other nodes may not see it: put it on shared storage" if alone else "make room"
    return Finding(name, verdict, f"{path}: {kind}, {disk.free >> 30} GiB and {inodes:.0%} of inodes free", todo)


def _file_system(path: Path) -> str:
    above = [one for one in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(one.mountpoint)]
    return max(above, key=lambda one: len(one.mountpoint)).fstype if above else "unknown"


def _links(cache: Path) -> list[str]:
    works = []
    with tempfile.TemporaryDirectory(dir=cache) as there, tempfile.TemporaryDirectory(dir=Path.cwd()) as here:
        source, target = Path(there, "file"), Path(here, "file")
        source.write_text("x")
        reflink = ["cp", "--reflink=always", source, target]
        kinds: dict[str, Callable[[], object]] = {
            "reflink": lambda: subprocess.run(reflink, capture_output=True, check=True),
            "hardlink": lambda: target.hardlink_to(source),
            "symlink": lambda: target.symlink_to(source),
        }
        for kind, link in kinds.items():
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                link()
                works.append(kind)
            target.unlink(missing_ok=True)
    return works


def _locks() -> Iterator[Finding]:
    """A lock that one process holds must be refused to another."""
    path = home() / "runs" / ".doctor.lock"
    mine = try_lock(path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    other = [sys.executable, "-P", "-c", TRY_LOCK, str(path)]
    got_it = subprocess.run(other, env=environment, check=False).returncode
    unlock(path)
    works = mine and not got_it
    found = "kept apart" if works else "two processes got the same lock"
    yield _finding("locks", works, found, "keep TRACKSTACK_HOME on a file system with POSIX locks")


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
        todo = "on a GPU node: srun --gpus-per-node=1 trackstack doctor"
        yield Finding("GPU", "warn", "no NVIDIA driver on this machine", todo)
        return
    kernel = [sys.executable, "-c", GPU_KERNEL]
    done = subprocess.run(kernel, capture_output=True, text=True, check=False, timeout=180)
    said = (done.stdout or done.stderr).strip().splitlines() or ["no answer"]
    todo = f"another CUDA build of torch: TORCH_BUILD in {slurm.SITE}, then make venv"
    yield _finding("GPU", done.returncode == 0, said[-1], todo)
