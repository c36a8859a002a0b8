"""Sweeps: all combinations of some values."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.jobs.options import DryRun, Jobs, Local, refuse_mixed
from trackstack.cli.jobs.trials import status
from trackstack.system.redaction import redact_uris

commands = typer.Typer(
    invoke_without_command=True, help="Run many trials, each a DVC experiment in a clone of its own."
)
commands.command()(status)


@commands.callback(invoke_without_command=True)
def sweep(
    context: typer.Context,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-S",
            "--set-param",
            metavar="NAME=VALUES",
            help="As in DVC: train.lr=0.1,0.2 or seed=range(3); of another parameter file: conf.json:lr=1,2.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A CSV table: parameter names as for -S, and a trial per row.")
    ] = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="What the experiments' names begin with.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Tasks at a time.")] = None,
    pack: Annotated[int | None, typer.Option(min=1, help="Trials per task, one after the other.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Starts of a trial that is interrupted.")] = 3,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    local: Local = False,
    jobs: Jobs = None,
    dry_run: DryRun = False,
) -> None:
    """Run all combinations of parameter values; typed again, it goes on with what is not finished."""
    if context.invoked_subcommand:
        return
    from trackstack.cluster.sweep import SHARED, summary
    from trackstack.cluster.sweep.local import run_locally
    from trackstack.cluster.sweep.start import at_work, prepare, show_submissions, submit, tasks_of, to_run
    from trackstack.cluster.sweep.trials import expand

    refuse_mixed(local, jobs, {"--max-parallel": max_parallel, "--pack": pack})
    sweep = prepare(expand(settings or [], file, name), attempts)
    typer.echo(f"sweep {sweep.name}: {len(sweep.trials)} trials at {sweep.commit[:10]}")
    with contextlib.nullcontext() if dry_run else at_work(sweep):
        statuses = sweep.statuses(local=False)
        due = to_run(statuses, sweep.trials, retry_failed)
        if dry_run:
            local_lines = (f"{trial.name}: {' '.join(trial.overrides)}" for trial in due)
            lines = local_lines if local else show_submissions(sweep, tasks_of(due, pack or 1, max_parallel))
            typer.echo(redact_uris("\n".join(lines)))
            return
        resumed = sum(statuses[trial.name].state != "waiting" for trial in due)
        if due and local:
            run_locally(sweep, due, jobs or 1, typer.echo)
        elif not local:
            for line in submit(sweep, tasks_of(due, pack or 1, max_parallel)):
                typer.echo(line)
        statuses = sweep.statuses(local=False)
    typer.echo(summary(statuses, resumed))
    if local and any(status.state != "finished" for name, status in statuses.items() if name != SHARED):
        raise typer.Exit(1)
