"""The lines of a run's series, made of its journals."""

from __future__ import annotations

import json
from typing import Any

from trackstack import UserError
from trackstack.records.choosing.settings import declared_params
from trackstack.records.index.rows import FACTS, Lines, Shapes
from trackstack.records.labels import Labels, labels_of
from trackstack.records.reading import RunRecord, figures_of
from trackstack.tracking.params import flatten
from trackstack.tracking.series import SeriesRecords


def labels_and_damage(run: SeriesRecords) -> tuple[Labels, list[str]]:
    """Tags and notes of a series, and a line where they are damaged."""
    try:
        return labels_of(run.series.folder, run.series.number), []
    except UserError as error:
        return Labels([], []), [str(error)]


def lines_of(run: SeriesRecords, labels: Labels, is_damaged: bool, shapes: Shapes) -> Lines:
    """What the index keeps of a series."""
    facts = _facts(run, is_damaged) | {"tagged": labels.tags, "notes": labels.notes}
    last, low, high = figures_of(run)
    own = flatten(run.series.start["params"])
    more = {name: value for name, value in declared_params(run.series).items() if name not in own}
    names = [shapes.number(tuple(values)) for values in (own, more)]
    return Lines(
        _json([*(facts[name] for name in FACTS), shapes.number(tuple(last)), _values(last)]),
        _json([*names, *map(_values, (own, more, low, high)), run.series.spent]),
    )


def lines_of_damaged(record: RunRecord, shapes: Shapes) -> Lines:
    """What a list shows of a run without a series that can be read."""
    nothing: dict[str, Any] = dict.fromkeys(FACTS)
    known = {"run": record.folder.name, "status": "damaged", "reproduced": 0, "promoted": False}
    facts = nothing | known | {"tagged": [], "notes": []}
    none = shapes.number(())
    return Lines(_json([*facts.values(), none, []]), _json([none, none, [], [], [], [], []]))


def _facts(run: SeriesRecords, is_damaged: bool) -> dict[str, Any]:
    series, start = run.series, run.series.start
    # Without an end, which the damage may have taken away, nobody knows how it ended.
    unknown = is_damaged and series.status == "lost"
    return {
        "run": series.key,
        "name": start["name"],
        "status": "damaged" if unknown else series.status,
        "reproduced": series.reproduced,
        "promoted": series.promoted,
        "error": series.error,
        "user": start["environment"].get("user"),
        "started": start["time"],
        "seconds": None if series.finished is None else round(series.finished - start["time"], 1),
        "stage": start["stage"],
        "sweep": start["tags"].get("sweep"),
    }


def _values(values: dict[str, Any]) -> list[Any]:
    return list(values.values())


def _json(value: list[Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
