"""Sweeps: all combinations of some values."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from trackstack import UserError
from trackstack.cli.jobs.options import DryRun, Jobs, Local, Watch
from trackstack.cli.printing import Json, print_json, print_table, seconds
from trackstack.system.redaction import redact_uris

commands = typer.Typer(
    invoke_without_command=True, help="Run many trials, each a DVC experiment in a clone of its own."
)


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
    from trackstack.cluster.sweep.start import at_work, prepare, show_sweep, submit_sweep, to_run
    from trackstack.cluster.sweep.trials import expand

    if local and (max_parallel or pack):
        raise UserError("--local: runs -j trials at a time; --max-parallel and --pack are for SLURM")
    if jobs and not local:
        raise UserError("-j: is for --local; under SLURM it is --max-parallel")
    sweep = prepare(expand(settings or [], file, name), attempts)
    typer.echo(f"sweep {sweep.name}: {len(sweep.trials)} trials at {sweep.commit[:10]}")
    with contextlib.nullcontext() if dry_run else at_work(sweep):
        statuses = sweep.statuses(local=False)
        trials = to_run(statuses, sweep.trials, retry_failed)
        if dry_run:
            local_lines = (f"{trial.name}: {' '.join(trial.overrides)}" for trial in trials)
            lines = local_lines if local else show_sweep(sweep, trials, max_parallel, pack or 1)
            typer.echo(redact_uris("\n".join(lines)))
            return
        resumed = sum(statuses[trial.name].state != "waiting" for trial in trials)
        if trials and local:
            run_locally(sweep, trials, jobs or 1, typer.echo)
        elif trials:
            for line in submit_sweep(sweep, trials, max_parallel, pack or 1):
                typer.echo(line)
        statuses = sweep.statuses(local=False)
    typer.echo(summary(statuses, resumed))
    if local and any(status.state != "finished" for name, status in statuses.items() if name != SHARED):
        raise typer.Exit(1)


@commands.command("status")
def status(
    name: Annotated[str | None, typer.Argument(help="The sweep; the newest by default.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """How far each trial of a sweep is."""
    import dataclasses
    import time

    from trackstack.cluster.sweep import SHARED, find_sweep, summary
    from trackstack.system.lease import is_live

    while True:
        sweep = find_sweep(name)
        local = is_live(sweep.folder)
        statuses = sweep.statuses(local)
        if as_json:
            rows = {trial: dataclasses.asdict(status) for trial, status in statuses.items()}
            print_json({"sweep": sweep.name} | rows)
        else:
            what = {SHARED: sweep.shared} | {trial.name: trial.overrides for trial in sweep.trials}
            table = [
                [trial, " ".join(what[trial]), one.state, one.attempts, one.job, seconds(one.seconds), one.reason]
                for trial, one in statuses.items()
            ]
            print_table(["trial", "parameters", "state", "attempts", "job", "s", "reason"], table)
            typer.echo(summary(statuses))
        if not watch or not (local or any(status.state in ("running", "queued") for status in statuses.values())):
            return
        time.sleep(2)
