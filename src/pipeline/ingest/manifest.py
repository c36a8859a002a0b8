"""The manifest of a raw folder: its files, validated against their catalog entry; no value is parsed."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash
from pydantic import BaseModel, SerializerFunctionWrapHandler, ValidationError, model_serializer

from pipeline.contract.catalog import Contract, Dataset
from pipeline.contract.layout import LINE_COLUMN
from pipeline.ingest.csv_lines import LineError, count_rows, open_csv, read_line, split_fields, with_unix_ends
from pipeline.ingest.file_notes import FileNotes
from pipeline.ingest.pieces import Piece, PieceFinder, is_cut
from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.previous_output import previous_text

MAX_SHOWN = 300


class RawFile(BaseModel, frozen=True):
    """One CSV file as it was found."""

    name: str
    rows: int
    bytes: int
    """On disk, as the digest is: a compressed file stays one."""
    sha256: str
    xxh3: str = ""
    """XXH3-128: by it `parquet` sees at no cost that the file is still the one that `ingest` read."""
    pieces: tuple[Piece, ...] = ()
    """Of a file that is longer than `PART_BYTES`, and not compressed."""

    @model_serializer(mode="wrap")
    def _without_pieces_of_a_whole(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name != "pieces" or value}


class Manifest(BaseModel, frozen=True):
    """What `ingest` writes and the later stages rely on."""

    dataset: str
    path: str
    description: str
    num_samples: int
    digest: str
    """Of contract and files: what decides the later stages' outputs."""
    contract: Contract
    files: tuple[RawFile, ...]


def read_manifest(path: Path) -> Manifest:
    """Read what `ingest` wrote; UserError when it is missing or something else."""
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        if manifest.digest == _digest(manifest.contract, manifest.files):
            return manifest
        reason = "it is not what its digest says"
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; type: dvc repro ingest") from None
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} is not UTF-8"
    except ValidationError as error:
        fault = error.errors()[0]
        reason = f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
    raise UserError(f"{path}: not a manifest ({reason}); type: dvc repro --force ingest")


def build_manifest(name: str, dataset: Dataset, raw: Path, earlier: Path | None = None) -> Manifest:
    """Read every raw file once (header, line count, SHA-256); UserError where it breaks the contract.

    Args:
        earlier: where the stage that runs has put out its manifest before.
    """
    contract = dataset.contract()
    if LINE_COLUMN in contract.columns():
        raise UserError(
            f"data/catalog.yaml: datasets.{name} has a column {LINE_COLUMN!r}; "
            "trackstack itself writes one of that name: rename it"
        )
    notes = FileNotes.of_project()
    try:
        paths = _list_files(name, dataset, raw)
        if earlier and not any(map(notes.find, paths)):  # a clone, or the notes were removed
            _take_over(notes, earlier, raw)
        files = [_inspect(file, contract, dataset, notes) for file in paths]
    finally:
        notes.save(raw)
    num_rows = sum(file.rows for file in files)
    if num_rows != dataset.num_samples:
        raise UserError(
            f"{raw}: {num_rows:,} rows in {len(files)} files, expected {dataset.num_samples:,} "
            f"(data/catalog.yaml: datasets.{name}.num_samples); {_keep_or_restore(raw)}"
        )
    return manifest_of(name, dataset, files)


def _take_over(notes: FileNotes, earlier: Path, raw: Path) -> None:
    """Note what the manifest of the last commit says of files that are the same; their headers are read again."""
    content, unchanged = previous_text(earlier, raw)
    try:
        files = Manifest.model_validate_json(content).files if unchanged else ()
    except ValidationError:
        return
    for found in files:
        if found.name in unchanged:
            identity = notes.identify(raw / found.name)
            with open_csv(raw / found.name) as (stream, _):
                notes.keep(raw / found.name, identity, note_on(read_line(stream), found))


def manifest_of(name: str, dataset: Dataset, files: Iterable[RawFile]) -> Manifest:
    """The manifest of a dataset version with these files."""
    contract, found = dataset.contract(), tuple(files)
    return Manifest(
        dataset=name,
        path=dataset.path,
        description=dataset.description,
        num_samples=sum(file.rows for file in found),
        digest=_digest(contract, found),
        contract=contract,
        files=found,
    )


def _digest(contract: Contract, files: Iterable[RawFile]) -> str:
    return digest_json({"contract": contract.model_dump(mode="json"), "files": [file.model_dump() for file in files]})


def check_header(file: Path, line: bytes, contract: Contract) -> list[str]:
    """The columns that the first line of a file names; UserError when they are not the contract's."""
    expected = contract.columns()
    header_line = with_unix_ends(line).removeprefix(codecs.BOM_UTF8).strip(b" \t\n")
    if not header_line:
        raise UserError(f"{file}, line 1: no header, expected the columns {_shorten(expected)}")
    try:
        header = split_fields(header_line)
    except LineError as reason:
        raise UserError(f"{file}, line 1: {reason}") from None
    if missing := [column for column in expected if column not in header]:
        raise UserError(
            f"{file}, line 1: no column {missing[0]!r}; found {_shorten(header)}; {_keep_or_restore(file.parent)}"
        )
    if unknown := [column for column in header if column not in expected]:
        raise UserError(
            f"{file}, line 1: column {_shorten(unknown[:1])!r} is not in data/catalog.yaml, which expects "
            f"{_shorten(expected)}; {_keep_or_restore(file.parent, 'list it under extra')}"
        )
    if len(header) > len(expected):
        raise UserError(
            f"{file}, line 1: a column is there twice: {_shorten(header)}; {_keep_or_restore(file.parent)}"
        )
    return header


def _list_files(name: str, dataset: Dataset, raw: Path) -> list[Path]:
    present = _file_names(raw)
    listed = set(dataset.files if dataset.files is not None else present)
    if missing := sorted(listed - present):
        rows = dataset.files[missing[0]] if dataset.files else 0
        raise UserError(
            f"{raw / missing[0]}: missing, expected a file of {rows:,} rows{_and_more(missing)}; {_restore(raw)}"
        )
    if unknown := sorted(present - listed):
        raise UserError(
            f"{raw / unknown[0]}: not in data/catalog.yaml{_and_more(unknown)}; "
            f"list it under datasets.{name}.files or remove it"
        )
    if not present:
        raise UserError(f"{raw}: empty, expected CSV files; {_restore(raw)}")
    return [raw / file for file in sorted(present)]


def _file_names(raw: Path) -> set[str]:
    try:
        names = {file.name for file in raw.iterdir() if not file.name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{raw}: no such folder; type: dvc pull {raw}.dvc") from None
    except OSError as error:
        raise UserError(f"{raw}: cannot be read: {error.strerror}") from None
    # A name that is not UTF-8 comes with lone surrogates, which neither JSON nor a terminal takes.
    if odd := sorted(name for name in names if not name.isprintable()):
        raise UserError(f"{raw}: the file name {odd[0]!r} is not printable UTF-8; rename the file")
    return names


def _inspect(file: Path, contract: Contract, dataset: Dataset, notes: FileNotes) -> RawFile:
    """What a file holds, which is read unless there is a note on it; UserError where it breaks the contract."""
    if note := notes.find(file):
        check_header(file, note["header"].encode(), contract)
        found = RawFile.model_validate(note["file"])
    else:
        identity = notes.identify(file)
        header, found = inspect_file(file, contract)
        notes.keep(file, identity, note_on(header, found))
    expected = found.rows if dataset.files is None else dataset.files[file.name]
    if found.rows != expected:
        raise UserError(
            f"{file}: {found.rows:,} rows, expected {expected:,} (data/catalog.yaml); {_keep_or_restore(file.parent)}"
        )
    return found


def note_on(header: bytes, found: RawFile) -> dict[str, Any]:
    """What is kept of a file, so that it need not be opened again."""
    return {"header": header.decode(), "file": found.model_dump(mode="json")}


def noted_file(file: Path, notes: FileNotes) -> RawFile | None:
    """What there is a note on, without a look into the file."""
    note = notes.find(file)
    return RawFile.model_validate(note["file"]) if note else None


def inspect_file(file: Path, contract: Contract) -> tuple[bytes, RawFile]:
    """Read a file once: its header's line, and the number of its lines and its digests.

    Raises:
        UserError: the header is not the contract's, or the file cannot be read.
    """
    sha256, xxh3 = hashlib.sha256(), xxhash.xxh3_128()
    try:
        finders = [PieceFinder()] if is_cut(file) else []
        with open_csv(file, sha256, xxh3, *finders) as (stream, on_disk):
            header = read_line(stream)
            check_header(file, header, contract)
            rows = count_rows(stream, header)
            on_disk.finish()
    except FileNotFoundError:  # the folder lists it: DVC may link files to its cache
        raise UserError(f"{file}: a link to a file that is gone; {_restore(file.parent)}") from None
    digests = {"sha256": sha256.hexdigest(), "xxh3": xxh3.hexdigest()}
    pieces = finders[0].pieces() if finders else ()
    return header, RawFile(name=file.name, rows=rows, bytes=on_disk.num_bytes, pieces=pieces, **digests)


def _restore(raw: Path) -> str:
    # `dvc repro` may have written the changed folder's hash into its .dvc file by then; git has the good one.
    return f"type: git checkout -- {raw}.dvc && dvc pull {raw}.dvc"


def _keep_or_restore(raw: Path, way_to_keep: str = "correct data/catalog.yaml") -> str:
    # No --force: with it DVC deletes what it cannot replace.
    return f"if the change is intended, {way_to_keep}; if not: git checkout -- {raw}.dvc && dvc checkout {raw}.dvc"


def _shorten(columns: list[str]) -> str:
    text = ", ".join(columns)
    shown = "".join(letter if letter.isprintable() else "�" for letter in text[:MAX_SHOWN])
    return shown if len(text) <= MAX_SHOWN else shown + "…"


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
