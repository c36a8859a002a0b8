"""Start the processes of a stage that can use several: on this node, or one group on each node of a SLURM job.

The stage's command is the same everywhere; how many processes it takes is no parameter, since it does not change the
result. `python -P -m trackstack.launch SCRIPT ARGUMENTS...` is what `srun` starts on each node.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from trackstack import UserError
from trackstack.stopping import EXIT_INTERRUPTED, Interrupted

EXIT_LOST_PEERS = 70  # EX_SOFTWARE: another process is to blame
SHUTDOWN_SECONDS = 60  # to write a checkpoint
FIRST_PORT, NUM_PORTS = 29400, 1000


def several() -> bool:
    """Whether this process should start others instead of doing the work itself."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and (num_nodes() > 1 or num_local() > 1)


def num_nodes() -> int:
    """Nodes of the SLURM job; 1 outside."""
    return int(os.environ.get("SLURM_JOB_NUM_NODES", 1)) if "SLURM_JOB_ID" in os.environ else 1


def num_local() -> int:
    """Processes on each node: `TRACKSTACK_NPROC`, else one per GPU.

    Raises:
        UserError: it is no number, or there are fewer GPUs.
    """
    text = os.environ.get("TRACKSTACK_NPROC")
    on_gpu = os.environ.get("TRACKSTACK_DEVICE", "cuda") == "cuda" and torch.cuda.is_available()
    gpus = torch.cuda.device_count() if on_gpu else 0
    if not text:
        return max(1, gpus)
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"TRACKSTACK_NPROC is {text!r}; expected a number of processes")
    if on_gpu and int(text) > gpus:
        raise UserError(
            f"TRACKSTACK_NPROC is {text}; expected at most {gpus}, the number of GPUs, or TRACKSTACK_DEVICE=cpu"
        )
    return int(text)


def launch(arguments: list[str]) -> None:
    """Run a stage script in all processes; returns when the last has finished.

    Raises:
        UserError: what one of them had to say, or which of them died.
        Interrupted: they were asked to stop, and can be started again.
    """
    os.environ["PYTHONSAFEPATH"] = "1"  # as `python -P` does
    if num_nodes() > 1 and "SLURM_STEP_ID" not in os.environ:
        _launch_by_srun(arguments)
    else:
        _launch_here(arguments)


@contextlib.contextmanager
def one_of_several() -> Iterator[None]:
    """In a process that was started by `launch`, leave it to the one that started it to say what went wrong, once."""
    try:
        yield
    except UserError as error:
        if not (file := os.environ.get("TORCHELASTIC_ERROR_FILE")):
            raise
        Path(file).write_text(json.dumps({"message": str(error)}))
        sys.exit(1)
    except RuntimeError as error:
        # What is left of a process whose peer has died; the peer is the one to hear about.
        if "TORCHELASTIC_RUN_ID" in os.environ and ("gloo" in str(error) or isinstance(error, dist.DistError)):
            sys.exit(EXIT_LOST_PEERS)
        raise


def _launch_here(arguments: list[str]) -> None:
    logging.disable(logging.ERROR)  # the launcher's own words are long; ours come below
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=num_nodes(),
            max_nodes=num_nodes(),
            nproc_per_node=num_local(),
            run_id=os.environ.get("SLURM_JOB_ID", uuid.uuid4().hex),
            rdzv_backend="c10d",
            rdzv_endpoint=_meeting_point(),
            max_restarts=0,
            shutdown_timeout=SHUTDOWN_SECONDS,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            _explain(error.failures)
        except SignalException as error:
            raise Interrupted(f"signal {error.sigval.name}") from None
        finally:
            logging.disable(logging.NOTSET)


def _meeting_point() -> str:
    """Where the nodes of a job find each other; on one node a port that is free, reached by loopback."""
    if num_nodes() == 1:
        return "localhost:0"
    listing = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]],
        capture_output=True,
        text=True,
        check=True,
    )
    port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % NUM_PORTS
    return f"{listing.stdout.split()[0]}:{port}"


def _launch_by_srun(arguments: list[str]) -> None:
    nodes = str(num_nodes())
    command = ["srun", "--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1", "--kill-on-bad-exit=1"]
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        command += ["--cpus-per-task", cpus]
    process = subprocess.Popen([*command, sys.executable, "-P", "-m", "trackstack.launch", *arguments])

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == EXIT_INTERRUPTED:
        raise Interrupted("the processes were asked to stop")
    if code:
        raise UserError(f"srun: training on {nodes} nodes failed with exit code {code}; its error is above")


def _explain(failures: dict[int, ProcessFailure]) -> None:
    """Raise what says best why processes ended: a stop, a signal, their own word, or an exit code."""
    if any(failure.exitcode == EXIT_INTERRUPTED for failure in failures.values()):
        raise Interrupted("the processes were asked to stop")
    for rank, failure in failures.items():
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise UserError(f"process {rank} of the training was killed by {name}; dvc repro goes on from there")
        if failure.error_file_data:
            raise UserError(failure.message)
    first = min(failures, key=lambda rank: failures[rank].exitcode == EXIT_LOST_PEERS)
    raise UserError(f"process {first} of the training failed with exit code {failures[first].exitcode}")


def main() -> None:
    """What `srun` starts: the processes of this node."""
    try:
        _launch_here(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
