"""Which source files a script runs: its imports within the project, followed to their ends."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePath

# What tracks a run, submits it or looks at it cannot change its outputs, so that no stage and no run depends on it.
OUTPUT_NEUTRAL = ("cli", "cluster", "records", "system", "tracking")


def changes_no_output(path: PurePath) -> bool:
    """Whether a source file, relative to the root, is of that part of trackstack."""
    parts = path.parts
    if "trackstack" not in parts:
        return False
    inside = parts[parts.index("trackstack") + 1 :]
    return inside == ("__init__.py",) or inside[:1] in [(name,) for name in OUTPUT_NEUTRAL]


def imported_sources(scripts: list[Path], src: Path) -> set[Path]:
    """The scripts themselves and every module below `src` that they import, directly or not.

    Imports are read from the text, wherever in the file they stand; packages on the way are included.
    """
    found: set[Path] = set()
    waiting = list(scripts)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            for name in _imported_names(file):
                waiting += _module_files(name, src)
    return found


def _imported_names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_files(name: str, src: Path) -> list[Path]:
    parts = name.split(".")
    stems = [src.joinpath(*parts[: end + 1]) for end in range(len(parts))]
    candidates = [path for stem in stems for path in (stem / "__init__.py", stem.with_suffix(".py"))]
    return [path for path in candidates if path.is_file()]
