"""An output of a stage beside the recorded one, whose bytes DVC's cache may still have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.reproduction.figures import difference_of_files
from trackstack.reproduction.verdict import DIFFERS, EQUAL, IDENTICAL, NOT_RECORDED, Outcome
from trackstack.reproduction.workplace import Workplace


def compare_output(
    path: str, before: dict[str, Any], now: dict[str, Any], place: Workplace, tolerance: float
) -> Outcome:
    """The verdict on one output.

    Args:
        before, now: its entries in dvc.lock.
        place: where it lies now; DVC's cache may have what it was.
    """
    if "md5" in before and before["md5"] == now.get("md5"):
        return Outcome(path, IDENTICAL)
    if "md5" not in before:
        return Outcome(path, NOT_RECORDED, "DVC has no hash of its content", has_figures=False)
    pairs = list(_differing_files(path, before, place))
    differences = [
        difference_of_files(name, old, new) if old is not None and new is not None else None
        for name, old, new in pairs
    ]
    largest = max((difference for difference in differences if difference is not None), default=0.0)
    if largest > tolerance:
        far = [name for (name, _, _), difference in zip(pairs, differences, strict=True) if difference == largest]
        how = f"at most {largest:.1e} apart" if math.isfinite(largest) else f"other content in {far[0][:200]}"
        return Outcome(path, DIFFERS, how)
    if not pairs or None in differences:
        named = ", ".join(
            name for (name, _, _), difference in zip(pairs, differences, strict=True) if difference is None
        )
        return Outcome(path, DIFFERS, f"other bytes{f' in {named[:200]}' if named else ''}", has_figures=False)
    return Outcome(path, EQUAL, f"at most {largest:.1e} apart")


def _identity(entry: dict[str, Any]) -> tuple[str, str] | None:
    """Hash and its algorithm; before DVC 3 text was hashed with its line ends changed, and that was not noted."""
    return (entry.get("hash", "md5-dos2unix"), entry["md5"]) if "md5" in entry else None


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
    """What the cache has by an MD5; before DVC 3 it lay elsewhere."""
    data = _bytes(cache / "files/md5" / value[:2] / value[2:])
    return _bytes(cache / value[:2] / value[2:]) if data is None else data


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
