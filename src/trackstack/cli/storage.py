"""What lies where, and what may go: storage, gc."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table

if TYPE_CHECKING:
    from trackstack.storage.garbage import Garbage
    from trackstack.storage.needs import Checkout

commands = typer.Typer()


@commands.command()
def gc(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs to remove, by id, its beginning, or name; by default none."),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Remove also all runs that ended before, and that nothing needs."),
    ] = None,
    checkouts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Another checkout that uses the same shared cache; repeat it for each, or '.' for none.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove clones, checkpoints and cached data that nothing needs any more; runs where they are asked for."""
    from trackstack.sharing.transfer import open_repository
    from trackstack.storage.garbage import find_garbage, remove_garbage
    from trackstack.storage.needs import checkout_at

    checkout = _checkout()
    others = None
    if checkouts is not None:
        others = [checkout_at(path.resolve()) for path in checkouts if path.resolve() != checkout.root]

    def find() -> Garbage:
        return find_garbage(checkout, runs or [], older_than, others, time.time())

    shown = find()
    if as_json:
        print_json(_as_json(shown))
    else:
        _show(shown, checkout)
    if dry_run or not any(extent.inodes for extent in shown.extents().values()):
        return
    if not yes and not sys.stdin.isatty():
        raise UserError("stdin is no terminal, so nobody can be asked: add --yes (or --dry-run)")
    if yes or typer.confirm("Remove it?", default=False):
        with open_repository(checkout.root) as repo, repo.lock:  # no dvc works here meanwhile
            remove_garbage(shown, find(), checkout)
        if not as_json:
            typer.echo("removed")


def _checkout() -> Checkout:
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.storage.needs import Checkout
    from trackstack.tracking.environment import home

    root = dvc_root(Path.cwd())
    if root is None:
        raise UserError(f"{Path.cwd()}: no DVC repository; run this where .dvc lies, or make one: dvc init")
    return Checkout(root, home())


def _show(garbage: Garbage, checkout: Checkout) -> None:
    for folder in garbage.runs:
        typer.echo(f"run {folder.name}")
    for path in garbage.clones:
        typer.echo(f"clone {_relative(path, checkout.root)}")
    rows = [
        [kind, f"{extent.inodes:,}", f"{extent.size / 1e6:,.1f} MB"]
        for kind, extent in garbage.extents().items()
        if extent.inodes
    ]
    if rows:
        print_table(["what goes", "files", "size"], rows)
    else:
        typer.echo("nothing to remove: all that is here is needed")
    for run, reason in garbage.kept.items():
        typer.echo(f"run {run} stays: it {reason}")
    for line in garbage.notes:
        typer.echo(line)


def _as_json(garbage: Garbage) -> dict[str, Any]:
    paths = {
        name: [str(path) for path in getattr(garbage, name)] for name in ("runs", "clones", "checkpoints", "objects")
    }
    extents = {kind: {"files": extent.inodes, "bytes": extent.size} for kind, extent in garbage.extents().items()}
    return paths | {"sizes": extents, "kept": garbage.kept, "notes": garbage.notes}


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
