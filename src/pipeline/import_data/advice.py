"""What a person should know of a plan: notes, and settings of the parameters that fit the data."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.import_data.survey import ColumnSurvey


def set_aside_notes(count: int, broken: int, names: Mapping[str, ColumnSurvey]) -> list[str]:
    """How many rows will be set aside, and why.

    Args:
        count: of all such rows.
        broken: of lines with another number of fields.
        names: label, group, series and time.
    """
    if not count:
        return []
    reasons = [f"no {name} in {column.missing:,}" for name, column in names.items() if column.missing]
    reasons += [f"another number of fields in {broken:,}"] if broken else []
    words = sorted({word for column in names.values() for word in column.words})
    keep = f"; {', '.join(map(repr, words))} counts as missing, unless --not-missing says no" if words else ""
    return [f"{count:,} row{'s' * (count > 1)} will be set aside: {', '.join(reasons)}{keep}"]
