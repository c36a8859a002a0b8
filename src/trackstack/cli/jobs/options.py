"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be submitted, and submit nothing.")]
Local = Annotated[bool, typer.Option("--local", help="On this machine, without SLURM.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="With --local: trials at a time.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Show it anew every two seconds, while something runs or is queued.")
]
