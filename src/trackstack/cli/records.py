"""Look at the record: sync, lineage, diff and `trackstack runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, number, print_json, print_table, seconds, state, when

commands = typer.Typer()
runs = typer.Typer(no_args_is_help=True, help="Look at recorded runs.")
commands.add_typer(runs, name="runs")

RunKey = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its name.")]


@commands.command()
def sync(
    to: Annotated[str | None, typer.Option(help="One back end alone: sqlite, mlflow, tensorboard or wandb.")] = None,
    rev: Annotated[
        list[str] | None, typer.Option(help="Rebuild the record of this commit or experiment from its outputs.")
    ] = None,
    all_exps: Annotated[bool, typer.Option(help="Rebuild the records of HEAD and of every DVC experiment.")] = False,
    as_json: Json = False,
) -> None:
    """Bring every recorded run to its back ends: what was down, killed or lost before."""
    from trackstack.rebuild import experiment_names, rebuild
    from trackstack.runs import run_folders
    from trackstack.tracking.environment import home
    from trackstack.tracking.sinks import SINKS
    from trackstack.tracking.sync import sync_run

    if to not in (None, *SINKS):
        raise UserError(f"--to {to}: no such back end; expected one of {', '.join(SINKS)}")
    problems, rebuilt = [], []
    for revision in [*(rev or []), *(["HEAD", *experiment_names()] if all_exps else [])]:
        try:
            run, written = rebuild(revision, home())
            rebuilt += [run] * written
            if not as_json:
                what = "rebuilt from {}" if written else "{} has its record"
                typer.echo(f"{run}: {what.format(revision[:10])}")
        except UserError as error:
            problems.append(str(error))
    folders = run_folders(home())
    for folder in folders:
        try:
            problems += [f"{folder.name}: {sink}: {reason}" for sink, reason in sync_run(folder, to).items()]
        except UserError as error:
            problems.append(str(error))
    if as_json:
        print_json({"runs": len(folders), "rebuilt": rebuilt, "problems": problems})
        raise typer.Exit(bool(problems))
    typer.echo(f"{len(folders)} run{'' if len(folders) == 1 else 's'} looked at, {len(problems)} problems")
    if problems:
        raise UserError("\n".join(problems))


@commands.command()
def lineage(run: RunKey, as_json: Json = False) -> None:
    """From a run back to its raw files, each link verified against what lies here; exit code 1 if one differs."""
    from trackstack.lineage import lineage as links_of
    from trackstack.tracking.environment import home

    links = list(links_of(run, home()))
    if as_json:
        print_json([link._asdict() for link in links])
    else:
        shown = [[link.what, link.where, link.identity[:12], link.verdict] for link in links]
        print_table(["what", "where", "recorded", "verdict"], shown)
    if any(link.verdict not in ("matches", "not recorded") for link in links):
        raise typer.Exit(1)


@commands.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run.")],
    as_json: Json = False,
) -> None:
    """Parameters, data, source files and figures in which two runs differ."""
    compare([a, b], as_json=as_json)


@runs.command("list")
def list_(as_json: Json = False) -> None:
    """All runs, oldest first, with their last figures."""
    from trackstack.runs import list_runs
    from trackstack.tracking.environment import home

    rows = list_runs(home())
    if as_json:
        print_json(rows)
        return
    shown = ("val_accuracy", "test_accuracy")
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
    from trackstack.runs import flatten, list_runs, show_run
    from trackstack.tracking.environment import home

    if run is None and not (recorded := list_runs(home())):
        raise UserError("no run is recorded yet; type: dvc repro")
    found = show_run(home(), run or recorded[-1]["run"])
    if as_json:
        print_json(found)
        return
    rows = [[name, found[name]] for name in ("run", "name", "status", "error", "user") if found[name] is not None]
    for part in ("metrics", "params", "tags", "data", "environment"):
        rows += [[f"{part}.{name}", value] for name, value in flatten(found[part] or {}).items()]
    rows += [[f"artifact {record['kind']}", record["path"]] for record in found["artifacts"]]
    print_table(["what", "value"], rows)


@runs.command()
def compare(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Two runs or more; with --plot all, by default.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this file: .png, .svg or .pdf.")] = None,
    metric: Annotated[str, typer.Option(help="What to draw.")] = "val_accuracy",
    as_json: Json = False,
) -> None:
    """Parameters, data, source files and figures in which runs differ."""
    from trackstack.runs import compare_runs, list_runs
    from trackstack.tracking.environment import home

    every = [row["run"] for row in list_runs(home()) if metric in row["metrics"]] if plot and not keys else []
    rows = compare_runs(home(), keys or every)
    if plot:
        from trackstack.plots import plot_comparison

        typer.echo(f"{plot}: {metric} over {plot_comparison(rows, metric, plot)} parameters")
        return
    if as_json:
        print_json(rows)
        return
    header = list(rows[0]) if rows else ["what", "field"]
    print_table(header, [[row[name] for name in header] for row in rows])


@runs.command()
def folds(
    metric: Annotated[str, typer.Option(help="What to sum up.")] = "test_accuracy",
    as_json: Json = False,
) -> None:
    """Cross-validation: mean and spread over folds and seeds, and the accuracy of each group."""
    from trackstack.cross_validation import cross_validations
    from trackstack.tracking.environment import home

    found = cross_validations(home(), metric)
    if as_json:
        print_json(found)
        return
    if not found:
        raise UserError("no runs of several folds here; trackstack sweep -S 'tensor_cache.fold=range(5)' makes them")
    for one in found:
        typer.echo(", ".join(f"{name} {value}" for name, value in one["params"].items()))
        seeds = f"{len(one['seeds'])} seed{'s' * (len(one['seeds']) != 1)}"
        typer.echo(f"{metric} {number(one['mean'])} over {len(one['folds'])} folds and {seeds}")
        spreads = {"folds": one["spread_folds"], "seeds": one["spread_seeds"]}
        typer.echo("; ".join(f"spread over {of}: {number(value)}" for of, value in spreads.items() if value))
        print_table(["tested on", metric], [[groups, number(value)] for groups, value in one["folds"].items()])
        rows = [[name, number(group["accuracy"]), group["windows"]] for name, group in one["groups"].items()]
        print_table(["group", "accuracy", "windows"], rows)


@runs.command()
def promote(run: RunKey) -> None:
    """Choose the model of a run: MLflow gets it, and lists it among its registered models."""
    from trackstack.runs import promote_run
    from trackstack.tracking.environment import home
    from trackstack.tracking.sync import sync_run

    folder = promote_run(home(), run)
    if problems := sync_run(folder):
        raise UserError("\n".join(f"{folder.name}: promoted, but {name}: {why}" for name, why in problems.items()))
    typer.echo(f"{folder.name}: promoted")


@runs.command()
def sql(
    statement: Annotated[str, typer.Argument(help="For instance: SELECT * FROM runs")], as_json: Json = False
) -> None:
    """Ask project.db: one statement that only reads."""
    from trackstack.runs import query
    from trackstack.tracking.environment import home

    header, rows = query(home() / "project.db", statement)
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_table(header, rows)
