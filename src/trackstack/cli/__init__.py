"""The command line: `trackstack --help`."""

from __future__ import annotations

import gc
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trackstack import UserError, describe_error
from trackstack.cli import jobs, promote, record, reproduce, runs, setup, sharing, storage
from trackstack.system.group import share_with_group
from trackstack.system.programs import PERSONS_PYTHONPATH, begin_process
from trackstack.system.project import load_hook
from trackstack.tracking.environment import home

PANELS = {
    "Runs": (runs, promote, record, reproduce, sharing),
    "Pipeline and sweeps": (jobs,),
    "Machine and pages": (setup, storage),
}
"""The headings of `--help`, with the modules whose commands stand below each."""
PROJECT_PANEL = "This project"


class Commands(TyperGroup):
    """The tool's own commands and those of the project around it; a `UserError` is printed as its line."""

    def invoke(self, context: Any) -> Any:
        """Run the command that was typed."""
        begin_process()
        _run_own_code()  # before the command is looked up: an older installation may not know it
        share_with_group(home())
        # Importing torch or MLflow makes millions of objects that stay, and looking through them for garbage again
        # and again is a fifth of the time.
        gc.set_threshold(100_000, 20, 20)
        try:
            return super().invoke(context)
        except (UserError, OSError) as error:
            typer.echo(describe_error(error), err=True)
        sys.exit(1)

    def list_commands(self, context: Any) -> list[str]:
        """All names but hidden ones, for `--help`, completion and docs/cli.md."""
        names = [name for name in super().list_commands(context) if not self.commands[name].hidden]
        try:
            return [*names, *self._project]
        except UserError as error:  # the tool's own commands can be asked for all the same
            typer.echo(describe_error(error), err=True)
            return names

    def get_command(self, context: Any, name: str) -> Any:
        """A command by its name; the project is asked for what the tool does not have."""
        return super().get_command(context, name) or self._project.get(name)

    @cached_property
    def _project(self) -> dict[str, Any]:
        app = load_hook("commands")
        if app is None:
            return {}
        commands = getattr(typer.main.get_command(app), "commands", None)
        assert commands is not None, "an app of several commands is a group"
        for command in commands.values():
            command.rich_help_panel = PROJECT_PANEL
        return commands


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"trackstack {version('trackstack')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Runs that are recorded, sweeps and jobs for any DVC repository; and this repository's own commands."""


def _run_own_code() -> None:
    """In a checkout of trackstack, go on with its own code: one environment may serve several clones."""
    own = Path("src/trackstack").resolve()
    if own.is_dir() and own != Path(__file__).resolve().parents[1]:
        before = {PERSONS_PYTHONPATH: os.environ.get("PYTHONPATH", "")}
        environment = {**os.environ, **before, "PYTHONPATH": str(own.parent)}
        os.execve(sys.executable, [sys.executable, "-P", "-m", "trackstack.cli", *sys.argv[1:]], environment)


for panel, modules in PANELS.items():
    for module in modules:
        for entry in (*module.commands.registered_commands, *module.commands.registered_groups):
            entry.rich_help_panel = panel
        app.add_typer(module.commands)
