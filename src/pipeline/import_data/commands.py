"""Own files become dataset versions: `trackstack catalog add` and `update`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.import_data import arguments as args
from pipeline.import_data.looking import looking
from pipeline.import_data.printing import shorten, show_changes, show_plan, show_removal, show_samples, show_written
from trackstack import UserError
from trackstack.cli.printing import Json, print_json
from trackstack.system.project import refuse_unusable_folder

if TYPE_CHECKING:
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.plan import Plan
    from pipeline.import_data.reading.dialect import Sample

catalog = typer.Typer(no_args_is_help=True, help="Dataset versions: add own files, look at what there is.")
catalog.add_typer(looking)


@catalog.command()
def add(
    path: args.Source,
    name: Annotated[str, typer.Option(help="What to call it: letters, digits, - and _.")],
    label: Annotated[
        list[str] | None, typer.Option(help="The column of classes or amounts; repeat it for several amounts.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="classification or regression, instead of a guess.")] = None,
    group: Annotated[str | None, typer.Option(help="The column that is never split: person, machine, site.")] = None,
    series: Annotated[str | None, typer.Option(help="The column that changes where a recording ends.")] = None,
    time: Annotated[
        str | None, typer.Option(help="The column of numbers or dates that rise within a recording.")
    ] = None,
    sequence: Annotated[bool, typer.Option("--sequence", help="Each file is one recording.")] = False,
    extra: args.Extra = None,
    feature: args.Feature = None,
    category: args.Category = None,
    date_features: args.DateFeatures = None,
    date_format: args.DateFormat = None,
    missing: args.Missing = None,
    not_missing: args.NotMissing = None,
    spellings: args.Spellings = None,
    blocks: args.NumBlocks = None,
    gap: args.Gap = None,
    group_from: args.GroupFrom = None,
    label_from: Annotated[str | None, typer.Option(metavar="REGEX", help="Likewise the label.")] = None,
    labels: args.Labels = None,
    delimiter: args.Delimiter = None,
    decimal: args.Decimal = None,
    thousands: args.Thousands = None,
    encoding: args.Encoding = None,
    skip: args.Skip = None,
    sheet: args.Sheet = None,
    no_header: args.NoHeader = False,
    description: Annotated[str, typer.Option(help="A sentence for the catalog.")] = "",
    move: args.Move = False,
    yes: args.Yes = False,
    dry_run: args.DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a dataset version of own files: a copy under DVC, and an entry in the catalog."""
    from pipeline.contract.catalog import refuse_bad_name, refuse_taken
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.reading.dialect import DialectOptions

    refuse_bad_name(name)
    refuse_taken(name, path)
    dialect = DialectOptions.typed(encoding, delimiter, decimal, thousands, skip, sheet, no_header)
    first, *more = _each_once(label) or (None,)
    said: dict[str, Any] = {"label": first, "more_labels": tuple(more), "task": task, "group": group, "time": time}
    said |= {"series": series, "sequence": sequence, "group_from": group_from, "label_from": label_from}
    said |= {"labels": labels, "spellings": spellings, "blocks": blocks, "gap": gap, "dialect": dialect}
    repeated = {"extra": extra, "features": feature, "missing": missing, "not_missing": not_missing}
    repeated |= {"categories": category, "date_features": date_features, "date_formats": date_format}
    said |= {option: _each_once(values) for option, values in repeated.items()}
    options = ImportOptions(**said)
    _add(path, name, description, options, move, yes, dry_run, as_json)


def _add(
    path: str,
    name: str,
    description: str,
    options: ImportOptions,
    move: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from pipeline.import_data.advice import group_notes
    from pipeline.import_data.reading.dialect import read_samples, refuse_unused

    asks = not (yes or dry_run or as_json)
    _refuse_to_start(asks)
    samples = read_samples(path, options.dialect)
    refuse_unused(options.dialect, samples)
    if not as_json:
        show_samples(path, samples)
    if not (options.label or options.label_from or options.labels):
        options = _with_label(options, samples, asks)
    plan = plan_dataset(name, description or f"Own data: {Path(path).name}", options, samples)
    plan = replace(plan, notes=(*plan.notes, *group_notes(options, samples[0])))
    if not as_json:
        show_plan(plan, move)
    _confirm(asks)
    _apply(plan, move, dry_run, as_json, f"Add {name}", {})


@catalog.command()
def update(
    name: args.Name,
    path: args.Source,
    extra: args.Extra = None,
    missing: args.Missing = None,
    not_missing: args.NotMissing = None,
    spellings: args.Spellings = None,
    date_format: args.DateFormat = None,
    labels: args.Labels = None,
    delimiter: args.Delimiter = None,
    decimal: args.Decimal = None,
    thousands: args.Thousands = None,
    encoding: args.Encoding = None,
    skip: args.Skip = None,
    sheet: args.Sheet = None,
    no_header: args.NoHeader = False,
    move: args.Move = False,
    yes: args.Yes = False,
    dry_run: args.DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the files of PATH in the place of a dataset version's: what was added, removed, changed."""
    from pipeline.contract.catalog import load_dataset
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.reading.dialect import DialectOptions, read_samples, refuse_unused
    from pipeline.import_data.update import find_changes, keep_old_entry, original_options

    asks = not (yes or dry_run or as_json)
    _refuse_to_start(asks)
    dataset = load_dataset(name)
    if not Path(dataset.path).is_dir():
        raise UserError(f"{dataset.path}: not here, so nothing to compare with; type: dvc pull {dataset.path}.dvc")
    dialect = DialectOptions.typed(encoding, delimiter, decimal, thousands, skip, sheet, no_header)
    given = ImportOptions(
        extra=tuple(extra or ()),
        missing=tuple(missing or ()),
        not_missing=tuple(not_missing or ()),
        labels=labels,
        spellings=spellings,
        date_formats=tuple(date_format or ()),
        dialect=dialect,
    )
    options = original_options(dataset, given)
    samples = read_samples(path, options.dialect)
    refuse_unused(dialect, samples)
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


@catalog.command()
def remove(name: args.Name, yes: args.Yes = False, dry_run: args.DryRun = False, as_json: Json = False) -> None:
    """Take a dataset version out of the catalog: the undo of add. DVC's cache keeps its data until dvc gc."""
    from pipeline.import_data.remove import plan_removal
    from pipeline.import_data.remove import remove as carry_out

    asks = not (yes or dry_run or as_json)
    _refuse_to_start(asks)
    removal = plan_removal(name)
    back = f"git checkout HEAD -- data/catalog.yaml data/raw/{name}.dvc && dvc checkout data/raw/{name}.dvc"
    if not as_json:
        show_removal(removal, back)
    _confirm(asks)
    if not dry_run:
        carry_out(removal)
    if as_json:
        print_json(removal._asdict() | {"removed": not dry_run, "back": back if removal.in_git else None})
    elif dry_run:
        typer.echo("Nothing was removed (--dry-run).")
    else:
        typer.echo(f"{name}: removed")


def plan_dataset(name: str, description: str, options: ImportOptions, samples: list[Sample]) -> Plan:
    """Read the samples' files to their ends, and plan."""
    from pipeline.import_data.apply import classes_of_blocks
    from pipeline.import_data.columns import resolve_columns
    from pipeline.import_data.plan import make_plan
    from pipeline.import_data.survey import survey_files

    options, added = resolve_columns(options, samples)
    labels = options.label_columns()
    names = {*labels, *filter(None, [options.group, options.series])}
    words = options.missing_words()
    surveys = survey_files(samples, names, words, options.time, options.categories, options.date_formats, labels)
    plan = make_plan(name, description, options, surveys, added)
    if not (plan.blocks and plan.class_rows):
        return plan
    rows = classes_of_blocks(plan)
    gone = [
        f"{options.label}: {name} is in no row outside of the gaps of --gap {plan.blocks.gap}"
        for name, count in rows.items()
        if not count
    ]
    return replace(plan, class_rows=rows, notes=(*plan.notes, *gone))


def _each_once(values: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values or ()))


def _refuse_to_start(asks: bool) -> None:
    refuse_unusable_folder(Path())
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

    written = None if dry_run else apply(plan, move=move)
    raw = plan.entry["path"]
    run = f"dvc exp run -S dataset={plan.name}"
    keep = f"git add data/catalog.yaml {raw}.dvc {Path(raw).parent}/.gitignore && git commit -m '{message}'"
    if as_json:
        report: dict[str, Any] = {
            "name": plan.name,
            "entry": written.entry if written else plan.entry,
            "converted": plan.converted,
        }
        report |= {"notes": plan.notes, "classes": plan.class_rows, "categories": plan.category_rows}
        report |= {"written": written is not None, **more, "next": [keep, run, "trackstack runs show"]}
        print_json(report)
    elif written is None:
        typer.echo("Nothing was written (--dry-run).")
    else:
        show_written(written, keep, run)
