"""Parts that need not be made: of a stage that was killed, and of the previous output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from pipeline.contract.layout import PROFILE_FILE
from pipeline.ingest.file_notes import FileNotes
from pipeline.ingest.manifest import noted_file
from pipeline.parquet.blocks import Stretch, file_changed
from pipeline.parquet.parts import PartFiles, PartWriter, Summary, quick_digest
from pipeline.parquet.series_order import SeriesState
from trackstack import UserError
from trackstack.core.previous_output import PreviousOutput


class PartSource(Protocol):
    """Where parts may be found."""

    def find(self, made_from: str) -> PartFiles | None:
        """The files of a part by what it was made from, None where it is not there."""
        ...

    def take(self, name: str, target: Path) -> bool:
        """Put a file in a place; False where it is not to be had."""
        ...

    def remove_damaged(self, name: str) -> None:
        """A file is not what was put out."""
        ...


class PreviousParts:
    """The parts of the previous output, by what they were made from."""

    def __init__(self, output: PreviousOutput):
        self._parts = _list_parts(output)
        self.take = output.take
        self.remove_damaged = output.remove_damaged

    def find(self, made_from: str) -> PartFiles | None:
        """The files of a part, None where there was none."""
        return self._parts.get(made_from)


class KnownParts:
    """Puts parts that there are in the place of those that would be made.

    Args:
        writer: would make them.
        folder: of the output.
        sources: where to look, in this order.
    """

    def __init__(self, writer: PartWriter, folder: Path, sources: Iterable[PartSource]):
        self._writer = writer
        self._folder = folder
        self._sources = list(sources)
        self._notes = FileNotes.of_project()

    def take(self, stretch: Stretch, before: SeriesState | None = None) -> bool:
        """Put a part and its summary in its place; False where they must be made.

        Args:
            stretch: the lines.
            before: the order of series behind the pieces before, where a row is judged by them.

        Raises:
            UserError: the raw file is not the one that `ingest` saw.
        """
        made_from = self._writer.made_from(stretch, before)
        for source in self._sources:
            if found := source.find(made_from):
                self._refuse_changed(self._writer.raw / stretch.file.name, stretch)
                if self._take_from(source, found, PartFiles.of(stretch)):
                    return True
        return False

    def _take_from(self, source: PartSource, found: PartFiles, new: PartFiles) -> bool:
        for name in new:  # of a piece that was checked without `before`, or of a source that was damaged
            (self._folder / name).unlink(missing_ok=True)
        if not source.take(found.summary, self._folder / new.summary):
            return False
        summary = self._read_summary(new)
        if summary is None:
            source.remove_damaged(found.summary)
            return False
        digests = {"rows": summary.digest, "rejected": summary.rejected_digest}
        for kind, digest in digests.items():
            name, target = getattr(found, kind), self._folder / getattr(new, kind)
            if digest and not source.take(name, target):
                return False
            if digest and quick_digest(target) != digest:
                source.remove_damaged(name)
                return False
        return True

    def _read_summary(self, files: PartFiles) -> Summary | None:
        try:
            return Summary.read(self._folder / files.summary, self._writer.contract)
        except (UserError, ValueError):
            return None

    def _refuse_changed(self, path: Path, stretch: Stretch) -> None:
        """Nobody reads the file: UserError when it is another than the manifest's."""
        if noted_file(path, self._notes) == stretch.file:
            return
        try:
            digest = quick_digest(path, stretch.begin, stretch.end)
        except FileNotFoundError:
            raise file_changed(path) from None
        if digest != stretch.xxh3:
            raise file_changed(path)


def _list_parts(output: PreviousOutput) -> dict[str, PartFiles]:
    """The files of the parts that the previous profile lists; none where it is something else."""
    path = output.find(PROFILE_FILE)
    try:
        parts = json.loads(path.read_bytes())["parts"] if path else []
        return {part["made_from"]: PartFiles.named(Path(part["file"]).stem) for part in parts}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
