"""What the page's script is given: columns of all runs, and the specs of the drawings."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

from trackstack.page import charts
from trackstack.page.charts import Row
from trackstack.page.columns import (
    Column,
    clean,
    differing_params,
    is_far,
    make_column,
    metric_names,
)
from trackstack.page.curves import Curves, page_curves
from trackstack.page.importance import by_chance, importance
from trackstack.page.runs import Page, PageRun
from trackstack.records.choosing.directions import lower_is_better

MOST_METRICS, MOST_PANELS, MOST_AXES, MOST_BARS, MOST_GROUPS = 40, 24, 7, 20, 40


class Metric(NamedTuple):
    """A metric as a column, with what goes along with it."""

    column: Column
    recorded: str
    """Its name in the record."""
    lower: bool | None
    importances: list[float | None]
    """Of each parameter of the page."""


class Contents(NamedTuple):
    """A page as columns."""

    page: Page
    params: list[Column]
    metrics: list[Metric]
    """The first is shown at first."""
    metrics_left_out: list[str]
    curves: Curves
    shown_params: list[int]
    """Numbers of the parameters that are drawn, those that say most of the first metric first."""
    chances: list[float | None]
    """Of each parameter, see `by_chance`."""

    @property
    def runs(self) -> list[PageRun]:
        """Oldest first."""
        return self.page.runs

    @property
    def first(self) -> str:
        """The metric that is shown at first; nothing where runs have none."""
        return self.metrics[0].column.name if self.metrics else ""


def make_contents(page: Page) -> Contents:
    """Put the columns of a page together."""
    params = differing_params(page.runs)
    names = metric_names(page.runs)
    metrics = [_metric(page.runs, name, params) for name in names[:MOST_METRICS]]
    drawn = [number for number, column in enumerate(params) if column.is_drawn]
    strengths = metrics[0].importances if metrics else [None] * len(params)
    drawn.sort(key=lambda number: -(strengths[number] or 0))
    chances = [by_chance(param, metrics[0].column.numbers) if metrics else None for param in params]
    curves = page_curves(page.runs, names[:MOST_METRICS])
    return Contents(page, params, metrics, names[MOST_METRICS:], curves, drawn, chances)


def _metric(runs: list[PageRun], name: str, params: list[Column]) -> Metric:
    column = make_column(name, [run.figures.get(name) for run in runs])
    if not column.is_drawn:  # all equal: one place, so that there is something to see
        column = column._replace(places=[None if value is None else 0.5 for value in column.values])
    return Metric(column, name, lower_is_better(name), [importance(param, column.numbers) for param in params])


def as_data(contents: Contents) -> dict[str, Any]:
    """Everything for the script, ready for JSON: without NaN, which JSON does not have."""
    runs, curves = contents.runs, contents.curves
    return {
        "runs": {
            "run": [run.key for run in runs],
            "name": [clean(run.candidate.series.start["name"]) for run in runs],
            "status": [run.status for run in runs],
            "error": [clean(run.candidate.series.error or "")[:300] for run in runs],
            "user": [user_of(run) for run in runs],
            "started": [utc(run.candidate.series.start["time"]) for run in runs],
            "seconds": [None if run.seconds is None else round(run.seconds, 1) for run in runs],
        },
        "params": [_column(column) for column in contents.params],
        "metrics": [
            _column(metric.column)
            | {"lower": metric.lower, "importances": metric.importances}
            | {
                "curves": curves.of_metric.get(metric.recorded, []),
                "far": bool(metric.lower) and is_far(_values_of(curves, metric.recorded)),
            }
            for metric in contents.metrics
        ],
        "steps": curves.steps,
        "groups": group_rows(contents),
        "specs": specs(contents),
        "axes": contents.shown_params[:MOST_AXES],
        "panels": contents.shown_params[:MOST_PANELS],
        "chances": contents.chances,
        "mostBars": MOST_BARS,
    }


def specs(contents: Contents) -> dict[str, Any]:
    """The spec of each drawing."""
    shown = [contents.params[number] for number in contents.shown_params[:MOST_PANELS]]
    return {
        "curves": charts.curves(),
        "panels": [charts.panel(column) for column in shown],
        "parallel": charts.parallel(shown[:MOST_AXES]),
        "history": charts.history(),
        "importance": charts.importance(),
        "groups": charts.groups(group_figure(contents)),
        "hours": charts.hours(),
    }


def curve_rows(contents: Contents, kept: set[int]) -> list[Row]:
    """The points of the first metric's curves, of some runs."""
    found: list[Row] = []
    if contents.metrics:
        for place, steps, values in contents.curves.of_metric.get(contents.metrics[0].recorded, []):
            about = {"run": contents.runs[place].key, "c": ""}
            if place in kept:
                pairs = zip(contents.curves.steps[steps], values, strict=True)
                found += [about | {"step": step, "value": value} for step, value in pairs]
    return found


def panel_rows(contents: Contents, column: Column, kept: set[int]) -> list[Row]:
    """A point for each run that has the parameter and the first metric."""
    values = contents.metrics[0].column.values
    both = [(x, y) for place, (x, y) in enumerate(zip(column.values, values, strict=True)) if place in kept]
    return [{"x": x, "y": y} for x, y in both if x is not None and y is not None]


def parallel_rows(contents: Contents, kept: set[int]) -> list[Row]:
    """A point for each run on each axis, the first metric's the last one."""
    metric = contents.metrics[0].column
    axes = [*(contents.params[number] for number in contents.shown_params[:MOST_AXES]), metric]
    return [
        {"run": run.key, "axis": axis.name, "at": axis.places[place], "y": metric.values[place]}
        for place, run in enumerate(contents.runs)
        if place in kept and metric.values[place] is not None
        for axis in axes
    ]


def history_rows(contents: Contents, kept: set[int]) -> list[Row]:
    """A point for each run that has the first metric, oldest first, with the best of the finished ones so far."""
    metric, best = contents.metrics[0], None
    rows: list[Row] = []
    for place, run in enumerate(contents.runs):
        y = metric.column.values[place]
        if y is None:
            continue
        if run.status == "finished" and metric.lower is not None:
            best = y if best is None else min(best, y) if metric.lower else max(best, y)
        if place in kept:
            rows.append({"run": run.key, "at": place + 1, "y": y, "best": best})
    return rows


def importance_rows(contents: Contents) -> list[Row]:
    """The parameters that say most of the first metric."""
    known = zip(contents.params, contents.metrics[0].importances, contents.chances, strict=True)
    rows = [{"param": param.name, "value": value, "chance": chance} for param, value, chance in known]
    return sorted((row for row in rows if row["value"] is not None), key=_value, reverse=True)[:MOST_BARS]


def group_figure(contents: Contents) -> str:
    """What is known of each group that runs were tested on, such as accuracy; nothing where nothing is."""
    figures = [figures for run in contents.runs for figures in run.groups.values()]
    return next((clean(name) for one in figures for name in one if name != "windows"), "")


def group_rows(contents: Contents) -> list[Row]:
    """A point for each run and group that it was tested on, the groups by their names."""
    found = [
        {"run": run.key, "name": clean(run.candidate.series.start["name"]), "group": clean(group), "value": value}
        for run in contents.runs
        for group, figures in run.groups.items()
        for value in [next(iter(figures.values()), math.nan)]
        if math.isfinite(value)
    ]
    names = sorted({str(row["group"]) for row in found}, key=lambda name: (len(name), name))
    order = {name: place for place, name in enumerate(names[:MOST_GROUPS])}
    return sorted((row for row in found if row["group"] in order), key=lambda row: order[str(row["group"])])


def hour_rows(contents: Contents) -> list[Row]:
    """Hours by user and status."""
    sums: dict[tuple[str, str], float] = {}
    for run in contents.runs:
        status = run.status if run.status in charts.STATUS else "other"
        sums[user_of(run), status] = sums.get((user_of(run), status), 0.0) + (run.seconds or 0.0) / 3600
    return [{"user": user, "status": status, "hours": hours} for (user, status), hours in sorted(sums.items())]


def user_of(run: PageRun) -> str:
    """Who ran it."""
    return clean(str(run.candidate.series.start["environment"].get("user") or "unknown"))


def utc(seconds: float) -> str:
    """A time since 1970, the same wherever the page is made."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _value(row: Row) -> float:
    return row["value"]


def _column(column: Column) -> dict[str, Any]:
    about = {"name": column.name, "values": column.values, "number": column.is_number, "log": column.is_log}
    return about | {"places": column.places, "ticks": column.ticks, "odd": column.odd}


def _values_of(curves: Curves, metric: str) -> list[float]:
    return [value for _, _, values in curves.of_metric.get(metric, []) for value in values if value is not None]
