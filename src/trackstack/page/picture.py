"""One picture of what runs differ in: a panel per parameter, a point per run, as on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.page import charts
from trackstack.page.columns import Column, clean, finite, make_column
from trackstack.page.importance import importance
from trackstack.page.vega import is_installed

COLUMNS, WIDTH, SCALE = 3, 300, 2
LIGHT = {
    charts.INK: "#1d2129",
    charts.FAINT: "#5c6470",
    charts.GRID: "#d9dde3",
    charts.ACCENT: "#2f74d0",
    charts.SECOND: "#d9730d",
}
KINDS = (".png", ".svg", ".pdf")


def draw_comparison(rows: list[dict[str, Any]], metric: str, out: Path) -> int:
    """Draw a metric over each parameter that differs, those first that explain most; returns the number of panels.

    Args:
        rows: from `trackstack.records.query.compare_runs`.
        out: a file of one of `KINDS`.

    Raises:
        UserError: the metric or all parameters are the same in all runs, or the file's kind is unknown.
    """
    if out.suffix not in KINDS:
        raise UserError(f"{out}: expected a name that ends with {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if not is_installed():
        raise UserError('vl_convert is not installed, which draws; type: pip install "trackstack[page]"')
    figures = next((row for row in rows if (row["what"], row["field"]) == ("metrics", metric)), None)
    if figures is None:
        raise UserError(f"nothing to draw: {metric} is the same in all runs")
    runs = [name for name in figures if name not in ("what", "field")]
    values = [finite(figures[run]) for run in runs]
    params = [make_column(row["field"], [row[run] for run in runs]) for row in rows if row["what"] == "params"]
    drawn = sorted((param for param in params if param.is_drawn), key=lambda param: -(importance(param, values) or 0))
    if not drawn:
        raise UserError("nothing to draw: no parameter has two values or more, and 30 texts at most, in these runs")
    panels = [_panel(param, values) for param in drawn]
    spec = {"config": charts.CONFIG | {"background": "white"}, "columns": COLUMNS, "concat": panels, "padding": 16}
    text = json.dumps(spec).replace(json.dumps(charts.METRIC)[1:-1], json.dumps(clean(metric))[1:-1])
    for name, colour in LIGHT.items():
        text = text.replace(name, colour)
    _write(out, text)
    return len(drawn)


def _panel(param: Column, values: list[float | None]) -> dict[str, Any]:
    pairs = [(x, y) for x, y in zip(param.values, values, strict=True) if x is not None and y is not None]
    panel = {name: part for name, part in charts.panel(param).items() if name not in ("config", "autosize")}
    return panel | {"width": WIDTH, "data": {"values": [{"x": x, "y": y} for x, y in pairs]}}


def _write(out: Path, spec: str) -> None:
    import vl_convert

    if out.suffix == ".png":
        out.write_bytes(vl_convert.vegalite_to_png(spec, scale=SCALE, allowed_base_urls=[]))
    elif out.suffix == ".pdf":
        out.write_bytes(vl_convert.vegalite_to_pdf(spec, allowed_base_urls=[]))
    else:
        out.write_text(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), encoding="utf-8")
