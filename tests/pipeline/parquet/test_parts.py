"""A large file becomes several parts, which hold what one pass over it gives."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from support.conversion import MANY_REJECTED, contents, convert_folder, rejected, write_csv

from pipeline.contract.layout import part_name
from pipeline.ingest import pieces
from pipeline.parquet import blocks

TIMED = "recording,subject,ax,ay,az,label,t"


def random_lines(seed):
    """Series that come back and times that fall, now and then; and lines that are bad in themselves."""
    random = np.random.default_rng(seed)
    series = np.repeat(random.integers(0, 12, 30), random.integers(1, 8, 30))
    times = np.cumsum(random.integers(-1, 5, len(series)))
    lines = [f"{one},1,0.5,{time / 7},2,up,{time}" for one, time in zip(series, times, strict=True)]
    for at in random.integers(0, len(lines), 5):
        lines[at] = "bad" * random.integers(1, 40)
    return lines


@pytest.mark.parametrize("seed", range(12))
def test_a_file_in_pieces_gives_what_one_pass_over_it_gives(tmp_path, monkeypatch, seed):
    raw = write_csv(tmp_path / "raw", *random_lines(seed), header=TIMED)
    whole = convert_folder(raw, tmp_path / "whole", MANY_REJECTED, time="t")
    monkeypatch.setattr(pieces, "PART_BYTES", 150 + 50 * seed)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 60)
    cut = convert_folder(raw, tmp_path / "cut", MANY_REJECTED, time="t")
    assert len(list((tmp_path / "cut/rows").iterdir())) > 3
    assert cut.equals(whole)
    assert rejected(tmp_path / "cut") == rejected(tmp_path / "whole")
    profiles = [json.loads((tmp_path / name / "profile.json").read_text()) for name in ("whole", "cut")]
    for name in ("rows", "classes", "groups", "quantiles_of_rows"):
        assert profiles[0][name] == profiles[1][name]
    one, other = (profile["columns"]["ay"] for profile in profiles)
    assert one.pop("quantiles") == other.pop("quantiles")
    assert one == pytest.approx(other, rel=1e-12)
    assert rejected(tmp_path / "cut")  # or it would show little


def test_any_tool_reads_the_folder_as_one_table(tmp_path, monkeypatch):
    lines = [f"{number},1,{number},1,2,up" for number in range(50)]
    for name in ("_a.csv", "b%_.csv", "c.csv"):
        raw = write_csv(tmp_path / "raw", *lines)
        (raw / "a.csv").rename(raw / name)
    write_csv(raw, "1,1,bad,1,2,up")  # a part without rows
    monkeypatch.setattr(pieces, "PART_BYTES", 300)
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED)
    assert rows.height == 150
    assert pd.read_parquet(tmp_path / "out/rows").shape == (150, 7)
    assert pl.read_parquet(tmp_path / "out/rows").equals(pl.read_parquet(tmp_path / "out/rows/*.parquet"))
    parts = json.loads((tmp_path / "out/profile.json").read_text())["parts"]
    assert sorted(part["file"] for part in parts) == [f for f in contents(tmp_path / "out") if f.startswith("rows/")]
    assert sum(part["rows"] for part in parts) == 150


def test_names_of_parts_are_as_many_as_those_of_files():
    assert part_name("a.csv", 3) == "a.csv.0003"
    assert part_name("_a.csv", 0) != part_name("%5Fa.csv", 0) != part_name("%255Fa.csv", 0)
