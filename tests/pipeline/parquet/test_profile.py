"""The profile describes the accepted rows, the same whatever the blocks."""

import json

import numpy as np
import polars as pl
import pytest
from support.conversion import convert_folder, entry
from support.projects import write_tiny_recordings

from pipeline.parquet.profile import PartProfile, Profile, block_moments


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


def test_quantiles_of_many_rows_are_those_of_a_sample_that_blocks_do_not_change(monkeypatch):
    monkeypatch.setattr("pipeline.parquet.sample.MAX_VALUES_OF_PART", 3 * 2000)
    monkeypatch.setattr("pipeline.parquet.sample.MIN_SAMPLED_ROWS", 1)
    contract = entry(1).contract()
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    columns = dict.fromkeys(("ax", "ay", "az"), values) | {"label": np.zeros(50_000, np.int16)}
    rows = pl.DataFrame(columns | {"subject": np.ones(50_000, np.int32)})
    found = []
    for size in (50_000, 7000, 999):
        profile, part = Profile(contract), PartProfile(contract)
        for block in rows.iter_slices(size):
            part.add(block, block_moments(block, contract))
        profile.add(PartProfile.load(contract, part.dump()))
        found.append((profile.as_json()["columns"]["ax"]["quantiles"], profile.as_json()["quantiles_of_rows"]))
    assert found[0] == found[1] == found[2]
    quantiles, num_rows = found[0]
    assert 1000 < num_rows <= 2000
    ranks = [float((values <= value).mean()) for value in quantiles.values()]
    assert ranks == pytest.approx([float(name) for name in quantiles], abs=0.04)


def test_categories_are_counted_and_need_no_numbers_beside_them(tmp_path):
    features = [{"name": name, "kind": "category", "categories": ["b", "a", "c"], "missing": "mean"} for name in "xy"]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.csv").write_text("recording,subject,x,y,label\n1,1,a,,up\n1,1,b,d,up\n1,1,a,,down\n")
    rows = convert_folder(tmp_path / "raw", tmp_path / "out", features=features)
    assert rows["x"].to_list() == ["a", "b", "a"]
    assert json.loads((tmp_path / "out/profile.json").read_text())["columns"] == {
        "x": {"count": 3, "nulls": 0, "categories": {"b": 1, "a": 2, "c": 0}},
        "y": {"count": 0, "nulls": 3, "categories": {"b": 0, "a": 0, "c": 0}},
    }
