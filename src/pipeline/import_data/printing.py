"""What `trackstack catalog` prints for people: files, plans, changes, dataset versions."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import typer

from pipeline.import_data.settings import describe
from trackstack.cli.printing import print_table

if TYPE_CHECKING:
    from pipeline.import_data.apply import Written
    from pipeline.import_data.plan import Plan
    from pipeline.import_data.reading.dialect import Sample
    from pipeline.import_data.remove import Removal
    from pipeline.import_data.update import Changes

MAX_SHOWN = 20


def show_samples(path: str, samples: list[Sample]) -> None:
    """How many files, how large, in which dialect."""
    size = sum(sample.file.stat().st_size for sample in samples)
    typer.echo(f"{path}: {_files(samples)}, {size:,} bytes; {samples[0].what or samples[0].dialect}")


def show_plan(plan: Plan, move: bool) -> None:
    """What the dataset version will be, and what will be written."""
    entry = plan.entry
    features = [feature["name"] for feature in entry["features"]]
    categories = [
        f"{name}: " + shorten([f"{category} {rows:,}" for category, rows in counts.items()])
        for name, counts in plan.category_rows.items()
    ]
    counts = [f"{name} {rows:,}" for name, rows in plan.class_rows.items()]
    is_sequence = bool(entry.get("series"))
    no_group = f"none: {'recordings' if is_sequence else 'rows'} are spread over the folds"
    rows = [("kind", "sequences" if is_sequence else "a table: every row is a sample")]
    rows.append(("features", f"{len(features)}: {shorten(features)}"))
    if categories:
        shown = "; ".join(categories[:MAX_SHOWN])
        more = f" and {len(categories) - MAX_SHOWN} more" if len(categories) > MAX_SHOWN else ""
        rows.append(("categories", shown + more))
    rows += [
        ("dates", f"{name}, written as {one}, in UTC where no zone is named")
        for name, one in plan.kinds.times.items()
    ]
    if plan.incomplete:
        mean = "the mean of the training rows takes their place"
        rows.append(("missing values", f"in {shorten(plan.incomplete)}; {mean}"))
    if plan.amounts:
        ranges = [f"{name}, a number from {low:g} to {high:g}" for name, (low, high) in plan.amounts.items()]
        rows.append(("label", f"{shorten(ranges)} (regression)"))
    else:
        rows.append(("label", f"{entry['label']}, {len(counts)} classes: {shorten(counts)}"))
    rows.append(("group", entry.get("group") or no_group))
    rows += [(what, shorten(entry[what])) for what in ("series", "time", "extra") if entry.get(what)]
    if units := [f"{feature['name']} {feature['unit']}" for feature in entry["features"] if feature.get("unit")]:
        rows.append(("units", shorten(units)))
    if plan.blocks:
        left_out = sum(sum(file.recordings.values()) for file in plan.files) - sum(file.rows for file in plan.files)
        gap = f"; {plan.blocks.gap} rows between two are left out ({left_out:,} rows)"
        rows.append(("blocks", f"{plan.blocks.number} of each recording{gap if left_out else ''}"))
    rows.append(("settings", describe(entry["settings"])))
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


def show_removal(removal: Removal, back: str) -> None:
    """What will be removed, and how it comes back."""
    gone = ", ".join([*removal.paths, f"the entry {removal.name}"])
    way = f"before the next commit type: {back}" if removal.in_git else "git has no such version: add it again"
    typer.echo(f"{'will remove':15s} {gone}\n{'to get it back':15s} {way}")


def show_dataset(kind: str, content: dict[str, Any]) -> None:
    """A catalog entry as a table."""
    features, files, recipe = (content.pop(key, {}) for key in ("features", "files", "recipe"))
    targets = content.pop("targets", [])
    rows = [["kind", kind]]
    rows += [[key, shorten(value)] for key, value in content.items()]
    rows += [[f"recipe {key}", shorten(value)] for key, value in recipe.items()]
    rows += [
        [what, " ".join(f"{key} {shorten(value)}" if key != "name" else value for key, value in column.items())]
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
