"""A sweep: many trials of one commit, each a DVC experiment made in a clone of its own.

A sweep lies in `HOME/runs/.sweeps/NAME/`: `sweep.json` says what it is, `base/` is a clone of the pinned commit that
reproduces what no trial changes, and `trials/` has a note per trial, and one for what they share. It is identified by
commit and trials, so that typing the same command again goes on with it. A trial is finished when the checkout has
its experiment.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError, slurm
from trackstack.clones import git
from trackstack.outputs import write_json
from trackstack.submit import Options
from trackstack.tracking.environment import home

SHARED = "shared"
"""Instead of a trial's name: the work that all trials share."""
KINDS = {
    "not finite": re.compile(r"\b(nan|inf|infinite|not finite)\b", re.IGNORECASE),
    "out of memory": re.compile(r"out of memory|MemoryError|oom|SIGKILL", re.IGNORECASE),
}


class Trial(NamedTuple):
    """One point of a sweep."""

    name: str
    """Of its DVC experiment."""
    overrides: list[str]
    """As `dvc exp run --set-param` takes them."""


@dataclasses.dataclass
class Note:
    """How far a trial is, or what all trials share."""

    state: str = "waiting"
    """waiting, running, interrupted, failed or finished."""
    reason: str = ""
    attempts: int = 0
    job: str | None = None
    run: str | None = None
    seconds: float = 0.0


@dataclasses.dataclass
class Sweep:
    """A sweep and where it lies."""

    folder: Path
    origin: Path
    commit: str
    trials: list[Trial]
    attempts: int
    """How often a trial that is interrupted is started by itself."""
    own: dict[str, Options]
    """The stages that trials change, and what each asks of a job."""
    shared: list[str]
    """The last stages of those that no trial changes."""
    cache: Path
    """Of DVC, for all clones."""

    @property
    def name(self) -> str:
        """Of the sweep; its trials' experiments begin with it."""
        return self.folder.name

    @property
    def base(self) -> Path:
        """The clone that reproduces what no trial changes."""
        return self.folder / "base"

    def note(self, name: str) -> Note:
        """How far a trial is, as its task wrote it down."""
        try:
            return Note(**json.loads(self._note_file(name).read_text()))
        except FileNotFoundError:
            return Note()

    def write(self, name: str, note: Note) -> None:
        """Write down how far a trial is."""
        write_json(self._note_file(name), dataclasses.asdict(note))

    def forget(self, names: Iterable[str]) -> None:
        """Start counting the trials' attempts anew."""
        for name in names:
            self._note_file(name).unlink(missing_ok=True)

    def _note_file(self, name: str) -> Path:
        return self.folder / "trials" / f"{name}.json"

    def finished(self) -> set[str]:
        """The names of the trials whose experiments the checkout has."""
        at_commit = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}"
        refs = git(self.origin, "for-each-ref", "--format=%(refname)", at_commit).split()
        names = {ref.rsplit("/", 1)[1] for ref in refs}
        return {trial.name for trial in self.trials if trial.name in names}

    def states(self, local: bool) -> dict[str, Note]:
        """How far every trial is, and first of all what they share, with what Slurm knows of its job.

        Args:
            local: whether a process on this machine is at work on the sweep.
        """
        finished, tasks = self.finished(), self.tasks()
        found = {}
        for name in (SHARED, *(trial.name for trial in self.trials)):
            note = self.note(name)
            if name in finished:
                note.state, note.reason = "finished", ""
            elif note.state == "running" or (note.state == "finished" and name != SHARED):
                alive = local if note.job is None else tasks.get(name) == note.job
                note.state = "running" if alive else "interrupted"  # by a kill: nobody wrote it down
            if note.state in ("waiting", "interrupted") and name in tasks:
                note.state = "queued"
            found[name] = note
        return found

    def tasks(self) -> dict[str, str]:
        """The trials that Slurm has yet to end, each with its array task, and what they share with its job."""
        submissions = [json.loads(file.read_text()) for file in self.folder.glob("submissions/*.json")]
        groups = {one["shared"]: [SHARED] for one in submissions}
        for job, tasks in (array for one in submissions for array in one["arrays"].items()):
            groups |= {f"{job}_{index}": names for index, names in enumerate(tasks)}
        active = slurm.active_tasks(task.partition("_")[0] for task in groups)
        return {name: task for task, names in groups.items() if task in active for name in names}

    def save(self) -> None:
        """Write `sweep.json`, for the tasks to read."""
        told = dataclasses.asdict(self) | {"origin": str(self.origin), "cache": str(self.cache)}
        del told["folder"]
        write_json(self.folder / "sweep.json", told | {"trials": [trial._asdict() for trial in self.trials]})


def load_sweep(folder: Path) -> Sweep:
    """Read a sweep that was saved."""
    told = json.loads((folder / "sweep.json").read_text())
    paths = {name: Path(told[name]) for name in ("origin", "cache")}
    return Sweep(**told | paths | {"folder": folder, "trials": [Trial(**one) for one in told["trials"]]})


def find_sweep(name: str | None) -> Sweep:
    """A sweep of this home by its name, the newest by default.

    Raises:
        UserError: there is none.
    """
    files = (home() / "runs/.sweeps").glob(f"{name or '*'}/sweep.json")
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if newest is None:
        raise UserError(f"{name or 'sweeps'}: none here; trackstack sweep -S name=value,value makes one")
    return load_sweep(newest.parent)


def summary(states: dict[str, Note], resumed: int = 0) -> str:
    """One line: 183 finished, 12 failed (9 not finite, 3 out of memory), 5 resumed."""
    notes = [note for name, note in states.items() if name != SHARED]
    counts = collections.Counter(note.state for note in notes)
    kinds = collections.Counter(_kind(note.reason) for note in notes if note.state == "failed")
    parts = []
    for state in ("finished", "failed", "interrupted", "running", "queued", "waiting"):
        why = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) if state == "failed" else ""
        parts += [f"{counts[state]} {state}" + (f" ({why})" if why else "")] if counts[state] else []
    return ", ".join([*parts, *([f"{resumed} resumed"] if resumed else [])]) or "no trials"


def _kind(reason: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if pattern.search(reason)), reason[:60] or "unknown")
