"""CSV to Parquet: typed, complete, in order; rows that break the contract are set aside with their reason."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, TINY_ENTRY, write_tiny_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from trackstack import UserError, csv_lines, parquet
from trackstack.catalog import Dataset
from trackstack.csv_rows import Block, first_line_for_polars
from trackstack.csv_rows import parse_block as parse_one
from trackstack.ingest import build_manifest
from trackstack.outputs import write_json
from trackstack.params import ParquetParams
from trackstack.parquet import convert
from trackstack.profile import Profile, block_moments

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


def parse_block(lines, header, contract, first_line=2):
    """What becomes of the lines of a file: the rows and the rejected ones."""
    num_lines = lines.count(b"\n") + (not lines.endswith(b"\n"))
    content = first_line_for_polars(header) + lines
    part = parse_one(Block(Path("a.csv"), first_line, num_lines, header, content), contract)
    assert part.rows.height == len(part.lines)
    assert sorted([*part.lines, *(row.line for row in part.rejected)]) == [*range(first_line, first_line + num_lines)]
    return part.rows, part.rejected


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
        one, other = (profile["columns"][column] for profile in profiles)
        assert one.pop("quantiles") == other.pop("quantiles")
        assert one == pytest.approx(other, rel=1e-12)


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
        "nulls": 0,
        "std": values.std(),
    }
    quantiles = profile["columns"]["ay"].pop("quantiles")
    assert profile["columns"]["ay"] == pytest.approx(expected)
    at = np.quantile(values, [float(name) for name in quantiles], method="inverted_cdf")
    assert list(quantiles.values()) == at.tolist()
    assert profile["quantiles_of_rows"] == 480
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


def test_an_extra_text_may_be_empty_and_not_absent(tmp_path):
    lines = ["1,7,0.5,1,2,up,left", "1,7,0.5,1,2,up,", "1,7,0.5,1,2,up", '1,7,0.5,1,2,up,""']
    raw = write_csv(tmp_path / "raw", *lines, header=HEADER + ",side")
    rows = convert_folder(raw, tmp_path / "out", LENIENT, extra=["side"])
    assert rows["side"].to_list() == ["left", "", ""]


@pytest.mark.parametrize("side", ['"a"b', "x^", "\ufeffa", 'a"b', '"a""b"', '"a,b"', '""', "a\x00b", "a\rb"])
@pytest.mark.parametrize("good_rows", [0, 3])
def test_a_text_is_what_the_csv_module_makes_of_it_wherever_it_stands(tmp_path, recwarn, side, good_rows):
    """A first field, after rows without a fault or as the first of a block (polars looks for magic there)."""
    line = f"{side},1,1,0.5,1,2,up"
    try:
        expected = [row[0] for row in csv.reader([line], strict=True)]
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
        assert all(len(one.content) <= len(b"0,1,2,3,4,5\n") + block + 43 for one in blocks)
        parsed = [parse_one(one, manifest.contract) for one in blocks]
        assert sum(part.rows.height for part in parsed) == accepted
        found = [(row.line, row.reason) for part in parsed for row in part.rejected]
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
    rows, bad = parse_block(content, HEADER.split(","), contract)
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
    rows, bad = parse_block(content, header, contract)
    assert rows.height + len(bad) == len(lines)
    single = [parse_block(line + b"\n", header, contract, number) for number, line in enumerate(lines, start=2)]
    # A CR before the end of the content ends no line: there is no LF after it.
    if not content.endswith(b"\r"):
        assert bad == [row for _, more in single for row in more]
        assert rows.equals(pl.concat([one for one, _ in single]))


RANGE = {"features": [{"name": "ax", "range": [-1, 0.1]}, {"name": "ay"}, {"name": "az"}]}
MISSING = {"features": [{"name": "ax", "missing": "mean", "range": [0, 9]}, {"name": "ay"}, {"name": "az"}]}
TIME = {"time": "t"}
TIMED = "recording,subject,ax,ay,az,label,t"


def came_back(line):
    return f"it ended in line {line}; the rows of one recording stand together"


def not_later(value):
    return f"not later than {value}, an earlier row's"


@pytest.mark.parametrize("filler", ["", "1,1,0.05,1,2,no"], ids=["clean block", "block with a fault"])
@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        (RANGE, "-1", None),
        (RANGE, "0.1", None),
        (RANGE, "-1.001", "expected a number from -1 to 0.1"),
        (RANGE, "2", "expected a number from -1 to 0.1"),
        (RANGE, "", "expected a value"),
        (RANGE, "nan", "expected a number from -1 to 0.1"),
        (MISSING, "", None),
        (MISSING, " ", None),
        (MISSING, "nan", None),
        (MISSING, "NA", "expected a number from 0 to 9"),
        (MISSING, "inf", "expected a number from 0 to 9"),
        (MISSING, "10", "expected a number from 0 to 9"),
    ],
)
def test_ranges_and_missing_values_go_by_the_catalog(tmp_path, entry, value, reason, filler):
    other = [filler] if filler else []
    raw = write_csv(tmp_path / "raw", f"1,1,{value},1,2,up", "1,1,0.05,1,2,down", *other)
    rows = convert_folder(raw, tmp_path / "out", LENIENT, **entry)
    assert rows["label"].to_list() == [*([0] if reason is None else []), 1]
    bad = [row for row in rejected(tmp_path / "out") if row[1] == "2"]
    assert bad == ([] if reason is None else [["a.csv", "2", "ax", value, reason]])


@pytest.mark.parametrize("block", [1, 1000])
@pytest.mark.parametrize(("value", "accepted"), [("3", [3, 1]), ("", [None, 1]), (None, [1])])
def test_a_missing_last_value_is_told_from_a_missing_field(tmp_path, monkeypatch, value, accepted, block):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", block)
    line = "1,1,0.5,1,up" + ("" if value is None else f",{value}")
    raw = write_csv(tmp_path / "raw", line, "1,1,0.5,1,up,1", header="recording,subject,ax,ay,label,az")
    entry = {"features": [{"name": "ax"}, {"name": "ay"}, {"name": "az", "missing": "mean"}]}
    assert convert_folder(raw, tmp_path / "out", LENIENT, **entry)["az"].to_list() == accepted


@pytest.mark.parametrize("block", [1, 40, 1000])
@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        # (recording, t) of each row, and what becomes of those that are rejected
        ([(1, 1), (1, 2), (2, 1), (2, 1.5)], {}),
        ([(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)], {4: came_back(2), 5: came_back(2)}),
        ([(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (1, 9)], {5: came_back(3), 7: came_back(2)}),
        ([(1, 1), (1, 1), (1, 2)], {3: not_later("1.0")}),
        ([(1, 5), (1, 1), (1, 5), (1, 6)], {3: not_later("5.0"), 4: not_later("5.0")}),
        ([(1, 5), (2, 1), (2, 0.5)], {4: not_later("1.0")}),
    ],
)
def test_rows_of_a_series_stand_together_and_its_time_rises(tmp_path, monkeypatch, rows, bad, block):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", block)
    lines = [f"{recording},1,0.5,1,2,up,{t}" for recording, t in rows]
    raw = write_csv(tmp_path / "raw", *lines, header=TIMED)
    write_bytes(raw, (tmp_path / "raw/a.csv").read_bytes(), "b.csv")  # another file may number them alike
    accepted = convert_folder(raw, tmp_path / "out", LENIENT, **TIME)
    one_file = {int(line): reason for file, line, _, _, reason in rejected(tmp_path / "out") if file == "b.csv"}
    assert one_file == bad
    assert len(rejected(tmp_path / "out")) == 2 * len(bad)
    good = [row for line, row in enumerate(rows, start=2) if line not in bad]
    assert accepted.select("recording", "t").rows() == good + good


def test_order_is_not_looked_at_in_rows_that_are_rejected_anyway(tmp_path):
    lines = ["1,1,0.5,1,2,up,1", "2,1,bad,1,2,up,1", "1,1,0.5,1,2,up,2", "1,1,bad,1,2,up,9", "1,1,0.5,1,2,up,3"]
    raw = write_csv(tmp_path / "raw", *lines, header=TIMED)
    rows = convert_folder(raw, tmp_path / "out", LENIENT, **TIME)
    assert rows["t"].to_list() == [1, 2, 3]
    assert rows["__segment__"].to_list() == [1, 2, 3]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_gives_the_same_rows(tmp_path, suffix):
    write_tiny_recordings(tmp_path / "raw")
    plain = convert_folder(tmp_path / "raw", tmp_path / "plain")
    packed = tmp_path / "packed"
    packed.mkdir()
    for file in (tmp_path / "raw").iterdir():
        half = len(file.read_bytes()) // 2
        with (packed / f"{file.name}{suffix}").open("wb") as target:
            for part in (file.read_bytes()[:half], file.read_bytes()[half:]):  # members one after another
                sink = pa.BufferOutputStream()
                with pa.CompressedOutputStream(sink, {".gz": "gzip", ".zst": "zstd"}[suffix]) as stream:
                    stream.write(part)
                target.write(sink.getvalue())
    manifest = build_manifest("tiny", entry(480), packed)
    assert [file.bytes for file in manifest.files] == [(packed / file.name).stat().st_size for file in manifest.files]
    convert(manifest, packed, tmp_path / "out", STRICT)
    assert pl.read_parquet(tmp_path / "out/rows.parquet").equals(plain)


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


CONVERT = """
import sys
from pathlib import Path
from trackstack import parquet
from trackstack.ingest import read_manifest
from trackstack.params import ParquetParams

parquet.BLOCK_BYTES = 100_000
manifest, raw, out = map(Path, sys.argv[1:])
parquet.convert(read_manifest(manifest), raw, out, ParquetParams(compression="zstd", max_rejected=10**6))
"""


def test_one_two_and_four_threads_make_the_same_files(tmp_path, run):
    lines = [f"{number // 500},{number % 3},{number / 7:.6f},1,2,up" for number in range(40_000)]
    lines[777::5000] = ["bad"] * len(lines[777::5000])
    raw = write_csv(tmp_path / "raw", *lines)
    write_json(tmp_path / "manifest.json", build_manifest("tiny", entry(40_000), raw).model_dump(mode="json"))
    (tmp_path / "convert.py").write_text(CONVERT)
    contents = set()
    for threads in (1, 2, 4):
        settings = [f"POLARS_MAX_THREADS={threads}", f"PYTHONPATH={ROOT / 'src'}"]
        run(tmp_path, ["env", *settings, "python", "convert.py", "manifest.json", "raw", f"out{threads}"])
        files = sorted((tmp_path / f"out{threads}").iterdir())
        contents.add(tuple((file.name, file.read_bytes()) for file in files))
    assert len(contents) == 1


def test_a_block_of_bare_line_ends_is_cut_so_that_memory_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_LINES", 1000)
    raw = write_bytes(tmp_path / "raw", f"{HEADER}\n{GOOD}\n".encode() + b"\n" * 5500 + GOOD.encode())
    manifest = build_manifest("tiny", entry(5502), raw)
    blocks = list(parquet.read_blocks(manifest, raw))
    assert [block.num_lines for block in blocks] == [1000] * 5 + [502]
    assert [block.first_line for block in blocks] == [2, 1002, 2002, 3002, 4002, 5002]
    convert(manifest, raw, tmp_path / "out", ParquetParams(compression="zstd", max_rejected=9999))
    assert [int(row[1]) for row in rejected(tmp_path / "out")] == list(range(3, 5503))


def test_quantiles_of_many_rows_are_those_of_a_sample_that_blocks_do_not_change(monkeypatch):
    monkeypatch.setattr("trackstack.profile.MAX_SAMPLED_VALUES", 3 * 2000)
    monkeypatch.setattr("trackstack.profile.MIN_SAMPLED_ROWS", 1)
    contract = entry(1).contract()
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    columns = dict.fromkeys(("ax", "ay", "az"), values) | {"label": np.zeros(50_000, np.int16)}
    rows = pl.DataFrame(columns | {"subject": np.ones(50_000, np.int32)})
    found = []
    for size in (50_000, 7000, 999):
        profile = Profile(contract)
        for part in rows.iter_slices(size):
            profile.add(part, block_moments(part, contract))
        found.append((profile.as_json()["columns"]["ax"]["quantiles"], profile.as_json()["quantiles_of_rows"]))
    assert found[0] == found[1] == found[2]
    quantiles, num_rows = found[0]
    assert 1000 < num_rows <= 2000
    ranks = [float((values <= value).mean()) for value in quantiles.values()]
    assert ranks == pytest.approx([float(name) for name in quantiles], abs=0.04)
