"""CSV to Parquet: typed, complete, in order; rows that break the contract are set aside with their reason."""

import csv
import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import TINY_ENTRY, write_tiny_recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from trackstack import UserError, parquet
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
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def convert_folder(raw, out, params=STRICT, **changes):
    rows = sum(len(file.read_bytes().splitlines()) - 1 for file in raw.iterdir())
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
    }
    assert rows.row(0) == (7, 1, "left", 0.5, 1.0, 2.0, 0)


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
    whole = convert_folder(tmp_path / "raw", tmp_path / "whole")
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 500)
    parts = convert_folder(tmp_path / "raw", tmp_path / "parts")
    assert parts.equals(whole)
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


def test_quoted_fields_and_windows_line_ends_are_read(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_bytes(HEADER.encode() + b'\r\n1,1,0.5,1,2,"up"\r\n1,1,0.5,1,2,down\r\n')
    assert convert_folder(raw, tmp_path / "out")["label"].to_list() == [0, 1]


def test_a_file_changed_since_ingest_fails(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD, GOOD)
    manifest = build_manifest("tiny", entry(2), raw)
    write_csv(raw, GOOD)
    with pytest.raises(UserError, match=r"a\.csv: changed since ingest looked at it"):
        convert(manifest, raw, tmp_path / "out", STRICT)
    assert not (tmp_path / "out").exists()


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
    rows, bad = parse_block(Block(parquet.Path("a.csv"), 2, HEADER.split(","), content), contract)
    assert rows["recording"].to_list() == [item for item in items if not isinstance(item, str)]
    assert [row.line for row in bad] == [n for n, item in enumerate(items, start=2) if isinstance(item, str)]
