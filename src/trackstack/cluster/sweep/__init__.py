"""A sweep: many trials of one commit, each a DVC experiment made in a clone of its own.

A sweep lies in `HOME/runs/.sweeps/NAME/`: `sweep.json` says what it is, `base/` is a clone of the pinned commit that
reproduces what no trial changes, and `trials/` has a note per trial, and one for what they share. It is identified by
commit and trials, so that typing the same command again goes on with it. A trial is finished when the checkout has
its experiment.

A trial has a note of its own, since nothing about it depends on the others: ten thousand begin and end without
waiting for one another, and damage costs one. A search decides by what all gave; so it has a log, too, which one
writes at a time.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.cluster.submit import Options
from trackstack.core.dvc_yaml import DVC_YAML
from trackstack.core.files import read_json, remove, sealed, write_json
from trackstack.system import slurm
from trackstack.system.git import git
from trackstack.system.lease import is_live
from trackstack.tracking.environment import home

BASE = "base"
AGAIN = "the sweep's command typed again writes it anew"
SEARCH_FILE = "search.json"
"""In the folder of a sweep whose trials a search proposes."""
SHARED = "shared"
"""Instead of a trial's name: the work that all trials share."""
KINDS = {
    "not finite": re.compile(r"\b(nan|inf|infinite|not finite)\b", re.IGNORECASE),
    "out of memory": re.compile(r"out of memory|MemoryError|oom|SIGKILL", re.IGNORECASE),
}
STATES = ("finished", "failed", "paused", "interrupted", "running", "queued", "waiting")
"""Of trials, as they are counted; those of a search alone are paused, and never queued."""


class Trial(NamedTuple):
    """One point of a sweep."""

    name: str
    """Of its DVC experiment."""
    overrides: list[str]
    """As `dvc exp run --set-param` takes them: `lr=0.1`, `params.json:lr=0.1`."""


@dataclasses.dataclass
class TrialStatus:
    """How far a trial is, or what all trials share."""

    state: str = "waiting"
    """waiting, running, interrupted, failed or finished; in a list of all trials also queued."""
    reason: str = ""
    attempts: int = 0
    job: str | None = None
    run: str | None = None
    seconds: float = 0.0
    step: int = -1
    """Of a search's: the furthest that was recorded when it was started."""


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
    subfolder: str = "."
    """Where in its git repository `origin` lies."""

    @property
    def name(self) -> str:
        """Of the sweep; its trials' experiments begin with it."""
        return self.folder.name

    @property
    def base(self) -> Path:
        """What `origin` is in the clone that reproduces what no trial changes."""
        return self.folder / BASE / self.subfolder

    @property
    def pipelines(self) -> list[str]:
        """The dvc.yaml files with stages that trials change: plain `dvc repro` looks at that of the root alone."""
        return sorted({address.rpartition(":")[0] or DVC_YAML for address in self.own})

    def status(self, name: str) -> TrialStatus:
        """How far a trial is, as its task wrote it down; of a note that is damaged, that the trial has to go on."""
        try:
            return TrialStatus(**read_json(self._status_file(name), AGAIN))
        except FileNotFoundError:
            return TrialStatus()
        except UserError as error:
            return TrialStatus("interrupted", reason=str(error))

    def write(self, name: str, status: TrialStatus) -> None:
        """Write down how far a trial is."""
        write_json(self._status_file(name), sealed(dataclasses.asdict(status)))

    def forget(self, names: Iterable[str]) -> None:
        """Start counting the trials' attempts anew."""
        for name in names:
            remove(self._status_file(name))

    def _status_file(self, name: str) -> Path:
        return self.folder / "trials" / f"{name}.json"

    def finished(self) -> set[str]:
        """The names of the experiments that the checkout has on the sweep's commit."""
        at_commit = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}"
        refs = git(self.origin, "for-each-ref", "--format=%(refname)", at_commit).split()
        return {ref.rsplit("/", 1)[1] for ref in refs}

    def statuses(self, local: bool) -> dict[str, TrialStatus]:
        """How far every trial is, and first of all what they share, with what Slurm knows of its job.

        Args:
            local: whether a process on this machine is at work on the sweep.
        """
        finished, statuses = self.finished(), {}
        for name in (SHARED, *(trial.name for trial in self.trials)):
            status = statuses[name] = self.status(name)
            if name in finished:
                status.state, status.reason = "finished", ""
            elif status.state == "finished" and name != SHARED:
                status.state = "running"  # it is about to give its experiment, unless that was removed
        unsettled = {name: status for name, status in statuses.items() if status.state not in ("finished", "failed")}
        tasks = {name: task for task, names in self.tasks().items() for name in names} if unsettled else {}
        for name, status in unsettled.items():
            if status.state == "running":
                alive = local if status.job is None else tasks.get(name) == status.job
                status.state = "running" if alive else "interrupted"  # by a kill: nobody wrote it down
            if status.state != "running" and name in tasks:
                status.state = "queued"
        return statuses

    def tasks(self) -> dict[str, list[str]]:
        """The jobs and array tasks that Slurm has yet to end, with the names of the trials of each, or `SHARED`."""
        groups: dict[str, list[str]] = {}
        for submission in self.submissions():
            groups[submission["shared"]] = [SHARED]
            for job, tasks in submission["arrays"].items():
                groups |= {f"{job}_{index}": names for index, names in enumerate(tasks)}
        active = slurm.active_tasks(task.partition("_")[0] for task in groups)
        return {task: names for task, names in groups.items() if task in active}

    def is_at_work(self) -> bool:
        """Whether something of it runs or is queued, here or under Slurm."""
        return is_live(self.folder) or bool(self.tasks())

    def submissions(self) -> list[dict[str, Any]]:
        """The jobs of each submission: `shared`, and `arrays` with the names of each task's trials.

        Raises:
            UserError: a note is damaged, so that trials might be started twice.
        """
        files = sorted(self.folder.glob("submissions/*.json"))
        return [read_json(file, "remove it when squeue shows none of its jobs any more") for file in files]

    def is_saved(self) -> bool:
        """Whether its `sweep.json` is there and whole."""
        try:
            return load_sweep(self.folder).name == self.name
        except (FileNotFoundError, UserError):
            return False

    def save(self) -> None:
        """Write `sweep.json`, for the tasks to read."""
        content = dataclasses.asdict(self) | {"origin": str(self.origin), "cache": str(self.cache)}
        del content["folder"]
        content |= {"trials": [trial._asdict() for trial in self.trials]}
        write_json(self.folder / "sweep.json", sealed(content))


def load_sweep(folder: Path) -> Sweep:
    """Read a sweep that was saved; UserError when it is damaged."""
    content = read_json(folder / "sweep.json", AGAIN)
    paths = {"folder": folder, "origin": Path(content["origin"]), "cache": Path(content["cache"])}
    return Sweep(**content | paths | {"trials": [Trial(**trial) for trial in content["trials"]]})


def find_sweep(name: str | None) -> Sweep:
    """A sweep of this home, or what is one of a search, by its name; the newest by default.

    Raises:
        UserError: there is none.
    """
    hint = "trackstack sweep -S name=value,value makes one"
    return load_sweep(find_folder(name, "sweep.json", "sweeps and searches", hint))


def find_folder(name: str | None, file: str, what: str, hint: str) -> Path:
    """Of the folders with this file in this home, that of this name, by default the newest; UserError without one."""
    files = (home() / "runs/.sweeps").glob(f"{name or '*'}/{file}")
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if newest is None:
        raise UserError(f"{name or what}: none here; {hint}")
    return newest.parent


def summary(statuses: dict[str, TrialStatus], resumed: int = 0) -> str:
    """One line: 183 finished, 12 failed (9 not finite, 3 out of memory), 5 resumed."""
    counted = count_states((status.state, status.reason) for name, status in statuses.items() if name != SHARED)
    return ", ".join([*counted, *([f"{resumed} resumed"] if resumed else [])]) or "no trials"


def count_states(trials: Iterable[tuple[str, str]]) -> list[str]:
    """How many trials are in each state, from states and reasons: `12 failed (9 not finite, 3 out of memory)`."""
    trials = list(trials)
    counts = collections.Counter(state for state, _ in trials)
    kinds = collections.Counter(_kind(reason) for state, reason in trials if state == "failed")
    parts = []
    for state in STATES:
        why = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) if state == "failed" else ""
        parts += [f"{counts[state]} {state}" + (f" ({why})" if why else "")] if counts[state] else []
    return parts


def _kind(reason: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if pattern.search(reason)), reason[:60] or "unknown")
