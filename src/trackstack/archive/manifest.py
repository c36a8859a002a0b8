"""The ZIP of an archive: its files in order, without time or compression, and a manifest that names each digest.

The same files give the same bytes, whatever the machine and its zlib.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from trackstack import UserError

MANIFEST = "manifest-sha256.txt"
"""A line `digest  name` for each file, of a program `digest *name`, as `sha256sum --check` reads it; the last one is
of the lines before it."""
EPOCH = (1980, 1, 1, 0, 0, 0)
LINE = re.compile(r"([0-9a-f]{64}) ([ *])(.+)\n")
PIECE = 1 << 20
END_BYTES = 22
"""Of the last record of a ZIP without a comment."""
Files = dict[str, bytes | Path]
"""What an archive holds, by name: its bytes, or the file that has them."""


def write_archive(target: Path, files: Files, programs: Collection[str] = ()) -> None:
    """Write an archive, whole or not at all.

    Args:
        programs: the names of files that can be executed.

    Raises:
        OSError: there is no room, or a file cannot be read.
    """
    partial = target.with_name(f".{target.name}.partial")
    lines = []
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                mode = 0o755 if name in programs else 0o644
                mark = "*" if name in programs else " "
                lines.append(f"{_add(archive, name, files[name], mode)} {mark}{name}\n")
            listed = "".join(lines).encode()
            _add(archive, MANIFEST, listed + f"{hashlib.sha256(listed).hexdigest()}  {MANIFEST}\n".encode())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path, mode: int = 0o644) -> str:
    """Add a file and return its digest."""
    digest, info = hashlib.sha256(), zipfile.ZipInfo(name, EPOCH)
    info.external_attr = (stat.S_IFREG | mode) << 16
    with archive.open(info, "w", force_zip64=True) as target:
        if isinstance(content, bytes):
            digest.update(content)
            target.write(content)
        else:
            with content.open("rb") as source:
                while piece := source.read(PIECE):
                    digest.update(piece)
                    target.write(piece)
    return digest.hexdigest()


def verify_archive(path: Path) -> list[str]:
    """The names of an archive's files, each of which is what the manifest says.

    Raises:
        UserError: it is no archive, was cut short, or a file in it was changed, added, taken away or has a bad name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_more_around(path, archive)
            names = [info.filename for info in archive.infolist()]
            for info in archive.infolist():
                _refuse_bad_name(path, info)
            if len(set(names)) != len(names):
                raise UserError(f"{path}: a name is in it twice; it is not as it was written")
            digests, programs = _listed(path, archive)
            for name in [*(name for name in digests if name not in names), *(n for n in names if n not in digests)]:
                what = "is missing" if name in digests else "is in no line of its manifest"
                if name != MANIFEST:
                    raise UserError(f"{path}: {name} {what}; it is not as it was written")
            for name, digest in digests.items():
                is_same = _is_program(archive.getinfo(name)) == (name in programs)
                if not is_same or _digest(path, archive, name) != digest:
                    raise UserError(f"{path}: {name} is not what its manifest says; it was changed or damaged")
            return [name for name in names if name != MANIFEST]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; trackstack runs export writes one") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: no whole archive ({error}); it was cut short or is something else") from None


def unpack_archive(path: Path, folder: Path) -> None:
    """Write the files of a verified archive into a folder."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            target = folder / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("wb") as file:
                while piece := source.read(PIECE):
                    file.write(piece)
            if _is_program(info):
                target.chmod(0o755)


def _is_program(info: zipfile.ZipInfo) -> bool:
    return bool(info.external_attr >> 16 & stat.S_IXUSR)


def is_good_name(name: str) -> bool:
    """Whether a name is that of a file below a folder, on every system."""
    path = PurePosixPath(name)
    is_text = name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)
    is_plain = name == str(path) != "." and not path.is_absolute() and ".." not in path.parts
    return is_text and is_plain and "\\" not in name and ":" not in path.parts[0]


def _refuse_bad_name(path: Path, info: zipfile.ZipInfo) -> None:
    if not is_good_name(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"{path}: {info.filename!r} is no name of a file in an archive; nothing of it is unpacked")


def _refuse_more_around(path: Path, archive: zipfile.ZipFile) -> None:
    """UserError where bytes stand before or behind what was written."""
    with path.open("rb") as file:
        file.seek(-END_BYTES, os.SEEK_END)
        is_end = file.read()[:4] == b"PK\5\6"
    if not is_end or min((info.header_offset for info in archive.infolist()), default=0):
        raise UserError(f"{path}: there are bytes before or behind it; it is not as it was written")


def _listed(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, str], set[str]]:
    """Digest by name, and the names of programs, from the manifest."""
    if MANIFEST not in archive.namelist():
        raise UserError(f"{path}: has no {MANIFEST}; expected an archive that trackstack runs export wrote")
    content = archive.read(MANIFEST)
    *lines, last = content.splitlines(keepends=True) or [b""]
    if last.decode("utf-8", "replace") != f"{hashlib.sha256(b''.join(lines)).hexdigest()}  {MANIFEST}\n":
        raise UserError(f"{path}: {MANIFEST} was changed or damaged")
    found = [LINE.fullmatch(line.decode("utf-8", "replace")) for line in lines]
    if None in found:
        raise UserError(f"{path}: {MANIFEST}: line {found.index(None) + 1} is no digest with a name")
    matches = [match for match in found if match]
    return {match[3]: match[1] for match in matches}, {match[3] for match in matches if match[2] == "*"}


def _digest(path: Path, archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(name) as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    except zipfile.BadZipFile:
        raise UserError(f"{path}: {name} is not what its manifest says; it was changed or damaged") from None
    return digest.hexdigest()
