"""Prove a run: make it again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.printing import Json, RunKey, print_json, print_table

commands = typer.Typer()


@commands.command()
def reproduce(
    run: RunKey,
    stage: Annotated[
        str | None, typer.Option(help="This stage alone, on what the record has of those before it.")
    ] = None,
    fresh_env: Annotated[
        bool,
        typer.Option("--fresh-env", help="In a new Python environment of exactly the packages that the run had."),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in", metavar="DIR", help="In this folder, which is kept: to look into, or to change and try again."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="The largest relative difference of figures that counts as equal.")
    ] = 1e-6,
    on_slurm: Annotated[
        bool, typer.Option("--on-slurm", help="As a job, with the resources of the run's stages.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a recorded run again from its exact source, and say of each stage: identical, equal, or what differs first.

    The verdict is kept in the run's record. Exit code 1 when something differs.
    """
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.reproduction.expected import expected_of
    from trackstack.reproduction.reproduce import Options, fetch_unknown
    from trackstack.reproduction.reproduce import reproduce as make_again
    from trackstack.reproduction.slurm_job import LOG, submit_reproduction
    from trackstack.reproduction.verdict import DIFFERS
    from trackstack.tracking.environment import home

    options = Options(stage, fresh_env, folder, tolerance)
    root = dvc_root(Path.cwd()) or Path.cwd()
    if on_slurm:
        fetch_unknown(run, home(), root, lambda line: typer.echo(line, err=True))
        expected = expected_of(run, home(), root)
        flags = {"--fresh-env": fresh_env, "--json": as_json}
        values = {"--stage": stage, "--in": folder and folder.absolute(), "--tolerance": tolerance}
        arguments = [expected.series.key, *(name for name, given in flags.items() if given)]
        arguments += [part for name, value in values.items() if value is not None for part in (name, str(value))]
        job = submit_reproduction(list(expected.recorded), arguments, root)
        typer.echo(
            f"{expected.series.key}: job {job}; the verdict: {LOG.replace('%x', 'reproduce').replace('%j', job)}"
        )
        return
    verdict = make_again(run, home(), root, options, lambda line: typer.echo(line, err=True))
    if as_json:
        print_json(verdict)
    else:
        rows = [
            [stage["stage"], outcome["what"], outcome["verdict"], outcome["detail"]]
            for stage in verdict["stages"]
            for outcome in stage["outcomes"]
        ]
        print_table(["stage", "output", "verdict", ""], rows)
        cause = f": {verdict['cause']}: {verdict['detail']}" if verdict["cause"] else ""
        typer.echo(f"{verdict['run']}: {verdict['verdict']}{cause}")
        if verdict["environment"] and verdict["cause"] != "environment":
            typer.echo(f"environment: {len(verdict['environment'])} differences, such as {verdict['environment'][0]}")
    if verdict["verdict"] == DIFFERS:
        raise typer.Exit(1)
