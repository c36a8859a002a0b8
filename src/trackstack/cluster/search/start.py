"""Begin a search, or go on with one: what is typed is checked, and tasks are started here or by SLURM."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.cluster.pipeline import split_name
from trackstack.cluster.search import Search, Settings, is_search, load_search
from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.looks import describe_event
from trackstack.cluster.search.sampler import refuse_absent_packages
from trackstack.cluster.search.space import Parameter, Space, overrides_of, parse_space, probes
from trackstack.cluster.search.state import SearchState
from trackstack.cluster.search.units import workers
from trackstack.cluster.sweep import SHARED
from trackstack.cluster.sweep.local import TASK, Report, log_file, run_tasks
from trackstack.cluster.sweep.start import Tasks, folder_of, new_sweep
from trackstack.cluster.sweep.trials import refuse_bad_values
from trackstack.core.files import read_json
from trackstack.system import slurm
from trackstack.system.lease import NOTE_FILE, is_live


def prepare(settings: Settings, space_file: Path, name: str | None) -> Search:
    """The search of this name: as it was left, or a new one at the present commit, of which nothing exists yet.

    Args:
        space_file: where `settings.space` was read from.
        name: by default the file's.

    Raises:
        UserError: the space has a parameter or a value that the project does not take, a package is absent, or a
            search of this name looks for something else.
    """
    space = parse_space(settings.space, space_file)
    refuse_absent_packages(settings.sampler)
    _refuse_what_no_sampler_takes(settings, space, space_file)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name or space_file.stem).strip("-") or "search"
    folder = folder_of(name)
    if is_search(folder):
        return _refuse_changes(load_search(folder), settings, space_file)
    if folder.exists():
        raise UserError(f"{name}: the name of a sweep; type it with another one: --name {name}-search")
    _check_values(space, space_file)
    parameters = [parameter.name for parameter in space]
    parameters += [override.partition("=")[0] for member in settings.over for override in member]
    return Search(new_sweep(name, [], parameters, attempts=1), settings)


def begin(search: Search, trials: int, budget: float | None) -> None:
    """Write down what the search is, and how much of it is wanted."""
    search.save()
    with opened(search.log) as log:
        state = SearchState(search.settings, log.events)
        if (state.num_wanted, state.budget) != (trials, budget):
            log.append({"event": "begin", "trials": trials, "budget": budget})


def _refuse_what_no_sampler_takes(settings: Settings, space: Space, path: Path) -> None:
    endless = [parameter.name for parameter in space if parameter.levels is None]
    if settings.sampler == "grid" and endless:
        raise UserError(f"{path}: {endless[0]}: a grid needs a choice, whole numbers, or a step")
    if settings.prune != "none" and len(settings.metrics) > 1:
        raise UserError(f"--prune {settings.prune}: compares one metric, and two are given; type: --prune none")
    if settings.rungs != sorted(set(settings.rungs)) or any(rung < 1 for rung in settings.rungs):
        raise UserError(f"--rungs {','.join(map(str, settings.rungs))}: expected numbers that rise, such as 2,6,18")


def _refuse_changes(search: Search, settings: Settings, space_file: Path) -> Search:
    """UserError when a search that is there looks for something else than what was typed."""
    before, now = search.settings.as_json(), settings.as_json()
    changed = [name for name in now if before[name] != now[name]]
    if "space" in changed:
        old, new = before["space"], now["space"]
        name = next(key for key in {**old, **new} if old.get(key) != new.get(key))
        raise UserError(
            f"{space_file}: {name}: not as it was when search {search.name} began; "
            f"put it back, or begin another search: --name {search.name}-2"
        )
    if changed:
        raise UserError(
            f"search {search.name}: began with another {changed[0]} ({_shown(before[changed[0]])}); "
            f"type that, or begin another search: --name {search.name}-2"
        )
    return search


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(value)


def _check_values(space: Space, path: Path) -> None:
    """Validate both ends of each range, and each choice, before hundreds of jobs find out."""
    files: dict[str, object] = {}
    for values in probes(space):
        try:
            refuse_bad_values(files, values, overrides_of(values))
        except UserError as error:
            raise UserError(f"{path}: {str(error).removeprefix('-S ')}") from None
    for parameter in space:
        _refuse_whole_numbers_for_others(parameter, files, path)


def _refuse_whole_numbers_for_others(parameter: Parameter, files: dict[str, object], path: Path) -> None:
    """A range from 0 to 1 is two whole numbers, or all between them: where the parameter is a number, ask."""
    file, name = split_name(parameter.name)
    present: object = files[file]
    for part in name.split("."):
        present = present[part] if isinstance(present, dict) else None
    if parameter.is_whole and isinstance(present, float):
        low, high = parameter.values
        raise UserError(
            f"{path}: {parameter.name}: whole numbers from {low} to {high}, or all between them? It is {present} "
            f"now; write [{float(low)}, {float(high)}], or for whole numbers a choice"
        )


def search_locally(search: Search, jobs: int, report: Report) -> None:
    """Search on this machine; see `run_tasks`."""
    sweep, shown = search.sweep, len(read_events(search.log))

    def show_news() -> None:
        nonlocal shown
        events = read_events(search.log)
        for event in events[shown:]:
            if line := describe_event(search, event):
                report(line)
        shown = len(events)

    def ended(name: str) -> None:
        show_news()
        report(f"{name}: ended; its log: {log_file(sweep, name)}")

    names = [f"worker-{number}" for number in range(jobs)]
    commands = {name: [*TASK, str(sweep.folder), "search", name, str(os.getpid())] for name in names}
    _wait_for_lost_workers(search, report)
    run_tasks(sweep, commands, jobs, ended, report, show_news)


def _wait_for_lost_workers(search: Search, report: Report) -> None:
    """Those of a command that was killed see that by themselves, and end with a checkpoint."""
    told: set[str] = set()
    while lost := {folder.name for folder in workers(search).glob("*") if is_live(folder)}:
        for name in sorted(lost - told):
            report(f"waiting for {name} of a command that was killed; its log: {log_file(search.sweep, name)}")
        told |= lost
        time.sleep(0.2)


def tasks_of(num_tasks: int, time_slice: str | None) -> Tasks:
    """Tasks that take what is due."""
    return Tasks("search", [[]] * num_tasks, time=time_slice)


def missing_tasks(search: Search, num_tasks: int, time_slice: str | None) -> Tasks:
    """Those that are neither queued nor running of so many."""
    here = [names for names in search.sweep.tasks().values() if names != [SHARED]]
    return tasks_of(num_tasks - len(here), time_slice)


def stop(search: Search) -> Iterator[str]:
    """Ask all that is at work to write its checkpoint and end; the search's command typed again goes on."""
    for job in sorted({task.partition("_")[0] for task in search.sweep.tasks()}):
        slurm.cancel(job)
        yield f"job {job}: cancelled"
    folder = search.sweep.folder
    if is_live(folder):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            note = read_json(folder / NOTE_FILE, "")
            if note["host"] != socket.gethostname():
                raise UserError(f"search {search.name}: runs on {note['host']}; type this there")
            os.kill(note["pid"], signal.SIGTERM)
            yield f"process {note['pid']}: asked to stop"
