"""A Python environment made anew from the packages that a run had."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import trackstack
from trackstack import UserError
from trackstack.system.programs import run_program

OWN = "trackstack"


def make_environment(recorded: dict[str, Any], folder: Path, report: Callable[[str], None]) -> None:
    """Install every package of a run's record in exactly its version, into a new virtual environment.

    trackstack itself is the one that runs this: a package index need not have it.

    Raises:
        UserError: the record names no packages, or one of them cannot be had.
    """
    packages = {name: version for name, version in recorded.get("packages", {}).items() if name != OWN}
    if not packages:
        raise UserError("--fresh-env: the run's record names no packages; it was made by an older trackstack")
    if any(folder.glob(f"lib/python*/site-packages/{OWN}-*.dist-info/METADATA")):  # which is written last
        return
    shutil.rmtree(folder, ignore_errors=True)  # what somebody has interrupted
    python = find_python(recorded.get("python", ""))
    report(f"installing {len(packages)} packages into {folder} with {python}")
    # A local part, as in 2.13.0+cpu, is known to no index.
    wanted = [f"{name}=={version.partition('+')[0]}" for name, version in sorted(packages.items())]
    done = run_program([python, "-m", "venv", str(folder)])
    if done.returncode == 0:
        pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        done = run_program([*pip, "install", "--no-deps", *wanted])
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise UserError(f"--fresh-env: {' '.join((errors or ['it failed'])[-1].split())[:300]}")
    _add_trackstack(folder)


def _add_trackstack(folder: Path) -> None:
    """This very trackstack: its modules, and the metadata by which it counts as installed."""
    (libraries,) = folder.glob("lib/python*/site-packages")
    shutil.copytree(Path(trackstack.__file__).parent, libraries / OWN, ignore=shutil.ignore_patterns("__pycache__"))
    installed = distribution(OWN)
    metadata = libraries / f"{OWN}-{installed.version}.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(installed.read_text("METADATA") or "", encoding="utf-8")


def find_python(version: str) -> str:
    """A Python of the same minor version; this one where there is none, and the verdict names the difference."""
    wanted = ".".join(version.split(".")[:2])
    if wanted == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{wanted}")  # which may be the stub of a version manager that has no such version
    return found if found and run_program([found, "-c", ""]).returncode == 0 else sys.executable
