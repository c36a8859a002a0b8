"""CSV to Parquet: typed, complete, in order, with bounded memory; the same bytes whatever the threads."""

import io
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.conversion import (
    GOOD,
    HEADER,
    MANY_REJECTED,
    NONE_REJECTED,
    contents,
    convert_folder,
    entry,
    rejected,
    write_bytes,
    write_csv,
)
from support.projects import ROOT, write_tiny_recordings

from pipeline.ingest import csv_lines
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet import blocks
from pipeline.parquet.csv_rows import parse_block
from pipeline.parquet.params import Params
from pipeline.parquet.parts import accepted_rows
from pipeline.parquet.rejected import RejectedRows
from pipeline.parquet.stage import convert
from trackstack import UserError
from trackstack.core.files import write_json


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
        "__line__": pl.Int64,
    }
    assert rows.row(0) == (7, 1, "left", 0.5, 1.0, 2.0, 0, 2)


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
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_small_blocks_give_the_same_rows_and_nearly_the_same_profile(tmp_path, monkeypatch):
    write_tiny_recordings(tmp_path / "raw")
    for subject in (1, 3):
        file = tmp_path / f"raw/subject_{subject}.csv"
        lines = file.read_text().splitlines()
        lines[50] = lines[50].replace("up", "left")
        lines[110] = "no row"
        file.write_text("\n".join(lines) + "\n")
    whole = convert_folder(tmp_path / "raw", tmp_path / "whole", MANY_REJECTED)
    assert [row[:3] for row in rejected(tmp_path / "whole")] == [
        ["subject_1.csv", "51", "label"],
        ["subject_1.csv", "111", "row"],
        ["subject_3.csv", "51", "label"],
        ["subject_3.csv", "111", "row"],
    ]
    lines = [line for line in range(2, 122) if line not in (51, 111)]
    assert whole["__line__"].to_list() == [*lines, *range(2, 122)] * 2
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    parts = convert_folder(tmp_path / "raw", tmp_path / "parts", MANY_REJECTED)
    assert parts.equals(whole)
    assert rejected(tmp_path / "parts") == rejected(tmp_path / "whole")
    assert pq.ParquetFile(tmp_path / "parts/rows/subject_2.csv.0000.parquet").num_row_groups > 5
    profiles = [json.loads((tmp_path / name / "profile.json").read_text()) for name in ("whole", "parts")]
    for column in ("ax", "ay", "az"):
        one, other = (profile["columns"][column] for profile in profiles)
        assert one.pop("quantiles") == other.pop("quantiles")
        assert one == pytest.approx(other, rel=1e-12)


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
        convert_folder(raw, tmp_path / "out", MANY_REJECTED)
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

    report = RejectedRows(Report())
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)
    raw = write_csv(tmp_path / "raw", GOOD, "bad 1", "bad 2", GOOD)
    seen = [len(written) for _ in accepted_rows(build_manifest("tiny", entry(4), raw), raw, report)]
    assert seen[-1] > seen[0]
    assert (report.count, report.first.value) == (2, "bad 1")
    assert not [name for name, value in vars(report).items() if isinstance(value, list)]


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
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    raw = write_bytes(tmp_path / "raw", HEADER.encode() + b"\n" + lines)
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED)  # fails when they do not
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
        monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
        found = list(blocks.read_blocks(raw, *blocks.stretches(manifest), manifest.contract))
        assert all(len(piece.content) <= len(b"0,1,2,3,4,5\n") + block + 43 for piece in found)
        parsed = [parse_block(piece, manifest.contract) for piece in found]
        assert sum(part.rows.height for part in parsed) == accepted
        reasons = [(row.line, row.reason) for part in parsed for row in part.rejected]
        overlong = [(3, "longer than 40 bytes")] * (3 - accepted)
        assert reasons == [*overlong, (5, "1 fields, expected 6")]


def test_a_file_changed_since_ingest_fails(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD, GOOD)
    manifest = build_manifest("tiny", entry(2), raw)
    for lines in ([GOOD], [GOOD, GOOD.replace("0.5", "0.6")], [GOOD, "bad"]):
        write_csv(raw, *lines)
        with pytest.raises(UserError, match=r"a\.csv: changed since ingest looked at it; run dvc repro again$"):
            convert(manifest, raw, tmp_path / "out", NONE_REJECTED)
    (raw / "a.csv").unlink()
    with pytest.raises(UserError, match=r"a\.csv: changed since ingest looked at it; run dvc repro again$"):
        convert(manifest, raw, tmp_path / "out", NONE_REJECTED)
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    raw = write_csv(tmp_path / "raw", GOOD)
    manifest = build_manifest("tiny", entry(1), raw)
    (raw / "a.csv").unlink()
    (raw / "a.csv").mkdir()
    with pytest.raises(UserError, match=rf"^{raw}/a\.csv: cannot be read: Is a directory$"):
        convert(manifest, raw, tmp_path / "out", NONE_REJECTED)


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
    convert(manifest, packed, tmp_path / "out", NONE_REJECTED)
    assert pl.read_parquet(tmp_path / "out/rows").equals(plain)


CONVERT = """
import sys
from pathlib import Path
from pipeline.parquet import blocks
from pipeline.ingest.manifest import read_manifest
from pipeline.parquet.params import Params
from pipeline.parquet.stage import convert

blocks.BLOCK_BYTES = 100_000
manifest, raw, out = map(Path, sys.argv[1:])
convert(read_manifest(manifest), raw, out, Params(compression="zstd", max_rejected=10**6))
"""


def test_one_thread_and_three_make_the_same_files(tmp_path, run):
    lines = [f"{number // 500},{number % 3},{number / 7:.6f},1,2,up" for number in range(40_000)]
    lines[777::5000] = ["bad"] * len(lines[777::5000])
    raw = write_csv(tmp_path / "raw", *lines)
    write_json(tmp_path / "manifest.json", build_manifest("tiny", entry(40_000), raw).model_dump(mode="json"))
    (tmp_path / "convert.py").write_text(CONVERT)
    made = []
    for threads in (1, 3):
        settings = [f"POLARS_MAX_THREADS={threads}", f"PYTHONPATH={ROOT / 'src'}"]
        run(tmp_path, ["env", *settings, "python", "convert.py", "manifest.json", "raw", f"out{threads}"])
        made.append(contents(tmp_path / f"out{threads}"))
    assert made[0] == made[1]


def test_a_block_of_bare_line_ends_is_cut_so_that_memory_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_LINES", 1000)
    raw = write_bytes(tmp_path / "raw", f"{HEADER}\n{GOOD}\n".encode() + b"\n" * 5500 + GOOD.encode())
    manifest = build_manifest("tiny", entry(5502), raw)
    found = list(blocks.read_blocks(raw, *blocks.stretches(manifest), manifest.contract))
    assert [block.num_lines for block in found] == [1000] * 5 + [502]
    assert [block.first_line for block in found] == [2, 1002, 2002, 3002, 4002, 5002]
    convert(manifest, raw, tmp_path / "out", Params(compression="zstd", max_rejected=9999))
    assert [int(row[1]) for row in rejected(tmp_path / "out")] == list(range(3, 5503))


def test_a_row_without_a_finite_target_is_set_aside_and_amounts_are_described(tmp_path):
    lines = [
        "1,1,0.5,1,2,7.5",
        "1,1,0.5,1,2,",
        "1,1,0.5,1,2,nan",
        "1,1,0.5,1,2,inf",
        "1,1,0.5,1,2,heavy",
        "1,1,0,1,2,8.5",
    ]
    raw = write_csv(tmp_path / "raw", *lines, header="recording,subject,ax,ay,az,kg")
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, targets=[{"name": "kg"}])
    assert rows["kg"].to_list() == [7.5, 8.5]
    assert rows.schema["kg"] == pl.Float32
    assert [row[1:] for row in rejected(tmp_path / "out")] == [
        ["3", "kg", "", "expected a value"],
        ["4", "kg", "nan", "expected a finite number"],
        ["5", "kg", "inf", "expected a finite number"],
        ["6", "kg", "heavy", "expected a finite number"],
    ]
    profile = json.loads((tmp_path / "out/profile.json").read_text())
    assert {name: profile["targets"]["kg"][name] for name in ("count", "mean", "std")} == {
        "count": 2,
        "mean": 8,
        "std": 0.5,
    }
    assert "kg" not in profile["columns"]
    assert "classes" not in profile
