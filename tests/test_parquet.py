"""CSV to Parquet: typed, complete, in order; rows that break the contract are set aside with their reason."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import TINY_ENTRY, write_tiny_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from trackstack import UserError, csv_lines, parquet
from trackstack.catalog import Dataset
from trackstack.ingest import build_manifest
from trackstack.params import ParquetParams
from trackstack.parquet import Block, convert, parse_block

STRICT = ParquetParams(compression="zstd", max_rejected=0)
LENIENT = ParquetParams(compression="zstd", max_rejected=1000)
HEADER = "recording,subject,ax,ay,az,label"


def entry(rows, **changes):
    return Dataset.model_validate(TINY_ENTRY | {"num_samples": rows} | changes)


def write_csv(folder, *lines, header=HEADER):
    return write_bytes(folder, "\n".join([header, *lines]).encode() + b"\n")


def write_bytes(folder, content, name="a.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def convert_folder(raw, out, params=STRICT, **changes):
    contents = [file.read_bytes() for file in raw.iterdir()]
    rows = sum(content.count(b"\n") - content.endswith(b"\n") for content in contents)
    convert(build_manifest("tiny", entry(rows, **changes), raw), raw, out, params)
    return pl.read_parquet(out / "rows.parquet")


def rejected(out):
    with (out / "rejected.csv").open() as file:
        return list(csv.reader(file))[1:]


def test_columns_are_typed_by_the_catalog(tmp_path):
    raw = write_csv(tmp_path / "raw", "1,7,0.5,1,2,up,left", header=HEADER + ",side")
    rows = convert_folder(raw, tmp_path / "out", extra=["side"], types={"subject": "int8"})
    assert rows.schema == {
        "subject": pl.Int8,
        "recording": pl.Int32,
        "side": pl.String,
        "ax": pl.Float32,
        "ay": pl.Float32,
        "az": pl.Float32,
        "label": pl.Int16,
        "__segment__": pl.Int32,
    }
    assert rows.row(0) == (7, 1, "left", 0.5, 1.0, 2.0, 0, 1)


def test_rows_keep_the_order_of_files_and_lines(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    rows = convert_folder(tmp_path / "raw", tmp_path / "out")
    frames = [pl.read_csv(file) for file in sorted((tmp_path / "raw").iterdir())]
    expected = pl.concat(frames).with_columns(pl.col("ax", "ay", "az").cast(pl.Float32))
    assert rows["recording"].to_list() == expected["recording"].to_list()
    assert rows["ax"].to_list() == expected["ax"].to_list()


def test_the_bytes_repeat_and_do_not_depend_on_the_size_of_a_read(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    for name in ("one", "two"):
        convert_folder(tmp_path / "raw", tmp_path / name)
    for file in ("rows.parquet", "profile.json", "rejected.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_small_blocks_give_the_same_rows_and_nearly_the_same_profile(tmp_path, monkeypatch):
    write_tiny_recordings(tmp_path / "raw")
    for subject in (1, 3):
        file = tmp_path / f"raw/subject_{subject}.csv"
        lines = file.read_text().splitlines()
        lines[50] = lines[50].replace("up", "left")
        lines[110] = "no row"
        file.write_text("\n".join(lines) + "\n")
    whole = convert_folder(tmp_path / "raw", tmp_path / "whole", LENIENT)
    assert [row[:3] for row in rejected(tmp_path / "whole")] == [
        ["subject_1.csv", "51", "label"],
        ["subject_1.csv", "111", "row"],
        ["subject_3.csv", "51", "label"],
        ["subject_3.csv", "111", "row"],
    ]
    # One segment from gap to gap; a file begins another.
    assert whole["__segment__"].to_list() == (
        [1] * 49 + [2] * 59 + [3] * 10 + [4] * 120 + [5] * 49 + [6] * 59 + [7] * 10 + [8] * 120
    )
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 500)
    parts = convert_folder(tmp_path / "raw", tmp_path / "parts", LENIENT)
    assert parts.equals(whole)
    assert rejected(tmp_path / "parts") == rejected(tmp_path / "whole")
    assert pq.ParquetFile(tmp_path / "parts/rows.parquet").num_row_groups > 20
    profiles = [json.loads((tmp_path / name / "profile.json").read_text()) for name in ("whole", "parts")]
    for column in ("ax", "ay", "az"):
        assert profiles[0]["columns"][column] == pytest.approx(profiles[1]["columns"][column], rel=1e-12)


def test_the_profile_describes_the_accepted_rows(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    rows = convert_folder(tmp_path / "raw", tmp_path / "out")
    profile = json.loads((tmp_path / "out/profile.json").read_text())
    values = rows["ay"].to_numpy().astype(np.float64)
    expected = {
        "count": 480,
        "min": values.min(),
        "max": values.max(),
        "mean": values.mean(),
        "std": values.std(),
    }
    assert profile["columns"]["ay"] == pytest.approx(expected)
    assert profile["classes"] == {"up": 240, "down": 240}
    assert profile["groups"] == {"1": 120, "2": 120, "3": 120, "4": 120}
    assert profile["rows"] == {"read": 480, "accepted": 480, "rejected": 0}


GOOD = "1,1,0.5,1,2,up"


@pytest.mark.parametrize(
    ("line", "column", "value", "reason"),
    [
        ("1,1,abc,1,2,up", "ax", "abc", "expected a finite number"),
        ("1,1,,1,2,up", "ax", "", "expected a value"),
        ("1,1,0.5,nan,2,up", "ay", "nan", "expected a finite number"),
        ("1,1,0.5,1,inf,up", "az", "inf", "expected a finite number"),
        ("1,1,0.5,1,2,left", "label", "left", "expected one of up, down"),
        ("1,1.5,0.5,1,2,up", "subject", "1.5", "expected int32"),
        ("1,99999999999,0.5,1,2,up", "subject", "99999999999", "expected int32"),
        ("1,1,0.5,1,2", "row", "1,1,0.5,1,2", "5 fields, expected 6"),
        ("1,1,0.5,1,2,up,3", "row", "1,1,0.5,1,2,up,3", "7 fields, expected 6"),
        ("", "row", "", "an empty line"),
        ('1,1,0.5,1,2,"up', "row", '1,1,0.5,1,2,"up', "a quote is not closed"),
        ('1,1,0.5,1,2,"u"p', "row", '1,1,0.5,1,2,"u"p', """not CSV: ',' expected after '"'"""),
        (
            "1,1,0.5,1\r,2,up",
            "row",
            r"1,1,0.5,1\r,2,up",
            "a CR alone does not end a line; save the file with LF or CRLF",
        ),
        (
            "1,1,0.5,1,2,up\r\r",
            "row",
            r"1,1,0.5,1,2,up\r",
            "a CR alone does not end a line; save the file with LF or CRLF",
        ),
        (f"1,1,0.5,1,2,{'é' * 90}", "label", "é" * 80, "expected one of up, down"),
        (f"1,1,0.5{',1' * 60}", "row", f"1,1,0.5{',1' * 60}"[:80], "63 fields, expected 6"),
        (
            f"1,1,0.5,1,2,{'u' * 131_073}",
            "row",
            f"1,1,0.5,1,2,{'u' * 68}",
            "not CSV: field larger than field limit (131072)",
        ),
    ],
)
def test_a_bad_row_is_set_aside_with_file_line_column_value_and_reason(tmp_path, line, column, value, reason):
    raw = write_csv(tmp_path / "raw", GOOD, line, GOOD)
    rows = convert_folder(raw, tmp_path / "out", LENIENT)
    assert rows.height == 2
    assert rejected(tmp_path / "out") == [["a.csv", "3", column, value, reason]]


def test_more_bad_rows_than_allowed_fail_and_leave_only_the_report(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD, "1,1,abc,1,2,up", "1,1,0.5,1,2,left")
    with pytest.raises(UserError) as caught:
        convert_folder(raw, tmp_path / "out")
    assert str(caught.value) == (
        f"{raw}/a.csv, line 3: ax is 'abc'; expected a finite number (2 rows rejected, "
        f"parquet.max_rejected is 0; all are in {tmp_path}/out/rejected.csv)"
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["rejected.csv"]
    assert len(rejected(tmp_path / "out")) == 2


def test_nothing_but_bad_rows_fails_however_many_are_allowed(tmp_path):
    raw = write_csv(tmp_path / "raw", "1,1,abc,1,2,up", "1,1,0.5,1,2,left")
    with pytest.raises(UserError) as caught:
        convert_folder(raw, tmp_path / "out", LENIENT)
    assert str(caught.value) == (
        f"{raw}/a.csv, line 2: ax is 'abc'; expected a finite number (2 rows rejected, "
        f"no row was accepted; all are in {tmp_path}/out/rejected.csv)"
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["rejected.csv"]


def test_rejected_rows_do_not_pile_up_in_memory(tmp_path, monkeypatch):
    """The report grows block by block: when the second is parsed, the first one's rows are written."""
    written = []

    class Report(io.StringIO):
        def write(self, text):
            written.append(text)

    quarantine = parquet.Quarantine(Report())
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 1)
    raw = write_csv(tmp_path / "raw", GOOD, "bad 1", "bad 2", GOOD)
    seen = [len(written) for _ in parquet.accepted_rows(build_manifest("tiny", entry(4), raw), raw, quarantine)]
    assert seen[-1] > seen[0]
    assert (quarantine.count, quarantine.first.value) == (2, "bad 1")
    assert not [name for name, value in vars(quarantine).items() if isinstance(value, list)]


def test_quoted_fields_and_windows_line_ends_are_read(tmp_path):
    content = HEADER.encode() + b'\r\n1,1,0.5,1,2,"up"\r\n1,1,0.5,1,2,down\r\n'
    raw = write_bytes(tmp_path / "raw", content)
    assert convert_folder(raw, tmp_path / "out")["label"].to_list() == [0, 1]


@pytest.mark.parametrize("side", ['"a"b', "x^", "\ufeffa", 'a"b', '"a""b"', '"a,b"', '""', "a\x00b", "a\rb"])
@pytest.mark.parametrize("good_rows", [0, 3])
def test_a_text_is_what_the_csv_module_makes_of_it_wherever_it_stands(tmp_path, recwarn, side, good_rows):
    """A first field, after rows without a fault or as the first of a block (polars looks for magic there)."""
    line = f"{side},1,1,0.5,1,2,up"
    try:
        expected = [row[0] for row in csv.reader([line], strict=True) if row[0]]
    except csv.Error:
        expected = []
    good = ["fine,1,1,0.5,1,2,up"] * good_rows
    raw = write_csv(tmp_path / "raw", *good, line, "end,1,1,0.5,1,2,up", header=f"side,{HEADER}")
    rows = convert_folder(raw, tmp_path / "out", LENIENT, extra=["side"])
    assert rows["side"].to_list() == ["fine"] * good_rows + expected + ["end"]
    assert not recwarn.list, "polars warns where a quote makes it unsure of the lines"


GOOD_LINE = GOOD.encode() + b"\n"


@pytest.mark.parametrize(
    ("lines", "accepted"),
    [
        (GOOD_LINE + GOOD_LINE.replace(b"\n", b"\r") * 3, 1),
        (GOOD_LINE + GOOD_LINE.replace(b"\n", b"\r\n") * 3, 4),
        (GOOD_LINE + GOOD_LINE[:-1] + b"\r", 1),
        (GOOD_LINE + GOOD_LINE.replace(b"up", b'"up') * 3, 1),
        (GOOD_LINE + GOOD_LINE.replace(b"up", b'"u"p') * 3, 1),
        (GOOD_LINE + GOOD_LINE.replace(b"up", b"u" * 140_000) * 3 + GOOD_LINE, 2),
        (GOOD_LINE + b"\n\n" + GOOD_LINE + b"\n", 2),
        (GOOD_LINE + b"\x00" * 5000, 1),
        (GOOD_LINE + b"\xff\xfe\n" + GOOD_LINE[:-1], 2),
        (GOOD_LINE + b"1" * (3 << 20) + b"\n" + GOOD_LINE, 2),
        (GOOD_LINE + b"1" * (3 << 20), 1),
    ],
)
@pytest.mark.parametrize("block", [1, 32 << 20])
def test_ingest_and_parquet_count_the_same_rows(tmp_path, monkeypatch, lines, accepted, block):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", block)
    raw = write_bytes(tmp_path / "raw", HEADER.encode() + b"\n" + lines)
    rows = convert_folder(raw, tmp_path / "out", LENIENT)  # fails when they do not
    assert rows.height == accepted
    assert accepted + len(rejected(tmp_path / "out")) == lines.count(b"\n") + (not lines.endswith(b"\n"))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("length", "accepted"), [(40, 3), (41, 2), (42, 2), (43, 2), (200, 2)])
def test_the_longest_line_is_accepted_and_of_a_longer_one_the_rest_is_dropped(
    tmp_path, monkeypatch, end, length, accepted
):
    good = GOOD.encode()
    long = good.replace(b"0.5", b"0." + b"5" * (length - len(GOOD) + 1))
    if length > 100:  # what lies beyond the limit is not looked at, wherever a block is cut
        long = long[:100] + b"\r" + long[101:]
    raw = write_bytes(tmp_path / "raw", end.join([HEADER.encode(), good, long, good, b"bad"]))
    manifest = build_manifest("tiny", entry(4), raw)
    monkeypatch.setattr(csv_lines, "MAX_LINE_BYTES", 40)
    for block in (1, 20, 38, 39, 40, 41, 42, 60, 1000):
        monkeypatch.setattr(parquet, "BLOCK_BYTES", block)
        blocks = list(parquet.read_blocks(manifest, raw))
        assert all(len(one.content) <= block + 43 for one in blocks)
        parsed = [parse_block(one, manifest.contract) for one in blocks]
        assert sum(rows.height for rows, _ in parsed) == accepted
        found = [(row.line, row.reason) for _, bad in parsed for row in bad]
        overlong = [(3, "longer than 40 bytes")] * (3 - accepted)
        assert found == [*overlong, (5, "1 fields, expected 6")]


def test_a_file_changed_since_ingest_fails(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD, GOOD)
    manifest = build_manifest("tiny", entry(2), raw)
    for lines in ([GOOD], [GOOD, GOOD.replace("0.5", "0.6")], [GOOD, "bad"]):
        write_csv(raw, *lines)
        with pytest.raises(UserError, match=r"a\.csv: changed since ingest looked at it; run dvc repro again$"):
            convert(manifest, raw, tmp_path / "out", STRICT)
    (raw / "a.csv").unlink()
    with pytest.raises(UserError, match=r"a\.csv: changed since ingest looked at it; run dvc repro again$"):
        convert(manifest, raw, tmp_path / "out", STRICT)
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD)
    manifest = build_manifest("tiny", entry(1), raw)
    (raw / "a.csv").unlink()
    (raw / "a.csv").mkdir()
    with pytest.raises(UserError, match=rf"^{raw}/a\.csv: cannot be read: Is a directory$"):
        convert(manifest, raw, tmp_path / "out", STRICT)


BAD_LINES = [
    "1,1,x,1,2,up",
    "1,1,0.5,1,2,no",
    "1,1,0.5",
    "",
    "1,1,,1,2,up",
    "1,1,0.5,1,2,up,1",
    "x,1,0.5,1,2,up",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 10**6), st.sampled_from(BAD_LINES)), min_size=1, max_size=40))
def test_accepted_and_rejected_rows_are_what_was_read_in_order(items):
    lines = [item if isinstance(item, str) else f"{item},1,0.5,1,2,up" for item in items]
    contract = Dataset.model_validate(TINY_ENTRY).contract()
    content = ("\n".join(lines) + "\n").encode()
    rows, bad = parse_block(Block(Path("a.csv"), 2, HEADER.split(","), content), contract)
    assert rows["recording"].to_list() == [item for item in items if not isinstance(item, str)]
    assert [row.line for row in bad] == [n for n, item in enumerate(items, start=2) if isinstance(item, str)]


PIECES = st.sampled_from(
    ["1", "2.5", "-", "up", "down", "é", " ", '"', '""', '"up"', ",", "\r", "\r\n", "\n", "\ufeff"]
)
LINES = st.one_of(
    st.sampled_from(["1,1,0.5,1,2,up,s\n", '2,2,1,1,1,"down","t"\n', '3,2,1,1,1,"down",""\n']),
    st.lists(PIECES, max_size=15).map("".join),
)


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


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8))
def test_any_lines_give_the_same_in_one_block_and_one_by_one(pieces):
    """What becomes of a line depends on it alone: not on its neighbours, nor on where a block is cut."""
    content = "".join(pieces).encode() or b"\n"
    lines = content.removesuffix(b"\n").split(b"\n")
    contract = Dataset.model_validate(TINY_ENTRY | {"extra": ["side"]}).contract()
    header = [*HEADER.split(","), "side"]
    rows, bad = parse_block(Block(Path("a.csv"), 2, header, content), contract)
    assert rows.height + len(bad) == len(lines)
    single = [
        parse_block(Block(Path("a.csv"), number, header, line + b"\n"), contract)
        for number, line in enumerate(lines, start=2)
    ]
    # A CR before the end of the content ends no line: there is no LF after it.
    if not content.endswith(b"\r"):
        assert bad == [row for _, more in single for row in more]
        assert rows.drop("__segment__").equals(pl.concat([one for one, _ in single]).drop("__segment__"))
