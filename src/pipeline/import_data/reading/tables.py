"""Tables that are no CSV: Parquet, Feather, Excel, JSON, ARFF and the .ts files of the time-series archives, as text.

Numbers are written so that they read back to the same double, dates as ISO 8601, truth as true and false, and a
missing value as an empty field. So all that comes after treats them as the fields of a CSV file.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pipeline.import_data.reading.guesses import decode, guess_encoding
from pipeline.import_data.reading.header import numbered, refuse_twice
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
FIRST_BYTES = 1 << 16
MOST_TITLE_ROWS = 10
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


class Table(NamedTuple):
    """A whole table as text."""

    frame: pl.DataFrame
    what: str
    """What it was, for the plan."""
    skipped: int
    """Rows above the header: of an Excel workbook, a title."""


def read_table(
    file: Path, kind: str, sheet: str | None, skip: int | None = None, *, has_header: bool = True
) -> Table:
    """Read a whole table.

    Args:
        skip: rows above the header of a workbook; None for a guess.
        has_header: of a workbook, and of columns apart by spaces.

    Raises:
        UserError: it cannot be read, has several sheets and none was named, names a column twice, or holds lists.
    """
    what, skipped = KINDS[kind], 0
    try:
        if kind == "excel":
            frame, sheet, skipped = _read_workbook(file, sheet, skip, has_header)
            what = f"sheet {sheet!r} of an Excel workbook"
        elif kind in ("json", "jsonl"):
            refuse_twice(file, _first_names(file))
            read = pl.read_json if kind == "json" else pl.read_ndjson
            frame = read(file, infer_schema_length=None)
        elif kind == "arff":
            frame = _read_arff(file)
        elif kind == "spaces":
            frame = _read_spaces(file, has_header)
        elif kind == "series":
            frame = read_series_archive(file)
        else:
            frame = pl.read_parquet(file) if kind == "parquet" else pl.read_ipc(file)
    except (pl.exceptions.PolarsError, json.JSONDecodeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: {what} that cannot be read: {reason}") from None
    if sheet is not None and kind != "excel":
        raise UserError(f"{file}: --sheet is for Excel workbooks; this is {what}: leave it out")
    refuse_twice(file, [column.strip() for column in frame.columns])
    return Table(_as_text(frame, file), what, skipped)


def _is_workbook(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return "xl/workbook.xml" in archive.namelist()


def _read_workbook(
    file: Path, sheet: str | None, skip: int | None, has_header: bool
) -> tuple[pl.DataFrame, str, int]:
    """A sheet of a workbook, its name and the rows above its header; of one sheet the name is not needed."""
    import fastexcel

    try:
        workbook = fastexcel.read_excel(file)
        names = workbook.sheet_names
        if sheet in names or (sheet is None and len(names) == 1):
            chosen = sheet or names[0]
            options: dict[str, Any] = {"engine": "calamine", "infer_schema_length": None, "sheet_name": chosen}
            if not has_header:
                frame = pl.read_excel(file, **options, has_header=False)
                return frame.rename(dict(zip(frame.columns, numbered(frame.width), strict=True))), chosen, skip or 0
            skipped = skip or 0
            frame = pl.read_excel(file, **options, read_options={"header_row": skipped})
            while skip is None and _is_title(frame.columns) and skipped < MOST_TITLE_ROWS:
                skipped += 1
                frame = pl.read_excel(file, **options, read_options={"header_row": skipped})
            if any(re.sub(r"_\d+$", "", name) in {*frame.columns} - {name} for name in frame.columns):
                refuse_twice(file, _cells_of_header(workbook, chosen, skipped, frame.columns[0]))
            return frame, chosen, skipped
    except fastexcel.FastExcelError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    listed = ", ".join(map(repr, names))
    if sheet is None:
        raise UserError(f"{file}: {len(names)} sheets; say which: --sheet NAME, one of {listed}")
    raise UserError(f"{file}: no sheet {sheet!r}; --sheet may be {listed}")


def _is_title(names: list[str]) -> bool:
    """Whether a row holds one cell, or none, where a header has several."""
    return len(names) > 1 and all(map(is_unnamed, names[1:]))


def _cells_of_header(workbook: Any, sheet: str, row: int, first: str) -> list[str]:
    """The header as it is written: the reader calls the second `x` of a sheet `x_1`, as others call theirs."""
    rows = workbook.load_sheet(sheet, header_row=None, n_rows=row + 1, dtypes="string").to_polars().rows()
    # Empty rows above the first are no rows here.
    cells = next((cells for cells in reversed(rows) if cells and cells[0] == first), ())
    return [cell.strip() for cell in cells if cell and cell.strip()]


def is_unnamed(column: str) -> bool:
    """Whether a cell of an Excel workbook's header is empty: its reader makes up a name."""
    return not column.strip() or column.startswith("__UNNAMED__")


def _first_names(file: Path) -> list[str]:
    """The names in the first record of a JSON file; a reader would take the first of two that are equal."""
    with file.open("rb") as stream:
        text = stream.read(FIRST_BYTES).decode("utf-8", "replace").lstrip().removeprefix("[").lstrip()
    try:
        pairs, _ = json.JSONDecoder(object_pairs_hook=list).raw_decode(text)
    except json.JSONDecodeError:
        return []
    return [pair[0] for pair in pairs if isinstance(pair, tuple)] if isinstance(pairs, list) else []


def _read_spaces(file: Path, has_header: bool) -> pl.DataFrame:
    content = file.read_bytes()
    text = decode(content, guess_encoding(content, file), file)
    header, *rows = (line.split() for line in text.splitlines() if line.strip())
    if not has_header:
        header, rows = numbered(len(header)), [header, *rows]
    refuse_twice(file, header)
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
