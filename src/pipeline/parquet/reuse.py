"""Parts of the stage's previous output, taken where they are what would be made again."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.contract.layout import PROFILE_FILE
from pipeline.ingest.file_notes import FileNotes
from pipeline.ingest.manifest import noted_file
from pipeline.parquet.blocks import Stretch, file_changed
from pipeline.parquet.parts import PartFiles, PartWriter, Summary, quick_digest
from pipeline.parquet.series_order import SeriesState
from trackstack import UserError
from trackstack.core.previous_output import PreviousOutput


class PreviousParts:
    """The parts of the previous output, by what they were made from."""

    def __init__(self, output: PreviousOutput):
        self._output = output
        self._parts = _list_parts(output)
        self._notes = FileNotes.of_project()

    def take(self, writer: PartWriter, stretch: Stretch, before: SeriesState | None = None) -> bool:
        """Put a part and its summary in the place of those that would be made; False where they must be made.

        Raises:
            UserError: the raw file is not the one that `ingest` saw.
        """
        found = self._parts and self._parts.get(writer.made_from(stretch, before))
        if not found:
            return False
        self._refuse_changed(writer.raw / stretch.file.name, stretch)
        new = PartFiles.of(stretch)
        for name in new:  # of a piece that was checked without `before`
            (writer.folder / name).unlink(missing_ok=True)
        if not self._output.take(found.summary, writer.folder / new.summary):
            return False
        summary = _read_summary(writer, new)
        if summary is None:
            self._output.remove_damaged(found.summary)
            return False
        digests = {"rows": summary.digest, "rejected": summary.rejected_digest}
        for kind, digest in digests.items():
            source, target = getattr(found, kind), writer.folder / getattr(new, kind)
            if digest and not self._output.take(source, target):
                return False
            if digest and quick_digest(target) != digest:
                self._output.remove_damaged(source)
                return False
        return True

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


def _read_summary(writer: PartWriter, files: PartFiles) -> Summary | None:
    try:
        return Summary.read(writer.folder / files.summary, writer.contract)
    except (UserError, ValueError):
        return None


def _list_parts(output: PreviousOutput) -> dict[str, PartFiles]:
    """The files of the parts that the previous profile lists; none where it is something else."""
    path = output.find(PROFILE_FILE)
    try:
        parts = json.loads(path.read_bytes())["parts"] if path else []
        return {part["made_from"]: PartFiles.named(Path(part["file"]).stem) for part in parts}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
