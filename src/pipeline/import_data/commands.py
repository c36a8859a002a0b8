"""Dataset versions: `trackstack catalog`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.import_data.printing import (
    shorten,
    show_changes,
    show_dataset,
    show_plan,
    show_samples,
    show_written,
)
from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table

if TYPE_CHECKING:
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.dialect import Sample
    from pipeline.import_data.plan import Plan

catalog = typer.Typer(no_args_is_help=True, help="Dataset versions: add own CSV files, look at what there is.")

Source = Annotated[str, typer.Argument(metavar="PATH", help="A CSV file, a folder, or a pattern in quotes.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset version.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")]
Move = Annotated[bool, typer.Option("--move", help="Remove the originals at the end; on one disk nothing is copied.")]
Extra = Annotated[list[str] | None, typer.Option(help="A column to keep and not to train on; repeat it.")]
Feature = Annotated[
    list[str] | None, typer.Option(help="A column to train on though it numbers the rows or has no name; repeat it.")
]
Missing = Annotated[list[str] | None, typer.Option(help="A word for a missing value; repeat it.")]
NotMissing = Annotated[
    list[str] | None, typer.Option(help="A word such as none that is a class or group here; repeat it.")
]
Spellings = Annotated[
    str | None,
    typer.Option(help="join or keep apart: names that differ only in case, spaces, Unicode form, number format."),
]
Delimiter = Annotated[str | None, typer.Option(help="What stands between values, instead of a guess.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal mark: . or ,")]
Thousands = Annotated[str | None, typer.Option(help="What stands between thousands: , or . or ' or a space.")]
Encoding = Annotated[str | None, typer.Option(help="For instance utf-8 or cp1252.")]
Labels = Annotated[
    Path | None, typer.Option(help="A table whose first column names the files: their labels, groups or series.")
]


@catalog.command()
def add(
    path: Source,
    name: Annotated[str, typer.Option(help="What to call it: letters, digits, - and _.")],
    label: Annotated[
        list[str] | None, typer.Option(help="The column of classes or amounts; repeat it for several amounts.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="classification or regression, instead of a guess.")] = None,
    group: Annotated[str | None, typer.Option(help="The column that is never split: person, machine, site.")] = None,
    series: Annotated[str | None, typer.Option(help="The column that changes where a recording ends.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of numbers that rise within a recording.")] = None,
    sequence: Annotated[bool, typer.Option("--sequence", help="Each file is one recording.")] = False,
    extra: Extra = None,
    feature: Feature = None,
    missing: Missing = None,
    not_missing: NotMissing = None,
    spellings: Spellings = None,
    group_from: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Finds the group in a file's name: its first bracket.")
    ] = None,
    label_from: Annotated[str | None, typer.Option(metavar="REGEX", help="Likewise the label.")] = None,
    labels: Labels = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    description: Annotated[str, typer.Option(help="A sentence for the catalog.")] = "",
    move: Move = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a dataset version of own CSV files: a copy under DVC, and an entry in the catalog."""
    from pipeline.contract.catalog import refuse_bad_name, refuse_taken
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.dialect import DialectOptions, find_files, read_sample

    refuse_bad_name(name)
    refuse_taken(name, path)
    dialect = DialectOptions.typed(encoding, delimiter, decimal, thousands)
    samples = [read_sample(file, below, dialect) for file, below in find_files(path)]
    names = (label, extra, feature, missing, not_missing)
    labels_, extra_, features, missing_, not_missing_ = (tuple(dict.fromkeys(some or ())) for some in names)
    options = ImportOptions(
        *(next(iter(labels_), None), labels_[1:], task, group, series, time, extra_, features, missing_),
        *(not_missing_, sequence, group_from, label_from, labels, spellings),
        dialect=dialect,
    )
    asks = not (yes or dry_run or as_json)
    _refuse_to_ask(asks)
    if not as_json:
        show_samples(path, samples)
    if not (options.label or options.label_from or options.labels):
        options = _with_label(options, samples, asks)
    plan = plan_dataset(name, description or f"Own data: {Path(path).name}", options, samples)
    if not as_json:
        show_plan(plan, move)
    _confirm(asks)
    _apply(plan, move, dry_run, as_json, f"Add {name}", {})


@catalog.command()
def update(
    name: Name,
    path: Source,
    extra: Extra = None,
    missing: Missing = None,
    not_missing: NotMissing = None,
    spellings: Spellings = None,
    labels: Labels = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    move: Move = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the files of PATH in the place of a dataset version's: what was added, removed, changed."""
    from pipeline.contract.catalog import load_dataset
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.dialect import DialectOptions, find_files, read_sample
    from pipeline.import_data.update import find_changes, keep_old_entry, original_options

    asks = not (yes or dry_run or as_json)
    _refuse_to_ask(asks)
    dataset = load_dataset(name)
    if not Path(dataset.path).is_dir():
        raise UserError(f"{dataset.path}: not here, so nothing to compare with; type: dvc pull {dataset.path}.dvc")
    dialect = DialectOptions.typed(encoding, delimiter, decimal, thousands)
    given = ImportOptions(
        extra=tuple(extra or ()),
        missing=tuple(missing or ()),
        not_missing=tuple(not_missing or ()),
        labels=labels,
        spellings=spellings,
        dialect=dialect,
    )
    options = original_options(dataset, given)
    samples = [read_sample(file, below, options.dialect) for file, below in find_files(path)]
    plan = keep_old_entry(dataset, plan_dataset(name, dataset.description, options, samples))
    changes = find_changes(dataset, plan)
    if not as_json:
        show_changes(changes)
        show_plan(plan, move)
    in_place = Path(path).resolve() == Path(dataset.path).resolve()
    if not (changes.added or changes.removed or changes.changed or in_place):
        if as_json:
            print_json({"name": name, "changes": changes._asdict()})
        else:
            typer.echo("Nothing to do: these files are already there.")
        return
    _confirm(asks)
    _apply(plan, move, dry_run, as_json, f"Update {name}", {"changes": changes._asdict()})


@catalog.command("list")
def list_(as_json: Json = False) -> None:
    """All dataset versions."""
    from pipeline.contract.catalog import load_catalog

    rows = [
        {
            "name": name,
            "kind": dataset.kind(),
            "task": dataset.task,
            "rows": dataset.num_samples,
            "features": len(dataset.features),
            "classes": len(dataset.classes) or None,
            "group": dataset.group,
            "here": Path(dataset.path).is_dir(),
            "description": dataset.description,
        }
        for name, dataset in load_catalog().items()
    ]
    if as_json:
        print_json(rows)
        return
    table = [[*(row | {"here": "yes" if row["here"] else "no"}).values()] for row in rows]
    print_table(list(rows[0]) if rows else ["name"], table)


@catalog.command()
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this dataset version; by default all that are here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate every row of the raw files against the catalog; exit code 1 if one breaks the contract."""
    from pipeline.import_data.check_rows import check_rows

    checks = list(check_rows(name))
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        for check in checks:
            result = f"{check.rows:,} rows, {check.rejected:,} rejected" if check.here else "not here"
            typer.echo("\n  ".join([f"{check.name}: {result}", *check.first, *check.notes]))
    if any(check.rejected for check in checks):
        raise typer.Exit(1)


@catalog.command()
def show(name: Name, as_json: Json = False) -> None:
    """One dataset version: what its columns are, its files, and where it comes from."""
    from pipeline.contract.catalog import load_dataset

    dataset = load_dataset(name)
    content = dataset.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(content)
    else:
        show_dataset(dataset.kind(), content)


def plan_dataset(name: str, description: str, options: ImportOptions, samples: list[Sample]) -> Plan:
    """Read the samples' files to their ends, and plan."""
    from pipeline.import_data.columns import resolve_columns
    from pipeline.import_data.plan import make_plan
    from pipeline.import_data.survey import survey_files
    from trackstack.core.params import Parameters

    options, added = resolve_columns(options, samples)
    labels = options.label_columns()
    names = {*labels, *filter(None, [options.group, options.series])}
    surveys = survey_files(samples, names, options.missing_words(), options.time, labels)
    return make_plan(name, description, options, surveys, added, Parameters.load())


def _refuse_to_ask(asks: bool) -> None:
    if asks and not sys.stdin.isatty():
        raise UserError("stdin is no terminal, so nobody can be asked: add --yes (or --dry-run)")


def _confirm(asks: bool) -> None:
    if asks and not typer.confirm("Do it?", default=True):
        raise typer.Exit(1)


def _with_label(options: ImportOptions, samples: list[Sample], asks: bool) -> ImportOptions:
    from pipeline.import_data.columns import guess_label

    label = guess_label(samples)
    if asks:
        label = typer.prompt("Which column is the label", default=label or samples[0].header[-1])
        group = typer.prompt(
            "Which column must not be split: person, machine (Enter for none)", default="", show_default=False
        )
        files = len(samples) > 1 and not options.series and typer.confirm("Is each file one recording, in order?")
        return replace(options, label=label, group=options.group or group or None, sequence=options.sequence or files)
    if label is None:
        columns = shorten(samples[0].header)
        raise UserError(f"{samples[0].file}: which column is the label? --label NAME, one of {columns}")
    return replace(options, label=label)


def _apply(plan: Plan, move: bool, dry_run: bool, as_json: bool, message: str, more: dict[str, Any]) -> None:
    from pipeline.import_data.apply import apply
    from trackstack.core.params import Parameters

    written = None if dry_run else apply(plan, move=move)
    settings = list(plan.settings)
    rejected = written.rejected if written else plan.set_aside
    if rejected != Parameters.load().get("parquet.max_rejected"):
        settings.append(f"parquet.max_rejected={rejected}")
    raw = plan.entry["path"]
    run = " ".join(["dvc exp run -S", f"dataset={plan.name}", *(f"-S {setting}" for setting in settings)])
    keep = f"git add data/catalog.yaml {raw}.dvc {Path(raw).parent}/.gitignore && git commit -m '{message}'"
    if as_json:
        report: dict[str, Any] = {
            "name": plan.name,
            "entry": written.entry if written else plan.entry,
            "converted": plan.converted,
        }
        report |= {"notes": plan.notes, "classes": plan.class_rows, "settings": settings}
        report |= {"written": written is not None, **more, "next": [keep, run, "trackstack runs show"]}
        print_json(report)
    elif written is None:
        typer.echo("Nothing was written (--dry-run).")
    else:
        show_written(written, keep, run)
