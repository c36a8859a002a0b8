"""What a line of CSV is: lines that every parser reads alike are recognised, compressed files are lines too."""

import pyarrow as pa
import pytest
from support.conversion import GOOD, HEADER, entry, write_bytes

from pipeline.ingest import csv_lines
from pipeline.ingest.manifest import build_manifest
from trackstack import UserError


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (b'1,"a",2\n"b",,"c"\n"d"', True),
        (b'1,"a"b,2\n', False),
        (b'1,a"b,2\n3,c"d,4\n', False),
        (b'1,"a""b",2\n', False),
        (b'1,"a\nb",2\n', False),
        (b"1,a\rb\n", False),
        (b"1" * 131_072 + b"\n1\n", True),
        (b"1\n" + b"1" * 131_073, False),
    ],
)
def test_only_lines_that_every_parser_reads_alike_are_plain(content, plain):
    assert csv_lines.is_plain(content) is plain


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda content: b"no archive" + content])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_archive_is_one_line(tmp_path, suffix, damage):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, {".gz": "gzip", ".zst": "zstd"}[suffix]) as stream:
        stream.write(f"{HEADER}\n{GOOD}\n".encode())
    raw = write_bytes(tmp_path / "raw", damage(sink.getvalue().to_pybytes()), f"a.csv{suffix}")
    with pytest.raises(UserError, match=rf"^{raw}/a\.csv\{suffix}: cannot be read: ") as caught:
        build_manifest("tiny", entry(1), raw)
    assert len(str(caught.value).splitlines()) == 1
