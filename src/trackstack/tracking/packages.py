"""The packages of this process, and how they differ from those of a lock file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

LOCK = "requirements.lock"
METADATA_FOLDER = re.compile(r"([^-]+)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")
"""Name and version, by the specification `Recording installed projects`; an egg's Python behind them."""


def installed_packages() -> dict[str, str]:
    """Version by name of all that this process could import; of a name the first counts, as in an import.

    The names of the metadata's folders tell: to read what is in them, as `importlib.metadata` does, takes 0.3 s.
    """
    found: dict[str, str] = {}
    for folder in filter(None, sys.path):
        with contextlib.suppress(OSError):
            for entry in Path(folder).iterdir():
                if match := METADATA_FOLDER.fullmatch(entry.name):
                    found.setdefault(canonicalize_name(match[1]), match[2])
    return dict(sorted(found.items()))


def requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    """Those of the lines that name a package for this machine, without extras; options and hashes are passed over."""
    for line in lines:
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(line.split(" #")[0].rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                yield requirement


def difference(requirement: Requirement, installed: dict[str, str]) -> str | None:
    """How the installed package is not the one that is required; None where it is."""
    version = installed.get(canonicalize_name(requirement.name))
    if version is None:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version}, not {str(requirement.specifier).removeprefix('==')}"


def drift(root: Path, installed: dict[str, str]) -> list[str] | None:
    """What is not as requirements.lock of a repository has it, a text each; None where there is no such file."""
    try:
        lines = (root / LOCK).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return [text for requirement in requirements(lines) if (text := difference(requirement, installed))]
