"""Searches: trials that a sampler proposes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from trackstack import UserError
from trackstack.cli.jobs.options import DryRun, Jobs, Local, refuse_mixed
from trackstack.cli.jobs.trials import print_trials, status
from trackstack.cli.printing import Json, print_json

if TYPE_CHECKING:
    from trackstack.cluster.search import Metric, Search

TASKS = 4
Name = Annotated[str | None, typer.Argument(help="The search; the newest by default.")]
Space = Annotated[Path, typer.Argument(metavar="SPACE.yaml", help="Lines like  train.lr: {log: [1e-4, 1e-1]}")]
Trials = Annotated[int, typer.Option(min=1, help="How many there are to be; typed again, more or fewer.")]
MetricNames = Annotated[
    list[str], typer.Option("--metric", help="What to make better, by its name in the record; two at most.")
]
Minimize = Annotated[bool, typer.Option("--minimize", help="Lower is better, where the name does not say it.")]
Maximize = Annotated[bool, typer.Option("--maximize", help="Higher is better.")]
Sampler = Annotated[str, typer.Option(help="tpe, random, quasi-random or grid.")]
Prune = Annotated[
    str, typer.Option(help="Who goes on at a rung: asha, the best third; median, the better half; none, all.")
]
Rungs = Annotated[
    str, typer.Option(metavar="2,6,18", help="Where trials are compared, in epochs (steps of Run.log).")
]
Over = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUES", help="A trial is the mean over these, such as train.seed=range(3)."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the sampler.")]
Budget = Annotated[
    float | None,
    typer.Option(min=0, metavar="HOURS", help="Of GPUs, or of tasks without one: then no trial begins."),
]
SearchName = Annotated[str | None, typer.Option("-n", "--name", help="Of the search; that of SPACE.yaml by default.")]
MaxParallel = Annotated[int | None, typer.Option(min=1, help="SLURM tasks at a time; 4 by default.")]
Slice = Annotated[
    str | None, typer.Option("--slice", metavar="4:00:00", help="How long a task is, until it is queued again.")
]


class _StartsByDefault(TyperGroup):
    """`trackstack search SPACE.yaml` is `trackstack search start SPACE.yaml`."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["start", *args]
        return super().parse_args(context, args)


commands = typer.Typer(
    cls=_StartsByDefault,
    no_args_is_help=True,
    help="Find good parameters: a sampler proposes trials, poor ones are paused early, and no kill loses one.",
)


@commands.command()
def start(
    space: Space,
    trials: Trials,
    metric: MetricNames,
    minimize: Minimize = False,
    maximize: Maximize = False,
    sampler: Sampler = "tpe",
    prune: Prune = "none",
    rungs: Rungs = "",
    over: Over = None,
    seed: Seed = 0,
    budget: Budget = None,
    name: SearchName = None,
    local: Local = False,
    jobs: Jobs = None,
    max_parallel: MaxParallel = None,
    time_slice: Slice = None,
    dry_run: DryRun = False,
) -> None:
    """Begin a search; typed again, it goes on with it."""
    from trackstack.cluster.search import PRUNERS, SAMPLERS, Settings
    from trackstack.cluster.search.decide import why_hopeless
    from trackstack.cluster.search.looks import is_over, read_state
    from trackstack.cluster.search.space import read_space
    from trackstack.cluster.search.start import begin, missing_tasks, prepare, search_locally, tasks_of
    from trackstack.cluster.sweep.start import at_work, show_submissions, submit
    from trackstack.cluster.sweep.trials import expand_settings

    refuse_mixed(local, jobs, {"--max-parallel": max_parallel, "--slice": time_slice})
    settings = Settings(
        read_space(space),
        _metrics(metric, minimize, maximize),
        _one_of("--sampler", sampler, SAMPLERS),
        seed,
        _one_of("--prune", prune, PRUNERS),
        _rungs(rungs),
        expand_settings(over or []),
    )
    search = prepare(settings, space, name)
    typer.echo(f"search {search.name}: {trials} trials at {search.sweep.commit[:10]}")
    if dry_run:
        lines = [] if local else show_submissions(search.sweep, tasks_of(max_parallel or TASKS, time_slice))
        typer.echo("\n".join(lines), nl=not local)
        return
    with at_work(search.sweep):
        begin(search, trials, budget)
        done = is_over(search)
        if local and not done:
            search_locally(search, jobs or 1, typer.echo)
        elif not done:
            for line in submit(search.sweep, missing_tasks(search, max_parallel or TASKS, time_slice)):
                typer.echo(line)
    state = read_state(search)
    _print_end(search, state)
    if local and (not is_over(search) or why_hopeless(state)):
        raise typer.Exit(1)


commands.command()(status)


@commands.command()
def show(
    name: Name = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also a page with pictures, as runs report --sweep NAME.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The best trials, and how the best came to be."""
    from trackstack.cluster.search import find_search
    from trackstack.cluster.search.looks import best, history, read_state, rows

    search = find_search(name)
    state = read_state(search)
    order = [trial.number for trial in best(state)]
    found = {row["trial"]: row for row in rows(search, state)}
    if as_json:
        print_json({"search": search.name, "best": [found[number] for number in order], "history": history(state)})
    else:
        print_trials([found[number] for number in order[:10]])
        for line in history(state):
            typer.echo(line)
    if out:
        from trackstack.cli.page import write_report

        write_report(out, search.name)


@commands.command()
def stop(name: Name = None) -> None:
    """Ask all its tasks to write a checkpoint and end."""
    from trackstack.cluster.search import find_search
    from trackstack.cluster.search.start import stop as stop_search

    search = find_search(name)
    lines = list(stop_search(search))
    typer.echo("\n".join(lines) or f"search {search.name}: nothing is at work on it")


@commands.command()
def replay(name: Name = None) -> None:
    """Compute each of its decisions again from what was known then; exit code 1 where one is another now."""
    from trackstack.cluster.search import find_search
    from trackstack.cluster.search.looks import replay as compute_again

    search = find_search(name)
    differences = list(compute_again(search))
    if differences:
        raise UserError("\n".join(f"search {search.name}: {line}" for line in differences[:10]))
    typer.echo(f"search {search.name}: same decisions")


def _metrics(names: list[str], minimize: bool, maximize: bool) -> list[Metric]:
    from trackstack.cluster.search import Metric
    from trackstack.records.choosing.directions import lower_is_better

    if len(names) > 2 or len(set(names)) < len(names):
        raise UserError(f"--metric {' --metric '.join(names)}: expected one metric, or two different ones")
    if minimize and maximize:
        raise UserError("--minimize --maximize: expected one of them")
    if (minimize or maximize) and len(names) > 1:
        raise UserError("--minimize, --maximize: are for one metric; of two, the names have to say it")
    metrics = []
    for name in names:
        if name.startswith("test_"):
            raise UserError(f"--metric {name}: of the test split; choose on validation, as by val_loss")
        lower = True if minimize else False if maximize else lower_is_better(name)
        if lower is None:
            raise UserError(f"--metric {name}: which end is better? Add --minimize or --maximize")
        metrics.append(Metric(name, lower))
    return metrics


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UserError(f"{option} {value}: expected one of {', '.join(known)}")
    return value


def _rungs(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(f"--rungs {text}: expected numbers that rise, such as 2,6,18") from None


def _print_end(search: Search, state: Any) -> None:
    from trackstack.cluster.search.looks import best, describe_values, rows, summary

    typer.echo(summary(search, state, [row["state"] for row in rows(search, state)]))
    if ranked := best(state):
        typer.echo(f"best: trial {ranked[0].number}, {describe_values(ranked[0].values)}")
        typer.echo(f"take it: dvc exp apply {search.unit_name(ranked[0].number, 0)}")
