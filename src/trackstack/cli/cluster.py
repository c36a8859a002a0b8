"""Work on a SLURM cluster: submit, sweep."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table, seconds

commands = typer.Typer()
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be submitted, and submit nothing.")]


@commands.command()
def submit(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages to bring up to date; all by default.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Submit the stale stages as a chain of SLURM jobs, each with the resources of its stage."""
    from trackstack.check import check
    from trackstack.submit import chain, stale_jobs

    for _ in check():
        pass
    jobs = stale_jobs(targets)
    for line in chain(jobs, dry_run):
        typer.echo(line)
    if not jobs:
        typer.echo("Nothing to do: all stages are up to date.")


sweeps = typer.Typer(
    invoke_without_command=True, help="Run many trials, each a DVC experiment in a clone of its own."
)
commands.add_typer(sweeps, name="sweep")


@sweeps.callback(invoke_without_command=True)
def sweep(
    context: typer.Context,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "-S", "--set-param", metavar="NAME=VALUES", help="As in DVC: train.lr=0.1,0.2 or seed=range(3)."
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A CSV table: parameter names, and a trial per row.")] = None,
    name: Annotated[str | None, typer.Option("-n", "--name", help="What the experiments' names begin with.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=1, help="Tasks at a time.")] = None,
    pack: Annotated[int | None, typer.Option(min=1, help="Trials per task, one after the other.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Starts of a trial that is interrupted.")] = 3,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    local: Annotated[bool, typer.Option("--local", help="On this machine, without SLURM.")] = False,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="With --local: trials at a time.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Run all combinations of parameter values; typed again, it goes on with what is not finished."""
    if context.invoked_subcommand:
        return
    from trackstack.sweep import SHARED, summary
    from trackstack.sweep.start import at_work, prepare, run_locally, show_sweep, submit_sweep, to_run
    from trackstack.sweep.trials import expand

    if local and (max_parallel or pack):
        raise UserError("--local: runs -j trials at a time; --max-parallel and --pack are for SLURM")
    if jobs and not local:
        raise UserError("-j: is for --local; under SLURM it is --max-parallel")
    sweep = prepare(expand(settings or [], file, name), attempts)
    typer.echo(f"sweep {sweep.name}: {len(sweep.trials)} trials at {sweep.commit[:10]}")
    with contextlib.nullcontext() if dry_run else at_work(sweep):
        states = sweep.states(local=False)
        trials = to_run(states, sweep.trials, retry_failed)
        if dry_run:
            local_lines = (f"{trial.name}: {' '.join(trial.overrides)}" for trial in trials)
            lines = local_lines if local else show_sweep(sweep, trials, max_parallel, pack or 1)
            typer.echo("\n".join(lines))
            return
        resumed = sum(states[trial.name].state != "waiting" for trial in trials)
        if trials and local:
            run_locally(sweep, trials, jobs or 1, typer.echo)
        elif trials:
            for line in submit_sweep(sweep, trials, max_parallel, pack or 1):
                typer.echo(line)
        states = sweep.states(local=False)
    typer.echo(summary(states, resumed))
    if local and any(note.state != "finished" for name, note in states.items() if name != SHARED):
        raise typer.Exit(1)


@sweeps.command("status")
def status(
    name: Annotated[str | None, typer.Argument(help="The sweep; the newest by default.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every two seconds, while something runs or is queued.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far each trial of a sweep is."""
    import dataclasses
    import time

    from trackstack.sweep import SHARED, find_sweep, summary
    from trackstack.tracking.lease import is_live

    while True:
        found = find_sweep(name)
        local = is_live(found.folder)
        states = found.states(local)
        if as_json:
            print_json({"sweep": found.name} | {name: dataclasses.asdict(note) for name, note in states.items()})
        else:
            what = {SHARED: " ".join(found.shared)} | {one.name: " ".join(one.overrides) for one in found.trials}
            rows = [
                [one, what[one], note.state, note.attempts, note.job, seconds(note.seconds), note.reason]
                for one, note in states.items()
            ]
            print_table(["trial", "parameters", "state", "attempts", "job", "s", "reason"], rows)
            typer.echo(summary(states))
        if not watch or not (local or any(note.state in ("running", "queued") for note in states.values())):
            return
        time.sleep(2)


pages = typer.Typer(invoke_without_command=True, help="Show MLflow's and TensorBoard's pages.")
commands.add_typer(pages, name="ui")


@pages.callback(invoke_without_command=True)
def ui(
    context: typer.Context,
    local: Annotated[
        bool, typer.Option("--local", help="On 127.0.0.1 of this machine: where there is no SLURM, the default.")
    ] = False,
) -> None:
    """On a laptop open them in the browser; on a cluster serve them from a job, on sockets of yours alone."""
    if context.invoked_subcommand:
        return
    import shutil
    import webbrowser

    from trackstack.ui import how_to_connect, serve_locally, start_job

    if local or not shutil.which("sbatch"):
        serve_locally(webbrowser.open)
    else:
        typer.echo("\n".join(how_to_connect(start_job())))


@pages.command("status")
def ui_status() -> None:
    """The jobs that serve or wait for a node, and how to connect."""
    from trackstack.ui import how_to_connect, jobs

    lines = [line for note in jobs() for line in how_to_connect(note)]
    typer.echo("\n".join(lines) or "Nothing is served; trackstack ui does it.")


@pages.command("stop")
def ui_stop() -> None:
    """End the jobs that serve."""
    from trackstack.ui import stop_jobs

    jobs = stop_jobs()
    typer.echo(f"stopped: job {', '.join(jobs)}" if jobs else "Nothing was served.")


@commands.command()
def doctor(as_json: Json = False) -> None:
    """Look at this machine: packages, SLURM, file systems, locks, GPU; exit code 1 when something fails."""
    from trackstack.doctor import examine

    findings = list(examine())
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        rows = [[f.verdict, f.what, f.found, f.todo if f.verdict != "ok" else ""] for f in findings]
        print_table(["", "what", "found", "what to do"], rows)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)
