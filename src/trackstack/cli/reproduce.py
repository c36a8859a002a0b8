"""Prove a run: make it again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zipfile import is_zipfile

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table

if TYPE_CHECKING:
    from trackstack.reproduction.reproduce import Options

commands = typer.Typer()


@commands.command()
def reproduce(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its name; or an archive of one.")
    ],
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
    from trackstack.archive.rerun import reproduce_archive
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.reproduction.reproduce import Options
    from trackstack.reproduction.reproduce import reproduce as make_again
    from trackstack.reproduction.verdict import DIFFERS
    from trackstack.tracking.environment import home

    options = Options(stage, fresh_env, folder, tolerance)
    root, is_archive = dvc_root(Path.cwd()) or Path.cwd(), run.endswith(".zip") or is_zipfile(run)
    if on_slurm and is_archive:
        raise UserError("--on-slurm: is for a recorded run; leave it out, or unpack the archive in a job of yours")
    if on_slurm:
        _submit(run, root, options, as_json)
        return
    verdict = (
        reproduce_archive(Path(run), options, _say) if is_archive else make_again(run, home(), root, options, _say)
    )
    if as_json:
        print_json(verdict)
    else:
        _print(verdict)
    if verdict["verdict"] == DIFFERS:
        raise typer.Exit(1)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _submit(run: str, root: Path, options: Options, as_json: bool) -> None:
    from trackstack.reproduction.expected import expected_of
    from trackstack.reproduction.reproduce import fetch_unknown
    from trackstack.reproduction.slurm_job import LOG, submit_reproduction
    from trackstack.tracking.environment import home

    fetch_unknown(run, home(), root, _say)
    expected = expected_of(run, home(), root)
    flags = {"--fresh-env": options.fresh_env, "--json": as_json}
    folder = options.folder and options.folder.absolute()
    values = {"--stage": options.stage, "--in": folder, "--tolerance": options.tolerance}
    arguments = [expected.series.key, *(name for name, given in flags.items() if given)]
    arguments += [part for name, value in values.items() if value is not None for part in (name, str(value))]
    job = submit_reproduction(list(expected.recorded), arguments, root)
    log = LOG.replace("%x", "reproduce").replace("%j", job)
    typer.echo(f"{expected.series.key}: job {job}; the verdict: {log}")


def _print(verdict: dict[str, Any]) -> None:
    rows = [
        [stage["stage"], outcome["what"], outcome["verdict"], outcome["detail"]]
        for stage in verdict["stages"]
        for outcome in stage["outcomes"]
    ]
    print_table(["stage", "output", "verdict", ""], rows)
    cause = f": {verdict['cause']}: {verdict['detail']}" if verdict["cause"] else ""
    again = f"-{verdict['series']}" if verdict["series"] > 1 else ""
    typer.echo(f"{verdict['run']}{again}: {verdict['verdict']}{cause}")
    if verdict["environment"] and verdict["cause"] != "environment":
        typer.echo(f"environment: {len(verdict['environment'])} differences, such as {verdict['environment'][0]}")
