"""Which files of tables there are, and their bytes, decompressed."""

from __future__ import annotations

import contextlib
import glob
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.import_data.reading import tables
from pipeline.ingest.csv_lines import count_lines, open_csv
from trackstack import UserError

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".csv.zst", ".zip", *tables.SUFFIXES)


def find_files(path: str) -> list[tuple[Path, str]]:
    """The files of tables that a file, a folder or a glob stands for, with their names below it."""
    root = Path(path)
    if root.is_dir():
        files = [file for file in root.rglob("*") if file.name.endswith(SUFFIXES) and not file.name.startswith(".")]
        named = [(file, file.relative_to(root).as_posix()) for file in files if file.is_file()]
        if not named:
            raise UserError(f"{path}: no CSV file or other table here; expected names with {', '.join(SUFFIXES)}")
        return sorted(named, key=lambda pair: pair[1])
    if root.exists():
        return [(root, root.name)]
    files = [Path(file) for file in sorted(glob.glob(path, recursive=True)) if Path(file).is_file()]  # noqa: PTH207
    if not files:
        raise UserError(f"{path}: no such file or folder, and no file fits it as a pattern")
    beginning = Path(*Path(path).parts[: next(i for i, part in enumerate(Path(path).parts) if glob.has_magic(part))])
    return [(file, file.relative_to(beginning).as_posix()) for file in files]


@contextlib.contextmanager
def open_lines(file: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """The lines of a CSV file, decompressed, and how many bytes of the file were read for them.

    Raises:
        UserError: it cannot be read, or is an archive of several files.
    """
    if not zipfile.is_zipfile(file):
        with open_csv(file) as (stream, on_disk):
            yield stream, lambda: on_disk.num_bytes
        return
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        unpack = f"python -m zipfile -e '{file}' '{file.with_name(file.name.partition('.')[0])}'"
        if len(names) != 1:
            raise UserError(
                f"{file}: a zip archive of {len(names)} files; expected one table; unpack it and add the folder: "
                f"{unpack}"
            )
        with cast(zipfile.ZipExtFile, archive.open(names[0])) as member:
            # By its bytes: some archives call the CSV file in them `.csv.zip`.
            if names[0].endswith(tables.SUFFIXES) or member.peek(4).startswith(b"PK\x03\x04"):
                raise UserError(f"{file}: a zip archive of {names[0]}; unpack it: {unpack}")
            yield cast(BinaryIO, member), lambda: archive.fp.tell() if archive.fp else 0


class CountedLines:
    """A stream whose line ends are counted while it is read."""

    closed = False

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._ends, self._last = 0, b"\n"

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        content = self._stream.read(size)
        self._ends, self._last = self._ends + count_lines(content), content[-1:] or self._last
        return content

    def lines(self) -> int:
        """Of what was read; the last may lack its end."""
        return self._ends + (self._last != b"\n")


def is_archive(file: Path) -> bool:
    """Whether the lines of a file lie in a zip archive."""
    return zipfile.is_zipfile(file)
