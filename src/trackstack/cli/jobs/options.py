"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from trackstack import UserError

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be submitted, and submit nothing.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine, without SLURM.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="With --local: trials at a time.")]


def refuse_mixed(local: bool, jobs: int | None, of_slurm: dict[str, object]) -> None:
    """UserError when options of both ways to run trials are given.

    Args:
        of_slurm: the options that tasks of SLURM have, with what was given.
    """
    if local and any(of_slurm.values()):
        raise UserError(f"--local: runs -j trials at a time; {' and '.join(of_slurm)} are for SLURM")
    if jobs and not local:
        raise UserError("-j: is for --local; under SLURM it is --max-parallel")
