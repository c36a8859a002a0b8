"""Dask's workers for a stage: those of the scheduler that TRACKSTACK_DASK names, or on the nodes of the Slurm job.

Whoever can send to a scheduler or a worker runs code as the person who started it, and a port of a node is open to
all who are logged in there. So those that are started here talk by TLS, with a key that each of them, and nobody
else, can read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackstack import UserError, describe_error
from trackstack.system.programs import BYTES_SURVIVE

if TYPE_CHECKING:
    from distributed import Client

DASK = "TRACKSTACK_DASK"
INSTALL = 'pip install "trackstack[dask]"'
ADDRESS = re.compile(r"((tcp|tls)://)?[^/\s]+:\d+")
OWN_KEYS = "DASK_DISTRIBUTED__COMM__TLS__"
"""How the variables begin that tell Dask of keys, the person's own."""
LOG = "log"
START_SECONDS = 180.0
"""From a cold network file system Python and Dask take their time."""
ANSWER_SECONDS = 30.0
END_SECONDS = 20.0


@contextlib.contextmanager
def dask_client(folder: Path, most: int) -> Iterator[Client | None]:
    """Connect to workers; None where this process is to do its work alone.

    Args:
        folder: where the key of workers that are started is kept, as long as they run: all nodes must see it.
        most: how many workers have something to do.

    Raises:
        UserError: TRACKSTACK_DASK is set, and Dask is not installed, or nobody answers; or none can be started.
    """
    given, tasks = os.environ.get(DASK), min(tasks_of_job(), most)
    if most == 0 or not (given or tasks > 1):
        yield None
    elif not all(importlib.util.find_spec(name) for name in ("distributed", "cryptography")):
        if given:
            raise UserError(f"{DASK} is set, and Dask is not installed; type: {INSTALL}")
        print(f"Dask is not installed, so that this node works alone; for all nodes: {INSTALL}", file=sys.stderr)
        yield None
    elif given:
        with _connected(_address(given), f"{DASK} is {given!r}") as client:
            yield client
    else:
        with _started(folder, tasks) as (address, security), _connected(address, "srun", security) as client:
            yield client


def tasks_of_job() -> int:
    """How many processes the Slurm job is for, when this one is alone; 1 outside of a job."""
    numbers = {name: _number(f"SLURM_{name}") for name in ("JOB_NUM_NODES", "NTASKS", "NTASKS_PER_NODE")}
    if "SLURM_JOB_ID" not in os.environ or _number("SLURM_STEP_NUM_TASKS") > 1 or shutil.which("srun") is None:
        return 1
    return max(numbers["NTASKS"], numbers["JOB_NUM_NODES"] * numbers["NTASKS_PER_NODE"])


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 1


def _address(given: str) -> str:
    """Of a scheduler that is named by its address or its file."""
    if ADDRESS.fullmatch(given):
        return given if "://" in given else f"tcp://{given}"
    try:
        address = json.loads(Path(given).read_bytes())["address"]
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError):
        reason = "no file of a scheduler"
    else:
        return str(address)
    raise UserError(f"{DASK} is {given!r}: {reason}; expected a scheduler's address, tls://HOST:PORT, or its file")


@contextlib.contextmanager
def _connected(address: str, by: str, security: Any = None) -> Iterator[Client]:
    """A client of a scheduler that has a worker at least."""
    from distributed import Client
    from distributed.security import Security

    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters comes as an error
    if not address.startswith("tls://"):
        print(f"{address}: without TLS, whoever reaches it can run code as you; see docs/osc.md", file=sys.stderr)
    patience = START_SECONDS if security else ANSWER_SECONDS
    try:
        security = security or Security()  # as the person's own settings of Dask say
        if address.startswith("tls://") and security.get_connection_args("client")["ssl_context"] is None:
            names = ", ".join(f"{OWN_KEYS}{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"))
            raise UserError(f"{by}: with TLS Dask must be told of its keys; export {names}")
        client = Client(address, security=security, timeout=ANSWER_SECONDS, set_as_default=False)
    except OSError as error:  # a file of a key, too
        reason = describe_error(error).split("\n")[0][:200]
        raise UserError(f"{by}: no scheduler answers at {address} ({reason}); start it, or unset {DASK}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            raise UserError(f"{by}: the scheduler has no workers; start some here: dask worker {address}") from None
        yield client


@contextlib.contextmanager
def _started(folder: Path, tasks: int) -> Iterator[tuple[str, Any]]:
    """Scheduler and workers in a step of this job, which ends when its input does: however this process ends."""
    from trackstack.system.dask_node import make_key, security_of

    keys = Path(tempfile.mkdtemp(prefix="dask-", dir=folder.absolute()))  # mode 0700
    step = None
    try:
        make_key(keys)
        with (keys / LOG).open("w") as log:
            step = subprocess.Popen(
                _srun(tasks, keys),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors=BYTES_SURVIVE,
                start_new_session=True,  # else Ctrl-C would end it first
            )
        yield _first_address(step, keys / LOG), security_of(keys)
    finally:
        if step is not None:
            _end(step)
        shutil.rmtree(keys, ignore_errors=True)


def _srun(tasks: int, keys: Path) -> list[str]:
    """One task for each worker, spread over the nodes; what dies takes nothing else with it."""
    nodes = min(tasks, _number("SLURM_JOB_NUM_NODES"))
    options = [f"--ntasks={tasks}", f"--nodes={nodes}"]
    options += ["--overlap", "--kill-on-bad-exit=0", "--wait=0", "--export=ALL", "--input=all", "--unbuffered"]
    if "SLURM_NTASKS_PER_NODE" in os.environ:  # srun would complain when there are fewer
        options.append(f"--ntasks-per-node={-(-tasks // nodes)}")
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not read it by itself
        options.append(f"--cpus-per-task={cpus}")
    return ["srun", *options, sys.executable, "-P", "-m", "trackstack.system.dask_node", str(keys)]


def _first_address(step: subprocess.Popen[str], log: Path) -> str:
    """What the first task says once its scheduler is there; it is told to all of them."""
    assert step.stdin is not None
    assert step.stdout is not None
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda out: said.put(out.readline()), args=[step.stdout], daemon=True).start()
    try:
        address = said.get(timeout=START_SECONDS).strip()
    except queue.Empty:
        address = ""
    if not address:
        reason = next(
            reversed(log.read_text(errors="replace").split("\n")[:-1]), f"no answer in {START_SECONDS:.0f} s"
        )
        raise UserError(
            f"Dask's workers did not start: {reason[:300]}; with one node none are needed: sbatch --nodes=1"
        )
    step.stdin.write(f"{address}\n")
    step.stdin.flush()
    return address


def _end(step: subprocess.Popen[str]) -> None:
    assert step.stdin is not None
    with contextlib.suppress(OSError):  # it is gone
        step.stdin.close()
    for insist in (step.terminate, step.kill, lambda: None):
        with contextlib.suppress(subprocess.TimeoutExpired):
            step.wait(END_SECONDS)
            return
        insist()
