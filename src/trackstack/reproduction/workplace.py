"""Where a run is made again: a clone at its source, its data, a home, and an environment where one is asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError
from trackstack.cluster.clones import DVC, cache_folder, make_clone, own_code
from trackstack.cluster.jobs import pull_raw_data
from trackstack.core.files import read_json, sealed, write_json
from trackstack.reproduction.expected import Expected
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.programs import BYTES_SURVIVE, run_program
from trackstack.system.redaction import redact_uris

NOTE = "reproduction.json"


class Workplace(NamedTuple):
    """The folders of one reproduction."""

    folder: Path
    checkout: Path
    """The DVC repository in the clone."""
    cache: Path
    """Of DVC: the one that the run's repository uses."""

    @property
    def home(self) -> Path:
        """Where it is recorded: nothing of it reaches the home of the run."""
        return self.folder / "home"

    @property
    def environment(self) -> Path:
        """Python's, made anew; used where it is there."""
        return self.folder / "environment"

    @property
    def log(self) -> Path:
        """All that DVC and the stages print."""
        return self.folder / "log.txt"


@contextlib.contextmanager
def workplace(expected: Expected, root: Path, folder: Path | None) -> Iterator[Workplace]:
    """A clone at a run's source.

    Args:
        folder: kept at the end. One in which this run was made again before is used as it lies there: what
            somebody has changed in it is what the verdict is about. None for one that is removed.

    Raises:
        UserError: the folder is something else.
    """
    key = expected.series.key
    place = (folder or expected.series.home / "runs" / ".reproductions" / key).absolute()
    cache = cache_folder(root)
    if folder and place.exists() and any(place.iterdir()):
        yield Workplace(place, _used_before(place, expected), cache)
        return
    if folder is None:
        take_lease(place, f"the reproduction of {key}")  # gc removes what a killed one has left
    try:
        checkout = make_clone(root, expected.commit, place / "repository", cache)
        write_json(
            place / NOTE,
            sealed({"run": key, "commit": expected.commit, "checkout": str(checkout.relative_to(place))}),
        )
        run_program([*DVC, "checkout", "--quiet", "--allow-missing"], cwd=checkout)
        pull_raw_data(checkout)
        yield Workplace(place, checkout, cache)
    finally:
        if folder is None:
            give_back_lease(place)
            shutil.rmtree(place, ignore_errors=True)


def _used_before(place: Path, expected: Expected) -> Path:
    """The checkout in the folder of an earlier reproduction; UserError where it is one of something else."""
    todo = "expected a new folder, or that of an earlier reproduction of this run"
    try:
        note = read_json(place / NOTE, todo)
    except FileNotFoundError:
        raise UserError(f"{place}: is there already; {todo}") from None
    if (note["run"], note["commit"]) != (expected.series.key, expected.commit):
        raise UserError(f"{place}: holds a reproduction of {note['run']}; {todo}")
    shutil.rmtree(place / "home", ignore_errors=True)
    return place / note["checkout"]


def run_stages(place: Workplace, stages: list[str], alone: bool, report: Callable[[str], None]) -> None:
    """Run stages and what they need, whatever DVC knows of them, and leave nothing in its cache.

    Args:
        alone: run these stages only, on what is there of what they need.
        report: is given each line that says which stage runs.

    Raises:
        UserError: a stage failed; the end of what it said.
    """
    command = [*DVC, "repro", "--force", "--no-commit", *(["--single-item"] if alone else []), *stages]
    with place.log.open("w", encoding="utf-8", errors=BYTES_SURVIVE) as log:
        process = subprocess.Popen(
            command,
            cwd=place.checkout,
            env=_variables(place),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors=BYTES_SURVIVE,
        )
        for line in map(redact_uris, process.stdout or ()):
            log.write(line)
            if line.startswith("Running stage "):
                report(line.strip())
    if process.wait():
        said = [
            line.strip()
            for line in place.log.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip()
        ]
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise UserError(f"{place.log}: {'; '.join([*said[-6:-1], *errors[-1:]])[-400:]}")


def _variables(place: Workplace) -> dict[str, str]:
    """Of the stages: no back end, their own home, and as `python` the one that runs this, or the fresh one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "TRACKSTACK_"))}
    programs = place.environment / "bin" if place.environment.exists() else Path(sys.executable).parent
    kept["PATH"] = f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
    if place.environment.exists():
        kept["VIRTUAL_ENV"] = str(place.environment)
    return kept | own_code(place.checkout) | {"TRACKSTACK_HOME": str(place.home), "TRACKSTACK_SINKS": ""}
