"""A model card in Markdown, from the record of a run: model, data, split, figures with intervals, groups, limits.

What no record can say is for a person, under headings of its own: it is marked as missing until it is written, and
stays as it is when the card is made anew. After Mitchell et al. 2019, arXiv 1810.03993.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from trackstack import UserError
from trackstack.records.choosing.folds import group_figures
from trackstack.records.lineage import recorded_items
from trackstack.records.looks import looks_at
from trackstack.records.query import last_figures
from trackstack.records.verdicts import verdicts_on
from trackstack.tracking.params import flatten
from trackstack.tracking.series import SeriesRecords
from trackstack.tracking.sinks import Series

MISSING = "**missing: to be written by a person**"
PERSONS = {
    "Intended use": "Who is to use it, for what, and for what it must not be used.",
    "Known limits": "Where it fails or was never tried: other devices, places, people, times.",
    "Ethical considerations": "Whom a wrong answer harms; what the people in the data agreed to.",
}
"""The sections that are a person's, with what belongs there."""
MARK = "<!-- Made by trackstack runs card: what stands under "
SPLIT = re.compile(r"(^|[._])(split|folds?|test|val|valid|validation|holdout)([._]|$)")
"""Parameters that say what a model was trained and tested on."""
MOST_GROUPS, FEWEST_GROUPS, RESAMPLES = 50, 5, 10_000
FRAMEWORKS = ("torch", "tensorflow", "jax", "scikit-learn", "xgboost", "lightgbm", "numpy")
"""The packages that a card names."""
Z = 1.959964  # 95 %


def card_file(series: Series) -> Path:
    """Where the card of a promoted run lies."""
    return series.folder / f"model-card-{series.number}.md"


def model_card(run: SeriesRecords, before: str = "") -> str:
    """The card of a run.

    Args:
        before: an earlier card, whose persons' sections are kept.
    """
    series, figures = run.series, last_figures(run)
    groups = group_figures(series)
    title = series.versions[0]["name"] if series.versions else series.start["tags"].get("model_name")
    yours = _sections(before)
    names = ", ".join(PERSONS)
    parts = [
        f"# Model card: {title or series.start['name']}",
        f"{MARK}{names} is yours, and stays; all else is made anew. -->",
    ]
    parts += ["## Model", _model(series), *_persons("Intended use", yours), "## Data", _data(series)]
    parts += ["## Split", _split(series), "## Figures", _figures(figures, groups)]
    parts += ["## Groups", _groups(groups), "## What the record shows of its limits", _limits(run, figures, groups)]
    parts += [*_persons("Known limits", yours), *_persons("Ethical considerations", yours)]
    parts += ["## Parameters", _table(["parameter", "value"], flatten(series.start["params"]).items())]
    own = {line.removeprefix("## ") for line in parts if line.startswith("## ")}
    parts += [f"## {heading}\n\n{text}" for heading, text in yours.items() if heading not in own]
    return "\n\n".join(part for part in parts if part) + "\n"


def earlier_card(path: Path) -> str:
    """The text of a card, nothing where there is none; UserError where the file is something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start + 1} is not UTF-8; save the card as UTF-8") from None
    if MARK not in text:
        raise UserError(f"{path}: is no model card of trackstack; give another name to --out")
    return text


def write_card(path: Path, run: SeriesRecords, before: str) -> None:
    """Write the card of a run; see `model_card`."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(model_card(run, before), encoding="utf-8", errors="backslashreplace")
    partial.replace(path)


def missing_sections(card: str) -> list[str]:
    """The headings under which a person has to say something yet."""
    return [heading for heading, text in _sections(card).items() if MISSING in text]


def _sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return {heading.strip(): text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def _persons(heading: str, yours: dict[str, str]) -> list[str]:
    text = yours.get(heading)
    return [f"## {heading}", text or f"{MISSING}. {PERSONS[heading]}"]


def _model(series: Series) -> str:
    start, tags, environment = series.start, series.start["tags"], series.start["environment"]
    packages = environment.get("packages") or {}
    shown = [f"{name} {packages[name]}" for name in FRAMEWORKS if name in packages]
    if "python" in environment:
        shown.insert(0, f"Python {environment['python']}")
    if more := [name for name in packages if name not in FRAMEWORKS]:
        shown.append(f"and {len(more)} more packages, in the record")
    models = {record["digest"]: record["name"] for record in series.artifacts if record["kind"] == "model"}
    rows = {
        "run": f"{series.key}, {start['name']}, {series.status}",
        "promoted": "; ".join(
            f"{kept['name']}@{kept['version']} by {kept['user']}{': ' * bool(kept['why'])}{kept['why']}"
            for kept in series.versions
        ),
        "kind": tags.get("model_name"),
        "trained": f"{_day(start['time'])}, by {environment.get('user')}",
        "source": tags.get("source") or tags.get("git_commit"),
        "device": environment.get("device"),
        "software": ", ".join(shown),
        **{f"SHA-256 of {name}": digest for digest, name in models.items()},
    }
    return _table(["what", "value"], rows.items())


def _data(series: Series) -> str:
    data = series.start.get("data") or {}
    rows = {name: data.get(name) for name in ("name", "version", "description", "path", "num_samples")}
    items, problem = recorded_items([series.start["upstream"]] if series.start.get("upstream") else [])
    made = {item.path: f"{item.value}, {item.what}" for item in items if not item.what.endswith("dependency")}
    table = _table(["what", "value"], [*rows.items(), *made.items()])
    return table or f"Not recorded{': ' * bool(problem)}{problem or ''}. Say it under *Known limits*."


def _split(series: Series) -> str:
    chosen = {name: value for name, value in flatten(series.start["params"]).items() if SPLIT.search(name)}
    return (
        _table(["parameter", "value"], chosen.items())
        or "Not recorded: no parameter says how the data were split. Say it under *Known limits*."
    )


def _figures(figures: dict[str, float], groups: dict[str, dict[str, float]]) -> str:
    if not figures:
        return "None was recorded."
    rows = [
        (name, f"{value:.4g}", _interval(name, value, figures, groups)) for name, value in sorted(figures.items())
    ]
    return _table(["figure", "last value", "95 % interval"], rows)


def _interval(name: str, value: float, figures: dict[str, float], groups: dict[str, dict[str, float]]) -> str:
    """Over groups, where there are enough: those that were measured are a sample of those to come."""
    split, _, what = name.partition("_")
    if len(groups) >= FEWEST_GROUPS and all({what, "windows"} <= row.keys() for row in groups.values()):
        values, counts = (np.array([row[column] for row in groups.values()]) for column in (what, "windows"))
        if math.isclose(float(values @ counts / counts.sum()), value, rel_tol=1e-4):
            drawn = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
            means = (values * counts)[drawn].sum(1) / counts[drawn].sum(1)
            low, high = np.percentile(means, [2.5, 97.5])
            return f"{low:.4g} to {high:.4g}: bootstrap over {len(groups)} groups"
    count = figures.get(f"{split}_windows", 0)
    if what == "accuracy" and count and math.isclose(value * count, round(value * count), abs_tol=1e-6):
        low, high = wilson(value, count)
        return f"{low:.4g} to {high:.4g}: Wilson's, as if all {count:,.0f} were independent"
    return ""


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return middle - half, middle + half


def _groups(groups: dict[str, dict[str, float]]) -> str:
    if not groups:
        return "Not recorded: no `per_group.csv` is among the files of the run."
    names = list(next(iter(groups.values())))
    rows = [(group, *(f"{row[name]:.4g}" for name in names)) for group, row in list(groups.items())[:MOST_GROUPS]]
    more = len(groups) - len(rows)
    return _table(["group", *names], rows) + (
        f"\n\nAnd {more} more, in per_group.csv of the run." if more > 0 else ""
    )


def _limits(run: SeriesRecords, figures: dict[str, float], groups: dict[str, dict[str, float]]) -> str:
    series = run.series
    found = []
    if not any(name.startswith("test_") for name in figures):
        found.append("No figure of a test was recorded: none is named `test_…`.")
    for column in [name for name in next(iter(groups.values()), {}) if name != "windows"]:
        ordered = sorted(groups, key=lambda group: groups[group][column])
        ends = [f"{groups[group][column]:.4g} ({group})" for group in (ordered[0], ordered[-1])]
        found.append(f"{column} differs by group: from {' to '.join(ends)}, of {len(groups)}.")
    if 0 < len(groups) < FEWEST_GROUPS:
        found.append(f"{len(groups)} groups were measured: too few for an interval over groups.")
    found.append(
        f"Executed again with equal results: {series.reproduced} times."
        if series.reproduced
        else "It was executed once here."
    )
    found += [
        f"Reproduced by {verdict['by']} on {_day(verdict['time'])}: {verdict['verdict']}."
        for verdict in verdicts_on(series)
    ]
    if looks := len(looks_at(series)):
        found.append(f"Looks at test figures while runs were compared: {looks}; so they are not of an unseen test.")
    if series.start["tags"].get("git_dirty") == "true":
        found.append("Its source had edits that were not committed; they are kept in the commit above.")
    return "\n".join(f"* {line}" for line in found)


def _table(header: list[str], rows: Iterable[tuple[Any, ...]]) -> str:
    """A table of Markdown; nothing without a row that has a value."""
    kept = [[_cell(value) for value in row] for row in rows if row[1] not in (None, "")]
    lines = [header, ["---"] * len(header), *kept]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if kept else ""


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
