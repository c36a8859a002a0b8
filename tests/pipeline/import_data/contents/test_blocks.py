"""One long recording becomes several, and no window of training touches one of test."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from support.tables import write

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.contents.blocks import BlockCutter, Blocks


@pytest.mark.parametrize("pieces", [[100], [1] * 100, [33, 66, 1]])
def test_blocks_are_the_same_however_the_rows_come(pieces):
    blocks = Blocks(3, 5)
    assert blocks.rows(100) == [28, 28, 34]
    cutter, found, kept = BlockCutter(blocks, {"r": 100}), [], []
    for length in pieces:
        names, keeps = cutter.cut(pl.Series(["r"] * length))
        found += names.to_list()
        kept += keeps.to_list()
    assert found == ["r-1"] * 33 + ["r-2"] * 33 + ["r-3"] * 34
    assert kept == [True] * 28 + [False] * 5 + [True] * 28 + [False] * 5 + [True] * 34
    assert blocks.lengths({"r": 100}) == Counter({"r-1": 28, "r-2": 28, "r-3": 34})


@pytest.mark.parametrize(("shortest", "gap"), [(100, 1), (10_000, 100), (10**6, 200), (50, 0)])
def test_the_usual_gap_is_a_tenth_of_a_block_and_no_longer_than_a_window(shortest, gap):
    assert Blocks.of(10, None, shortest).gap == gap
    assert Blocks.of(10, 7, shortest).gap == 7


def long_recording(path, rows=300):
    return write(path, "x,y\n" + "".join(f"{row % 7}.5,{'ab'[row // 10 % 2]}\n" for row in range(rows)))


def test_a_long_recording_is_cut_and_an_update_cuts_alike(planned, added, updated, checked, tmp_path):
    path = long_recording(tmp_path / "long.csv")
    plan = planned(path, "--sequence", "--blocks", "5")
    assert plan["entry"]["num_samples"] == 300 - 4 * 6
    added(path, sequence=True, blocks=5)
    assert checked() == ["mine: 276 rows, 0 rejected"]
    dataset = load_dataset("mine")
    assert (dataset.recipe.blocks, dataset.recipe.gap) == (5, 6)
    rows = pl.read_csv(Path("data/raw/mine/long.csv"))
    assert rows["recording"].value_counts().sort("recording").rows() == [
        ("long-1", 54),
        ("long-2", 54),
        ("long-3", 54),
        ("long-4", 54),
        ("long-5", 60),
    ]
    code, said = updated(path)
    assert (code, "Nothing to do" in said) == (0, True)


def test_recordings_of_a_series_are_cut_one_by_one(added, checked, tmp_path):
    lines = [f"{name},{row}.5,{'ab'[row % 2]}\n" for name in ("7", "8") for row in range(40)]
    added(write(tmp_path / "own.csv", "rec,x,y\n" + "".join(lines)), series="rec", blocks=2, gap=0)
    rows = pl.read_csv(Path("data/raw/mine/own.csv"))
    assert rows["rec"].rle().struct.unnest().rows() == [(20, "7-1"), (20, "7-2"), (20, "8-1"), (20, "8-2")]
    assert checked() == ["mine: 80 rows, 0 rejected"]


def test_what_cannot_be_cut_is_one_line(refused, tmp_path):
    path = long_recording(tmp_path / "long.csv", 30)
    (line,) = refused(path, "--sequence")
    assert line.endswith("; --blocks 20 cuts one long recording into as many")
    (line,) = refused(path, "--sequence", "--blocks", "10", "--gap", "3")
    assert line.startswith("--blocks 10 --gap 3: long has 30 rows; expected more than 40, for a row in each block")
    assert refused(path, "--blocks", "3") == ["--blocks: needs --series or --sequence: recordings that are cut"]
    assert refused(path, "--sequence", "--gap", "3") == ["--gap: needs --blocks, between which it lies"]
