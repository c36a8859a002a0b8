"""Dataset versions: `trackstack catalog`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table

if TYPE_CHECKING:
    from trackstack.own_data.guess import Sample
    from trackstack.own_data.plan import Choice, Plan
    from trackstack.own_data.update import Changes

commands = typer.Typer()
catalog = typer.Typer(no_args_is_help=True, help="Dataset versions: add own CSV files, look at what there is.")
commands.add_typer(catalog, name="catalog")

MAX_SHOWN = 20

Where = Annotated[str, typer.Argument(metavar="PATH", help="A CSV file, a folder, or a pattern in quotes.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset version.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")]
Move = Annotated[bool, typer.Option("--move", help="Remove the originals at the end; on one disk nothing is copied.")]
Labels = Annotated[
    Path | None, typer.Option(help="A table whose first column names the files: their labels, groups or series.")
]


@catalog.command()
def add(
    path: Where,
    name: Annotated[str, typer.Option(help="What to call it: letters, digits, - and _.")],
    label: Annotated[str | None, typer.Option(help="The column of classes.")] = None,
    group: Annotated[str | None, typer.Option(help="The column that is never split: person, machine, site.")] = None,
    series: Annotated[str | None, typer.Option(help="The column that changes where a recording ends.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of numbers that rise within a recording.")] = None,
    sequence: Annotated[bool, typer.Option("--sequence", help="Each file is one recording.")] = False,
    extra: Annotated[list[str] | None, typer.Option(help="A column to keep and not to train on; repeat it.")] = None,
    missing: Annotated[list[str] | None, typer.Option(help="A word for a missing value; repeat it.")] = None,
    group_from: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Finds the group in a file's name: its first bracket.")
    ] = None,
    label_from: Annotated[str | None, typer.Option(metavar="REGEX", help="Likewise the label.")] = None,
    labels: Labels = None,
    delimiter: Annotated[str | None, typer.Option(help="What stands between values, instead of a guess.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    encoding: Annotated[str | None, typer.Option(help="For instance utf-8 or cp1252.")] = None,
    description: Annotated[str, typer.Option(help="A sentence for the catalog.")] = "",
    move: Move = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a dataset version of own CSV files: a copy under DVC, and an entry in the catalog."""
    from trackstack.catalog import refuse_bad_name, refuse_taken
    from trackstack.own_data.guess import Given, find_files, guess
    from trackstack.own_data.plan import Choice

    refuse_bad_name(name)
    refuse_taken(name, path)
    given = Given(encoding, _one_letter("--delimiter", delimiter), _one_letter("--decimal", decimal, ",."))
    samples = [guess(file, below, given) for file, below in find_files(path)]
    choice = Choice(
        label, group, series, time, tuple(extra or ()), tuple(missing or ()), sequence, group_from, label_from, labels
    )
    choice = replace(choice, given=given)
    asks = not (yes or dry_run or as_json)
    _refuse_to_ask(asks)
    if not as_json:
        _show_samples(path, samples)
    if not (choice.label or choice.label_from or choice.labels):
        choice = _with_label(choice, samples, asks)
    plan = _planned(name, description or f"Own data: {Path(path).name}", choice, samples)
    if not as_json:
        _show_plan(plan, move)
    if asks and not typer.confirm("Do it?", default=True):
        raise typer.Exit(1)
    _carry_out(plan, move, dry_run, as_json, f"Add {name}", {})


@catalog.command()
def update(
    name: Name,
    path: Where,
    labels: Labels = None,
    move: Move = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the files of PATH in the place of a dataset version's: what was added, removed, changed."""
    from trackstack.catalog import load_dataset
    from trackstack.own_data.guess import find_files, guess
    from trackstack.own_data.update import changes, choice_of, merge

    _refuse_to_ask(asks := not (yes or dry_run or as_json))
    dataset = load_dataset(name)
    if not Path(dataset.path).is_dir():
        raise UserError(f"{dataset.path}: not here, so nothing to compare with; type: dvc pull {dataset.path}.dvc")
    choice = choice_of(dataset, labels)
    samples = [guess(file, below, choice.given) for file, below in find_files(path)]
    plan = merge(dataset, _planned(name, dataset.description, choice, samples))
    found = changes(dataset, plan)
    if not as_json:
        _show_changes(found)
        _show_plan(plan, move)
    in_place = Path(path).resolve() == Path(dataset.path).resolve()
    if not (found.added or found.removed or found.changed or in_place):
        if as_json:
            print_json({"name": name, "changes": found._asdict()})
        else:
            typer.echo("Nothing to do: these files are already there.")
        return
    if asks and not typer.confirm("Do it?", default=True):
        raise typer.Exit(1)
    _carry_out(plan, move, dry_run, as_json, f"Update {name}", {"changes": found._asdict()})


@catalog.command("list")
def list_(as_json: Json = False) -> None:
    """All dataset versions."""
    from trackstack.catalog import load_catalog

    rows = [
        {
            "name": name,
            "kind": dataset.kind(),
            "rows": dataset.num_samples,
            "features": len(dataset.features),
            "classes": len(dataset.classes),
            "group": dataset.group,
            "here": Path(dataset.path).is_dir(),
            "description": dataset.description,
        }
        for name, dataset in load_catalog().items()
    ]
    if as_json:
        print_json(rows)
        return
    table = [[*row.values()] for row in (row | {"here": "yes" if row["here"] else "no"} for row in rows)]
    print_table(list(rows[0]) if rows else ["name"], table)


@catalog.command()
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One alone; all that are here otherwise.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every row of the raw files against the catalog; exit code 1 if one does not keep the contract."""
    from trackstack.own_data.check import check_rows

    found = list(check_rows(name))
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        for one in found:
            typer.echo(
                f"{one.name}: {one.rows:,} rows, {one.rejected:,} rejected" if one.here else f"{one.name}: not here"
            )
            for line in one.first:
                typer.echo(f"  {line}")
    if any(one.rejected for one in found):
        raise typer.Exit(1)


@catalog.command()
def show(name: Name, as_json: Json = False) -> None:
    """One dataset version: what its columns are, its files, and where it comes from."""
    from trackstack.catalog import load_dataset

    dataset = load_dataset(name)
    content = dataset.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(content)
        return
    features, files, recipe = content.pop("features"), content.pop("files", {}), content.pop("recipe", {})
    rows = [["kind", dataset.kind()]]
    rows += [[key, _short(value)] for key, value in content.items()]
    rows += [[f"recipe {key}", _short(value)] for key, value in recipe.items()]
    rows += [
        ["feature", " ".join(f"{key} {value}" if key != "name" else value for key, value in feature.items())]
        for feature in features[:MAX_SHOWN]
    ]
    rows += [["file", f"{file}: {count:,} rows"] for file, count in list(files.items())[:MAX_SHOWN]]
    for what, values in (("features", features), ("files", files)):
        if len(values) > MAX_SHOWN:
            rows.append(["...", f"{len(values) - MAX_SHOWN} more {what}"])
    print_table(["what", "value"], rows)


def _planned(name: str, description: str, choice: Choice, samples: list[Sample]) -> Plan:
    from trackstack.own_data.plan import complete, make_plan
    from trackstack.own_data.survey import survey
    from trackstack.params import load_params

    choice, added = complete(choice, samples)
    names = {column for column in (choice.label, choice.group, choice.series) if column}
    surveys = survey(samples, names, choice.missing)
    return make_plan(name, description, choice, surveys, added, load_params())


def _refuse_to_ask(asks: bool) -> None:
    if asks and not sys.stdin.isatty():
        raise UserError("stdin is no terminal, so nobody can be asked: add --yes (or --dry-run)")


def _with_label(choice: Choice, samples: list[Sample], asks: bool) -> Choice:
    from trackstack.own_data.plan import guess_label

    found = guess_label(samples)
    columns = ", ".join(samples[0].header[:MAX_SHOWN]) + (", ..." if len(samples[0].header) > MAX_SHOWN else "")
    if asks:
        found = typer.prompt("Which column is the label", default=found or samples[0].header[-1])
        group = typer.prompt(
            "Which column must not be split: person, machine (Enter for none)", default="", show_default=False
        )
        files = len(samples) > 1 and not choice.series and typer.confirm("Is each file one recording, in order?")
        return replace(choice, label=found, group=choice.group or group or None, sequence=choice.sequence or files)
    if found is None:
        raise UserError(f"{samples[0].file}: which column is the label? --label NAME, one of {columns}")
    return replace(choice, label=found)


def _one_letter(option: str, value: str | None, allowed: str = "") -> str | None:
    value = "\t" if value in ("\\t", "tab") else value
    if value is not None and (len(value) != 1 or (allowed and value not in allowed)):
        raise UserError(f"{option} {value}: expected {' or '.join(allowed) if allowed else 'one letter, or tab'}")
    return value


def _carry_out(plan: Plan, move: bool, dry_run: bool, as_json: bool, message: str, more: dict[str, Any]) -> None:
    from trackstack.own_data.apply import apply

    done = None if dry_run else apply(plan, move=move)
    entry, settings = (done.entry if done else plan.entry), list(plan.settings)
    if done and done.rejected:
        settings.append(f"parquet.max_rejected={done.rejected}")
    raw = entry["path"]
    run = " ".join(["dvc exp run -S", f"dataset={plan.name}", *(f"-S {setting}" for setting in settings)])
    kept = f"git add data/catalog.yaml {raw}.dvc {Path(raw).parent}/.gitignore && git commit -m '{message}'"
    if as_json:
        report = {"name": plan.name, "entry": entry, "converted": plan.converted, "notes": plan.notes}
        report |= {"classes": plan.class_rows, "settings": settings, "written": done is not None}
        print_json(report | more | {"next": [kept, run, "trackstack runs show"]})
        return
    if done is None:
        typer.echo("Nothing was written (--dry-run).")
        return
    if done.first:
        first = done.first
        typer.echo(
            f"{done.rejected:,} row{'s' * (done.rejected > 1)} will be set aside, the first in {first.file}, line "
            f"{first.line}: {first.column} is {first.value!r}; {first.reason}"
        )
    typer.echo(f"{raw}: {_files(entry['files'])}, {entry['num_samples']:,} rows, in DVC and in the catalog")
    typer.echo(f"To keep it:\n  {kept}\nNext:\n  {run}\n  trackstack runs show")


def _show_samples(path: str, samples: list[Sample]) -> None:
    size = sum(sample.file.stat().st_size for sample in samples)
    typer.echo(f"{path}: {_files(samples)}, {size:,} bytes; {samples[0].dialect}")


def _show_plan(plan: Plan, move: bool) -> None:
    entry = plan.entry
    features = [feature["name"] for feature in entry["features"]]
    missing = [feature["name"] for feature in entry["features"] if feature.get("missing")]
    counts = [f"{name} {rows:,}" for name, rows in plan.class_rows.items()]
    rows = [
        ["kind", "sequences" if entry.get("series") else "a table: every row is a sample"],
        ["features", f"{len(features)}: {_short(features)}"],
        ["missing values", f"in {_short(missing)}; the mean of the training rows takes their place"]
        if missing
        else [],
        ["label", f"{entry['label']}, {len(counts)} classes: {_short(counts)}"],
        [
            "group",
            entry.get("group") or "none: " + ("recordings" if entry.get("series") else "rows") + " are dealt out",
        ],
        *([what, _short(entry[what])] for what in ("series", "time", "extra") if entry.get(what)),
        *(["note", note] for note in plan.notes),
        ["files", ("rewritten: " + "; ".join(plan.converted)) if plan.converted else "taken byte for byte"],
        ["will write", f"{entry['path']}/ ({_files(plan.files)}), {entry['path']}.dvc, the entry {plan.name}"],
        ["will remove", "the originals"] if move else [],
    ]
    for what, text in filter(None, rows):
        typer.echo(f"{what:15s} {text}")


def _show_changes(found: Changes) -> None:
    rows = [[what, len(names), _short(names)] for what, names in found._asdict().items() if what != "classes"]
    rows += [[f"class {name}", after, f"{after - before:+,}"] for name, (before, after) in found.classes.items()]
    for what, count, text in rows:
        typer.echo(f"{what:24s} {count:7,} {text}".rstrip())


def _files(several: Any) -> str:
    return f"{len(several)} file{'s' * (len(several) > 1)}"


def _short(values: Any) -> str:
    if not isinstance(values, list | tuple):
        return str(values)
    shown = ", ".join(map(str, values[:MAX_SHOWN]))
    return shown + (f" and {len(values) - MAX_SHOWN} more" if len(values) > MAX_SHOWN else "")
