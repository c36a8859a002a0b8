"""The drawings as Vega-Lite has them. A spec has no data of runs: the page's script and `svg` add the rows.

Its colours are names, which become those of the page: light or dark, on the screen or in print.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from trackstack.page.columns import Column

INK, FAINT, GRID, ACCENT, SECOND = "#010203", "#010204", "#010205", "#010206", "#010207"
PAPER = "#010208"
COLOURS = {
    INK: "var(--text)",
    FAINT: "var(--faint)",
    GRID: "var(--line)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    PAPER: "var(--page)",
}
"""Of each name of a colour, the page's own."""
METRIC = "\ue000"
"""Stands for the name of the chosen metric; `clean` leaves none in a text."""
COLD_TO_WARM = ["#3b7ddd", "#8a6fd1", "#d1568c", "#e8832a"]
DIFFERENT = ["#3b82d8", "#d9730d", "#2a9d8f", "#a86bd4", "#d64b4b", "#8a8f98", "#b8942e", "#5c9e4a", "#c46a9c"]
STATUS = {
    "finished": "#2a9d8f",
    "running": "#3b82d8",
    "interrupted": "#d9a30d",
    "paused": "#8a7ca8",
    "failed": "#d64b4b",
}
MOST_MEANS, FEW_LEVELS = 12, 6
"""Values of a number, of which each has a mean drawn, or is written at the axis."""
PLACES = re.compile(r' (?:d|transform|x|x1|x2|y|y1|y2|width|height)="[^"]*"')
"""The attributes of SVG that say where something is."""
Spec = dict[str, Any]
Row = dict[str, Any]


def curves() -> Spec:
    """Rows: run, name, step, value, c (what colours it), picked."""
    encoding = {
        "x": _number("step", "step", scale={"zero": False, "nice": False}, axis={"tickMinStep": 1, "tickCount": 10}),
        "y": _number("value", METRIC, scale={"zero": False}),
        "detail": {"field": "run"},
        "order": {"field": "step"},
        "color": {"field": "c", "type": "nominal", "scale": {"range": DIFFERENT}, "legend": LEGEND},
        "strokeWidth": {"condition": {"test": "datum.picked", "value": 3.5}, "value": 1.4},
        "opacity": {"condition": {"test": "datum.picked", "value": 1}, "value": {"expr": "faint"}},
        "tooltip": _tooltip("name", "run", "step", "value"),
    }
    mark = {"type": "line", "clip": True}
    return _whole({"height": 340, "params": [{"name": "faint", "value": 0.7}], "mark": mark, "encoding": encoding})


def panel(column: Column) -> Spec:
    """Rows: run, name, x, y, picked."""
    levels = {value for value in column.values if value is not None}
    y = _number("y", METRIC, scale={"zero": False})
    shared: Spec = {"x": _panel_axis(column, levels), "y": y, "tooltip": _tooltip("name", "run", "x", "y")}
    points = {
        "mark": {"type": "circle", "color": ACCENT, "clip": True},
        "encoding": {
            "size": {"condition": {"test": "datum.picked", "value": 180}, "value": 42},
            "opacity": {"condition": {"test": "datum.picked", "value": 1}, "value": 0.6},
        },
    }
    tick = {"type": "tick", "color": SECOND, "thickness": 3, "width": 26, "orient": "horizontal"}
    line = {"type": "line", "color": SECOND, "point": {"color": SECOND, "size": 45}, "strokeWidth": 2}
    mean = {
        "mark": line if column.is_number else tick,
        "encoding": {"y": y | {"aggregate": "mean"}, "tooltip": [*_tooltip("x"), _mean_tooltip()]},
    }
    has_means = len(levels) <= min(MOST_MEANS, sum(value is not None for value in column.values) / 2)
    return _whole({"height": 210, "encoding": shared, "layer": [points, *([mean] if has_means else [])]})


def _panel_axis(column: Column, levels: set[Any]) -> Spec:
    if not column.is_number:
        upright = sum(len(str(level)) for level in levels) <= 26
        slanted = {"labelAngle": 0 if upright else -35, "labelLimit": 110, "titleLimit": 280}
        return {"field": "x", "type": "nominal", "title": column.name, "axis": slanted}
    axis: Spec = {"tickCount": 5, "labelOverlap": True, "format": "~g"}
    if len(levels) <= FEW_LEVELS:
        axis["values"] = sorted(levels)
    elif column.is_log:
        low, high = (math.log10(end(levels)) for end in (min, max))
        factors = (1,) if high - low > 2 else (1, 2, 5)
        powers = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
        axis["values"] = [power for power in powers if low - 0.2 <= math.log10(power) <= high + 0.2]
    scale = {"type": "log", "nice": False} if column.is_log else {"zero": False}
    return _number("x", column.name, scale=scale | {"padding": 12}, axis=axis)


def history() -> Spec:
    """Rows: run, name, at (its number by start), y, best (of those so far; None where no end is the better one)."""
    scale, axis = {"zero": False, "nice": False, "padding": 12}, {"tickMinStep": 1, "tickCount": 10}
    x = _number("at", "runs in the order of their starts", scale=scale, axis=axis)
    points = {
        "mark": {"type": "circle", "color": ACCENT, "clip": True},
        "encoding": {
            "y": _number("y", METRIC, scale={"zero": False}),
            "size": {"condition": {"test": "datum.picked", "value": 180}, "value": 42},
            "opacity": {"condition": {"test": "datum.picked", "value": 1}, "value": 0.6},
        },
    }
    line = {"type": "line", "color": SECOND, "strokeWidth": 2, "interpolate": "step-after", "clip": True}
    best = {
        "transform": [{"filter": "isValid(datum.best)"}],
        "mark": line,
        "encoding": {"y": _number("best", METRIC, scale={"zero": False})},
    }
    encoding = {"x": x, "tooltip": _tooltip("name", "run", "y", "best")}
    return _whole({"height": 260, "encoding": encoding, "layer": [points, best]})


def parallel(columns: list[Column]) -> Spec:
    """Rows: run, name, axis (its name), at (0 to 1), label, y, picked; a last axis is the metric's."""
    names = [*(column.name for column in columns), METRIC]
    ticks = [
        {"axis": column.name, "at": place, "label": label} for column in columns for place, label in column.ticks
    ]
    x = {
        "field": "axis",
        "type": "ordinal",
        "scale": {"domain": names, "padding": 0.35},
        "axis": {"orient": "top", "title": None, "labelAngle": 0, "labelLimit": 130, "grid": False, "domain": False}
        | {"ticks": False, "labelFontWeight": 600, "labelPadding": 12, "labelOverlap": False, "labelBound": False},
    }
    y = {"type": "quantitative", "axis": None, "scale": {"domain": [0, 1]}}
    lines = {
        "mark": {"type": "line"},
        "encoding": {
            "y": y | {"field": "at"},
            "detail": {"field": "run"},
            "color": {"field": "y", "type": "quantitative", "title": METRIC, "scale": {"range": COLD_TO_WARM}}
            | {"legend": LEGEND | {"gradientLength": 160}},
            "strokeWidth": {"condition": {"test": "datum.picked", "value": 4}, "value": 1.4},
            "opacity": {"condition": {"test": "datum.picked", "value": 1}, "value": {"expr": "faint"}},
            "tooltip": _tooltip("name", "run", "axis", "label", "y"),
        },
    }
    text = {"type": "text", "align": "left", "dx": 6, "limit": 110}
    label = {"text": {"field": "label"}, "y": y | {"field": "at"}}
    placed = {"data": {"name": "ticks", "values": ticks}}
    rule = {
        "mark": {"type": "rule", "color": FAINT},
        "data": {"name": "axes", "values": [{"axis": n} for n in names]},
    }
    return _whole(
        {
            "height": 320,
            "params": [{"name": "faint", "value": 0.6}],
            "encoding": {"x": x},
            "layer": [
                lines,
                rule | {"encoding": {"y": y | {"datum": 0}, "y2": {"datum": 1}}},
                placed | {"mark": text | {"stroke": PAPER, "strokeWidth": 4}, "encoding": label},
                placed | {"mark": text | {"color": INK}, "encoding": label},
            ],
        }
    )


def importance() -> Spec:
    """Rows: param, value, chance."""
    y = {"field": "param", "type": "nominal", "sort": None, "axis": NAMES}
    x = _number("value", f"share of {METRIC}", scale={"domain": [0, 1]}, axis={"format": "%", "tickCount": 5})
    bars = {
        "mark": {"type": "bar", "color": ACCENT, "cornerRadius": 2, "height": {"band": 0.7}},
        "encoding": {"x": x},
    }
    tick = {"type": "tick", "color": SECOND, "thickness": 2, "height": {"band": 0.9}, "orient": "vertical"}
    chance = {"mark": tick, "encoding": {"x": x | {"field": "chance"}}}
    shares = [_number(*names, format=".1%") for names in (("value", "share"), ("chance", "by chance"))]
    encoding = {"y": y, "tooltip": [*_tooltip("param"), *shares]}
    return _whole({"height": {"step": 24, "of": "param"}, "encoding": encoding, "layer": [bars, chance]})


def groups(figure: str) -> Spec:
    """Rows: run, name, group, value."""
    y = {"field": "group", "type": "nominal", "sort": None, "axis": NAMES}
    x = _number("value", figure, scale={"zero": False})
    points = {"mark": {"type": "circle", "color": ACCENT, "opacity": 0.45, "size": 45}, "encoding": {"x": x}}
    mean = {
        "mark": {"type": "tick", "color": SECOND, "thickness": 3, "height": 18, "orient": "vertical"},
        "encoding": {"x": x | {"aggregate": "mean"}},
    }
    shared = {"y": y, "tooltip": _tooltip("name", "group", "value")}
    mean["encoding"]["tooltip"] = _tooltip("group")  # type: ignore[index]
    return _whole({"height": {"step": 26, "of": "group"}, "encoding": shared, "layer": [points, mean]})


def hours() -> Spec:
    """Rows: user, status, hours."""
    encoding = {
        "y": {"field": "user", "type": "nominal", "axis": NAMES},
        "x": _number("hours", "hours", aggregate="sum"),
        "color": {"field": "status", "type": "nominal", "legend": LEGEND}
        | {"scale": {"domain": [*STATUS, "other"], "range": [*STATUS.values(), "#8a8f98"]}},
        "tooltip": [*_tooltip("user", "status"), _number("hours", "hours", aggregate="sum", format=".3~f")],
    }
    return _whole(
        {"height": {"step": 30, "of": "user"}, "mark": {"type": "bar", "cornerRadius": 2}, "encoding": encoding}
    )


NAMES = {"title": None, "labelLimit": 190, "grid": False}
LEGEND = {"orient": "bottom", "title": None, "columns": 0, "labelLimit": 220, "symbolStrokeWidth": 3}
CONFIG = {
    "aria": False,  # each point by itself would be read aloud: the page says what is drawn
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "text": {"color": INK, "fontSize": 11},
    "axis": {
        **{"labelColor": FAINT, "titleColor": INK, "domainColor": GRID, "tickColor": GRID, "gridColor": GRID},
        **{
            "labelFontSize": 11,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "gridOpacity": 0.6,
            "titleLimit": 300,
        },
    },
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12},
}


def svg(spec: Spec, rows: Iterable[Row], metric: str, width: int, name: str) -> str:
    """A drawing without a browser, in the colours of the page around it; `name` is no other drawing's of the page."""
    import vl_convert

    filled = json.loads(json.dumps(spec).replace(json.dumps(METRIC)[1:-1], json.dumps(metric)[1:-1]))
    filled |= {"width": width, "data": {"name": "rows", "values": list(rows)}}
    if isinstance(height := filled["height"], dict):
        filled["height"] = height["step"] * len({row[height["of"]] for row in filled["data"]["values"]})
    drawn = vl_convert.vegalite_to_svg(filled, allowed_base_urls=[])
    drawn = PLACES.sub(lambda match: re.sub(r"(?<=\d\.\d)\d+", "", match[0]), drawn)  # a tenth of a pixel is enough
    for number, mark in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', drawn))):
        for used in (f' id="{mark}"', f"url(#{mark})"):  # it counts over all that the process has drawn
            drawn = drawn.replace(used, used.replace(mark, f"{name}-{number}"))
    for colour, own in COLOURS.items():
        drawn = drawn.replace(colour, own)
    return drawn


def _whole(spec: Spec) -> Spec:
    """With what all drawings share."""
    return {"config": CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}, "width": "container"} | spec


def _number(field: str, title: str, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": title} | more


def _tooltip(*fields: str) -> list[Spec]:
    titles = {"x": "value", "y": METRIC, "value": METRIC, "label": "is", "param": "parameter"}
    return [{"field": field, "title": titles.get(field, field)} for field in fields]


def _mean_tooltip() -> Spec:
    return _number("y", "mean", aggregate="mean", format=".4~g")
