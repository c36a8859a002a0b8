"""The drawings of the report that are about amounts: predicted against actual, residuals, groups, worst windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.drawings import ACCENT, INK, MOST_BARS, WIDTH, short, svg, windows
from pipeline.evaluate.regression import Regression, farthest_windows

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_TARGETS, MOST_POINTS, NUM_BINS = 6, 1000, 30
"""What keeps the file small: targets that are drawn, points of a cloud."""


def against_actual(evaluation: Regression) -> Markup:
    """Predicted against actual amounts, a panel for each target; on the dotted line there is no error."""

    def draw(axes: Axes, name: str, actual_W: np.ndarray, predicted_W: np.ndarray) -> None:
        ends = [min(actual_W.min(), predicted_W.min()), max(actual_W.max(), predicted_W.max())]
        axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
        _cloud(axes, actual_W, predicted_W)
        axes.set(title=name, xlabel="actual", ylabel="predicted")

    return _panels(evaluation, [draw])


def residuals(evaluation: Regression) -> Markup:
    """How many windows have which residual, and the residual against the predicted amount, for each target."""

    def count(axes: Axes, name: str, actual_W: np.ndarray, predicted_W: np.ndarray) -> None:
        axes.hist(predicted_W - actual_W, NUM_BINS, color=ACCENT)
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        axes.set(title=name, xlabel="predicted - actual", ylabel="number")

    def scatter(axes: Axes, name: str, actual_W: np.ndarray, predicted_W: np.ndarray) -> None:
        axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
        _cloud(axes, predicted_W, predicted_W - actual_W)
        axes.set(title=name, xlabel="predicted", ylabel="predicted - actual")

    return _panels(evaluation, [count, scatter])


def group_errors(evaluation: Regression, unit: str) -> Markup:
    """The mean absolute error of each group; only the highest when there are many."""
    highest = sorted(range(len(evaluation.per_group)), key=lambda at: -evaluation.per_group[at][1])[:MOST_BARS]
    rows = [evaluation.per_group[at] for at in sorted(highest)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(len(rows)), [error for _, error, _ in rows], 0.6, color=ACCENT)
        axes.set_yticks(range(len(rows)), [f"{short(name)} ({count:,})" for name, _, count in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=f"mean absolute error{unit and f' ({short(unit)})'}")

    return svg(draw, WIDTH, 0.8 + 0.28 * len(rows))


def worst(evaluation: Regression) -> Markup:
    """The windows with the largest errors, each with the amount that lies farthest off."""

    def verdict(window: int) -> str:
        actual_K, predicted_K = evaluation.actual_WK[window], evaluation.predicted_WK[window]
        at = int(np.argmax(np.abs(predicted_K - actual_K) / evaluation.std_K))
        return f"{short(evaluation.per_target[at][0])} {actual_K[at]:.4g},\npredicted {predicted_K[at]:.4g}"

    return windows(evaluation, farthest_windows(evaluation), verdict)


def _cloud(axes: Axes, x_W: np.ndarray, y_W: np.ndarray) -> None:
    step = math.ceil(len(x_W) / MOST_POINTS)
    axes.scatter(x_W[::step], y_W[::step], 12, color=ACCENT, alpha=0.6, linewidths=0)


def _panels(evaluation: Regression, kinds: list[Callable[[Axes, str, np.ndarray, np.ndarray], None]]) -> Markup:
    """Panels of each kind for each target that is drawn, two in a line."""
    shown = evaluation.per_target[:MOST_TARGETS]
    targets = [f"{short(name)}{unit and f' ({short(unit)})'}" for name, unit, *_ in shown]
    drawn = [(kind, at) for at in range(len(targets)) for kind in kinds]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(math.ceil(len(drawn) / 2), 2, squeeze=False).flat
        for axes in panels[len(drawn) :]:
            axes.set_axis_off()
        for axes, (kind, at) in zip(panels, drawn, strict=False):
            axes.locator_params(axis="x", nbins=4)
            kind(axes, targets[at], evaluation.actual_WK[:, at], evaluation.predicted_WK[:, at])

    return svg(draw, WIDTH, 2.4 * math.ceil(len(drawn) / 2))
