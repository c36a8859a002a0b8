"""Files that are no plain CSV: other formats, which are named with what to type, and lines before the header."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.import_data.values import NUMBER
from trackstack import UserError

POLARS = "python -c \"import polars; polars.{read}('{file}').write_csv('{csv}')\""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""Excel's own first line."""


def refuse_other_format(file: Path, content: bytes) -> None:
    """UserError for a file that is known by its first bytes not to be text in columns."""
    csv = file.with_suffix(".csv") if file.suffix != ".csv" else file.with_suffix(".table.csv")
    polars = [
        (b"PAR1", "a Parquet file", "read_parquet"),
        (b"ARROW1", "a Feather (Arrow) file", "read_ipc"),
    ]
    for mark, what, read in polars:
        if content.startswith(mark):
            raise UserError(f"{file}: {what}, not CSV; type: {POLARS.format(read=read, file=file, csv=csv)}")
    if content.lstrip()[:1] in (b"[", b"{"):
        read = "read_json" if content.lstrip().startswith(b"[") else "read_ndjson"
        raise UserError(f"{file}: JSON, not CSV; type: {POLARS.format(read=read, file=file, csv=csv)}")
    if content.startswith(b"PK\x03\x04"):
        if b"xl/" in content or b"[Content_Types]" in content or file.suffix == ".xlsx":
            raise UserError(
                f"{file}: an Excel workbook, not CSV; save its sheet as CSV (File, Save as), or type: "
                f"libreoffice --headless --convert-to csv '{file}'"
            )
        raise UserError(f"{file}: a zip archive, not CSV; type: python -m zipfile -e '{file}' '{file.parent}'")
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{file}: an old Excel workbook, not CSV; save its sheet as CSV (File, Save as)")


def lines_before_header(lines: list[str]) -> tuple[int, str | None]:
    """How many lines come before the header (comments, Excel's `sep=`), and the delimiter that they name.

    A line `#id,x` is the header where the next one is a row that is cut alike.
    """
    if lines and (match := SEPARATOR_LINE.fullmatch(lines[0].strip())):
        return 1, match[1]
    count = 0
    while count < len(lines) and (not lines[count].strip() or lines[count].startswith("#")):
        count += 1
    comments = [line for line in lines[:count] if line.strip()]
    if not comments or count == len(lines):
        return 0, None
    for delimiter in ",;\t|":
        fields = lines[count].split(delimiter)
        is_header = len(fields) > 1 and len(comments[-1].split(delimiter)) == len(fields)
        if is_header and any(NUMBER.fullmatch(field.strip()) for field in fields):
            return lines.index(comments[-1]), None
    return count, None
