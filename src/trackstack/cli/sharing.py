"""What people share: push, pull."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json

if TYPE_CHECKING:
    from trackstack.sharing.push import Shared

commands = typer.Typer()
GitRemote = Annotated[
    str | None, typer.Option(metavar="NAME", help="The git remote; by default origin, or the only one.")
]
DvcRemote = Annotated[
    str | None, typer.Option(metavar="NAME", help="The DVC remote, in the place of the default one.")
]


@commands.command()
def push(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs by id, its beginning, or name; else all that have finished."),
    ] = None,
    git_remote: GitRemote = None,
    dvc_remote: DvcRemote = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be pushed, and push nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Share runs: records and source by git's remote, the data that they need by DVC's."""
    from trackstack.sharing.push import push_runs
    from trackstack.tracking.environment import home

    done = push_runs(runs or [], _root(), home(), git_remote, dvc_remote, dry_run)
    _print(done, "to push" if dry_run else "pushed", as_json)


@commands.command()
def pull(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs by id, its beginning, or name; else all that were pushed."),
    ] = None,
    git_remote: GitRemote = None,
    dvc_remote: DvcRemote = None,
    as_json: Json = False,
) -> None:
    """Take over runs that others have pushed: checked, beside your own, with their source and data."""
    from trackstack.sharing.pull import pull_runs
    from trackstack.tracking.environment import home

    _print(pull_runs(runs or [], _root(), home(), git_remote, dvc_remote), "pulled", as_json)


def _root() -> Path:
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.system.project import refuse_unusable_folder

    root = dvc_root(Path.cwd())
    if root is None:
        raise UserError(f"{Path.cwd()}: no DVC repository; run this where .dvc lies, or make one: dvc init")
    refuse_unusable_folder(root)
    return root


def _print(done: Shared, what: str, as_json: bool) -> None:
    if as_json:
        left_out = {run: [item.model_dump() for item in items] for run, items in done.left_out.items()}
        print_json(asdict(done) | {"left_out": left_out})
        raise typer.Exit(bool(done.problems))
    for run, state in sorted(done.runs.items()):
        typer.echo(f"{run}: {state}")
    by_why: dict[Any, list[str]] = defaultdict(list)
    for run, items in done.left_out.items():
        for item in items:
            by_why[item.path, item.why].append(run)
    for (path, why), those in by_why.items():
        of = those[0] if len(those) == 1 else f"{len(those)} runs"
        typer.echo(f"{path} of {of} is left out: {why}")
    for line in done.notes:
        typer.echo(line)
    runs = f"{len(done.runs)} run{'' if len(done.runs) == 1 else 's'}"
    typer.echo(f"{runs}, {done.objects} DVC objects {what} ({done.size / 1e6:,.1f} MB)")
    if done.problems:
        raise UserError("\n".join(done.problems))
