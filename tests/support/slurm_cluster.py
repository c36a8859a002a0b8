"""A real Slurm of two nodes on this machine: munged, slurmctld and two slurmd as children of the tests.

Needs root, since slurmd becomes the user of a job, and Slurm's programs; `.ci/run` installs them. Everything is
written below one temporary folder, and the daemons are ended by their own process ids.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import PATIENCE
from support.projects import command_environment, run_in

CONFIG = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for cred_expire seconds, 120 by default and 5 at least.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPidFile={folder}/slurmctld.pid
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool-%n
# Neither systemd nor cgroups are needed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=2,default_queue_depth=100
PriorityType=priority/basic
KillWait=20
JobRequeue=1
MinJobAge=3600
# A node that was set down stays down.
ReturnToService=0
CompleteWait=0
MaxArraySize=17
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SlurmdParameters=config_overrides
"""


def missing() -> str | None:
    """What this machine lacks for a cluster, as a reason to skip."""
    programs = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not _program(name)]
    if programs:
        return f"needs a real Slurm: {', '.join(programs)} not installed"
    return None if os.geteuid() == 0 else "needs root to run a cluster of its own"


@dataclass
class Cluster:
    """The running cluster: how to talk to it, and to wait for what it does."""

    folder: Path
    nodes: list[str]
    environment: dict[str, str]
    daemons: list[subprocess.Popen] = field(default_factory=list)

    def run(self, folder: Path, command: str | list[str], expect: int | None = 0, **more: str):
        """Run a command that finds the cluster; see `run_in`."""
        return run_in(folder, command, expect, env=self.environment | more)

    def job(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says of one job or array task."""
        shown = self.run(self.folder, ["scontrol", "show", "job", "--oneliner", job]).stdout.strip()
        return dict(part.split("=", 1) for part in re.split(r"\s+(?=\w[\w:/]*=)", shown) if "=" in part)

    def wait(self, job: str, state: str = "COMPLETED") -> dict[str, str]:
        """Wait until a job is in a state that it does not leave again, which must be the given one."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
        self.until(lambda: self.job(job)["JobState"] in (*over, state), f"job {job} to be {state}")
        found = self.job(job)
        log = Path(found["StdOut"])
        assert found["JobState"] == state, f"{found}\n{log.read_text() if log.exists() else 'no log'}"
        return found

    def until(self, holds: Callable[[], object], what: str = "it") -> None:
        """Wait until something holds; it fails the test, and shows the queue, when it does not within `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            queue = self.run(self.folder, "squeue; sinfo").stdout if time.monotonic() > deadline else None
            assert queue is None, f"waited {PATIENCE} s for {what}\n{queue}"
            time.sleep(0.3)

    def empty(self) -> None:
        """Kill and cancel what a test has left, and take nodes back that it has set down."""
        self.run(self.folder, "scancel --full --signal=KILL --user=root; scancel --user=root", expect=None)
        self.until(lambda: not self.run(self.folder, "squeue -h").stdout, "an empty queue")
        if self.states() != ["idle", "idle"]:
            self.run(self.folder, "scontrol update nodename=ALL state=resume", expect=None)
            self.until(lambda: self.states() == ["idle", "idle"], "both nodes to be idle")

    def states(self) -> list[str]:
        """The nodes' states; fewer while the controller does not answer."""
        return self.run(self.folder, "timeout 5 sinfo -hN -p batch -o %t", expect=None).stdout.split()


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Boot a cluster, and end it with all its jobs. Several may run side by side."""
    # A short path: Unix sockets lie below it.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    nodes = [f"lab{os.getpid()}n1", f"lab{os.getpid()}n2"]
    cluster = Cluster(folder, nodes, command_environment() | {"SLURM_CONF": str(folder / "slurm.conf")})
    try:
        _write_config(cluster, _free_ports(3))
        _boot(cluster)
        yield cluster
        cluster.empty()
    finally:
        for daemon in reversed(cluster.daemons):
            daemon.terminate()
        for daemon in reversed(cluster.daemons):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
            daemon.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _write_config(cluster: Cluster, ports: list[int]) -> None:
    folder, host = cluster.folder, socket.gethostname().split(".")[0]
    lines = [CONFIG.format(folder=folder, host=host, port=ports[0])]
    for index, node in enumerate(cluster.nodes):
        place = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1 + index]}"
        # Room for more tasks than any test lets run at a time.
        lines.append(f"NodeName={node} {place} CPUs=16 RealMemory=64000 Gres=gpu:2 State=UNKNOWN")
    for name, default in (("batch", "YES"), ("gpu", "NO")):
        nodes = ",".join(cluster.nodes)
        lines.append(f"PartitionName={name} Nodes={nodes} Default={default} MaxTime=1-0 DefaultTime=60 State=UP")
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    # A device file is what makes Slurm set CUDA_VISIBLE_DEVICES.
    devices = [folder / "gpu0", folder / "gpu1"]
    for device in devices:
        device.symlink_to("/dev/null")
    files = f"{folder}/gpu[0-1]"
    (folder / "gres.conf").write_text(f"NodeName={','.join(cluster.nodes)} Name=gpu File={files}\n")
    for name in ("state", *(f"spool-{node}" for node in cluster.nodes)):
        (folder / name).mkdir()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _boot(cluster: Cluster) -> None:
    folder = cluster.folder
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    _start(cluster, "munged", "--foreground", "--force", f"--socket={folder}/munge.sock", *files)
    cluster.until((folder / "munge.sock").exists, "munge's socket")
    _start(cluster, "slurmctld", "-D", "-f", f"{folder}/slurm.conf")
    for node in cluster.nodes:
        _start(cluster, "slurmd", "-D", "-N", node, "-f", f"{folder}/slurm.conf")
    cluster.until(lambda: cluster.states() == ["idle", "idle"], f"both nodes to be idle, see the logs in {folder}")


def _start(cluster: Cluster, name: str, *arguments: str) -> None:
    log = (cluster.folder / f"{name}-{len(cluster.daemons)}.log").open("w")
    command = [_program(name), *arguments]
    cluster.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
