"""Two versions of small data, compared."""

import json

import numpy as np
import polars as pl
import pytest
from support.conversion import MANY_REJECTED, convert_folder, entry, write_bytes

from pipeline.contract.catalog import Contract
from pipeline.data_diff.comparison import compare
from pipeline.data_diff.versions import DataVersion
from pipeline.ingest.manifest import build_manifest

HEADER = "recording,subject,ax,ay,az,label"


@pytest.fixture
def version(tmp_path):
    """A version of the rows of some files, from their lines."""

    def make(name, files, header=HEADER, **changes):
        raw, out = tmp_path / name, tmp_path / f"{name} processed"
        for file, lines in files.items():
            write_bytes(raw, "\n".join([header, *lines, ""]).encode(), file)
        rows = convert_folder(raw, out, MANY_REJECTED, **changes)
        profile = json.loads((out / "profile.json").read_text())
        contract = Contract.model_validate(profile["contract"])
        dataset = entry(sum(map(len, files.values())), **changes)
        sample_KC = rows.select(pl.col(contract.amounts()).fill_null(np.nan)).to_numpy()
        return DataVersion(name, profile, contract, build_manifest("tiny", dataset, raw).files, sample_KC)

    return make


def lines(number, subject=1, label="up", first=0.0):
    return [f"{subject},{subject},{first + place},1,2,{label}" for place in range(number)]


def column(found, name):
    return next(column for column in found["columns"] if column["name"] == name)


def test_a_version_is_the_same_as_itself(version):
    one = version("one", {"a.csv": lines(9), "b.csv": lines(9, subject=2, label="down")})
    found = compare(one, one)
    assert found["same"]
    assert [column["psi"] for column in found["columns"]] == [0, 0, 0]
    assert [column["ks"] for column in found["columns"]] == [0, 0, 0]


def test_files_rows_classes_and_groups_are_counted(version):
    one = version("one", {"a.csv": lines(9), "b.csv": lines(9, subject=2), "c.csv": lines(5, subject=3)})
    two = version(
        "two", {"a.csv": lines(9), "b.csv": lines(8, subject=2, label="down"), "d.csv": lines(4, subject=4)}
    )
    found = compare(one, two)
    assert not found["same"]
    assert found["files"] == {"added": ["d.csv"], "removed": ["c.csv"], "changed": ["b.csv"], "same": 1}
    assert found["rows"]["accepted"] == [23, 21]
    assert found["classes"] == {"up": [23, 13], "down": [0, 8]}
    assert found["classes_psi"] > 0.25
    assert found["groups"] == {"number": [3, 3], "added": ["4"], "removed": ["3"]}


def test_a_row_that_is_rejected_is_a_difference(version):
    one = version("one", {"a.csv": [*lines(5), "1,1,5,1,2,up"]})
    two = version("two", {"a.csv": [*lines(5), "1,1,x,1,2,up"]})
    found = compare(one, two)
    assert found["rows"] == {"read": [6, 6], "accepted": [6, 5], "rejected": [0, 1]}
    assert found["files"]["changed"] == ["a.csv"]


def test_a_column_that_moves_drifts_and_its_neighbours_do_not(version):
    found = compare(version("one", {"a.csv": lines(100)}), version("two", {"a.csv": lines(100, first=50)}))
    moved = column(found, "ax")
    assert moved["drift"] == "much drift"
    assert moved["ks"] == pytest.approx(0.5)
    assert moved["mean"] == [49.5, 99.5]
    assert column(found, "ay")["psi"] == 0


def test_categories_are_compared_by_their_rows_and_missing_ones(version):
    kind = {"kind": "category", "categories": ["old", "new"], "missing": "mean"}
    features = [{"name": "ax", **kind}, {"name": "ay"}, {"name": "az"}]

    def rows(*oils):
        return {"a.csv": [f"1,1,{oil},1,2,up" for oil in oils]}

    one = version("one", rows("old", "new", "new", "new"), features=features)
    two = version("two", rows("old", "new", "", ""), features=features)
    found = column(compare(one, two), "ax")
    assert found["categories"] == {"old": [1, 1], "new": [3, 1]}
    assert found["nulls"] == [0, 2]
    assert found["psi"] > 0.25
    assert found["ks"] is None


def test_targets_are_columns_and_a_column_of_one_version_alone_is_only_in_the_contract(version):
    one = version("one", {"a.csv": lines(9)})
    rows = [f"1,1,{place},1,{place}" for place in range(9)]
    targets = [{"name": "wear", "unit": "mm"}]
    features = [{"name": "ax"}, {"name": "ay"}]
    changes = {"header": "recording,subject,ax,ay,wear", "targets": targets, "features": features}
    two = version("two", {"a.csv": rows}, **changes)
    assert [column["name"] for column in compare(two, two)["columns"]] == ["ax", "ay", "wear"]
    found = compare(one, two)
    assert [column["name"] for column in found["columns"]] == ["ax", "ay"]
    assert {"feature removed: az", "target added: wear"} <= set(found["contract"])
    assert found["classes_psi"] is None
