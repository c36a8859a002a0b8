"""Threads: some parts at a time, and within a part, where there are fewer of them than threads, several blocks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, Self

import polars as pl

MAX_THREADS = 8  # each has a block or two in memory
LOOK_SECONDS = 0.5


class _StoppedError(Exception):
    """Another part failed, or the stage is told to end."""


class Workers:
    """As many threads as polars has, if they are not too many; a context that ends them.

    Args:
        look: called now and then while parts are made; what it raises stops them.
    """

    def __init__(self, look: Callable[[], object] = lambda: None) -> None:
        self._look = look
        self._count = min(pl.thread_pool_size(), MAX_THREADS)
        self._parts = ThreadPoolExecutor(self._count)
        self._blocks = ThreadPoolExecutor(self._count)
        self._stop = threading.Event()
        self._unfinished: list[Future] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for pool in (self._parts, self._blocks):
            pool.shutdown(cancel_futures=True)

    def for_each_part(self, function: Callable[[Any], object], parts: Iterable[Any]) -> None:
        """Call a function of every part; the error of the first one that failed is raised, and the others stop."""
        futures = [self._parts.submit(function, part) for part in parts]
        self._unfinished = futures
        done, pending = set[Future](), set(futures)
        while pending and not any(future.exception() for future in done):
            done, pending = wait(pending, LOOK_SECONDS, FIRST_EXCEPTION)
            self._look()
        if pending:
            self._stop.set()
            for future in futures:
                future.cancel()
            wait(futures)
        errors = [future.exception() for future in futures if not future.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, _StoppedError):
                raise error

    def map_blocks(self, function: Callable[[Any], Any], blocks: Iterator[Any]) -> Iterator[Any]:
        """Results in the order of a part's blocks, of which few are in memory at once."""
        waiting: deque[Future] = deque()
        for block in blocks:
            if self._stop.is_set():
                raise _StoppedError
            if (ahead := self._blocks_ahead()) or waiting:
                waiting.append(self._blocks.submit(function, block))
            else:
                yield function(block)
            while len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _blocks_ahead(self) -> int:
        """How many blocks of a part are parsed while the one before them is written."""
        parts = sum(1 for future in self._unfinished[-self._count :] if not future.done())
        return self._count // max(1, parts) if parts < self._count else 0
