"""A sweep: many trials of one commit, each a DVC experiment made in a clone of its own.

A sweep lies in `HOME/runs/.sweeps/NAME/`: `sweep.json` says what it is, `base/` is a clone of the pinned commit that
reproduces what no trial changes, and `trials/` has a note per trial. It is identified by commit and trials, so that
typing the same command again goes on with it. A trial is finished when the checkout has its experiment.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from pathlib import Path

import yaml

from trackstack import UserError, slurm
from trackstack.clones import cache_folder, git, make_clone
from trackstack.digest import digest_json
from trackstack.outputs import write_json
from trackstack.sweep.trials import Trial, changed_stages
from trackstack.tracking.environment import home

KINDS = {
    "not finite": re.compile(r"\b(nan|inf|infinite|not finite)\b", re.IGNORECASE),
    "out of memory": re.compile(r"out of memory|MemoryError|oom|SIGKILL", re.IGNORECASE),
}


@dataclasses.dataclass
class Note:
    """How far a trial is."""

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
    changed: list[str]
    shared: list[str]
    reads: list[str]
    cache: Path

    @property
    def name(self) -> str:
        """Of the sweep; its trials' experiments begin with it."""
        return self.folder.name

    @property
    def base(self) -> Path:
        """The clone that reproduces what no trial changes."""
        return self.folder / "base"

    def note(self, trial: Trial) -> Note:
        """How far a trial is, as its task wrote it down."""
        try:
            return Note(**json.loads((self.folder / "trials" / f"{trial.name}.json").read_text()))
        except FileNotFoundError:
            return Note()

    def write(self, trial: Trial, note: Note) -> None:
        """Write down how far a trial is."""
        write_json(self.folder / "trials" / f"{trial.name}.json", dataclasses.asdict(note))

    def forget(self, trial: Trial) -> None:
        """Start counting a trial's attempts anew."""
        (self.folder / "trials" / f"{trial.name}.json").unlink(missing_ok=True)

    def finished(self) -> set[str]:
        """The names of the trials whose experiments the checkout has."""
        at_commit = f"refs/exps/{self.commit[:2]}/{self.commit[2:]}"
        refs = git(self.origin, "for-each-ref", "--format=%(refname)", at_commit).split()
        names = {ref.rsplit("/", 1)[1] for ref in refs}
        return {trial.name for trial in self.trials if trial.name in names}

    def states(self, local: bool) -> dict[str, Note]:
        """How far every trial is, with what Slurm knows of its job.

        Args:
            local: whether a process on this machine is at work on the sweep.
        """
        finished, tasks = self.finished(), self.tasks()
        found = {}
        for trial in self.trials:
            note = self.note(trial)
            if trial.name in finished:
                note.state, note.reason = "finished", ""
            elif note.state in ("running", "finished"):
                alive = local if note.job is None else tasks.get(trial.name) == note.job
                note.state = "running" if alive else "interrupted"  # by a kill: nobody wrote it down
            if note.state in ("waiting", "interrupted") and trial.name in tasks:
                note.state = "queued"
            found[trial.name] = note
        return found

    def tasks(self) -> dict[str, str]:
        """The trials that Slurm has yet to end, each with its array task."""
        submissions = [json.loads(file.read_text()) for file in sorted(self.folder.glob("submissions/*.json"))]
        arrays = {job: groups for one in submissions for job, groups in one["arrays"].items()}
        found = {}
        for task in slurm.active_tasks(arrays):
            array, _, index = task.partition("_")
            found |= dict.fromkeys(arrays[array][int(index)], task)
        return found

    def save(self) -> None:
        """Write `sweep.json`, for the tasks to read."""
        told = {name: getattr(self, name) for name in ("commit", "attempts", "changed", "shared", "reads")}
        trials = [trial._asdict() for trial in self.trials]
        write_json(
            self.folder / "sweep.json",
            {"origin": str(self.origin), "cache": str(self.cache), **told, "trials": trials},
        )


def load_sweep(folder: Path) -> Sweep:
    """Read a sweep that was saved."""
    told = json.loads((folder / "sweep.json").read_text())
    trials = [Trial(**one) for one in told.pop("trials")]
    return Sweep(folder, Path(told.pop("origin")), cache=Path(told.pop("cache")), trials=trials, **told)


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


def prepare(trials: list[Trial], attempts: int) -> Sweep:
    """The sweep of these trials at the present commit: as it was left, or new with its base clone.

    Raises:
        UserError: uncommitted changes, which the trials would not have.
    """
    origin = Path.cwd()
    commit = git(origin, "rev-parse", "HEAD")
    refuse_dirty_tree(origin)
    name = f"{trials[0].name.rpartition('-')[0]}-{digest_json([commit, sorted(t.name for t in trials)])[:4]}"
    folder = home() / "runs/.sweeps" / name
    if (folder / "sweep.json").exists():
        sweep = load_sweep(folder)
        return dataclasses.replace(sweep, attempts=attempts)
    cache = cache_folder(origin)
    make_clone(origin, commit, folder / "base", cache)
    names = {override.partition("=")[0] for trial in trials for override in trial.overrides}
    changed, shared, reads = changed_stages(names, folder / "base")
    if not changed:
        raise UserError(f"no stage of dvc.yaml follows {', '.join(sorted(names))}: every trial would be the same")
    return Sweep(folder, origin, commit, trials, attempts, changed, shared, reads, cache)


def refuse_dirty_tree(root: Path) -> None:
    """UserError when files differ from the commit, but for what a repro writes."""
    written = {"dvc.lock", *(_outputs(root))}
    for line in filter(None, git(root, "status", "--porcelain", "-z", "--untracked-files=all").split("\0")):
        state, path = line[:2], line[3:]
        known = state != "??" or path.split("/")[0] in ("src", "stages", "data")
        if known and not any(path == one or path.startswith(f"{one}/") for one in written):
            raise UserError(f"{path}: not committed, and the trials run the commit; git commit -a, or git stash -u")


def _outputs(root: Path) -> set[str]:
    lock = root / "dvc.lock"
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {}) if lock.exists() else {}
    return {out["path"] for stage in stages.values() for out in stage.get("outs", [])}


def summary(states: dict[str, Note], resumed: int = 0) -> str:
    """One line: 183 finished, 12 failed (9 not finite, 3 out of memory), 5 resumed."""
    counts = collections.Counter(note.state for note in states.values())
    kinds = collections.Counter(_kind(note.reason) for note in states.values() if note.state == "failed")
    parts = []
    for state in ("finished", "failed", "interrupted", "running", "queued", "waiting"):
        why = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) if state == "failed" else ""
        parts += [f"{counts[state]} {state}" + (f" ({why})" if why else "")] if counts[state] else []
    return ", ".join([*parts, *([f"{resumed} resumed"] if resumed else [])]) or "no trials"


def _kind(reason: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if pattern.search(reason)), reason[:60] or "unknown")
