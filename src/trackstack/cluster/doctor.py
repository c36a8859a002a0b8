"""Look at a machine before the work starts: each finding is ok, a warning or a failure, with what to do."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.cluster.clones import cache_folder
from trackstack.cluster.findings import Finding, finding
from trackstack.cluster.repair import damaged_records
from trackstack.cluster.surroundings import programs, surroundings
from trackstack.system import slurm
from trackstack.system.programs import run_program
from trackstack.system.redaction import without_password
from trackstack.tracking.environment import destinations, home
from trackstack.tracking.packages import LOCK, difference, installed_packages, requirements
from trackstack.tracking.sinks import is_installed

NETWORK = ("nfs", "nfs4", "gpfs", "lustre", "beegfs", "ceph", "panfs", "cifs", "smb3", "fuse.glusterfs", "wekafs")
CHECKPOINT_SECONDS = 10
"""What the trainer may take to write a checkpoint after TERM."""
REPRO = "slurm/repro.sh"
TRY_LOCK = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
GPU_NAMES = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
GPU_KERNEL = (
    "import torch; x = torch.ones(64, 64, device='cuda'); print(torch.cuda.get_device_name(), float((x @ x).sum()))"
)


def examine() -> Iterator[Finding]:
    """Every finding, the quick ones first. A check that cannot be done is a finding itself, and hides no other."""
    here = (_python, surroundings, _packages, programs, _back_ends, _mlflow)
    cluster = (_cluster, _partitions, _submission) if shutil.which("sbatch") else (_no_slurm,)
    for check in (*here, *cluster, _checkout, _records, _home, _scratch, _cache, _locks, _internet, _gpu):
        try:
            yield from check()
        except Exception as error:  # whatever is wrong with this machine: that is what people ask for
            verdict = "warn" if isinstance(error, slurm.NoClusterError) else "fail"
            reason = str(error) if isinstance(error, UserError | OSError) else repr(error)
            yield Finding(check.__name__.strip("_").replace("_", " "), verdict, " ".join(reason.split())[:200])


def _python() -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")
    if modules := os.environ.get("LOADEDMODULES"):
        yield Finding("modules", "ok", modules.replace(":", ", "))


def _packages() -> Iterator[Finding]:
    """The packages of requirements.lock; without such a file, those that trackstack itself needs."""
    if Path(LOCK).exists():
        source, lines = LOCK, Path(LOCK).read_text(encoding="utf-8").splitlines()
        todo = "make venv" if Path("src/trackstack").is_dir() else f"pip install --requirement {LOCK}"
    else:
        source, lines = "trackstack's requirements", importlib.metadata.requires("trackstack") or []
        todo = "install trackstack again with pip: it brings what it needs"
    needed, installed = list(requirements(lines)), installed_packages()
    differing = [problem for requirement in needed if (problem := difference(requirement, installed))]
    found = "; ".join(differing[:5]) or f"{len(needed)} as in {source}"
    yield finding("packages", not differing, found, todo)


def _back_ends() -> Iterator[Finding]:
    """Runs are delivered to back ends whose packages are optional."""
    chosen = [name for name in destinations(home()) if name != "sqlite"]
    missing = [name for name in chosen if not is_installed(name)]
    todo = f"pip install 'trackstack[{','.join(missing)}]', or leave them out of TRACKSTACK_SINKS"
    found = f"{', '.join(missing)}: not installed" if missing else ", ".join(["sqlite", *chosen])
    yield finding("back ends", not missing, found, todo, "warn")


def _mlflow() -> Iterator[Finding]:
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        todo = "runs go there: unset it to keep them here"
        yield finding("MLFLOW_TRACKING_URI", str(home()) in uri, without_password(uri), todo, "warn")


def _no_slurm() -> Iterator[Finding]:
    yield Finding("sbatch", "warn", "not found: no SLURM here", "dvc repro and sweep --local work without")


def _cluster() -> Iterator[Finding]:
    config = slurm.config()
    yield Finding("SLURM", "ok", f"{config.get('ClusterName')}, {config.get('SLURM_VERSION')}")
    yield from _job_limits(config)
    account = os.environ.get("SBATCH_ACCOUNT")
    required = "associations" in config.get("AccountingStorageEnforce", "")
    yield finding("account", account or not required, account or "none", f"EDIT {slurm.SITE}, then source it")


def _partitions() -> Iterator[Finding]:
    lines = slurm.run(["sinfo", "-h", "-o", "%P|%l|%G"]).splitlines()
    partitions = [" ".join(part for part in line.split("|") if part != "(null)") for line in lines]
    yield finding("partitions", partitions, "; ".join(partitions) or "none", "is this a login node?")


def _submission() -> Iterator[Finding]:
    if not Path(REPRO).exists():
        yield Finding("submission", "warn", f"{REPRO}: no such file", "trackstack init")
        return
    slurm.config()  # where no cluster answers, that is what to say
    accepted, answer = slurm.would_accept(REPRO)
    yield finding("submission", accepted, answer, f"see {slurm.SITE}")


def _job_limits(config: dict[str, str]) -> Iterator[Finding]:
    requeue = config.get("JobRequeue", "unknown")
    todo = "interrupted jobs may have to be submitted again: the same command resumes them"
    yield finding("requeue", requeue == "1", f"JobRequeue={requeue}", todo, "warn")
    wait = config.get("KillWait", "unknown").split()[0]
    long = wait.isdigit() and int(wait) >= CHECKPOINT_SECONDS
    todo = (
        f"a checkpoint may take {CHECKPOINT_SECONDS} s, and a preempted training then goes on from the one before: "
        "TRACKSTACK_CHECKPOINT_SECONDS says how often one is written"
    )
    yield finding("kill wait", long, f"{wait} s from TERM to KILL", todo, "warn")
    yield Finding("arrays", "ok", f"up to {config.get('MaxArraySize')} tasks; longer sweeps are split")


def _checkout() -> Iterator[Finding]:
    yield _place("checkout", Path.cwd())


def _records() -> Iterator[Finding]:
    """What a kill or a full disk has cut short stops every `dvc`."""
    for file in damaged_records():
        yield Finding("records", "fail", f"{file}: damaged, as by a kill or a full disk", "trackstack repair")


def _home() -> Iterator[Finding]:
    yield _place("home", home())


def _scratch() -> Iterator[Finding]:
    if scratch := os.environ.get("TRACKSTACK_SCRATCH"):
        yield _place("scratch", Path(scratch))


def _cache() -> Iterator[Finding]:
    """Where DVC keeps its cache, and how it can link from there into the checkout."""
    cache = cache_folder(Path.cwd())
    cache.mkdir(parents=True, exist_ok=True)
    yield _place("DVC cache", cache)
    links = _links(cache)
    todo = "the cache is copied into each clone: move it"
    yield finding("links", links, ", ".join(links) or "copies only", todo, "warn")


def _place(name: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding(name, "fail", f"{path}: no such folder", f"EDIT {slurm.SITE}, then source it")
    kind, disk, nodes = _file_system(path), shutil.disk_usage(path), os.statvfs(path)
    free, inodes = disk.free / disk.total, nodes.f_favail / nodes.f_files if nodes.f_files else 1
    if not os.access(path, os.W_OK):
        return Finding(name, "fail", f"{path}: {kind}, and you may not write there", "chmod, or another folder")
    alone = shutil.which("sbatch") and kind not in NETWORK
    verdict = "fail" if min(free, inodes) < 0.01 else "warn" if alone or min(free, inodes) < 0.05 else "ok"
    todo = "other nodes may not see it: put it on shared storage" if alone else "make room"
    return Finding(name, verdict, f"{path}: {kind}, {disk.free >> 30} GiB and {inodes:.0%} of inodes free", todo)


def _file_system(path: Path) -> str:
    import psutil

    disks = [disk for disk in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(disk.mountpoint)]
    return max(disks, key=lambda disk: len(disk.mountpoint)).fstype if disks else "unknown"


def _links(cache: Path) -> list[str]:
    works = []
    with tempfile.TemporaryDirectory(dir=cache) as there, tempfile.TemporaryDirectory(dir=Path.cwd()) as here:
        source, target = Path(there, "file"), Path(here, "file")
        source.write_text("x")
        reflink = ["cp", "--reflink=always", str(source), str(target)]
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
    with tempfile.NamedTemporaryFile(dir=home(), prefix=".doctor-") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second = subprocess.run([sys.executable, "-c", TRY_LOCK, file.name], capture_output=True, check=False)
    found = "kept apart" if second.returncode else "two processes got the same lock"
    todo = "keep TRACKSTACK_HOME on a file system with POSIX locks"
    yield finding("locks", second.returncode, found, todo)


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
    command = [sys.executable, "-c", GPU_KERNEL] if importlib.util.find_spec("torch") else GPU_NAMES
    done = run_program(command, timeout=180)
    answer = (done.stdout or done.stderr).strip().splitlines() or ["no answer"]
    todo = f"another CUDA build of torch: TORCH_BUILD in {slurm.SITE}, then make venv"
    yield finding("GPU", done.returncode == 0, answer[-1], todo)
