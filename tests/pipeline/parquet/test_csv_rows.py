"""What makes a row bad: it is set aside with line, column, value and reason, whatever lies beside it."""

import csv
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conversion import GOOD, HEADER, MANY_REJECTED, convert_folder, rejected, write_bytes, write_csv
from support.projects import TINY_ENTRY

from pipeline.contract.catalog import Dataset
from pipeline.parquet import blocks
from pipeline.parquet.csv_rows import Block, first_line_for_polars, parse_block


def parse_lines(lines, header, contract, first_line=2):
    """What becomes of the lines of a file: the rows and the rejected ones."""
    num_lines = lines.count(b"\n") + (not lines.endswith(b"\n"))
    content = first_line_for_polars(header) + lines
    part = parse_block(Block(Path("a.csv"), first_line, num_lines, header, content), contract)
    assert part.rows.height == len(part.lines)
    assert sorted([*part.lines, *(row.line for row in part.rejected)]) == [*range(first_line, first_line + num_lines)]
    return part.rows, part.rejected


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
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED)
    assert rows.height == 2
    assert rejected(tmp_path / "out") == [["a.csv", "3", column, value, reason]]


def test_quoted_fields_and_windows_line_ends_are_read(tmp_path):
    content = HEADER.encode() + b'\r\n1,1,0.5,1,2,"up"\r\n1,1,0.5,1,2,down\r\n'
    raw = write_bytes(tmp_path / "raw", content)
    assert convert_folder(raw, tmp_path / "out")["label"].to_list() == [0, 1]


def test_an_extra_text_may_be_empty_and_not_absent(tmp_path):
    lines = ["1,7,0.5,1,2,up,left", "1,7,0.5,1,2,up,", "1,7,0.5,1,2,up", '1,7,0.5,1,2,up,""']
    raw = write_csv(tmp_path / "raw", *lines, header=HEADER + ",side")
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, extra=["side"])
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
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, extra=["side"])
    assert rows["side"].to_list() == ["fine"] * good_rows + expected + ["end"]
    assert not recwarn.list, "polars warns where a quote makes it unsure of the lines"


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
    rows, bad = parse_lines(content, HEADER.split(","), contract)
    assert rows["recording"].to_list() == [item for item in items if not isinstance(item, str)]
    assert [row.line for row in bad] == [n for n, item in enumerate(items, start=2) if isinstance(item, str)]


PIECES = st.sampled_from(
    ["1", "2.5", "-", "up", "down", "é", " ", '"', '""', '"up"', ",", "\r", "\r\n", "\n", "\ufeff"]
)
LINES = st.one_of(
    st.sampled_from(["1,1,0.5,1,2,up,s\n", '2,2,1,1,1,"down","t"\n', '3,2,1,1,1,"down",""\n']),
    st.lists(PIECES, max_size=15).map("".join),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8))
def test_any_lines_give_the_same_in_one_block_and_one_by_one(pieces):
    """What becomes of a line depends on it alone: not on its neighbours, nor on where a block is cut."""
    content = "".join(pieces).encode() or b"\n"
    lines = content.removesuffix(b"\n").split(b"\n")
    contract = Dataset.model_validate(TINY_ENTRY | {"extra": ["side"]}).contract()
    header = [*HEADER.split(","), "side"]
    rows, bad = parse_lines(content, header, contract)
    assert rows.height + len(bad) == len(lines)
    single = [parse_lines(line + b"\n", header, contract, number) for number, line in enumerate(lines, start=2)]
    # A CR before the end of the content ends no line: there is no LF after it.
    if not content.endswith(b"\r"):
        assert bad == [row for _, more in single for row in more]
        assert rows.equals(pl.concat([one for one, _ in single]))


RANGE = {"features": [{"name": "ax", "range": [-1, 0.1]}, {"name": "ay"}, {"name": "az"}]}
MISSING = {"features": [{"name": "ax", "missing": "mean", "range": [0, 9]}, {"name": "ay"}, {"name": "az"}]}


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
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, **entry)
    assert rows["label"].to_list() == [*([0] if reason is None else []), 1]
    bad = [row for row in rejected(tmp_path / "out") if row[1] == "2"]
    assert bad == ([] if reason is None else [["a.csv", "2", "ax", value, reason]])


@pytest.mark.parametrize("block", [1, 1000])
@pytest.mark.parametrize(("value", "accepted"), [("3", [3, 1]), ("", [None, 1]), (None, [1])])
def test_a_missing_last_value_is_told_from_a_missing_field(tmp_path, monkeypatch, value, accepted, block):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    line = "1,1,0.5,1,up" + ("" if value is None else f",{value}")
    raw = write_csv(tmp_path / "raw", line, "1,1,0.5,1,up,1", header="recording,subject,ax,ay,label,az")
    entry = {"features": [{"name": "ax"}, {"name": "ay"}, {"name": "az", "missing": "mean"}]}
    assert convert_folder(raw, tmp_path / "out", MANY_REJECTED, **entry)["az"].to_list() == accepted


COLOR = {"name": "ax", "kind": "category", "categories": ["red", "dark blue"]}
STAMP = {"name": "ay", "kind": "time", "parts": ["hour"]}
OTHERS = [{"name": "ay"}, {"name": "az"}]
ANY_COLOR = {"features": [COLOR | {"missing": "mean"}, *OTHERS]}
ONE_COLOR = {"features": [COLOR, *OTHERS]}


@pytest.mark.parametrize("filler", ["", "1,1,red,1,2,no"], ids=["clean block", "block with a fault"])
@pytest.mark.parametrize(
    ("entry", "value", "accepted", "reason"),
    [
        (ANY_COLOR, "dark blue", "dark blue", None),
        (ANY_COLOR, '"dark blue"', "dark blue", None),
        (ANY_COLOR, "green", None, None),
        (ANY_COLOR, "", None, None),
        (ONE_COLOR, "dark blue", "dark blue", None),
        (ONE_COLOR, "Red", None, "expected one of red, dark blue"),
        (ONE_COLOR, "", None, "expected a value"),
    ],
)
def test_what_is_no_category_is_missing_or_sets_its_row_aside(tmp_path, entry, value, accepted, reason, filler):
    other = [filler] if filler else []
    raw = write_csv(tmp_path / "raw", f"1,1,{value},1,2,up", "1,1,red,1,2,down", *other)
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, **entry)
    assert rows["ax"].to_list() == [*([accepted] if reason is None else []), "red"]
    bad = [row for row in rejected(tmp_path / "out") if row[1] == "2"]
    assert bad == ([] if reason is None else [["a.csv", "2", "ax", value, reason]])


def test_a_missing_last_category_is_told_from_a_missing_field(tmp_path):
    lines = ["1,1,1,2,up,red", "1,1,1,2,up,", "1,1,1,2,up", "1,1,1,2,up,green"]
    raw = write_csv(tmp_path / "raw", *lines, header="recording,subject,ay,az,label,ax")
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, **ANY_COLOR)
    assert rows["ax"].to_list() == ["red", None, None]
    assert [row[1:3] for row in rejected(tmp_path / "out")] == [["4", "row"]]


def test_a_time_keeps_its_fraction_of_a_second(tmp_path):
    raw = write_csv(tmp_path / "raw", "1,1,0.5,1704103200.125,2,up", "1,1,0.5,2024-01-01,2,up")
    entry = {"features": [{"name": "ax"}, STAMP, {"name": "az"}]}
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, **entry)
    assert rows["ay"].to_list() == [1704103200.125]
    assert rejected(tmp_path / "out") == [["a.csv", "3", "ay", "2024-01-01", "expected a finite number"]]
