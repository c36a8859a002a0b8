"""Start the processes of a training that can use several: on this node, or one group on each node of a SLURM job.

How many there are is no parameter, since it does not change the result. `python -P -m trackstack.training.launch
ARGUMENTS...` is what `srun` starts on each node.
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
from trackstack.system import slurm
from trackstack.system.stopping import EXIT_INTERRUPTED, Interrupted

EXIT_LOST_PEERS = 70  # EX_SOFTWARE: another process is to blame
SHUTDOWN_SECONDS = 60  # to write a checkpoint
FIRST_PORT, NUM_PORTS = 29400, 1000
HANDLED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""By torch's launcher."""


def needs_workers() -> bool:
    """Whether this process should start others instead of doing the work itself."""
    return not is_worker() and (num_nodes() > 1 or num_local() > 1)


def is_worker() -> bool:
    """Whether this process was started by another one to share its work."""
    return "TORCHELASTIC_RUN_ID" in os.environ


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
    """Run Python with these arguments in all processes, on the modules of this one; returns when the last has ended.

    Args:
        arguments: such as `["-m", "pipeline.train.worker", ...]`. Not the script that asks for it: a notebook is no
            script, and others do more than to train.

    Raises:
        UserError: the error of one of them, or which of them died.
        Interrupted: they were asked to stop, and can be started again.
    """
    with _inherited_modules(), _restored_signal_handlers():
        if num_nodes() > 1 and "SLURM_STEP_ID" not in os.environ:
            _launch_by_srun(["-P", *arguments])
        else:
            _launch_here(["-P", *arguments])


@contextlib.contextmanager
def _inherited_modules() -> Iterator[None]:
    """Let the processes that the block starts find their modules where this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    """A notebook lives on after the block, in which torch's launcher puts its own handlers in the place of those."""
    handlers = {number: signal.getsignal(number) for number in HANDLED_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def worker_errors() -> Iterator[None]:
    """In a process that `launch` started, give an error to the process that started it, which prints it once."""
    try:
        yield
    except UserError as error:
        if not (file := os.environ.get("TORCHELASTIC_ERROR_FILE")):
            raise
        Path(file).write_text(json.dumps({"message": str(error)}))
        sys.exit(1)
    except RuntimeError as error:
        # Its peer has died, and the error of the peer is the one to show.
        if "TORCHELASTIC_RUN_ID" in os.environ and ("gloo" in str(error) or isinstance(error, dist.DistError)):
            sys.exit(EXIT_LOST_PEERS)
        raise


def _launch_here(arguments: list[str]) -> None:
    logging.disable(logging.ERROR)  # the launcher's own messages are long; ours come below
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
    port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % NUM_PORTS
    return f"{slurm.first_node_address()}:{port}"


def _launch_by_srun(arguments: list[str]) -> None:
    nodes = str(num_nodes())
    command = ["srun", "--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1", "--kill-on-bad-exit=1"]
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        command += ["--cpus-per-task", cpus]
    process = subprocess.Popen([*command, sys.executable, "-P", "-m", "trackstack.training.launch", *arguments])

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    code = process.wait()
    if code == EXIT_INTERRUPTED:
        raise Interrupted("the processes were asked to stop")
    if code:
        raise UserError(f"srun: training on {nodes} nodes failed with exit code {code}; its error is above")


def _explain(failures: dict[int, ProcessFailure]) -> None:
    """Raise why processes ended: a stop, a signal, their own message, or else an exit code."""
    if any(failure.exitcode == EXIT_INTERRUPTED for failure in failures.values()):
        raise Interrupted("the processes were asked to stop")
    # When one fails, the launcher ends the others by SIGTERM, some before they have a handler for it.
    consequences = (-signal.SIGTERM, EXIT_LOST_PEERS)
    failures = {rank: one for rank, one in failures.items() if one.exitcode not in consequences} or failures
    for rank, failure in failures.items():
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise UserError(f"process {rank} of the training was killed by {name}; dvc repro goes on from there")
        if Path(failure.error_file).is_file():  # written by `worker_errors`
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
