"""What two contracts say differently, a line for each thing."""

from __future__ import annotations

import json
from typing import Any

from pipeline.contract.catalog import Contract

MOST_LETTERS = 60
LISTS_OF_COLUMNS = {"features": "feature", "targets": "target"}


def contract_changes(before: Contract, after: Contract) -> list[str]:
    """Columns that are added, removed or described otherwise, and every other field that differs."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    lines = []
    for field, what in LISTS_OF_COLUMNS.items():
        lines += _changes_of_columns(old.get(field, []), new.get(field, []), what)
    for field in (*old, *(field for field in new if field not in old)):
        if field == "classes":
            lines += _changes_of_list(old.get(field, []), new.get(field, []), "class")
        elif field not in LISTS_OF_COLUMNS and old.get(field) != new.get(field):
            lines.append(f"{field}: {_shown(old.get(field))} -> {_shown(new.get(field))}")
    return lines


def _changes_of_columns(before: list[dict], after: list[dict], what: str) -> list[str]:
    old, new = ({column["name"]: column for column in columns} for columns in (before, after))
    lines = _changes_of_list(list(old), list(new), what)
    for name in (name for name in old if name in new):
        for field in sorted(old[name].keys() | new[name].keys()):
            values = old[name].get(field), new[name].get(field)
            if values[0] != values[1]:
                lines.append(f"{what} {name}: {field} {_shown(values[0])} -> {_shown(values[1])}")
    return lines


def _changes_of_list(before: list[str], after: list[str], what: str) -> list[str]:
    lines = [f"{what} added: {name}" for name in after if name not in before]
    lines += [f"{what} removed: {name}" for name in before if name not in after]
    if not lines and before != after:
        lines.append(f"the {what}{'es' if what == 'class' else 's'} are in another order")
    return lines


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
