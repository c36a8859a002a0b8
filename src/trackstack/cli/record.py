"""Bring the record up to date and ask it where a result comes from: sync, lineage, diff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack import UserError, describe_error
from trackstack.cli.printing import Json, RunKey, print_json, print_table
from trackstack.cli.runs import compare

commands = typer.Typer()


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
    from trackstack.records.query import run_folders
    from trackstack.records.rebuild import experiment_names, rebuild
    from trackstack.tracking.delivery.backends import BackEnds
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
    folders, back_ends = run_folders(home()), BackEnds()
    for folder in folders:
        try:
            problems += [
                f"{folder.name}: {sink}: {reason}"
                for sink, reason in sync_run(folder, to, back_ends=back_ends).items()
            ]
        except (UserError, OSError) as error:
            problems.append(f"{folder.name}: {describe_error(error)}")
    if as_json:
        print_json({"runs": len(folders), "rebuilt": rebuilt, "problems": problems})
        raise typer.Exit(bool(problems))
    typer.echo(f"{len(folders)} run{'' if len(folders) == 1 else 's'} looked at, {len(problems)} problems")
    if problems:
        raise UserError("\n".join(problems))


@commands.command()
def lineage(
    run: RunKey,
    checkout: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also make a git worktree of its source there, with its data.")
    ] = None,
    as_json: Json = False,
) -> None:
    """From a run back to its raw files, each verified here, in DVC's cache or in git; exit code 1 if one is not."""
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.records.lineage import lineage as find_links
    from trackstack.tracking.environment import home

    root = dvc_root(Path.cwd()) or Path.cwd()
    links = list(find_links(run, home(), root))
    if as_json:
        print_json([link._asdict() for link in links])
    else:
        shown = [[link.what, link.where, link.identity[:12], link.verdict] for link in links]
        print_table(["what", "where", "recorded", "verdict"], shown)
    if checkout is not None:
        from trackstack.cluster.worktree import checkout_run

        commit = checkout_run(run, home(), root, checkout)
        typer.echo(f"{checkout}: {commit[:10]} (git worktree remove {checkout} removes it)", err=True)
    if not all(link.is_good for link in links):
        raise typer.Exit(1)


@commands.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run.")],
    as_json: Json = False,
) -> None:
    """Parameters, data, source files and figures in which two runs differ."""
    compare([a, b], as_json=as_json)
