"""What a page shows: the runs that are meant, their curves, and what is said of those that are left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.choosing.folds import group_figures
from trackstack.records.choosing.listing import sweep_names
from trackstack.records.choosing.selection import is_test, runs_where
from trackstack.records.choosing.settings import Candidate, as_candidates, without_outdated
from trackstack.records.looks import note_look
from trackstack.records.reading import figures_of, points_of, read_run, run_folders
from trackstack.tracking.series import SeriesRecords

Curve = list[tuple[int, float]]
"""Steps, rising, with the value at each."""


class PageRun(NamedTuple):
    """A run as the page shows it."""

    candidate: Candidate
    figures: dict[str, float]
    """The last value of every metric that may be shown."""
    curves: dict[str, Curve]
    groups: dict[str, dict[str, float]]
    """The figures of each group that it was tested on; empty unless test figures are shown."""
    is_current: bool
    """Whether it finished, is whole, and none with the same parameters is newer: what averages are over."""

    @property
    def key(self) -> str:
        """The run's id."""
        return self.candidate.key

    @property
    def status(self) -> str:
        """As in `runs list`."""
        return self.candidate.series.status

    @property
    def seconds(self) -> float | None:
        """From its start to its end; None without an end."""
        series = self.candidate.series
        return None if series.finished is None else max(0.0, series.finished - series.start["time"])

    @property
    def params(self) -> dict[str, Any]:
        """By dotted names, those of DVC and the run's own, and what else was set."""
        return self.candidate.settings | self.candidate.params


class Page(NamedTuple):
    """All that is shown."""

    title: str
    runs: list[PageRun]
    """Oldest first."""
    notes: list[str]
    """What was left out or is damaged, a line each."""
    shows_tests: bool


def read_page(home: Path, sweep: str | None = None, where: str | None = None, test: bool = False) -> Page:
    """Read the runs of a home, in whatever state they are; with `test`, note first that test figures are looked at.

    Args:
        sweep: only the runs of the sweep of this name.
        where: see `trackstack.records.where`.

    Raises:
        UserError: no run is meant, a name that no run has, or a test figure without `test`.
    """
    records = [read_run(folder) for folder in run_folders(home)]
    notes = list(dict.fromkeys(text for record in records for text in record.damage))
    every = [run for record in records for run in record.series]
    if not every:
        raise UserError("; ".join([f"no run is recorded in {home / 'runs'}", *notes, "dvc repro makes one"]))
    candidates = as_candidates([(run.series, figures_of(run)) for run in every])
    damaged = {run.series.key for record in records if record.damage for run in record.series}
    finished, outdated = without_outdated(
        [one for one in candidates if one.series.status == "finished" and one.key not in damaged]
    )
    meant = _of_sweep(candidates, sweep)
    if where is not None:
        figures = {name for run in meant for name in run.figures}
        shown = {name for name in figures if test or not is_test(name)}
        among = len(meant)
        meant, tested_by = runs_where(meant, where, shown)
        notes.append(f"--where {where}: {len(meant)} of {among} runs")
        if not meant:
            raise UserError(notes[-1])
    keys = {run.key for run in meant}
    notes += [note for note in outdated if note.split(": ")[1] in keys]
    if test:
        _note(candidates if where is not None and any(map(is_test, tested_by)) else meant)
    by_key = {run.series.key: run for run in every}
    current = {run.key for run in finished}
    runs = [_page_run(one, by_key[one.key], test, one.key in current) for one in meant]
    return Page(sweep or "Runs", runs, notes, test)


def _of_sweep(runs: list[Candidate], sweep: str | None) -> list[Candidate]:
    if sweep is None:
        return runs
    names = Counter(run.series.start["tags"].get("sweep") for run in runs)
    names.pop(None, None)
    if not any(sweep in sweep_names(name) for name in names):
        known = f"there are runs of: {', '.join(sorted(names))}" if names else "no run here is of a sweep"
        raise UserError(f"--sweep {sweep}: no run is of a sweep of that name; {known}")
    return [run for run in runs if sweep in sweep_names(run.series.start["tags"].get("sweep"))]


def _note(runs: list[Candidate]) -> None:
    tested = [run for run in runs if any(map(is_test, run.figures))]
    note_look(
        [run.series for run in tested], sorted({name for run in tested for name in run.figures if is_test(name)})
    )


def _page_run(candidate: Candidate, run: SeriesRecords, test: bool, is_current: bool) -> PageRun:
    curves: dict[str, Curve] = {}
    for metric, step, value, _ in points_of(run.records):
        if test or not is_test(metric):
            curves.setdefault(metric, []).append((step, value))
    figures = {name: value for name, value in candidate.figures.items() if test or not is_test(name)}
    groups = group_figures(run.series) if test else {}
    return PageRun(candidate, figures, {name: sorted(curve) for name, curve in curves.items()}, groups, is_current)
