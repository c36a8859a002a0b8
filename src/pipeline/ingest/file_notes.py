"""What `ingest` found in raw files, kept beside DVC's own notes: a file that did not change is not read again."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_file, digest_json
from trackstack.core.dvc_yaml import dvc_root
from trackstack.core.files import read_json, sealed, write_json

NOTES = Path(".dvc/tmp/trackstack/raw_files.json")
YOUNG_NS = 2_000_000_000
"""What was just written may be written once more within the granularity of a file's times, and keep them: so a file
that is this young is read again the next time, as git does."""

Identity = list[int]
"""Size, times of content and of status in ns, and inode."""


class FileNotes:
    """Notes on files, by path, that hold while size, times and inode are the same.

    Args:
        path: where they are kept; None to keep none.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._code = digest_json([digest_file(file) for file in sorted(Path(__file__).parent.glob("*.py"))])
        self._notes: dict[str, list] = {}
        self._new = False
        if path is not None:
            try:
                notes = read_json(path, "")
                self._notes = notes["files"] if notes["code"] == self._code else {}
            except (OSError, UserError, KeyError):  # they are a shortcut, and made again
                pass

    @classmethod
    def of_project(cls) -> FileNotes:
        """Those of the DVC repository around the present folder."""
        root = dvc_root(Path.cwd())
        return cls(root / NOTES if root else None)

    def find(self, file: Path) -> Any:
        """What was kept of a file; None where it may have changed since."""
        identity, value = self._notes.get(_key(file), (None, None))
        return value if identity is not None and identity == self.identify(file) else None

    @staticmethod
    def identify(file: Path) -> Identity | None:
        """What tells that a file is the same; None where it is gone."""
        try:
            found = file.stat()
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]

    def keep(self, file: Path, identity: Identity | None, value: Any) -> None:
        """Keep a note of JSON on a file, unless it is young, or another by now.

        Args:
            identity: the file's before it was read.
            value: what was found.
        """
        if identity is None or identity != self.identify(file):
            return
        if identity[1] + YOUNG_NS <= time.time_ns():
            self._notes[_key(file)] = [identity, value]
            self._new = True

    def save(self, folder: Path) -> None:
        """Write what is new; notes on files of a folder that are gone from it are dropped."""
        if self._path is None or not self._new:
            return
        with contextlib.suppress(OSError):
            present = set(map(_key, folder.iterdir()))
            kept = {
                name: note
                for name, note in self._notes.items()
                if Path(name).parent != Path(_key(folder)) or name in present
            }
            write_json(self._path, sealed({"code": self._code, "files": kept}))


def _key(path: Path) -> str:
    return str(path.absolute())


def is_same_content(before: Identity | None, after: Identity | None) -> bool:
    """Whether a file that was renamed, linked or protected meanwhile has its bytes still: only its status changed."""
    return before is not None and after is not None and [*before[:2], before[3]] == [*after[:2], after[3]]
