"""What `trackstack catalog` prints for people: files, plans, changes, dataset versions."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import typer

from trackstack.cli.printing import print_table

if TYPE_CHECKING:
    from pipeline.import_data.apply import Written
    from pipeline.import_data.dialect import Sample
    from pipeline.import_data.plan import Plan
    from pipeline.import_data.update import Changes

MAX_SHOWN = 20


def show_samples(path: str, samples: list[Sample]) -> None:
    """How many files, how large, in which dialect."""
    size = sum(sample.file.stat().st_size for sample in samples)
    typer.echo(f"{path}: {_files(samples)}, {size:,} bytes; {samples[0].dialect}")


def show_plan(plan: Plan, move: bool) -> None:
    """What the dataset version will be, and what will be written."""
    entry = plan.entry
    features = [feature["name"] for feature in entry["features"]]
    missing = [feature["name"] for feature in entry["features"] if feature.get("missing")]
    counts = [f"{name} {rows:,}" for name, rows in plan.class_rows.items()]
    is_sequence = bool(entry.get("series"))
    no_group = f"none: {'recordings' if is_sequence else 'rows'} are spread over the folds"
    rows = [("kind", "sequences" if is_sequence else "a table: every row is a sample")]
    rows.append(("features", f"{len(features)}: {shorten(features)}"))
    if missing:
        rows.append(("missing values", f"in {shorten(missing)}; the mean of the training rows takes their place"))
    if plan.amounts:
        ranges = [f"{name}, a number from {low:g} to {high:g}" for name, (low, high) in plan.amounts.items()]
        rows.append(("label", f"{shorten(ranges)} (regression)"))
    else:
        rows.append(("label", f"{entry['label']}, {len(counts)} classes: {shorten(counts)}"))
    rows.append(("group", entry.get("group") or no_group))
    rows += [(what, shorten(entry[what])) for what in ("series", "time", "extra") if entry.get(what)]
    rows += [("note", note) for note in plan.notes]
    rows.append(("files", ("rewritten: " + "; ".join(plan.converted)) if plan.converted else "taken byte for byte"))
    rows.append(
        ("will write", f"{entry['path']}/ ({_files(plan.files)}), {entry['path']}.dvc, the entry {plan.name}")
    )
    if move:
        rows.append(("will remove", "the originals"))
    for what, text in rows:
        typer.echo(f"{what:15s} {text}")


def show_changes(changes: Changes) -> None:
    """Files that were added, removed, changed; rows of each class."""
    rows = [(what, len(names), shorten(names)) for what, names in changes._asdict().items() if what != "classes"]
    rows += [(f"class {name}", after, f"{after - before:+,}") for name, (before, after) in changes.classes.items()]
    for what, count, text in rows:
        typer.echo(f"{what:24s} {count:7,} {text}".rstrip())


def show_written(written: Written, keep: str, run: str) -> None:
    """What was written, and the commands that come next."""
    entry = written.entry
    if written.first:
        plural = "s" * (written.rejected > 1)
        typer.echo(f"{written.rejected:,} row{plural} will be set aside, the first in {written.first}")
    typer.echo(
        f"{entry['path']}: {_files(entry['files'])}, {entry['num_samples']:,} rows, in DVC and in the catalog\n"
        f"To keep it:\n  {keep}\nNext:\n  {run}\n  trackstack runs show"
    )


def show_dataset(kind: str, content: dict[str, Any]) -> None:
    """A catalog entry as a table."""
    features, files, recipe = (content.pop(key, {}) for key in ("features", "files", "recipe"))
    targets = content.pop("targets", [])
    rows = [["kind", kind]]
    rows += [[key, shorten(value)] for key, value in content.items()]
    rows += [[f"recipe {key}", shorten(value)] for key, value in recipe.items()]
    rows += [
        [what, " ".join(f"{key} {value}" if key != "name" else value for key, value in column.items())]
        for what, columns in (("target", targets), ("feature", features))
        for column in columns[:MAX_SHOWN]
    ]
    rows += [["file", f"{file}: {count:,} rows"] for file, count in list(files.items())[:MAX_SHOWN]]
    for what, values in (("targets", targets), ("features", features), ("files", files)):
        if len(values) > MAX_SHOWN:
            rows.append(["...", f"{len(values) - MAX_SHOWN} more {what}"])
    print_table(["what", "value"], rows)


def shorten(values: Any) -> str:
    """A value as text; of a long list the beginning."""
    if not isinstance(values, list | tuple):
        return str(values)
    shown = ", ".join(map(str, values[:MAX_SHOWN]))
    return shown + (f" and {len(values) - MAX_SHOWN} more" if len(values) > MAX_SHOWN else "")


def _files(files: Sized) -> str:
    return f"{len(files)} file{'s' * (len(files) > 1)}"
