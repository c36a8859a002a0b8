"""The part of a catalog entry that says how the files of a dataset version are built, from what was seen of them."""

from __future__ import annotations

import re
from typing import Any

from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.contents.dates import parts_of
from pipeline.import_data.contents.kinds import Kinds
from pipeline.import_data.survey import ColumnSurvey
from trackstack.core.params import LARGEST


def contract_of(
    options: ImportOptions,
    kinds: Kinds,
    targets: list[str],
    columns: dict[str, ColumnSurvey],
    units: dict[str, str],
) -> dict[str, Any]:
    """The part of the entry that says how the files are built."""
    label = options.label or ""
    contract = {
        "features": [_feature(name, kinds, columns[name], units) for name in kinds.features],
        **(
            {"targets": [{"name": name, **({"unit": units[name]} if name in units else {})} for name in targets]}
            if targets
            else {"label": label, "classes": sorted(columns[label].values, key=_numbers_first)}
        ),
        "group": options.group,
        "series": options.series,
        "time": options.time,
        "extra": list(options.extra),
        "types": _types(options, columns),
    }
    return {key: value for key, value in contract.items() if value or key in ("features", "label", "classes")}


def _feature(name: str, kinds: Kinds, column: ColumnSurvey, units: dict[str, str]) -> dict[str, Any]:
    feature: dict[str, Any] = {"name": name}
    if name in kinds.categories:
        # Next month's table may hold another one.
        categories = sorted(column.values, key=_numbers_first)
        return feature | {"kind": "category", "categories": categories, "missing": "mean"}
    if name in kinds.times:
        feature |= {"kind": "time", "parts": parts_of(kinds.times[name])}
    elif name in units:
        feature["unit"] = units[name]
    return feature | ({"missing": "mean"} if column.missing else {})


def _types(options: ImportOptions, columns: dict[str, ColumnSurvey]) -> dict[str, str]:
    """`types` of the catalog, where its defaults do not fit."""
    types = {}
    for name in filter(None, (options.group, options.series)):
        values = columns[name].values
        whole = all(re.fullmatch(r"-?\d{1,18}", value) for value in values)
        if not whole or len(set(map(int, values))) < len(values):  # 1 and 01, which somebody keeps apart
            types[name] = "text"
        elif max(abs(int(value)) for value in values) > LARGEST:
            types[name] = "int64"
    return types


def _numbers_first(text: str) -> tuple:
    return (0, float(text), text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else (1, 0.0, text)
