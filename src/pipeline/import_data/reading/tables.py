"""Tables that are no CSV: Parquet, Feather, Excel, JSON, ARFF and the .ts files of the time-series archives, as text.

Numbers are written so that they read back to the same double, dates as ISO 8601, truth as true and false, and a
missing value as an empty field. So all that comes after treats them as the fields of a CSV file.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.import_data.reading.series_archive import read_series_archive
from trackstack import UserError

KINDS = {
    "parquet": "a Parquet file",
    "feather": "a Feather (Arrow) file",
    "excel": "an Excel workbook",
    "json": "JSON records",
    "jsonl": "JSON lines",
    "arff": "an ARFF file",
    "spaces": "columns apart by runs of spaces",
    "series": "a .ts file of the time-series archives",
}
SUFFIXES = (".parquet", ".feather", ".arrow", ".xlsx", ".json", ".jsonl", ".ndjson", ".arff", ".ts")


def table_kind(file: Path, beginning: bytes) -> str | None:
    """Which of `KINDS` a file is, by its first bytes rather than by its name; None for one of lines."""
    text = beginning.lstrip()
    if beginning.startswith(b"PAR1"):
        return "parquet"
    if beginning.startswith(b"ARROW1"):
        return "feather"
    if beginning.startswith(b"PK\x03\x04"):
        return "excel" if _is_workbook(file) else None
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return "jsonl"
    words = [line.split()[0].lower() for line in text.splitlines() if line[:1] == b"@" and line.split()]
    if b"@relation" in words:
        return "arff"
    return "series" if words and words[0].startswith((b"@problemname", b"@timestamps", b"@univariate")) else None


def read_table(file: Path, kind: str, sheet: str | None) -> tuple[pl.DataFrame, str]:
    """The whole table as text, and what it was, for the plan.

    Raises:
        UserError: it cannot be read, has several sheets and none was named, or holds lists.
    """
    what = KINDS[kind]
    try:
        if kind == "excel":
            frame, sheet = _read_workbook(file, sheet)
            what = f"sheet {sheet!r} of an Excel workbook"
        elif kind == "json":
            frame = pl.read_json(file, infer_schema_length=None)
        elif kind == "jsonl":
            frame = pl.read_ndjson(file, infer_schema_length=None)
        elif kind == "arff":
            frame = _read_arff(file)
        elif kind == "spaces":
            frame = _read_spaces(file)
        elif kind == "series":
            frame = read_series_archive(file)
        else:
            frame = pl.read_parquet(file) if kind == "parquet" else pl.read_ipc(file)
    except (pl.exceptions.PolarsError, json.JSONDecodeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: {what} that cannot be read: {reason}") from None
    if sheet is not None and kind != "excel":
        raise UserError(f"{file}: --sheet is for Excel workbooks; this is {what}: leave it out")
    return _as_text(frame, file), what


def _is_workbook(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return "xl/workbook.xml" in archive.namelist()


def _read_workbook(file: Path, sheet: str | None) -> tuple[pl.DataFrame, str]:
    """A sheet of a workbook, and its name; where there is one sheet it need not be named."""
    import fastexcel

    try:
        names = fastexcel.read_excel(file).sheet_names
        if sheet in names or (sheet is None and len(names) == 1):
            chosen = sheet or names[0]
            options: dict[str, Any] = {"engine": "calamine", "infer_schema_length": None}
            return pl.read_excel(file, sheet_name=chosen, **options), chosen
    except fastexcel.FastExcelError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    listed = ", ".join(map(repr, names))
    if sheet is None:
        raise UserError(f"{file}: {len(names)} sheets; say which: --sheet NAME, one of {listed}")
    raise UserError(f"{file}: no sheet {sheet!r}; --sheet may be {listed}")


def _read_spaces(file: Path) -> pl.DataFrame:
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    header, *rows = (line.split() for line in text.splitlines() if line.strip())
    if odd := next((row for row in rows if len(row) != len(header)), None):
        raise ValueError(f"{' '.join(odd)[:80]!r} has {len(odd)} fields, expected {len(header)}")
    return pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")


def _read_arff(file: Path) -> pl.DataFrame:
    import arff

    try:
        with file.open(encoding="utf-8", errors="strict") as stream:
            text = stream.read()
        if re.search(r"(?im)^@attribute\s.*\srelational\s*$", text):
            raise ValueError(
                "an attribute is relational, a table in each field; take the .ts file of the same archive"
            )
        content = arff.loads(text)
    except arff.ArffException as error:
        raise ValueError(str(error)) from None
    names = [name for name, _ in content["attributes"]]
    columns = zip(*content["data"], strict=True) if content["data"] else [()] * len(names)
    return pl.DataFrame(
        {name: pl.Series(name, list(values), strict=False) for name, values in zip(names, columns, strict=True)}
    )


def _as_text(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    columns = []
    for name, of in frame.schema.items():
        column: Any = pl.col(name)
        if of.is_nested() or of in (pl.Binary, pl.Object):
            raise UserError(f"{file}: {name} holds {of}; expected one value a field: flatten or drop it")
        if of == pl.Float32:
            column = column.cast(pl.Float64)
        if isinstance(of, pl.Datetime):
            column = column.dt.strftime("%Y-%m-%dT%H:%M:%S%.f")
        # A line end within a field would cut its row in two.
        columns.append(column.cast(pl.String).str.replace_all(r"[\r\n]+", " ").fill_null(""))
    return frame.select(columns)
