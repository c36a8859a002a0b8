"""Jobs and many trials: submit, sweep, search, repair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.jobs import search, sweep
from trackstack.cli.jobs.options import DryRun

commands = typer.Typer()
commands.add_typer(sweep.commands, name="sweep")
commands.add_typer(search.commands, name="search")


@commands.command()
def submit(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages to bring up to date; all by default.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Submit the stale stages as a chain of SLURM jobs, each with the resources of its stage."""
    from trackstack.cluster.submit import chain, stale_jobs
    from trackstack.system.project import check_project

    for _ in check_project():
        pass
    jobs = stale_jobs(targets)
    for line in chain(jobs, dry_run):
        typer.echo(line)
    if not jobs:
        typer.echo("Nothing to do: all stages are up to date.")


@commands.command()
def repair(
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Outputs or tracked data: what of them is damaged in DVC's cache is removed there."),
    ] = None,
) -> None:
    """After a kill: end stages that lost their dvc, and restore what was cut short. Then dvc repro goes on."""
    from trackstack.cluster.damaged_data import discard_damaged
    from trackstack.cluster.repair import repair as repair_all

    for line in (*repair_all(), *(discard_damaged(data) if data else ())):
        typer.echo(line)


@commands.command(hidden=True)
def check_project() -> None:
    """Do the project's own check, for a job that has cloned it."""
    from trackstack.system.project import check_project as lines

    for line in lines():
        typer.echo(line)
