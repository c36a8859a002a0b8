"""Make a repository ready, and look at the machine: init, doctor."""

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
