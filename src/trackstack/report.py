"""The report of an evaluation: one HTML file that needs nothing else, with the same bytes for the same results."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from trackstack.outputs import SPLITS
from trackstack.windows import WindowDataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_suffix(".html")
INK, ACCENT, SECOND = "#010203", "#3987e5", "#d9730d"  # INK becomes the colour of the page's text
LINES = (ACCENT, SECOND, "#2a9d8f", "#a86bd4", "#d64b4b", "#8a8f98")
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "trackstack",
    "text.parse_math": False,  # a class may be called $5
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
}
MOST_BARS, MOST_COUNTS, MOST_POINTS, MOST_FEATURES, MOST_NAMES = 40, 20, 250, 50, 30
"""What keeps the file small: bars and boxes of a chart, classes with counts in the matrix, points of a line, features
and groups in a table."""
HARDEST = 6


@dataclass(frozen=True)
class Evaluated:
    """What there is to report."""

    split: str
    metrics: dict[str, float]
    """By the names of `evaluate.summarise`."""
    windows: WindowDataset
    actual_W: np.ndarray
    probs_WK: np.ndarray
    per_class: list[tuple]
    """Name, precision, recall, F1, windows."""
    per_group: list[tuple]
    """Name, accuracy, windows."""
    calibration: list[tuple]
    """Confidence, accuracy, windows."""
    model: dict[str, Any]
    """The model's description, see `trackstack.saved_model`."""
    params: dict[str, Any]
    """The section `evaluate` of params.yaml."""
    live: Path
    """DVCLive's folder."""
    profile: dict[str, Any]
    """What the stage `parquet` says of the accepted rows."""


def write_report(path: Path, found: Evaluated) -> None:
    """Write the report. It shows no time, host or place: equal results have equal bytes."""
    import jinja2
    import matplotlib

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # A person's own matplotlibrc is left out, and so are complaints about letters that its font lacks.
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        content = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(_content(found))
    path.write_text(content + "\n", encoding="utf-8")


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score."""
    interval = binomtest(right, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _content(found: Evaluated) -> dict[str, Any]:
    """What the template shows."""
    cache, model = found.windows.cache.metadata, found.model
    what = "windows" if cache["window"] > 1 else "rows"
    right = int((found.probs_WK.argmax(1) == found.actual_W).sum())
    return {
        "split": found.split,
        "what": what,
        "run": model["run"],
        "model": model["model"],
        "dataset": model["dataset"],
        "metrics": found.metrics,
        "interval": wilson(right, len(found.actual_W)),
        "majority": np.bincount(found.actual_W).max() / len(found.actual_W),
        "group": _group_word(cache),
        "splits": {name: cache["split"][name] for name in SPLITS},
        "curves": _curves(found.live),
        "confusion": _confusion(found),
        "classes": found.per_class,
        "class_bars": _bars([(name, recall, count) for name, _, recall, _, count in found.per_class], "recall"),
        "group_bars": _bars(found.per_group, "accuracy"),
        "calibration": _calibration(found.calibration),
        "hardest": _hardest(found),
        "features": list(found.profile["columns"].items())[:MOST_FEATURES],
        "num_features": len(found.profile["columns"]),
        "boxes": _boxes(found.profile["columns"]),
        "rows": found.profile["rows"],
        "rows_of_classes": found.profile["classes"],
        "params": list(_flat(_parameters(found))),
        "lineage": [
            ("raw files (manifest)", cache["digests"]["ingest"]),
            ("Parquet", cache["digests"]["parquet"]),
            ("tensor cache", cache["digest"]),
            ("model weights", model["digest"]),
            ("run", model["run"]),
        ],
        "most": MOST_NAMES,
    }


def hardest_windows(found: Evaluated) -> list[int]:
    """The numbers of the windows whose own class was given the lowest probability, one of each recording at most."""
    likely_W = found.probs_WK[np.arange(len(found.actual_W)), found.actual_W]
    segment_W = found.windows.segments().numpy()
    order = np.argsort(likely_W, kind="stable")
    _, first = np.unique(segment_W[order], return_index=True)
    return order[np.sort(first)][:HARDEST].tolist()


def _parameters(found: Evaluated) -> dict[str, Any]:
    model = found.model
    sections = {name: model[name] for name in ("train", "losses", "metrics") if name in model}
    windows = {"window": model["window"], "stride": model["stride"]}
    return {
        "dataset": model["dataset"],
        "tensor_cache": windows,
        **sections,
        "models": {model["model"]: model["model_params"]},
        "evaluate": found.params,
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> Any:
    """A drawing as part of a page: transparent, and its ink the colour of the text around it."""
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


def _group_word(cache: dict[str, Any]) -> str:
    """What a group is called; without groups, rows or recordings were dealt out to the folds."""
    return cache["group"] or "fold"


def _curves(live: Path) -> Any:
    """Loss and the other figures by epoch, from DVCLive's tables."""
    tables = {}
    for file in sorted((live / "plots/metrics").glob("*.tsv")):
        with file.open(newline="", encoding="utf-8") as lines:
            rows = [(float(row["step"]), float(row[file.stem])) for row in csv.DictReader(lines, delimiter="\t")]
        tables[file.stem] = _thin(np.array(rows))
    losses = [name for name in tables if name.endswith("_loss")]
    others = [name for name in tables if name.startswith("val_") and name not in losses]
    panels = [(losses, "loss"), (others, "validation")][: 2 if others else 1]

    def draw(figure: Figure) -> None:
        for axes, (names, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for name, colour in zip(names, LINES, strict=False):
                axes.plot(*tables[name].T, color=colour, label=name, marker="." if len(tables[name]) < 2 else None)
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if names:
                axes.legend()

    return _svg(draw, 8.5, 2.8)


def _confusion(found: Evaluated) -> Any:
    names = [row[0] for row in found.per_class]
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (found.actual_W, found.probs_WK.argmax(1)), 1)
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
                axes.text(column, row, count or "", ha="center", va="center")

    side = min(2.2 + 0.45 * len(names), 8)
    return _svg(draw, side, side)


def _bars(rows: list[tuple], label: str) -> Any:
    """Shares (name, share, count) with their intervals; of many the lowest."""
    rows = [row for row in rows if row[2]]
    lowest = sorted(range(len(rows)), key=lambda number: rows[number][1])[:MOST_BARS]
    rows = [rows[number] for number in sorted(lowest)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shares = np.array([share for _, share, _ in rows])
        bounds = np.array([wilson(round(share * count), count) for _, share, count in rows])
        errors = np.abs(bounds - shares[:, None]).T
        axes.barh(range(len(rows)), shares, 0.6, color=ACCENT, xerr=errors, ecolor=INK, capsize=3)
        axes.set_yticks(range(len(rows)), [f"{_short(name)} ({count:,})" for name, _, count in rows])
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel=label)

    return _svg(draw, 4.2, 0.8 + 0.28 * len(rows))


def _calibration(rows: list[tuple]) -> Any:
    confidence, accuracy, count = np.array(rows).T

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.plot(confidence, accuracy, color=ACCENT)
        axes.scatter(confidence, accuracy, 10 + 150 * count / count.max(), color=ACCENT, alpha=0.6, linewidths=0)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")

    return _svg(draw, 3.4, 3.4)


def _hardest(found: Evaluated) -> Any:
    numbers, names, about = hardest_windows(found), [row[0] for row in found.per_class], found.windows.cache.metadata
    groups_W, lines = found.windows.groups(), math.ceil(len(numbers) / (HARDEST // 2))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(lines, HARDEST // 2, squeeze=False).flat
        for axes in panels[len(numbers) :]:
            axes.set_axis_off()
        for axes, window in zip(panels, numbers, strict=False):
            _draw_window(axes, found.windows[window][0].numpy(), about)
            probs = found.probs_WK[window]
            own, taken = found.actual_W[window], probs.argmax()
            verdict = (
                f"taken for {_short(names[taken])} ({probs[taken]:.2f})" if taken != own else f"({probs[own]:.2f})"
            )
            title = f"{_short(names[own])} {verdict}\n{_group_word(about)} {_short(groups_W[window])}"
            axes.set_title(title, fontsize=9)
        if about["window"] > 1:
            figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINES))

    return _svg(draw, 8.5, 0.5 + 2.25 * lines)


def _draw_window(axes: Axes, values_LC: np.ndarray, about: dict[str, Any]) -> None:
    """A signal as lines of its first features; of a row the values that are farthest from the mean."""
    names = [feature["name"] for feature in about["features"]]
    if len(values_LC) == 1:
        shown = np.sort(np.argsort(-np.abs(values_LC[0]), kind="stable")[:10])
        axes.barh(range(len(shown)), values_LC[0][shown], color=ACCENT)
        axes.set_yticks(range(len(shown)), [_short(names[number]) for number in shown])
        axes.set(xlabel="standard deviations")
        return
    rate = about["sample_rate_hz"] or 1
    time = np.arange(len(values_LC)) / rate
    for name, values, colour in zip(names, values_LC.T, LINES, strict=False):
        axes.plot(*_thin(np.column_stack([time, values])).T, color=colour, linewidth=1, label=_short(name))
    axes.set(xlabel="s" if about["sample_rate_hz"] else "row")


def _boxes(columns: dict[str, dict[str, Any]]) -> Any:
    """The quantiles of the features, each in its own standard deviations."""
    known = [(name, column) for name, column in columns.items() if column["count"]][:MOST_BARS]

    def at(column: dict[str, Any], quantile: str) -> float:
        return (column["quantiles"][quantile] - column["mean"]) / (column["std"] or 1)

    places = {"whislo": "0.01", "q1": "0.25", "med": "0.5", "q3": "0.75", "whishi": "0.99"}
    stats = [{place: at(column, quantile) for place, quantile in places.items()} for _, column in known]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lines = {name: {"color": INK} for name in ("boxprops", "whiskerprops", "capprops")}
        axes.bxp(stats, orientation="horizontal", showfliers=False, medianprops={"color": ACCENT}, **lines)
        axes.set_yticks(range(1, len(known) + 1), [_short(name) for name, _ in known])
        axes.invert_yaxis()
        axes.set(xlabel="standard deviations from the mean")

    return _svg(draw, 4.2, 0.8 + 0.28 * len(known))


def _thin(rows_ND: np.ndarray) -> np.ndarray:
    """Every nth row, so that a line has a bounded number of points."""
    return rows_ND[:: math.ceil(len(rows_ND) / MOST_POINTS)]


def _short(name: Any) -> str:
    text = str(name)
    return text if len(text) <= 20 else f"{text[:19]}…"
