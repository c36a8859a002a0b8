"""The rows of a file as text, in blocks, so that memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import pyarrow as pa
import pyarrow.csv

from pipeline.import_data.reading.dialect import Sample
from pipeline.import_data.reading.files import CountedLines, open_lines
from pipeline.import_data.reading.tables import read_table
from trackstack import UserError

READ_BYTES = 1 << 20
"""What the parser takes at a time; it reads up to 32 times as much ahead."""
BLOCK_BYTES = 8 << 20
"""With a thousand columns, what is done once for each column and block would take longer than the values."""

TABLE_ROWS = 100_000


def read_blocks(
    sample: Sample,
    broken: list[int] | None = None,
    show: Callable[[int], object] = lambda done: None,
    count: Callable[[int], object] = lambda lines: None,
) -> Iterator[pl.DataFrame]:
    """The rows of a file as text, in blocks; lines with another number of fields are noted in `broken`.

    Args:
        show: told after each block how many bytes of the file were read.
        count: told at the end how many lines a text file has, the header's and those above it included.

    Raises:
        UserError: without `broken`, at such a line; or where the file cannot be read.
    """

    def on_broken(row: pa.csv.InvalidRow) -> str:
        if broken is None:
            return "error"
        broken.append(row.number or 0)
        return "skip"

    if sample.kind:
        frame = read_table(sample.file, sample.kind, sample.sheet, sample.skipped, has_header=sample.has_header).frame
        named = frame.rename(dict(zip(frame.columns, sample.header, strict=True)))
        yield from named.slice(bool(sample.units)).iter_slices(TABLE_ROWS)
        show(sample.file.stat().st_size)
        return
    ends = [f" {number}" for number in range(sample.dropped)]
    columns = [*sample.header, *ends]
    with open_lines(sample.file) as (stream, done):
        lines = CountedLines(stream)
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(lines, "r"),
                read_options=pa.csv.ReadOptions(
                    block_size=READ_BYTES,
                    column_names=columns,
                    skip_rows=sample.lines_above(),
                    encoding=sample.dialect.encoding,
                    use_threads=False,  # a broken line keeps its number
                ),
                parse_options=pa.csv.ParseOptions(delimiter=sample.dialect.delimiter, invalid_row_handler=on_broken),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
                ),
            )
            for batches in _together(reader):
                block = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))
                if ends and (late := _first_value(block.select(ends))):
                    raise UserError(f"{sample.file}: {late!r} in a column at the end without a name; name it")
                yield _in_one_line(block.select(sample.header))
                show(done())
            while lines.read(READ_BYTES):
                pass
            count(lines.lines())
        except (pa.ArrowException, UnicodeDecodeError, LookupError) as error:
            reason = " ".join(str(error).split())[:200]
            other = "; type: --encoding cp1252, or whatever it is" if "UTF8" in reason else ""
            raise UserError(f"{sample.file}: cannot be read: {reason}{other}") from None


def _together(reader: pa.csv.CSVStreamingReader) -> Iterator[list[pa.RecordBatch]]:
    batches: list[pa.RecordBatch] = []
    for batch in reader:
        batches.append(batch)
        if sum(part.nbytes for part in batches) >= BLOCK_BYTES:
            yield batches
            batches = []
    if batches:
        yield batches


def _in_one_line(block: pl.DataFrame) -> pl.DataFrame:
    """Line ends within fields become spaces, as in other formats: to the pipeline a line is a row."""
    text = pl.all()
    if not block.select(pl.any_horizontal(text.str.contains("\n", literal=True).any())).item():
        return block
    return block.with_columns(text.str.replace_all(r"[\r\n]+", " "))


def _first_value(block: pl.DataFrame) -> str:
    """Of columns that should be empty."""
    return next((value for column in block for value in column.filter(column.str.strip_chars() != "")), "")
