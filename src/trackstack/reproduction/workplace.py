"""Where a run is made again: a clone at its source, its data, a home, and an environment where one is asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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
from trackstack.system.git import git
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.programs import BYTES_SURVIVE, run_program
from trackstack.system.redaction import redact_uris

NOTE = "reproduction.json"
SECONDS_TO_END = 5.0


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
    cache, was_used = cache_folder(root), bool(folder and place.exists() and any(place.iterdir()))
    checkout = _used_before(place, expected) if was_used else None
    take_lease(place, f"the reproduction of {key}")  # gc removes what a killed one has left
    try:
        if checkout is None:
            checkout = _made_anew(place, expected, root, cache)
        shutil.rmtree(place / "home", ignore_errors=True)
        yield Workplace(place, checkout, cache)
    finally:
        give_back_lease(place)
        if folder is None or not (place / NOTE).exists():
            shutil.rmtree(place, ignore_errors=True)


def _made_anew(place: Path, expected: Expected, root: Path, cache: Path) -> Path:
    """The checkout in a new folder, with a note of whose it is: the last that is written."""
    checkout = make_clone(root, expected.commit, place / "repository", cache)
    run_program([*DVC, "checkout", "--quiet", "--allow-missing"], cwd=checkout)
    pull_raw_data(checkout)
    note = {"run": expected.series.key, "commit": expected.commit, "checkout": str(checkout.relative_to(place))}
    write_json(place / NOTE, sealed(note))
    return checkout


def _used_before(place: Path, expected: Expected) -> Path:
    """The checkout in the folder of an earlier reproduction; UserError where it is one of something else."""
    todo = "expected a new folder, or that of an earlier reproduction of this run"
    try:
        note = read_json(place / NOTE, todo)
    except FileNotFoundError:
        raise UserError(f"{place}: is there already; {todo}") from None
    if (note["run"], note["commit"]) != (expected.series.key, expected.commit):
        raise UserError(f"{place}: holds a reproduction of {note['run']}; {todo}")
    return place / note["checkout"]


def edited_files(checkout: Path, commit: str) -> list[str]:
    """The files of git that are not as in a commit, by their paths from this DVC repository."""
    return [name for name in git(checkout, "diff", "--name-only", "--relative", "-z", commit).split("\0") if name]


def run_stages(place: Workplace, stages: list[str], report: Callable[[str], None]) -> None:
    """Run stages, whatever DVC knows of them, and leave nothing in its cache.

    Args:
        stages: in order; of what DVC imports, the source may be gone, so that nothing but these is run.
        report: is given each line that says which stage runs.

    Raises:
        UserError: a stage failed; the end of what it said.
    """
    command = [*DVC, "repro", "--force", "--no-commit", "--single-item", *stages]
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
            start_new_session=True,  # Ctrl-C is for us to hand on
        )
        with _ended_with_us(process):
            for line in map(redact_uris, process.stdout or ()):
                log.write(line)
                if line.startswith("Running stage "):
                    report(line.strip())
            failed = process.wait()
    if failed:
        said = [
            line.strip()
            for line in place.log.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip()
        ]
        errors = [line for line in said if line.startswith("ERROR")] or said
        end = "; ".join([*said[-6:-1], *errors[-1:]])[-400:]
        raise UserError(f"dvc repro in a clone: {end}; with --in DIR the clone and its log.txt are kept")


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever ends this process ends all that it has started: an orphan would go on in a folder that is gone."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in signals]
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
            os.killpg(process.pid, signal.SIGKILL)  # dvc does not wait for its stage
        process.wait()
        raise
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _variables(place: Workplace) -> dict[str, str]:
    """Of the stages: no back end, their own home, and as `python` the one that runs this, or the fresh one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "TRACKSTACK_"))}
    programs = place.environment / "bin" if place.environment.exists() else Path(sys.executable).parent
    kept["PATH"] = f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
    if place.environment.exists():
        kept["VIRTUAL_ENV"] = str(place.environment)
    return kept | own_code(place.checkout) | {"TRACKSTACK_HOME": str(place.home), "TRACKSTACK_SINKS": ""}
