"""Questions to recorded runs: `trackstack runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli import archive, choose, page
from trackstack.cli.printing import (
    Json,
    number,
    print_json,
    print_table,
    seconds,
    state,
    verdict_text,
    warn_of_damage,
    when,
)

USUAL_METRICS = ("val_accuracy", "test_accuracy", "val_r2", "test_r2")
"""What a list shows of runs that have them; of others it shows the first metrics."""
commands = typer.Typer()
runs = typer.Typer(no_args_is_help=True, help="Look at recorded runs.")
commands.add_typer(runs, name="runs")
runs.add_typer(choose.commands)
runs.add_typer(archive.commands)
runs.add_typer(page.commands)


@runs.command("list")
def list_(
    metric: Annotated[
        list[str] | None, typer.Option(help="A column of the table; may be given several times.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only the runs of this person.")] = None,
    as_json: Json = False,
) -> None:
    """All runs, oldest first, with their last figures."""
    from trackstack.records.query import list_runs
    from trackstack.tracking.environment import home

    rows = list_runs(home())
    warn_of_damage(rows)
    if user is not None:
        people = sorted({str(row["user"]) for row in rows if row["user"]})
        rows = [row for row in rows if row["user"] == user]
        if not rows:
            raise UserError(f"--user {user}: no run of that name; there are runs of: {', '.join(people) or 'nobody'}")
    if as_json:
        print_json(rows)
        return
    recorded = dict.fromkeys(name for row in rows for name in row["metrics"])
    shown = metric or [name for name in USUAL_METRICS if name in recorded] or list(recorded)[:3]
    table = [
        [row["run"], row["name"], state(row), when(row["started"]), seconds(row["seconds"])]
        + [number(row["metrics"].get(name)) for name in shown]
        for row in rows
    ]
    print_table(["run", "name", "status", "started", "s", *shown], table)


@runs.command()
def show(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id, the beginning of it, or its name; else the newest."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Parameters, figures, data, environment and files of one run."""
    from trackstack.records.query import flatten, list_runs, show_run
    from trackstack.tracking.environment import home

    if run is None and not (recorded := list_runs(home())):
        raise UserError("no run is recorded yet; type: dvc repro")
    shown = show_run(home(), run or recorded[-1]["run"])
    warn_of_damage([shown])
    if as_json:
        print_json(shown)
        return
    rows = [[name, shown[name]] for name in ("run", "name", "status", "error", "user") if shown[name] is not None]
    if packages := (shown["environment"] or {}).get("packages"):
        shown["environment"]["packages"] = f"{len(packages)}; --json names them"
    for part in ("metrics", "params", "tags", "data", "environment"):
        rows += [[f"{part}.{name}", value] for name, value in flatten(shown[part] or {}).items()]
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
    from trackstack.records.query import compare_runs, list_runs
    from trackstack.tracking.environment import home

    recorded = list_runs(home())
    warn_of_damage(recorded)
    metric = metric or _usual(recorded, "val_")
    every = [row["run"] for row in recorded if metric in row["metrics"]] if plot and not keys else []
    rows = compare_runs(home(), keys or every)
    if plot:
        from trackstack.records.plots import plot_comparison

        typer.echo(f"{plot}: {metric} over {plot_comparison(rows, metric, plot)} parameters")
        return
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
    from trackstack.records.folds import cross_validations
    from trackstack.records.query import list_runs
    from trackstack.tracking.environment import home

    recorded = list_runs(home())
    warn_of_damage(recorded)
    metric = metric or _usual(recorded, "test_")
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


def _usual(recorded: list[dict[str, Any]], split: str) -> str:
    """The usual metric of a split that a run has; of runs without one the first metric of any."""
    names = dict.fromkeys(name for row in recorded for name in row["metrics"])
    usual = [name for name in USUAL_METRICS if name.startswith(split)]
    return next((name for name in [*(name for name in usual if name in names), *names]), usual[0])
