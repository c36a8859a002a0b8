"""A task of the step that `dask_workers` starts: a Dask worker, and in the first one the scheduler, too.

python -P -m trackstack.system.dask_node FOLDER

The first task prints the scheduler's address. Each reads it from its input, and ends when that ends: when the stage
has, in whatever way. The worker is a process of its own, and another one takes its place when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from distributed import Nanny, Scheduler, Worker
from distributed.security import Security

from trackstack.system import slurm

KEY, CERTIFICATE = "key.pem", "certificate.pem"
FIRST_TASK = "0"
IDLE_SECONDS = 300
"""Until a scheduler ends that nobody asks for anything: where `srun` was killed, the input does not end."""


class _Scheduler(Scheduler):
    """Without web pages: their port would be open to everyone on the node."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


class _Worker(Worker):
    """Without web pages, too."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start none."""


def make_key(folder: Path) -> None:
    """Write a new key and its certificate into a folder that only this user can read."""
    made = Security.temporary()
    for name, content in ((KEY, made.tls_client_key), (CERTIFICATE, made.tls_client_cert)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)


def security_of(folder: Path) -> Security:
    """Whoever has the key is trusted, and nobody else; all that is sent is encrypted."""
    key, certificate = str(folder / KEY), str(folder / CERTIFICATE)
    roles = ("client", "scheduler", "worker")
    keys = {f"tls_{role}_key": key for role in roles} | {f"tls_{role}_cert": certificate for role in roles}
    return Security(require_encryption=True, tls_ca_file=certificate, **keys)


async def serve(folder: Path) -> None:
    """Scheduler, if this is the first task, and worker until the input ends."""
    security = security_of(folder)
    host = slurm.node_address(os.environ["SLURMD_NODENAME"])
    lines = _Input()
    async with contextlib.AsyncExitStack() as stack:
        if os.environ["SLURM_PROCID"] == FIRST_TASK:
            scheduler = _Scheduler(
                host=host, port=0, protocol="tls", security=security, dashboard=False, idle_timeout=IDLE_SECONDS
            )
            await stack.enter_async_context(scheduler)
            print(scheduler.address, flush=True)
        os.dup2(2, 1)  # nobody reads what else is said
        address = (await lines.next()).strip()
        if address:
            # Python looks for modules there, too: in Dask's own place below /tmp, others could put some.
            private = stack.enter_context(tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True))
            nanny = Nanny(
                address,
                nthreads=1,
                memory_limit=0,  # the size of blocks bounds it
                local_directory=private,
                host=host,
                protocol="tls",
                security=security,
                worker_class=_Worker,
            )
            await stack.enter_async_context(nanny)
            ends = (asyncio.ensure_future(lines.next()), asyncio.ensure_future(nanny.finished()))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


class _Input:
    """Lines of the input, which are waited for in a thread that keeps no process alive."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        threading.Thread(target=self._read, args=[asyncio.get_running_loop()], daemon=True).start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in itertools.chain(iter(sys.stdin.readline, ""), [""]):
            loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def next(self) -> str:
        """The next line; empty at the end."""
        return await self._lines.get()


if __name__ == "__main__":
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ.setdefault("POLARS_MAX_THREADS", cpus)
    asyncio.run(serve(Path(sys.argv[1])))
