"""What a repository tells trackstack of itself: the table `[tool.trackstack]` of its `pyproject.toml`.

    [tool.trackstack]
    commands = "pipeline.cli:app"                            # a Typer app, joined to the command line
    check = "pipeline.check.everything:main"                 # before jobs and sweeps: a line per thing in order
    check_params = "pipeline.check.everything:check_params"  # is given the parameters of each trial of a sweep
    describe_data = "pipeline.croissant:describe_data"       # a dataset in Croissant's words, for runs export

All of them are optional. Both checks raise `UserError`, whose text a person sees.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError

PYPROJECT = Path("pyproject.toml")
HOOKS = ("commands", "check", "check_params", "describe_data")


def load_hook(name: str, root: Path = Path()) -> Any:
    """What an entry of the table names as `module:attribute`, imported from `src/` or the root; None without it.

    Raises:
        UserError: `pyproject.toml` is malformed, or names something that cannot be imported.
    """
    place = f"{PYPROJECT}: tool.trackstack.{name}"
    target = _table(root).get(name)
    if target is None:
        return None
    module, _, attribute = str(target).partition(":")
    for folder in (root, root / "src"):
        if folder.is_dir() and str(folder.resolve()) not in sys.path:
            sys.path.insert(0, str(folder.resolve()))
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{place} is {target!r}: {error}; expected module:attribute, in src/ or the root") from None


def check_project(root: Path = Path()) -> Iterator[str]:
    """A line per thing that the project's own check finds in order; nothing where it has none."""
    if (check := load_hook("check", root)) is not None:
        yield from check()


def unusable_folder(folder: Path) -> str | None:
    """Why DVC cannot work in a folder of this name, and what to do; None where it can."""
    name = str(folder.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:
        return "DVC needs folders whose names are UTF-8; rename it, or work in another one"
    if "{" in name or "}" in name:
        return "DVC takes the braces in this path for its own; rename it, or work in another one"
    return None


def refuse_unusable_folder(folder: Path) -> None:
    """UserError in a folder where DVC fails at its first stage, with a traceback or a single letter."""
    if why := unusable_folder(folder):
        raise UserError(f"{folder.absolute()}: {why}")


def _table(root: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads((root / PYPROJECT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{PYPROJECT}: not valid TOML: {error}") from None
    except OSError as error:
        raise UserError(f"{PYPROJECT}: cannot be read: {error.strerror}") from None
    table = content.get("tool", {}).get("trackstack", {})
    if unknown := sorted(set(table) - set(HOOKS)):
        raise UserError(f"{PYPROJECT}: tool.trackstack.{unknown[0]} is unknown; allowed here: {', '.join(HOOKS)}")
    return table
