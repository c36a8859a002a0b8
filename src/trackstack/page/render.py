"""The page as HTML: one file with its script, its data and drawings that are seen without the script, too.

The same runs make the same bytes: nothing in it is of the moment, the host or the place.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.page import charts
from trackstack.page import contents as made
from trackstack.page.charts import METRIC
from trackstack.page.columns import clean, text_of
from trackstack.page.contents import Contents, Metric
from trackstack.page.runs import Page
from trackstack.page.vega import packed, vega_script
from trackstack.records.choosing.best import averages, differing, in_words, rank
from trackstack.records.choosing.settings import averaged_params

FOLDER = Path(__file__).parent
MOST_DRAWN, STATIC_PANELS = 300, 12
"""Runs and panels of the drawings that need no script."""
STATIC_PARAMS, STATIC_METRICS = 8, 4
MOST_SETTINGS, MOST_RANKINGS = 25, 6


def render(page: Page) -> str:
    """The text of the page.

    Raises:
        UserError: a package that it needs is not installed.
    """
    if missing := [name for name in ("jinja2", "vl_convert") if find_spec(name) is None]:
        raise UserError(f'{missing[0]} is not installed, which draws the page; type: pip install "trackstack[page]"')
    import jinja2

    contents = made.make_contents(page)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FileSystemLoader(FOLDER)
    )
    environment.filters["number"] = _number
    data = json.dumps(made.as_data(contents), separators=(",", ":"), allow_nan=False)
    about = {"style": _file("page.css"), "script": _file("page.js"), "vega": vega_script(), "data": packed(data)}
    colours = json.dumps({"names": charts.COLOURS, "range": charts.COLD_TO_WARM})
    return environment.get_template("page.html").render(
        _shown(contents) | about | {"colours": colours, "metric_sign": json.dumps(METRIC)}
    )


def write_page(path: Path, text: str) -> None:
    """Write a page, or leave the one that is there.

    Raises:
        UserError: there is no folder for it, a folder in its place, or no room.
    """
    if path.is_dir() or not path.parent.is_dir():
        why = "a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UserError(f"--out {path}: {why}; expected a file such as runs.html")
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:  # which need not name the file
        raise UserError(f"--out {path}: cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _shown(contents: Contents) -> dict[str, Any]:
    """What the template shows without the script."""
    page, runs = contents.page, contents.runs
    states = Counter(run.status for run in runs)
    times = [run.candidate.series.start["time"] for run in runs]
    wasted = sum(run.seconds or 0 for run in runs if run.status != "finished")
    drawn = _some(contents)
    return {
        "title": clean(page.title),
        "shows_tests": page.shows_tests,
        "notes": list(map(clean, page.notes)),
        "states": sorted(states.items()),
        "num_runs": len(runs),
        "began": made.utc(min(times)),
        "last": made.utc(max(times)),
        "spent": _duration(sum(run.seconds or 0 for run in runs)),
        "wasted": _duration(wasted) if wasted else "",
        "users": sorted({made.user_of(run) for run in runs}),
        "best": _best(contents),
        "first": contents.first,
        "metrics": [metric.column.name for metric in contents.metrics],
        "metrics_left_out": contents.metrics_left_out,
        "curves": contents.curves,
        "drawn": len(drawn),
        "rankings": _rankings(contents),
        "drawings": _drawings(contents, drawn),
        "num_params": len(contents.params),
        "undrawn": [column.name for column in contents.params if not column.is_drawn],
        "most_panels": made.MOST_PANELS,
        "panels": contents.shown_params[: made.MOST_PANELS],
        "panel_names": [contents.params[number].name for number in contents.shown_params],
        "group_figure": made.group_figure(contents),
        "odd": sum(len(metric.column.odd) for metric in contents.metrics[:1]),
        **_table(contents),
    }


def _some(contents: Contents) -> set[int]:
    """Of very many runs as many as a drawing without the script shows, evenly over their order."""
    number = len(contents.runs)
    step = math.ceil(number / MOST_DRAWN)
    return set(range(0, number, max(1, step)))


def _drawings(contents: Contents, drawn: set[int]) -> dict[str, Any]:
    """The drawings as SVG."""
    from markupsafe import Markup

    specs, first = made.specs(contents), contents.first

    def draw(name: str, spec: dict[str, Any], rows: list[dict[str, Any]], width: int = 860) -> Markup | None:
        return Markup(charts.svg(spec, rows, first, width, name)) if rows else None

    found: dict[str, Any] = {"hours": draw("hours", specs["hours"], made.hour_rows(contents))}
    if contents.metrics:
        rows_of = {
            "curves": made.curve_rows(contents, drawn),
            "parallel": made.parallel_rows(contents, drawn) if contents.shown_params else [],
            "history": made.history_rows(contents, drawn),
            "importance": made.importance_rows(contents),
            "groups": made.group_rows(contents),
        }
        found |= {name: draw(name, specs[name], rows) for name, rows in rows_of.items()}
        found["panels"] = [
            draw(f"panel{number}", spec, made.panel_rows(contents, contents.params[number], drawn), 320)
            for spec, number in zip(specs["panels"], contents.shown_params[:STATIC_PANELS], strict=False)
        ]
    return found


def _best(contents: Contents) -> dict[str, Any] | None:
    """The run with the best first metric."""
    if not contents.metrics or contents.metrics[0].lower is None:
        return None
    column, lower = contents.metrics[0].column, contents.metrics[0].lower
    known = [(value, place) for place, value in enumerate(column.values) if isinstance(value, float)]
    if not known:
        return None
    value, place = min(known) if lower else max(known, key=lambda pair: (pair[0], -pair[1]))
    return {"value": value, "run": contents.runs[place].key, "metric": column.name}


def _rankings(contents: Contents) -> list[dict[str, Any]]:
    """Settings by their means, as `runs best` ranks them, for the metrics whose better end is known."""
    current = [run.candidate for run in contents.runs if run.is_current]
    over = averaged_params(current, None) if current else []
    found = []
    for metric in [metric for metric in contents.metrics if metric.lower is not None][:MOST_RANKINGS]:
        name, runs = metric.recorded, [run for run in current if metric.recorded in run.figures]
        settings = rank(runs, name, over, bool(metric.lower)) if runs else []
        if 3 * len(settings) > 2 * len(runs):
            continue  # hardly anything is averaged: the table says all
        names = differing([setting.values for setting in settings])
        found.append(
            {
                "metric": metric.column.name,
                "over": clean(in_words(averages([setting.runs for setting in settings], over))),
                "names": list(map(clean, names)),
                "rows": [
                    [[text_of(one.values.get(param)) for param in names], one.figure, len(one.runs)]
                    for one in settings[:MOST_SETTINGS]
                ],
                "more": max(0, len(settings) - MOST_SETTINGS),
            }
        )
    return found


def _table(contents: Contents) -> dict[str, Any]:
    """The table without the script: the best runs first."""
    metrics = contents.metrics[:STATIC_METRICS]
    params = [contents.params[number] for number in contents.shown_params[:STATIC_PARAMS]]
    order = _order(contents)
    rows = []
    for place in order:
        run = contents.runs[place]
        figures = [_cell(metric.column.values[place], metric.column.odd.get(place)) for metric in metrics]
        values = [_cell(column.values[place], column.odd.get(place)) for column in params]
        series = run.candidate.series
        started = made.utc(series.start["time"])
        rows.append((run.key, clean(series.start["name"]), run.status, [*figures, *values], started))
    columns = [*(metric.column.name for metric in metrics), *(column.name for column in params)]
    numbers = [*(True for _ in metrics), *(column.is_number for column in params)]
    return {"columns": list(zip(columns, numbers, strict=True)), "rows": rows}


def _order(contents: Contents) -> list[int]:
    if not contents.metrics:
        return list(range(len(contents.runs)))
    metric: Metric = contents.metrics[0]
    sign = 1 if metric.lower else -1

    def key(place: int) -> tuple[bool, float]:
        value = metric.column.values[place]
        return value is None, sign * float(value or 0)

    return sorted(range(len(contents.runs)), key=key)


def _cell(value: Any, odd: str | None) -> str:
    return odd or (_number(value) if isinstance(value, float) else text_of(value))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _duration(seconds: float) -> str:
    """In the unit that people would say."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"
