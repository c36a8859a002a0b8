"""Choose among recorded runs: `trackstack runs best` and `trackstack runs table`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, number, print_json, print_table

if TYPE_CHECKING:
    from trackstack.records.choosing.best import Setting
    from trackstack.records.choosing.selection import Selection
    from trackstack.records.choosing.settings import Candidate

commands = typer.Typer()
By = Annotated[str, typer.Option(help="The metric; of each run its last value counts.")]
Over = Annotated[
    str | None,
    typer.Option(
        metavar="PARAM,...",
        help="Average over these parameters; by default over those called seed, random_state or fold. '' for none.",
    ),
]
WhereText = Annotated[
    str | None,
    typer.Option(
        metavar="EXPRESSION",
        help="Only these runs, such as 'val_accuracy > 0.9 and train.model == \"cnn\"'. Names with other signs stand "
        "in backticks; params. or metrics. before a name says which is meant.",
    ),
]
Test = Annotated[
    bool, typer.Option("--test", help="Show test figures; that they were looked at is noted in the record.")
]


@commands.command()
def best(
    by: By,
    over: Over = None,
    where: WhereText = None,
    minimize: Annotated[
        bool | None,
        typer.Option("--minimize/--maximize", help="Which end is better, where the name does not say so."),
    ] = None,
    test: Test = False,
    as_json: Json = False,
) -> None:
    """Rank settings by the mean of a metric over their finished runs; test figures stay hidden."""
    from trackstack.records.choosing.best import (
        averages,
        counterparts,
        in_words,
        is_lower_better,
        mixed_code,
        rank,
        unequal_coverage,
    )
    from trackstack.records.choosing.selection import select_runs
    from trackstack.records.choosing.settings import averaged_params
    from trackstack.tracking.environment import home

    selection = select_runs(home(), by, where, test)
    lower = is_lower_better(by) if minimize is None else minimize
    averaged = averaged_params(selection.runs, over)
    settings = rank(selection.runs, by, averaged, lower)
    tests = counterparts(selection.runs, by) if test else []
    looks, damaged = _looks(selection, by, tests, test)
    groups = [setting.runs for setting in settings]
    notes = [*selection.notes, *damaged, *_diverged(groups, by)]
    notes += filter(None, [unequal_coverage(groups, averaged), mixed_code(groups)])
    for note in notes:
        typer.echo(note, err=True)
    if as_json:
        rows = _setting_rows(settings, tests)
        end = "lower" if lower else "higher"
        print_json(
            {"metric": by, "better": end, "over": averaged, "settings": rows, "notes": notes, "test_looks": looks}
        )
        return
    averaged_in_words = in_words(averages(groups, averaged))
    typer.echo(f"{by}, {'lower' if lower else 'higher'} is better, averaged over {averaged_in_words}")
    _print_ranking(_setting_rows(settings, tests), tests)
    if looks:
        typer.echo(
            f"test figures of these runs were looked at {looks} time{'s' * (looks != 1)}; runs show tells by whom"
        )


@commands.command()
def table(
    by: By,
    rows: Annotated[str, typer.Option(metavar="PARAM", help="The parameter that makes the rows.")],
    columns: Annotated[str | None, typer.Option(metavar="PARAM", help="The one that makes the columns.")] = None,
    over: Over = None,
    where: WhereText = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="markdown, latex (booktabs) or csv.")
    ] = "markdown",
    test: Test = False,
    as_json: Json = False,
) -> None:
    """A metric over one or two parameters for a paper: mean, spread, interval, number of runs, run ids."""
    from trackstack.records.choosing import table as tables
    from trackstack.records.choosing.best import mixed_code, unequal_coverage
    from trackstack.records.choosing.selection import select_runs
    from trackstack.records.choosing.settings import averaged_params
    from trackstack.records.where import refuse_unknown
    from trackstack.tracking.environment import home

    if format_ not in tables.FORMATS:
        raise UserError(f"--format {format_}: no such format; expected one of {', '.join(tables.FORMATS)}")
    selection = select_runs(home(), by, where, test)
    names = {name for run in selection.runs for name in run.names}
    refuse_unknown("--rows", [rows], names)
    refuse_unknown("--columns", [columns] if columns else [], names)
    averaged = averaged_params(selection.runs, over)
    made = tables.make_table(selection.runs, by, rows, columns, averaged)
    _, damaged = _looks(selection, by, [], test)
    groups = [cell.runs for cell in made.cells]
    notes = [*selection.notes, *made.left_out, *damaged, *_diverged(groups, by)]
    notes += filter(None, [unequal_coverage(groups, list(made.averages)), mixed_code(groups)])
    for note in notes:
        typer.echo(note, err=True)
    if as_json:
        print_json(tables.as_rows(made))
    else:
        typer.echo({"markdown": tables.as_markdown, "latex": tables.as_latex, "csv": tables.as_csv}[format_](made))


def _looks(selection: Selection, by: str, tests: list[str], test: bool) -> tuple[int, list[str]]:
    """Note a look at test figures before they are shown; how often there was one, and which notes are damaged."""
    from trackstack.records.choosing.selection import is_test
    from trackstack.records.looks import count_looks, note_look

    metrics = sorted({name for name in (by, *selection.tests, *tests) if is_test(name)})
    if test and not metrics:
        typer.echo("--test: these runs have no test figure to show", err=True)
    if metrics:
        note_look([run.series for run in selection.tested], metrics)
    return count_looks([run.series for run in selection.runs])


def _diverged(groups: list[list[Candidate]], metric: str) -> list[str]:
    return [
        f"{run.key}: {metric} is {run.figures[metric]}, so its mean is no number, and ranks last"
        for runs in groups
        for run in runs
        if not math.isfinite(run.figures[metric])
    ]


def _setting_rows(settings: list[Setting], tests: list[str]) -> list[dict[str, Any]]:
    from trackstack.records.choosing.best import Figure, differing, summarise

    names = differing([setting.values for setting in settings])

    def figures(figure: Figure) -> dict[str, float | None]:
        return {"mean": None if math.isnan(figure.mean) else figure.mean, "sd": figure.sd}

    return [
        {
            "rank": place,
            "params": {name: setting.values.get(name) for name in names},
            **figures(setting.figure),
            "runs": len(setting.runs),
            "run_ids": [run.key for run in setting.runs],
            "test": {name: figures(summarise(setting.runs, name)) for name in tests},
        }
        for place, setting in enumerate(settings, start=1)
    ]


def _print_ranking(rows: list[dict[str, Any]], tests: list[str]) -> None:
    header = ["", *rows[0]["params"], "mean", "sd", "runs", *tests, "run ids"]
    table = []
    for row in rows:
        means = ["nan" if row["mean"] is None else number(row["mean"]), number(row["sd"]), row["runs"]]
        of_tests = [
            " ± ".join(number(value) for value in figure.values() if value is not None)
            for figure in row["test"].values()
        ]
        table.append([row["rank"], *row["params"].values(), *means, *of_tests, " ".join(row["run_ids"])])
    print_table(header, table)
