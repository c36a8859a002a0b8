"""Questions to recorded runs: `trackstack runs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trackstack import UserError
from trackstack.cli import archive, choose, cost, listing, page
from trackstack.cli.printing import (
    Json,
    number,
    print_json,
    print_table,
    verdict_text,
    warn,
    when,
)

if TYPE_CHECKING:
    from trackstack.records.index.index import RunIndex

commands = typer.Typer()
runs = typer.Typer(no_args_is_help=True, help="Look at recorded runs.")
commands.add_typer(runs, name="runs")
runs.add_typer(listing.commands)
runs.add_typer(choose.commands)
runs.add_typer(archive.commands)
runs.add_typer(cost.commands)
runs.add_typer(page.commands)


@runs.command()
def show(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id, the beginning of it, or its name; else the newest."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Parameters, figures, data, environment and files of one run."""
    from trackstack.records.index.index import read_index
    from trackstack.records.query import flatten, show_run
    from trackstack.tracking.environment import home

    if run is None:
        newest = read_index(home()).newest()
        if newest is None:
            raise UserError("no run is recorded yet; type: dvc repro")
        run = newest.key
    shown = show_run(home(), run)
    warn(shown["damage"])
    if as_json:
        print_json(shown)
        return
    rows = [[name, shown[name]] for name in ("run", "name", "status", "error", "user") if shown[name] is not None]
    if packages := (shown["environment"] or {}).get("packages"):
        shown["environment"]["packages"] = f"{len(packages)}; --json names them"
    for part in ("metrics", "params", "tags", "data", "environment"):
        rows += [[f"{part}.{name}", value] for name, value in flatten(shown[part] or {}).items()]
    rows += cost.usage_rows(shown["spent"])
    rows += [["tagged", " ".join(shown["tagged"])]] if shown["tagged"] else []
    rows += [[f"note, {when(note['time'])} {note['user']}", note["text"]] for note in shown["notes"]]
    for look in shown["test_looks"] or []:
        rows.append(["test figures looked at", f"{when(look['time'])} {look['user']}: {', '.join(look['metrics'])}"])
    rows += [[f"artifact {record['kind']}", record["path"]] for record in shown["artifacts"]]
    rows += [["reproduced", verdict_text(verdict)] for verdict in shown["verdicts"] or ()]
    for version in shown["versions"] or ():
        named = "".join(f", {alias}" for alias in version["aliases"])
        rows.append([f"promoted by {version['user']}", f"{version['name']}@{version['version']}{named}"])
    print_table(["what", "value"], rows)


@runs.command()
def compare(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Two runs or more; with --plot all, by default.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this file: .png, .svg or .pdf.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What to draw; val_accuracy, val_r2 or the first that there is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Parameters, data, source files and figures in which runs differ."""
    from trackstack.records.query import compare_runs

    index = _index()
    if plot:
        from trackstack.page.picture import draw_comparison

        metric = metric or _usual(index, "val_")
        every = [run.key for run in index if metric in run.figures]
        rows = compare_runs(index, keys or every)
        typer.echo(f"{plot}: {metric} over {draw_comparison(rows, metric, plot)} parameters")
        return
    rows = compare_runs(index, keys or [])
    if as_json:
        print_json(rows)
        return
    header = list(rows[0]) if rows else ["what", "field"]
    print_table(header, [[row[name] for name in header] for row in rows])


@runs.command()
def folds(
    metric: Annotated[
        str | None, typer.Option(help="What to sum up; test_accuracy, test_r2 or the first that there is.")
    ] = None,
    fold: Annotated[str, typer.Option(help="The parameter that names what was tested on.")] = "tensor_cache.test",
    seed: Annotated[str, typer.Option(help="The parameter that holds the seed.")] = "train.seed",
    as_json: Json = False,
) -> None:
    """Cross-validation: mean and spread over folds and seeds, and the accuracy or error of each group."""
    from trackstack.records.choosing.folds import cross_validations
    from trackstack.tracking.environment import home

    metric = metric or _usual(_index(), "test_")
    results = cross_validations(home(), metric, fold, seed)
    if as_json:
        print_json(results)
        return
    if not results:
        raise UserError(
            f"no finished runs with {metric} that differ in {fold} here; "
            "trackstack sweep -S 'tensor_cache.fold=range(5)' makes them"
        )
    for result in results:
        typer.echo(", ".join(f"{name} {value}" for name, value in result["params"].items()))
        seeds = f"{len(result['seeds'])} seed{'s' * (len(result['seeds']) != 1)}"
        typer.echo(f"{metric} {number(result['mean'])} over {len(result['folds'])} folds and {seeds}")
        spreads = {"folds": result["spread_folds"], "seeds": result["spread_seeds"]}
        typer.echo("; ".join(f"spread over {of}: {number(value)}" for of, value in spreads.items() if value))
        print_table(["tested on", metric], [[groups, number(value)] for groups, value in result["folds"].items()])
        if groups := result["groups"]:
            figures = [name for name in next(iter(groups.values())) if name != "windows"]
            rows = [
                [name, *(number(group[figure]) for figure in figures), group["windows"]]
                for name, group in groups.items()
            ]
            print_table(["group", *figures, "windows"], rows)


@runs.command()
def sql(
    statement: Annotated[str, typer.Argument(help="For instance: SELECT * FROM runs")], as_json: Json = False
) -> None:
    """Ask project.db: one statement that only reads."""
    from trackstack.records.query import query
    from trackstack.tracking.environment import home

    header, rows = query(home() / "project.db", statement)
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_table(header, rows)


def _index() -> RunIndex:
    """All runs; what is damaged of them is said."""
    from trackstack.records.index.index import read_index
    from trackstack.tracking.environment import home

    index = read_index(home())
    warn(index.damage())
    return index


def _usual(index: RunIndex, split: str) -> str:
    """The usual metric of a split that a run has; of runs without one the first metric of any."""
    from trackstack.records.choosing.listing import USUAL_METRICS

    names = dict.fromkeys(name for run in index for name in run.figures)
    usual = [name for name in USUAL_METRICS if name.startswith(split)]
    return next((name for name in [*(name for name in usual if name in names), *names]), usual[0])
