"""Two versions of the rows, compared: files, rows, classes, groups and the distribution of each column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipeline.data_diff.contracts import contract_changes
from pipeline.data_diff.drift import drift_in_words, largest_distance, stability_of_counts, stability_of_values
from pipeline.data_diff.versions import DataVersion
from pipeline.ingest.manifest import RawFile

KINDS_OF_ROWS = ("read", "accepted", "rejected")


def compare(before: DataVersion, after: DataVersion) -> dict[str, Any]:
    """All that differs, in plain values: `trackstack data diff --json` shows them; pairs are before and after."""
    columns = [_compare_column(name, before, after) for name in _columns_of_both(before, after)]
    old, new = before.profile, after.profile
    return {
        "versions": [before.name, after.name],
        "dataset": [old["dataset"], new["dataset"]],
        "same": _describes(before) == _describes(after),
        "contract": contract_changes(before.contract, after.contract),
        "files": _compare_files(before.files, after.files),
        "rows": {kind: [old["rows"][kind], new["rows"][kind]] for kind in KINDS_OF_ROWS},
        "classes": _pairs(old.get("classes", {}), new.get("classes", {})),
        "classes_psi": _stability_of_names(old.get("classes", {}), new.get("classes", {})),
        "groups": {
            "number": [len(old["groups"]), len(new["groups"])],
            "added": _absent(new["groups"], old["groups"]),
            "removed": _absent(old["groups"], new["groups"]),
        },
        "sampled_rows": [len(before.sample_KC), len(after.sample_KC)],
        "columns": columns,
    }


def _describes(version: DataVersion) -> dict[str, Any]:
    """What the profile says of the rows, without how and where they are kept."""
    return {name: value for name, value in version.profile.items() if name not in ("dataset", "digest", "parts")}


def _compare_files(before: tuple[RawFile, ...], after: tuple[RawFile, ...]) -> dict[str, Any]:
    """Names of raw files by what became of them; their digests decide."""
    old, new = ({file.name: file.sha256 for file in files} for files in (before, after))
    changed = [name for name in old if name in new and old[name] != new[name]]
    added, removed = _absent(new, old), _absent(old, new)
    same = len(new) - len(added) - len(changed)
    return {"added": added, "removed": removed, "changed": changed, "same": same}


def _absent(names: Iterable[str], others: Iterable[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _pairs(before: dict[str, int], after: dict[str, int]) -> dict[str, list[int]]:
    return {name: [before.get(name, 0), after.get(name, 0)] for name in before | after}


def _stability_of_names(before: dict[str, int], after: dict[str, int]) -> float | None:
    pairs = _pairs(before, after).values()
    return stability_of_counts([old for old, _ in pairs], [new for _, new in pairs])


def _described_columns(version: DataVersion) -> dict[str, dict[str, Any]]:
    return version.profile["columns"] | version.profile.get("targets", {})


def _columns_of_both(before: DataVersion, after: DataVersion) -> list[str]:
    """The features and targets that are numbers, or categories, in both versions."""
    old, new = _described_columns(before), _described_columns(after)
    return [name for name in new if name in old and ("categories" in old[name]) == ("categories" in new[name])]


def _compare_column(name: str, before: DataVersion, after: DataVersion) -> dict[str, Any]:
    old, new = _described_columns(before)[name], _described_columns(after)[name]
    compared: dict[str, Any] = {"name": name}
    compared |= {field: [old.get(field), new.get(field)] for field in ("count", "nulls")}
    if "categories" in new:
        rows = [one["categories"] | {"": one["nulls"]} for one in (old, new)]  # no category is called ""
        psi, ks = _stability_of_names(*rows), None
        compared["categories"] = _pairs(old["categories"], new["categories"])
    else:
        compared |= {field: [old.get(field), new.get(field)] for field in ("min", "max", "mean", "std")}
        samples = [_sampled(version, name) for version in (before, after)]
        psi, ks = stability_of_values(*samples), largest_distance(*samples)
    return compared | {"psi": psi, "ks": ks, "drift": drift_in_words(psi)}


def _sampled(version: DataVersion, column: str) -> np.ndarray:
    return version.sample_KC[:, version.contract.amounts().index(column)]
