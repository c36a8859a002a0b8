"""The drawings of the report, as SVG: transparent, and in the colour of the text around them."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluate.figures import Classification, Evaluation, hardest_windows, wilson
from pipeline.windows.encoding import channel_names
from trackstack import UserError

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, ACCENT, SECOND = "#010203", "#3987e5", "#d9730d"  # INK becomes the colour of the page's text
LINES = (ACCENT, SECOND, "#2a9d8f", "#a86bd4", "#d64b4b", "#8a8f98")
STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "trackstack",
    "text.parse_math": False,  # a class may be called $5
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
}
WIDTH = 4.8
"""Of a drawing, in inches: what can be read on a phone, and fills a column of a wide page."""
MOST_BARS, MOST_COUNTS, MOST_POINTS = 40, 20, 250
"""What keeps the file small: bars and boxes of a chart, classes with counts in the matrix, points of a line."""


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Draw without a person's own matplotlibrc, and without warnings about letters that the font lacks."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def group_word(cache: dict[str, Any]) -> str:
    """What a group is called; without groups, rows or recordings were assigned to the folds."""
    return cache["group"] or "fold"


def curves(live: Path) -> list[Markup]:
    """Loss and the other figures by epoch, from DVCLive's tables, a drawing each; UserError when one is damaged."""
    tables = {}
    for file in sorted((live / "plots/metrics").glob("*.tsv")):
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                rows = [(float(row["step"]), float(row[file.stem])) for row in csv.DictReader(lines, delimiter="\t")]
        except (KeyError, TypeError, ValueError, csv.Error):
            raise UserError(f"{file}: damaged; type: trackstack repair {live} && dvc repro") from None
        if rows:
            tables[file.stem] = _thin(np.array(rows))
    losses = [name for name in tables if name.endswith("_loss")]
    hidden = (*losses, "val_mae", "val_rmse")  # in units of their own, and they follow the loss
    others = [name for name in tables if name.startswith("val_") and name not in hidden]

    def draw(names: list[str], label: str) -> Markup:
        def lines(figure: Figure) -> None:
            axes = figure.subplots()
            for name, colour in zip(names, LINES, strict=False):
                axes.plot(*tables[name].T, color=colour, label=name, marker="." if len(tables[name]) < 2 else None)
            axes.set(xlabel="epoch", ylabel=label)
            axes.locator_params(axis="x", integer=True)
            if names:
                axes.legend()

        return svg(lines, WIDTH, 2.4)

    return [draw(losses, "loss"), *([draw(others, "validation")] if others else [])]


def confusion(evaluation: Classification) -> Markup:
    """The confusion matrix, coloured by the shares of each actual class."""
    names = [row[0] for row in evaluation.per_class]
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (evaluation.actual_W, evaluation.probs_WK.argmax(1)), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    red, green, blue = (int(ACCENT[place : place + 2], 16) for place in (1, 3, 5))
    cells = np.stack([np.full_like(shares, part / 255) for part in (red, green, blue)] + [0.85 * shares], axis=2)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(cells, interpolation="nearest")
        size = 9 if len(names) <= MOST_COUNTS else max(3, 9 * MOST_COUNTS / len(names))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.set(xlabel="predicted", ylabel="actual")
        axes.spines[:].set_visible(False)
        if len(names) <= MOST_COUNTS:
            for (row, column), count in np.ndenumerate(counts):
                axes.text(column, row, f"{count}" if count else "", ha="center", va="center")

    side = min(2.2 + 0.45 * len(names), 8)
    return svg(draw, side, side)


def bars(rows: list[tuple], label: str) -> Markup:
    """Shares (name, share, count) with their intervals; only the lowest when there are many."""
    rows = [row for row in rows if row[2]]
    lowest = sorted(range(len(rows)), key=lambda number: rows[number][1])[:MOST_BARS]
    rows = [rows[number] for number in sorted(lowest)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shares = np.array([share for _, share, _ in rows])
        bounds = np.array([wilson(round(share * count), count) for _, share, count in rows])
        errors = np.abs(bounds - shares[:, None]).T
        axes.barh(range(len(rows)), shares, 0.6, color=ACCENT, xerr=errors, ecolor=INK, capsize=3)
        axes.set_yticks(range(len(rows)), [f"{short(name)} ({count:,})" for name, _, count in rows])
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel=label)

    return svg(draw, WIDTH, 0.8 + 0.28 * len(rows))


def calibration(rows: list[tuple]) -> Markup:
    """Accuracy by confidence; a dot is as large as its bin."""
    confidence, accuracy, count = np.array(rows).T

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.plot(confidence, accuracy, color=ACCENT)
        axes.scatter(confidence, accuracy, 10 + 150 * count / count.max(), color=ACCENT, alpha=0.6, linewidths=0)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")

    return svg(draw, WIDTH, 3.4)


def hardest(evaluation: Classification) -> Markup:
    """The hardest windows, each with its class and the class that it was taken for."""
    names = [row[0] for row in evaluation.per_class]

    def verdict(window: int) -> str:
        probs = evaluation.probs_WK[window]
        actual, predicted = evaluation.actual_W[window], probs.argmax()
        mistake = f"\ntaken for {short(names[predicted])}" if predicted != actual else ""
        return f"{short(names[actual])}{mistake} ({probs[predicted]:.2f})"

    return windows(evaluation, hardest_windows(evaluation), verdict)


def windows(evaluation: Evaluation, numbers: list[int], verdict: Callable[[int], str]) -> Markup:
    """Some windows, each with what is said of it, and its group."""
    metadata, groups_W = evaluation.windows.cache.metadata, evaluation.windows.groups()
    num_lines = math.ceil(len(numbers) / 2)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(num_lines, 2, squeeze=False).flat
        for axes in panels[len(numbers) :]:
            axes.set_axis_off()
        for axes, window in zip(panels, numbers, strict=False):
            _draw_window(axes, evaluation.windows[window][0].numpy(), metadata)
            axes.set_title(f"{verdict(window)}\n{group_word(metadata)} {short(groups_W[window])}", fontsize=8)
        if metadata["window"] > 1:
            figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

    return svg(draw, WIDTH, 0.5 + 2.1 * num_lines)


def _draw_window(axes: Axes, values_LC: np.ndarray, metadata: dict[str, Any]) -> None:
    """A signal as lines of its first features; of a row the values that are farthest from the mean."""
    names = channel_names(metadata["features"])
    if len(values_LC) == 1:
        shown = np.sort(np.argsort(-np.abs(values_LC[0]), kind="stable")[:10])
        axes.barh(range(len(shown)), values_LC[0][shown], color=ACCENT)
        axes.set_yticks(range(len(shown)), [short(names[number]) for number in shown])
        axes.set(xlabel="standard deviations")
        return
    rate = metadata["sample_rate_hz"]
    time = np.arange(len(values_LC)) / (rate or 1)
    for name, values, colour in zip(names, values_LC.T, LINES, strict=False):
        axes.plot(*_thin(np.column_stack([time, values])).T, color=colour, linewidth=1, label=short(name))
    axes.set(xlabel="s" if rate else "row")


def boxes(columns: dict[str, dict[str, Any]]) -> Markup | None:
    """The quantiles of the features, each in its own standard deviations; None where no feature has numbers."""
    known = [(name, column) for name, column in columns.items() if column.get("quantiles")][:MOST_BARS]
    if not known:
        return None

    def at(column: dict[str, Any], quantile: str) -> float:
        return (column["quantiles"][quantile] - column["mean"]) / (column["std"] or 1)

    places = {"whislo": "0.01", "q1": "0.25", "med": "0.5", "q3": "0.75", "whishi": "0.99"}
    stats = [{place: at(column, quantile) for place, quantile in places.items()} for _, column in known]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lines: dict[str, Any] = {name: {"color": INK} for name in ("boxprops", "whiskerprops", "capprops")}
        axes.bxp(stats, orientation="horizontal", showfliers=False, medianprops={"color": ACCENT}, **lines)
        axes.set_yticks(range(1, len(known) + 1), [short(name) for name, _ in known])
        axes.invert_yaxis()
        axes.set(xlabel="standard deviations from the mean")

    return svg(draw, WIDTH, 0.8 + 0.28 * len(known))


def _thin(rows_ND: np.ndarray) -> np.ndarray:
    """Every nth row, so that a line has a bounded number of points."""
    return rows_ND[:: math.ceil(len(rows_ND) / MOST_POINTS)]


def short(name: Any) -> str:
    """A name as it fits into a drawing."""
    text = str(name)
    return text if len(text) <= 20 else f"{text[:19]}…"


def svg(draw: Callable[[Figure], None], width: float, height: float) -> Markup:
    """A drawing as part of a page."""
    from markupsafe import Markup
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])  # every drawing numbers its groups from 1
    return Markup(text.replace(INK, "currentColor").replace("<svg ", '<svg role="img" ', 1))
