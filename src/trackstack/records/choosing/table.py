"""A metric over one or two parameters, as a table for a paper: Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from trackstack import UserError
from trackstack.records.choosing.best import Figure, averages, differing, in_words, summarise
from trackstack.records.choosing.settings import Candidate

FORMATS = ("markdown", "latex", "csv")
FEWEST_RUNS, RESAMPLES, SEED, LEVEL = 6, 10_000, 0, 95
"""Of the interval. With five runs that come in two heaps, such as two folds, its bounds are no longer of use."""
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}
IN_MARKDOWN = re.compile(r"([\\|*_`<\[])")


class Cell(NamedTuple):
    """The runs of one row and column."""

    row: Any
    column: Any
    """None without a parameter for columns."""
    runs: list[Candidate]
    figure: Figure
    interval: tuple[float, float] | None
    """Of the mean; None where there are too few runs, or one that diverged."""


class Table(NamedTuple):
    """Cells row by row; a cell without runs is not among them."""

    metric: str
    row_name: str
    column_name: str | None
    cells: list[Cell]
    averages: dict[str, int]
    """What each mean is over; see `trackstack.records.choosing.best.averages`."""
    left_out: list[str]
    """A line for each run that has no place in it."""

    @property
    def rows(self) -> list[Any]:
        """The values of the parameter for rows, in order."""
        return _ordered([cell.row for cell in self.cells])

    @property
    def columns(self) -> list[Any]:
        """The values of the parameter for columns, in order."""
        return _ordered([cell.column for cell in self.cells])


def make_table(runs: list[Candidate], metric: str, row_name: str, column_name: str | None, over: list[str]) -> Table:
    """Mean, spread and interval of a metric for each pair of values.

    Args:
        runs: with the metric, each setting once or executed again.
        over: what is averaged over, beside what the table shows.

    Raises:
        UserError: the runs of a cell differ in something else, or no run has both parameters.
    """
    shown = [name for name in (row_name, column_name) if name]
    lacking = [(run, [name for name in shown if name not in run.names]) for run in runs]
    left_out = [f"left out: {run.key}: it has no {names[0]}" for run, names in lacking if names]
    runs = [run for run, names in lacking if not names]
    if not runs:
        raise UserError(f"no finished run with {metric} has {' and '.join(shown)}")
    members: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for run in runs:
        members[_text(run.value(row_name)), _text(_column(run, column_name))].append(run)
    cells = []
    for (row, column), same in members.items():
        others = differing([{name: v for name, v in run.settings.items() if name not in over} for run in same])
        if others:
            where = f"{row_name} {row}" + (f", {column_name} {column}" if column_name else "")
            seen = ", ".join(map(_text, _ordered([run.value(others[0]) for run in same])))
            raise UserError(
                f"{where}: its runs differ in {', '.join(others)}, too ({others[0]}: {seen}); choose by --where, "
                f"or type --over {','.join([*over, *others])} to average over all of it"
            )
        bounds = interval(np.array([run.figures[metric] for run in same]))
        place = same[0].value(row_name), _column(same[0], column_name)
        cells.append(Cell(*place, same, summarise(same, metric), bounds))
    counts = averages(list(members.values()), over)
    return Table(metric, row_name, column_name, sorted(cells, key=_place), counts, left_out)


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """An interval for the mean of runs like these: bootstrap-t.

    The plain percentiles of resampled means would hold the true one in 85 of 100 cases with six runs, not in 95:
    each resample is therefore measured by its own standard error.

    Args:
        values: one per run, as floats.
    """
    if len(values) < FEWEST_RUNS or not np.isfinite(values).all():
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    drawn = values[np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))]
    drawn = drawn[np.ptp(drawn, axis=1) > 0]  # the others have no error to be measured by
    error, errors = (sample.std(axis=-1, ddof=1) / math.sqrt(len(values)) for sample in (values, drawn))
    away = (drawn.mean(axis=1) - values.mean()) / errors
    high, low = np.percentile(away, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(values.mean() - low * error), float(values.mean() - high * error)


def legend(table: Table) -> list[str]:
    """What the figures are, in sentences."""
    sentences = [
        f"{table.metric}: mean ± standard deviation over the runs of a cell (their number in parentheses)",
        f"averaged over: {in_words(table.averages)}",
    ]
    if any(cell.interval for cell in table.cells):
        sentences.append(
            f"in brackets: {LEVEL} % interval of the mean, bootstrap-t over runs ({RESAMPLES:,} resamples, "
            f"seed {SEED}), from {FEWEST_RUNS} runs on"
        )
    return sentences


def as_markdown(table: Table) -> str:
    """A table of GitHub's kind, with legend and run ids below."""

    def line(texts: list[str]) -> str:
        return f"| {' | '.join(texts)} |"

    header = [_in_markdown(text) for text in _header(table)]
    body = [line([_in_markdown(_text(row)), *texts]) for row, texts in _body(table, "±")]
    ids = [f"* {_in_markdown(_name(table, cell))}: {', '.join(_ids(cell))}" for cell in table.cells]
    notes = [_in_markdown(sentence) + "." for sentence in legend(table)]
    return "\n".join([line(header), line(["---", *["---:"] * (len(header) - 1)]), *body, "", *notes, "", *ids])


def as_latex(table: Table) -> str:
    """A tabular of booktabs, with legend and run ids as comments."""
    header = [_in_latex(text) for text in _header(table)]
    body = [
        " & ".join([_in_latex(_text(row)), *(f"${text}$" if text else "" for text in texts)]) + r" \\"
        for row, texts in _body(table, r"\pm")
    ]
    comments = [*legend(table), *(f"{_name(table, cell)}: {' '.join(_ids(cell))}" for cell in table.cells)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *(f"% {' '.join(comment.split())}" for comment in comments),
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def as_csv(table: Table) -> str:
    """A line per cell, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [table.row_name, *([table.column_name] if table.column_name else [])]
    writer.writerow([*names, "metric", "mean", "sd", "low", "high", "runs", "run_ids"])
    for row in as_rows(table):
        place = [_text(row["row"]), *([_text(row["column"])] if table.column_name else [])]
        figures = [row[name] for name in ("mean", "sd", "low", "high", "runs")]
        writer.writerow([*place, table.metric, *figures, " ".join(row["run_ids"])])
    return text.getvalue().rstrip("\n")


def as_rows(table: Table) -> list[dict[str, Any]]:
    """The cells for scripts; None for a mean that is not finite."""
    return [
        {
            "row": cell.row,
            "column": cell.column,
            "mean": None if math.isnan(cell.figure.mean) else cell.figure.mean,
            "sd": cell.figure.sd,
            "low": cell.interval[0] if cell.interval else None,
            "high": cell.interval[1] if cell.interval else None,
            "runs": len(cell.runs),
            "run_ids": _ids(cell),
        }
        for cell in table.cells
    ]


def _header(table: Table) -> list[str]:
    if table.column_name is None:
        return [table.row_name, table.metric]
    return [table.row_name, *(f"{table.column_name} {_text(column)}" for column in table.columns)]


def _body(table: Table, plus_minus: str) -> list[tuple[Any, list[str]]]:
    cells = {(_text(cell.row), _text(cell.column)): cell for cell in table.cells}
    lines = []
    for row in table.rows:
        here = [cells.get((_text(row), _text(column))) for column in table.columns]
        lines.append((row, [_figure(cell, plus_minus) if cell else "" for cell in here]))
    return lines


def _figure(cell: Cell, plus_minus: str) -> str:
    """Such as `0.904 ± 0.012 [0.893, 0.914] (6)`: all to the second digit of the standard deviation."""
    mean, sd = cell.figure
    digits = min(6, max(0, 1 - math.floor(math.log10(sd)))) if sd else 4
    text = f"{mean:.{digits}f}" + (f" {plus_minus} {sd:.{digits}f}" if sd is not None else "")
    if cell.interval:
        text += f" [{cell.interval[0]:.{digits}f}, {cell.interval[1]:.{digits}f}]"
    return f"{text} ({len(cell.runs)})"


def _name(table: Table, cell: Cell) -> str:
    return _text(cell.row) + (f", {_text(cell.column)}" if table.column_name else "")


def _ids(cell: Cell) -> list[str]:
    return [run.key for run in cell.runs]


def _column(run: Candidate, name: str | None) -> Any:
    return run.value(name) if name else None


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))


def _in_markdown(text: str) -> str:
    return IN_MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _ordered(values: list[Any]) -> list[Any]:
    return sorted({_text(value): value for value in values}.values(), key=_order)


def _place(cell: Cell) -> tuple[Any, Any]:
    return _order(cell.row), _order(cell.column)


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then texts."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not is_number, float(value) if is_number else 0.0, _text(value)
