"""Hold a raw folder against its catalog entry and describe it in a manifest, without parsing the values."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from pydantic import BaseModel

from trackstack import UserError
from trackstack.catalog import Contract, Dataset
from trackstack.digest import digest_json
from trackstack.outputs import write_json

CHUNK_BYTES = 1 << 20


class RawFile(BaseModel, frozen=True):
    """One CSV file as it was found."""

    name: str
    rows: int
    bytes: int
    sha256: str


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


def ingest(name: str, dataset: Dataset, raw: Path, manifest_file: Path) -> None:
    """Check the raw files of a dataset version and write its manifest.

    Raises:
        UserError: a file is missing, unknown, empty, or its header or number of rows is not the catalog's.
    """
    if Path(dataset.path) != raw:
        raise UserError(
            f"data/catalog.yaml: datasets.{name}.path is {dataset.path!r}, but dvc.yaml reads {raw}; "
            "a dataset version lies in data/raw/NAME"
        )
    write_json(manifest_file, build_manifest(name, dataset, raw).model_dump(mode="json"))


def build_manifest(name: str, dataset: Dataset, raw: Path) -> Manifest:
    """Read every raw file once (header, line count, SHA-256); UserError where it breaks the contract."""
    contract = dataset.contract()
    files = [_inspect(file, contract, dataset) for file in _list_files(name, dataset, raw)]
    found = sum(file.rows for file in files)
    if found != dataset.num_samples:
        raise UserError(
            f"{raw}: {found:,} rows in {len(files)} files, expected {dataset.num_samples:,} "
            f"(data/catalog.yaml: datasets.{name}.num_samples); {_way_back(raw)}, or mend the catalog"
        )
    summary = {"contract": contract.model_dump(mode="json"), "files": [file.model_dump() for file in files]}
    return Manifest(
        dataset=name,
        path=dataset.path,
        description=dataset.description,
        num_samples=found,
        digest=digest_json(summary),
        contract=contract,
        files=tuple(files),
    )


def _list_files(name: str, dataset: Dataset, raw: Path) -> list[Path]:
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; type: dvc pull {raw}.dvc")
    found = {file.name for file in raw.iterdir() if not file.name.startswith(".")}
    listed = set(dataset.files if dataset.files is not None else found)
    if missing := sorted(listed - found):
        rows = dataset.files[missing[0]] if dataset.files else 0
        raise UserError(
            f"{raw / missing[0]}: missing, expected a file of {rows:,} rows"
            f"{_and_others(missing)}; {_way_back(raw)}"
        )
    if unknown := sorted(found - listed):
        raise UserError(
            f"{raw / unknown[0]}: not in data/catalog.yaml{_and_others(unknown)}; "
            f"list it under datasets.{name}.files or remove it"
        )
    if not found:
        raise UserError(f"{raw}: empty, expected CSV files; {_way_back(raw)}")
    return [raw / file for file in sorted(found)]


def _inspect(file: Path, contract: Contract, dataset: Dataset) -> RawFile:
    """Read a file once: its header, then the number of its lines and its digest."""
    digest, lines, size, last = hashlib.sha256(), 0, 0, b""
    try:
        with file.open("rb") as stream:
            _check_header(file, stream.readline(), contract)
            stream.seek(0)
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                lines += chunk.count(b"\n")
                size += len(chunk)
                last = chunk[-1:]
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; {_way_back(file.parent)}") from None
    rows = lines - 1 + (last != b"\n")
    expected = rows if dataset.files is None else dataset.files[file.name]
    if rows != expected:
        raise UserError(
            f"{file}: {rows:,} rows, expected {expected:,} (data/catalog.yaml); "
            f"{_way_back(file.parent)}, or mend the catalog"
        )
    return RawFile(name=file.name, rows=rows, bytes=size, sha256=digest.hexdigest())


def _check_header(file: Path, line: bytes, contract: Contract) -> None:
    try:
        header = next(csv.reader([line.decode("utf-8-sig").strip()]), [])
    except UnicodeDecodeError:
        raise UserError(f"{file}, line 1: the header is not UTF-8; save the file as UTF-8") from None
    expected = contract.columns()
    if not header:
        raise UserError(f"{file}, line 1: no header, expected the columns {', '.join(expected)}")
    if missing := [column for column in expected if column not in header]:
        raise UserError(
            f"{file}, line 1: no column {missing[0]!r}; found {', '.join(header)}; {_way_back(file.parent)}"
        )
    if unknown := [column for column in header if column not in expected]:
        raise UserError(
            f"{file}, line 1: column {unknown[0]!r} is not in data/catalog.yaml, which expects "
            f"{', '.join(expected)}; list it under extra, or: {_way_back(file.parent)}"
        )
    if len(set(header)) < len(header):
        raise UserError(
            f"{file}, line 1: a column is there twice: {', '.join(header)}; {_way_back(file.parent)}"
        )


def _way_back(raw: Path) -> str:
    # `dvc repro` may have written the changed folder's hash into its .dvc file by then; git has the good one.
    return f"to go back: git checkout -- {raw}.dvc && dvc checkout --force {raw}.dvc"


def _and_others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
