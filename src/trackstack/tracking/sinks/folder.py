"""What TensorBoard and W&B share: files in the run's folder that only grow, and whose writer may be killed.

A new writer first removes what an earlier one left unfinished. A small file beside them, renamed into place after
they are closed and on disk, says which are whole, and of which state of the series.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from trackstack.tracking.sinks import Series

MARKER = ".complete.json"


class Row(NamedTuple):
    """Values of one record that the back end has not been given yet."""

    step: int
    """For use of the machine: whole seconds since the start of the run."""
    time: float
    values: dict[str, float]
    system: bool


Seen = defaultdict[str, set[int]]
"""The steps given so far, by the name of the metric."""


class Writer(Protocol):
    """One series on its way into its folder."""

    series: Series

    def write(self, records: list[dict[str, Any]]) -> None:
        """Take records; those given before change nothing."""

    def write_artifacts(self) -> None:
        """Take the artifacts of `series` that are not there yet."""

    def finish(self) -> dict[str, Any]:
        """Close the files; what the next writer must know, with the names of the `parts` that are whole."""

    def abandon(self) -> None:
        """Close the files without raising, as they will be removed."""


FolderOf = Callable[[Series], Path]
"""The folder that holds a series and nothing else."""

MakeWriter = Callable[[Series, dict[str, Any], bool], Writer]
"""Makes a writer from what the last one left, and whether that is this very state but for the artifacts."""


class FolderSink:
    """Series as files in the runs' own folders, each point in them once whichever process was killed when."""

    def __init__(self, folder_of: FolderOf, make_writer: MakeWriter) -> None:
        self._folder_of, self._make_writer = folder_of, make_writer
        self._writers: dict[str, Writer] = {}

    def lock_file(self) -> Path | None:
        """None: whoever delivers a run is the only one to write in its folder."""

    def has(self, series: Series) -> bool:
        """Whether this process wrote all that there is, or one that finished its work did."""
        return series.key in self._writers or self._is_complete(series)

    def deliver(self, series: Series, records: list[dict[str, Any]]) -> None:
        """Append what is new; it can be looked at when this returns."""
        if series.key not in self._writers and self._is_complete(series):
            return  # all of it was given to a process that was killed before it could say so
        with self._writer(series) as writer:
            writer.write(records)

    def prepare(self, series: Series) -> None:
        """Nothing takes long."""

    def deliver_artifacts(self, series: Series) -> None:
        """Append the pictures and files, and close the series."""
        if series.key not in self._writers and self._is_complete(series, artifacts=True):
            return
        with self._writer(series) as writer:
            writer.write_artifacts()
            self._finish(series.key, artifacts=True)

    def close(self) -> None:
        """Close what is open; one that fails does not keep the others from being closed."""
        with contextlib.ExitStack() as stack:
            for key in list(self._writers):
                stack.callback(self._finish, key, artifacts=False)

    def _is_complete(self, series: Series, artifacts: bool = False) -> bool:
        marker = _read_marker(self._folder_of(series))
        same = series.status != "running" and marker.get("state") == _state(series)
        return same and (marker["artifacts"] or not artifacts)

    @contextlib.contextmanager
    def _writer(self, series: Series) -> Iterator[Writer]:
        """The series' writer; after an error nobody knows what is in its files, and they are begun anew."""
        if series.key not in self._writers:
            self._folder_of(series).mkdir(parents=True, exist_ok=True)
            marker = _read_marker(self._folder_of(series))
            self._writers[series.key] = self._make_writer(series, marker, self._is_complete(series))
        writer = self._writers[series.key]
        writer.series = series
        try:
            yield writer
        except BaseException:
            self._writers.pop(series.key, writer).abandon()
            raise

    def _finish(self, key: str, artifacts: bool) -> None:
        writer = self._writers.pop(key)
        kept = writer.finish()
        folder = self._folder_of(writer.series)
        for part in kept["parts"]:
            _to_disk(folder / part)
        content = {"state": _state(writer.series), "artifacts": artifacts, **kept}
        partial = folder / f"{MARKER}.partial"
        partial.write_text(json.dumps(content), encoding="utf-8")
        _to_disk(partial)
        partial.replace(folder / MARKER)


def _state(series: Series) -> dict[str, Any]:
    """What distinguishes one state of an ended series from another."""
    return {
        "status": series.status,
        "error": series.error,
        "finished": series.finished,
        "num_records": series.num_records,  # a later stage may add figures and nothing else
        "artifacts": series.artifacts,
        "promoted": series.promoted,
    }


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _to_disk(path: Path) -> None:
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def remove_unfinished(folder: Path, pattern: str, keep: list[str]) -> None:
    """Remove what an unfinished writer left: folders; files are emptied, as a reader may wait at their end."""
    for part in folder.glob(pattern):
        if part.name not in keep:
            shutil.rmtree(part) if part.is_dir() else os.truncate(part, 0)


def new_rows(records: list[dict[str, Any]], seen: Seen, started: float) -> Iterator[Row]:
    """The records without the points in `seen`, which grows by them: the first record of a point wins."""
    for record in records:
        if record["type"] not in ("metrics", "system"):
            continue
        system = record["type"] == "system"
        step = max(0, int(record["time"] - started)) if system else record["step"]
        named = {f"system/{name}" if system else name: value for name, value in record["values"].items()}
        values = {name: value for name, value in named.items() if step not in seen[name]}
        for name in values:
            seen[name].add(step)
        if values:
            yield Row(step, record["time"], values, system)
