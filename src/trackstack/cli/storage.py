"""What lies where, and what may go: storage, gc."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table, when

if TYPE_CHECKING:
    from trackstack.storage.garbage import Garbage
    from trackstack.storage.needs import Checkout

commands = typer.Typer()
storage = typer.Typer(no_args_is_help=True, help="What lies where, and what of it is missing.")
commands.add_typer(storage, name="storage")


@storage.command()
def status(as_json: Json = False) -> None:
    """List what lies where, what of it is missing or nowhere else, and what a purge takes soon."""
    from trackstack.storage.status import places, worries

    checkout = _checkout()
    found, lines = places(checkout), worries(checkout, time.time())
    if as_json:
        rows = [{"what": place.what, "where": str(place.path), **place.extent._asdict()} for place in found]
        print_json({"places": rows, "worries": lines})
        return
    table = [
        [
            place.what,
            _relative(place.path, checkout.root),
            f"{place.extent.inodes:,}",
            f"{place.extent.size / 1e6:,.1f} MB",
            when(place.extent.oldest_read),
        ]
        for place in found
    ]
    print_table(["what", "where", "files", "size", "oldest read"], table)
    for line in lines:
        typer.echo(line)


@storage.command()
def init(
    place: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, new or one that somebody of you made so.")],
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="The Unix group; by default the folder's own.")
    ] = None,
    with_home: Annotated[bool, typer.Option("--home", help="Share the record of runs, too: one database.")] = False,
) -> None:
    """Share a cache and a remote, and if you like the record of runs, with a group; each member types it once."""
    from trackstack.storage.group import init_storage

    for line in init_storage(place.absolute(), _checkout().root, group, with_home):
        typer.echo(line)


@storage.command()
def repair(
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Run the stages again whose outputs nobody has, as dvc repro does.")
    ] = False,
) -> None:
    """Bring back what was deleted, from the working tree, kept copies and remotes; name what nobody has."""
    from trackstack.storage.restore import repair_storage

    if lost := repair_storage(_checkout(), rerun, typer.echo):
        raise UserError("\n".join(lost))
    typer.echo("all that is needed here is here")


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

    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise UserError("with --json, or where stdin is no terminal, nobody can be asked: add --yes (or --dry-run)")
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
