"""The commands that hand a model over: promote, demote, promoted and card, below `trackstack runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, RunKey, print_json, print_table, when
from trackstack.cli.runs import runs

commands = typer.Typer()  # its commands are those of `runs`
Alias = Annotated[str, typer.Option(help="The alias that moves.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the people who come after.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The name of a promoted model.")]


@runs.command()
def promote(
    run: RunKey,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The name of the model; by default that of dvc.yaml's artifact."),
    ] = None,
    alias: Alias = "champion",
    why: Why = "",
) -> None:
    """Make the model of a run the next version of a named model: in git, DVC and MLflow.

    Of a run that is a version already, the alias moves back to it.
    """
    from trackstack.records.promotion.promote import promote as make
    from trackstack.tracking.environment import home
    from trackstack.tracking.sinks import takes_model

    made = make(home(), Path(), run, name, alias, why)
    version = made.version
    typer.echo(f"{version.tag} is {alias}: the model of run {version.key}")
    if made.before and made.before != version:
        typer.echo(f"before: {made.before.tag}, the model of run {made.before.key}")
    origin = f"made from {made.origin}" if made.origin else "that it has"
    typer.echo(f"git: tag {version.tag}, branch {made.branch}, commit {version.commit[:12]}, {origin}")
    card = made.card.relative_to(Path.cwd()) if made.card.is_relative_to(Path.cwd()) else made.card
    typer.echo(f"model card: {card}{_what_is_missing(card)}")
    _deliver(made.folders)
    if "mlflow" not in made.series.destinations:
        typer.echo(f"MLflow: has no version, since run {version.key} was recorded without it")
    elif not takes_model(made.series):
        typer.echo("MLflow: has no version, since TRACKSTACK_LOG_MODELS is none")
    else:
        typer.echo(f"MLflow: models:/{version.name}@{alias}")


@runs.command()
def demote(name: ModelName, alias: Alias = "champion", why: Why = "") -> None:
    """Take an alias and its branch away from a named model; its versions, tags and notes stay."""
    from trackstack.records.promotion.promote import demote as take_away
    from trackstack.tracking.environment import home

    taken = take_away(home(), Path(), name, alias, why)
    typer.echo(
        f"{taken.version.tag} is no longer {alias}; trackstack runs promote {taken.version.key} {name} gives it back"
    )
    _deliver(taken.folders)


@runs.command()
def promoted(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them; else all.")] = None,
    as_json: Json = False,
) -> None:
    """Named models: every version, and who gave which alias to it, or took it away, when and why."""
    from trackstack.records.promotion.versions import history

    rows = history(Path(), name)
    if name and not rows:
        raise UserError(f"{name}: no such promoted model; trackstack runs promoted lists those there are")
    if as_json:
        print_json(rows)
        return
    header = ["model", "version", "run", "what", "by", "when", "why"]
    print_table(header, [[*list(row.values())[:5], when(row["time"]), row["why"]] for row in rows])


@runs.command()
def card(
    run: RunKey,
    out: Annotated[
        Path | None, typer.Option(help="Write this file instead of printing; what a person wrote in it stays.")
    ] = None,
) -> None:
    """The model card of a run in Markdown, from its record; what only a person can say is marked as missing."""
    from trackstack.records.model_card import card_file, earlier_card, model_card, write_card
    from trackstack.records.query import find_run
    from trackstack.tracking.environment import home

    found = find_run(home(), run)
    before = (out and earlier_card(out)) or earlier_card(card_file(found.series))
    if out is None:
        typer.echo(model_card(found, before), nl=False)
        return
    write_card(out, found, before)
    typer.echo(f"{out}: the model card of run {found.series.key}{_what_is_missing(out)}")


def _what_is_missing(card: Path) -> str:
    from trackstack.records.model_card import missing_sections

    missing = missing_sections(card.read_text(encoding="utf-8"))
    return f"; missing, to be written by a person: {', '.join(missing)}" if missing else ""


def _deliver(folders: list[Path]) -> None:
    """Bring to MLflow what the notes of runs say; UserError where it did not get there."""
    from trackstack.tracking.sync import sync_run

    problems = [(folder.name, *problem) for folder in folders for problem in sync_run(folder).items()]
    if problems:
        raise UserError("\n".join(f"{run}: {sink} does not have it yet: {why}" for run, sink, why in problems))
