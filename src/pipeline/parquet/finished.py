"""Parts that are whole, kept beside the output until the stage has ended well.

A killed stage goes on from them, and the first one after `catalog add`, which has to check every row.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from pathlib import Path
from typing import Self

from pipeline.parquet.parts import ALONE, HALF, PartFiles
from trackstack.core.code_deps import changes_no_output, imported_sources
from trackstack.core.digest import digest_file, digest_json


class FinishedParts:
    """Folders of parts, called by what they were made from, in one that is called by the code that makes them.

    It lies beside the output, on the same file system, so that a part is put in its place by a link, and workers on
    other nodes can write there. A context that removes it where all ended well.

    Args:
        out: the folder of the output.
        ahead: the parts are for a stage that runs later, and kept where all ended well.
    """

    def __init__(self, out: Path, *, ahead: bool = False):
        self._ahead = ahead
        self._place = out.with_name(f".{out.name}.parts.partial")
        self.folder = self._place / code_digest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        halves = self.folder.glob(f"{HALF}*")
        others = (folder for folder in self._place.iterdir() if folder != self.folder)
        for left in (*halves, *others):
            shutil.rmtree(left, ignore_errors=True)
        self._before = set(self.folder.iterdir())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):  # a worker that was thought dead writes still: the next stage removes it
            if kind is None and not self._ahead:
                shutil.rmtree(self._place)
            elif self._ahead and kind is not None:
                for made in set(self.folder.iterdir()) - self._before:
                    shutil.rmtree(made)
            self.folder.rmdir()  # unless there are parts
            self._place.rmdir()

    def find(self, made_from: str) -> PartFiles | None:
        """The files of a part, None where it is not there."""
        return ALONE.below(made_from) if (self.folder / made_from).is_dir() else None

    def take(self, name: str, target: Path) -> bool:
        """Put a file of a part in a place; False where it is not to be had."""
        try:
            os.link(self.folder / name, target)
        except FileNotFoundError:
            return False
        except OSError:  # a file system without links
            shutil.copyfile(self.folder / name, target)
        return True

    def remove_damaged(self, name: str) -> None:
        """Forget a part of which a file is not what was written: a node that went down may leave such a one."""
        shutil.rmtree((self.folder / name).parent, ignore_errors=True)

    def place(self, made_from: str, folder: Path, files: PartFiles) -> None:
        """Put a part that was just made in its place in an output's folder."""
        for name, target in zip(ALONE.below(made_from), files, strict=True):
            (folder / target).unlink(missing_ok=True)  # of a piece that was checked without those before it
            self.take(name, folder / target)


@functools.cache
def code_digest() -> str:
    """Of the code that makes parts, as it was when this process asked first."""
    src = Path(__file__).resolve().parents[2]
    sources = imported_sources([Path(__file__).resolve().with_name("stage.py")], src)
    files = {file.relative_to(src).as_posix(): file for file in sources}
    return digest_json({name: digest_file(files[name]) for name in files if not changes_no_output(Path(name))})
