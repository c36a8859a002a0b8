"""Draw what runs differ in: a panel per parameter, a point per run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from trackstack import UserError

COLUMNS = 3


def plot_comparison(rows: list[dict[str, Any]], metric: str, out: Path) -> int:
    """Draw a metric over each parameter that differs; returns the number of panels.

    Args:
        rows: from `trackstack.records.query.compare_runs`.
        out: a file that matplotlib can write: .png, .svg, .pdf.

    Raises:
        UserError: the metric or all parameters are the same in all runs, or the file's kind is unknown.
    """
    from matplotlib.figure import Figure  # half a second to import

    figures = next((row for row in rows if (row["what"], row["field"]) == ("metrics", metric)), None)
    params = [row for row in rows if row["what"] == "params"]
    if figures is None or not params:
        raise UserError(
            f"nothing to draw: {metric if figures is None else 'every parameter'} is the same in all runs"
        )
    runs = [name for name in figures if name not in ("what", "field")]
    columns = min(COLUMNS, len(params))
    lines = math.ceil(len(params) / columns)
    figure = Figure(figsize=(4 * columns, 3 * lines), layout="constrained")
    for panel, row in zip(figure.subplots(lines, columns, squeeze=False).flat, params, strict=False):
        points = sorted(((row[run], figures[run]) for run in runs if figures[run] is not None), key=_in_order)
        numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x, _ in points)
        panel.plot([x if numeric else str(x) for x, _ in points], [y for _, y in points], "o", alpha=0.7)
        panel.set(xlabel=row["field"], ylabel=metric)
        if numeric and min(x for x, _ in points) > 0 and max(x for x, _ in points) > 50 * min(x for x, _ in points):
            panel.set_xscale("log")
    try:
        figure.savefig(out)
    except ValueError as error:
        raise UserError(f"{out}: {' '.join(str(error).split())}") from None
    return len(params)


def _in_order(point: tuple[Any, float]) -> tuple[bool, Any]:
    is_number = isinstance(point[0], int | float)
    return not is_number, point[0] if is_number else str(point[0])
