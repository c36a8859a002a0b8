"""The command line: `trackstack --help`."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trackstack import UserError, describe_os_error


class PlainErrors(TyperGroup):
    """Prints a `UserError` as its line, without a traceback, and exits with 1."""

    def invoke(self, context: Any) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(context)
        except UserError as error:
            typer.echo(error, err=True)
        except OSError as error:
            typer.echo(describe_os_error(error), err=True)
        sys.exit(1)


app = typer.Typer(cls=PlainErrors, no_args_is_help=True, pretty_exceptions_enable=False)
runs = typer.Typer(no_args_is_help=True, help="Look at recorded runs.")
app.add_typer(runs, name="runs")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunKey = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its name.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackstack {version('trackstack')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Data and experiment tracking on one DVC pipeline."""
    _run_own_code()


def _run_own_code() -> None:
    """In a checkout, go on with its own code: one environment may serve several clones."""
    own = Path("src/trackstack").resolve()
    if own.is_dir() and own != Path(__file__).resolve().parent:
        environment = {**os.environ, "PYTHONPATH": str(own.parent)}
        os.execve(sys.executable, [sys.executable, "-P", "-m", "trackstack.cli", *sys.argv[1:]], environment)


@app.command()
def check() -> None:
    """Hold params.yaml, the catalog and the raw files against each other; run nothing."""
    from trackstack.check import check as check_all

    for line in check_all():
        typer.echo(line)


@app.command()
def sync(
    to: Annotated[str | None, typer.Option(help="One back end alone: sqlite, mlflow, tensorboard or wandb.")] = None,
    rev: Annotated[
        list[str] | None, typer.Option(help="Rebuild the record of this commit or experiment from its outputs.")
    ] = None,
    all_exps: Annotated[bool, typer.Option(help="Rebuild the records of HEAD and of every DVC experiment.")] = False,
) -> None:
    """Bring every recorded run to its back ends: what was down, killed or lost before."""
    from trackstack.rebuild import experiment_names, rebuild
    from trackstack.runs import run_folders
    from trackstack.tracking.environment import home
    from trackstack.tracking.sinks import SINKS
    from trackstack.tracking.sync import sync_run

    if to not in (None, *SINKS):
        raise UserError(f"--to {to}: no such back end; expected one of {', '.join(SINKS)}")
    problems = []
    for revision in [*(rev or []), *(["HEAD", *experiment_names()] if all_exps else [])]:
        try:
            run, written = rebuild(revision, home())
            typer.echo(
                f"{run}: rebuilt from {revision[:10]}" if written else f"{run}: {revision[:10]} has its record"
            )
        except UserError as error:
            problems.append(str(error))
    folders = run_folders(home())
    for folder in folders:
        try:
            problems += [f"{folder.name}: {sink}: {reason}" for sink, reason in sync_run(folder, to).items()]
        except UserError as error:
            problems.append(str(error))
    typer.echo(f"{len(folders)} run{'' if len(folders) == 1 else 's'} looked at, {len(problems)} problems")
    if problems:
        raise UserError("\n".join(problems))


@app.command()
def lineage(run: RunKey, as_json: Json = False) -> None:
    """From a run back to its raw files, each link verified against what lies here; exit code 1 if one differs."""
    from trackstack.lineage import lineage as links_of
    from trackstack.tracking.environment import home

    links = list(links_of(run, home()))
    if as_json:
        _print_json([link._asdict() for link in links])
    else:
        shown = [[link.what, link.where, link.identity[:12], link.verdict] for link in links]
        _print_table(["what", "where", "recorded", "verdict"], shown)
    if any(link.verdict not in ("matches", "not recorded") for link in links):
        raise typer.Exit(1)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run.")],
    as_json: Json = False,
) -> None:
    """Parameters, data, source files and figures in which two runs differ."""
    compare([a, b], as_json)


@runs.command("list")
def list_(as_json: Json = False) -> None:
    """All runs, oldest first, with their last figures."""
    from trackstack.runs import list_runs
    from trackstack.tracking.environment import home

    rows = list_runs(home())
    if as_json:
        _print_json(rows)
        return
    shown = ("val_accuracy", "test_accuracy")
    table = [
        [row["run"], row["name"], _state(row), _when(row["started"]), _number(row["seconds"])]
        + [_number(row["metrics"].get(name)) for name in shown]
        for row in rows
    ]
    _print_table(["run", "name", "status", "started", "s", *shown], table)


@runs.command()
def show(run: RunKey, as_json: Json = False) -> None:
    """Parameters, figures, data, environment and files of one run."""
    from trackstack.runs import flatten, show_run
    from trackstack.tracking.environment import home

    found = show_run(home(), run)
    if as_json:
        _print_json(found)
        return
    rows = [[name, found[name]] for name in ("run", "name", "status", "error", "user") if found[name] is not None]
    for part in ("metrics", "params", "tags", "data", "environment"):
        rows += [[f"{part}.{name}", value] for name, value in flatten(found[part] or {}).items()]
    rows += [[f"artifact {record['kind']}", record["path"]] for record in found["artifacts"]]
    _print_table(["what", "value"], rows)


@runs.command()
def compare(
    keys: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two runs or more.")], as_json: Json = False
) -> None:
    """Parameters, data, source files and figures in which runs differ."""
    from trackstack.runs import compare_runs
    from trackstack.tracking.environment import home

    rows = compare_runs(home(), keys)
    if as_json:
        _print_json(rows)
        return
    header = list(rows[0]) if rows else ["what", "field"]
    _print_table(header, [[row[name] for name in header] for row in rows])


@runs.command()
def sql(
    statement: Annotated[str, typer.Argument(help="For instance: SELECT * FROM runs")], as_json: Json = False
) -> None:
    """Ask project.db: one statement that only reads."""
    from trackstack.runs import query
    from trackstack.tracking.environment import home

    header, rows = query(home() / "project.db", statement)
    if as_json:
        _print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        _print_table(header, rows)


def _state(row: dict[str, Any]) -> str:
    return row["status"] + (f", reproduced {row['reproduced']}x" if row["reproduced"] else "")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(header: list[str], rows: list) -> None:
    """A table that fits the terminal; in a pipe, columns wide enough for what they hold."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*["" if value is None else str(value) for value in row])
    Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False).print(table)


if __name__ == "__main__":
    app()
