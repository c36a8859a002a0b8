"""An output of a stage beside the recorded one, whose bytes DVC's cache may still have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.reproduction.figures import difference_of_files
from trackstack.reproduction.verdict import DIFFERS, EQUAL, IDENTICAL, Outcome
from trackstack.reproduction.workplace import Workplace


def compare_output(
    path: str, before: dict[str, Any], now: dict[str, Any], place: Workplace, tolerance: float
) -> Outcome:
    """The verdict on one output.

    Args:
        before, now: its entries in dvc.lock.
        place: where it lies now; DVC's cache may have what it was.
    """
    if before.get("md5") == now.get("md5"):
        return Outcome(path, IDENTICAL)
    pairs = list(_differing_files(path, before, place))
    differences = [
        difference_of_files(name, old, new) if old is not None and new is not None else None
        for name, old, new in pairs
    ]
    if not pairs or None in differences:
        named = ", ".join(
            name for (name, _, _), difference in zip(pairs, differences, strict=True) if difference is None
        )
        return Outcome(path, DIFFERS, f"other bytes{f' in {named[:200]}' if named else ''}", has_figures=False)
    largest = max(difference for difference in differences if difference is not None)
    return Outcome(path, EQUAL if largest <= tolerance else DIFFERS, f"at most {largest:.1e} apart")


def _differing_files(
    path: str, before: dict[str, Any], where: Workplace
) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    """Name, bytes before and bytes now of each file that is not as it was; None where nobody has them."""
    cache, place = where.cache, where.checkout / path
    value = before.get("md5", "")
    if not value.endswith(".dir"):
        yield path, _object(cache, value), _bytes(place)
        return
    listing = _object(cache, value)
    if listing is None:
        return
    old = {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
    new = {file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file()}
    for name in sorted({*old, *new}):
        data, now = _object(cache, old[name]) if name in old else None, _bytes(place / name)
        if data is None or data != now:
            yield f"{path}/{name}", data, now


def _object(cache: Path, value: str) -> bytes | None:
    return _bytes(cache / "files/md5" / value[:2] / value[2:])


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
