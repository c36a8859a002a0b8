"""Small CSV folders as the stages `ingest` and `parquet` see them, converted in this process."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.contract.catalog import Dataset
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.params import Params
from pipeline.parquet.stage import convert
from support.projects import TINY_ENTRY

NONE_REJECTED = Params(compression="zstd", max_rejected=0)
MANY_REJECTED = Params(compression="zstd", max_rejected=1000)
HEADER = "recording,subject,ax,ay,az,label"
GOOD = "1,1,0.5,1,2,up"


def entry(rows: int, **changes: Any) -> Dataset:
    """The catalog entry of the tiny data with another number of rows, and other changes."""
    others = ("label", "classes") if "targets" in changes else ()
    own = {name: value for name, value in TINY_ENTRY.items() if name not in others}
    return Dataset.model_validate(own | {"num_samples": rows} | changes)


def write_csv(folder: Path, *lines: str, header: str = HEADER) -> Path:
    """A raw folder with one file, `a.csv`."""
    return write_bytes(folder, "\n".join([header, *lines]).encode() + b"\n")


def write_bytes(folder: Path, content: bytes, name: str = "a.csv") -> Path:
    """A raw folder with one more file."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def convert_folder(raw: Path, out: Path, params: Params = NONE_REJECTED, **changes: Any) -> pl.DataFrame:
    """The accepted rows of a raw folder; everything that `parquet` writes is in `out`."""
    contents = [file.read_bytes() for file in raw.iterdir()]
    rows = sum(content.count(b"\n") - content.endswith(b"\n") for content in contents)
    convert(build_manifest("tiny", entry(rows, **changes), raw), raw, out, params)
    return pl.read_parquet(out / "rows")


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by their paths in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def rejected(out: Path) -> list[list[str]]:
    """The rows of the report: file, line, column, value, reason."""
    with (out / "rejected.csv").open() as file:
        return list(csv.reader(file))[1:]
