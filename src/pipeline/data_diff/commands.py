"""`trackstack data`: what became of a dataset version's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.printing import Json, print_json, warn
from trackstack.system.project import refuse_unusable_folder

data = typer.Typer(no_args_is_help=True, help="The rows that the stages made: what differs between two versions.")


@data.callback()
def _only_one_command_yet() -> None:
    """Without it typer would leave out the name of the command."""


@data.command()
def diff(
    revision: Annotated[
        str, typer.Argument(metavar="[REV]", help="The older version: a commit, branch or tag.")
    ] = "HEAD",
    as_json: Json = False,
) -> None:
    """Files, rows, classes and the drift of each column, from a commit to the working tree; no row is read."""
    from pipeline.data_diff.comparison import compare
    from pipeline.data_diff.printing import show
    from pipeline.data_diff.versions import at_commit, in_working_tree, what_is_newer

    refuse_unusable_folder(Path())
    after = in_working_tree()
    warn(what_is_newer(after))
    found = compare(at_commit(revision), after)
    if as_json:
        print_json(found)
    else:
        show(found, after.contract)
