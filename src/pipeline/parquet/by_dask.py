"""Parts made by Dask's workers: the same function of the same parts as threads, in processes on any node.

What they are sent is pickled: by this process, for workers of the same person, and nothing of what people share.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.parquet.blocks import Stretch
from pipeline.parquet.finished import code_digest
from pipeline.parquet.parts import PartWriter
from pipeline.parquet.workers import Workers
from trackstack import UserError

if TYPE_CHECKING:
    from distributed import Client

LOOK_SECONDS = 0.1
_one_at_a_time = threading.Lock()
"""Of a worker with many threads: it would have the blocks of many parts in memory."""


def write_parts(
    client: Client, writer: PartWriter, work: list[Stretch], look: Callable[[], object]
) -> Iterator[tuple[Stretch, str]]:
    """Have parts made, and yield the stretch of each that is there, with what it was made from.

    A part whose worker dies is made by another one.

    Args:
        client: of the workers.
        writer: makes the parts, in a folder that the workers can write to.
        work: the stretches.
        look: called now and then; what it raises stops the work.

    Raises:
        UserError: as `PartWriter.write`; or the workers are gone, or run other code.
    """
    made_from = [writer.made_from(stretch) for stretch in work]
    here = {"writer": writer, "folder": Path.cwd(), "code": code_digest()}
    futures = client.map(_write, work, made_from, pure=False, **here)
    waiting = dict(zip(futures, zip(work, made_from, strict=True), strict=True))
    while waiting:
        over = [future for future in waiting if future.status in ("finished", "error", "cancelled")]
        for future in over:
            part = waiting.pop(future)
            if future.status == "cancelled":  # by nobody but the client, when it has lost the connection
                raise UserError("Dask's scheduler is gone; type dvc repro again: the finished parts are kept")
            if future.status == "error":
                raise _explained(future.exception(), writer.raw / part[0].file.name)
            yield part
        look()
        if not over:
            time.sleep(LOOK_SECONDS)


def _write(stretch: Stretch, made_from: str, writer: PartWriter, folder: Path, code: str) -> None:
    """What a worker does."""
    with _one_at_a_time:
        if Path.cwd() != folder:
            raise UserError(f"a Dask worker works in {Path.cwd()}; start the workers in {folder}")
        if code_digest() != code:
            raise UserError(
                "a Dask worker has other code than this checkout; start it again here, with PYTHONPATH=src"
            )
        if writer.made_from(stretch) != made_from:
            raise UserError(
                "a Dask worker has other versions of numpy, polars or pyarrow; start it from this environment"
            )
        with Workers() as workers:
            writer.write(stretch, workers)


def _explained(error: BaseException, file: Path) -> BaseException:
    """Why a part was not made, of what Dask says."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return UserError(
            f"{file}: the workers that read it died one after the other, perhaps for want of memory; "
            "ask for more: mem of meta.slurm in dvc.yaml"
        )
    if isinstance(error, ModuleNotFoundError):
        return UserError(f"a Dask worker finds no module {error.name}; start the workers here, with PYTHONPATH=src")
    return error
