"""Make a repository ready, look at the machine, and open the pages: init, doctor, ui."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.printing import Json, print_json, print_table

commands = typer.Typer()


@commands.command()
def init(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
) -> None:
    """Write the job scripts and the ignore lines of the record into a DVC repository; files that exist are kept."""
    from trackstack.cluster.init import set_up

    lines = list(set_up(Path(), dry_run))
    typer.echo("\n".join(lines) or "Nothing to do: all files are there.")


@commands.command()
def doctor(as_json: Json = False) -> None:
    """Look at this machine: packages, SLURM, file systems, locks, GPU; exit code 1 when something fails."""
    from trackstack.cluster.doctor import examine

    findings = list(examine())
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        rows = [[f.verdict, f.what, f.found, f.todo if f.verdict != "ok" else ""] for f in findings]
        print_table(["", "what", "found", "what to do"], rows)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


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

    from trackstack.cluster.ui import how_to_connect, serve_locally, start_job

    if local or not shutil.which("sbatch"):
        serve_locally(webbrowser.open)
    else:
        typer.echo("\n".join(how_to_connect(start_job())))


@pages.command("status")
def ui_status() -> None:
    """The jobs that serve or wait for a node, and how to connect."""
    from trackstack.cluster.ui import how_to_connect, jobs

    lines = [line for note in jobs() for line in how_to_connect(note)]
    typer.echo("\n".join(lines) or "Nothing is served; trackstack ui does it.")


@pages.command("stop")
def ui_stop() -> None:
    """End the jobs that serve."""
    from trackstack.cluster.ui import stop_jobs

    jobs = stop_jobs()
    typer.echo(f"stopped: job {', '.join(jobs)}" if jobs else "Nothing was served.")
