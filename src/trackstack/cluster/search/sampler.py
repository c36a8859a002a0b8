"""The proposal of a sampler for the next trial, made anew each time from what the log says.

A proposal depends on the seed, the number of the trial and the trials before it, and on nothing that a process
remembers. So it can be computed again, years later, by whoever has the log. TPE is Optuna's; it gets what is paused
as pruned trials with their figures, and what is at work as running ones, none of which is dead.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import itertools
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trackstack import UserError
from trackstack.cluster.search import Settings
from trackstack.cluster.search.space import Parameter, Space
from trackstack.cluster.search.state import SearchState, TrialState

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Suggestion = dict[str, Any]
PACKAGES = {"tpe": ("optuna", "numpy"), "random": ("numpy",), "quasi-random": ("scipy", "numpy"), "grid": ()}
"""Those that a sampler's proposals depend on."""
NO_TIME = datetime.datetime(1970, 1, 1)
"""When a trial was is nothing that a proposal may depend on."""


def refuse_absent_packages(sampler: str) -> None:
    """UserError when a package of a sampler's is not installed."""
    for package in PACKAGES[sampler]:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(
                f"--sampler {sampler}: {package} is not installed; type: pip install 'trackstack[search]'"
            ) from None


def versions_of(sampler: str) -> dict[str, str]:
    """The versions of a sampler's packages, for the log."""
    return {package: importlib.metadata.version(package) for package in PACKAGES[sampler]}


def suggest(state: SearchState, space: Space) -> Suggestion | None:
    """The values of the next trial; None when a grid has no more points."""
    number, settings = len(state.trials), state.settings
    if settings.sampler == "tpe":
        return _by_tpe(state, space)
    if settings.sampler == "grid":
        return _at_grid_point(space, number)
    parts = (_random if settings.sampler == "random" else _quasi_random)(settings, number, len(space))
    values: Suggestion = {}
    for parameter, part in zip(space, parts, strict=True):
        if parameter.counts_with(values):
            values[parameter.name] = parameter.at(part)
    return values


def _random(settings: Settings, number: int, size: int) -> list[float]:
    import numpy as np

    return np.random.default_rng([settings.seed, number]).random(size).tolist()


def _quasi_random(settings: Settings, number: int, size: int) -> list[float]:
    """A point of Halton's sequence, scrambled by the seed (Owen, 2017, https://arxiv.org/abs/1706.02808)."""
    from scipy.stats import qmc

    sequence = qmc.Halton(size, scramble=True, rng=settings.seed)
    sequence.fast_forward(number)
    return sequence.random(1)[0].tolist()


def _at_grid_point(space: Space, number: int) -> Suggestion | None:
    return next(itertools.islice(_grid(space, {}), number, None), None)


def _grid(space: Space, chosen: Suggestion) -> Iterator[Suggestion]:
    """All points of a space whose parameters can be counted, in the order of its file, the last one fastest."""
    if not space:
        yield chosen
        return
    parameter, *others = space
    if not parameter.counts_with(chosen):
        yield from _grid(others, chosen)
        return
    for level in parameter.levels or ():
        yield from _grid(others, chosen | {parameter.name: level})


def _by_tpe(state: SearchState, space: Space) -> Suggestion:
    import numpy as np
    import optuna

    settings = state.settings
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(np.random.SeedSequence([settings.seed, len(state.trials)]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            directions=["minimize" if metric.lower_is_better else "maximize" for metric in settings.metrics],
            sampler=optuna.samplers.TPESampler(seed=seed),
        )
        distributions = {parameter.name: _distribution(parameter) for parameter in space}
        study.add_trials([_as_optuna(state, trial, space, distributions) for trial in state.trials])
        trial, values = study.ask(), dict[str, Any]()
        for parameter in space:
            if parameter.counts_with(values):
                values[parameter.name] = _ask(trial, parameter)
    return values


def _ask(trial: optuna.Trial, parameter: Parameter) -> Any:
    if parameter.kind == "choice":  # by their places, since Optuna takes no lists
        return parameter.values[trial.suggest_categorical(parameter.name, range(len(parameter.values)))]
    low, high = parameter.values
    is_log = parameter.kind == "log"
    if parameter.is_whole:
        return trial.suggest_int(parameter.name, low, high, step=int(parameter.step or 1), log=is_log)
    return trial.suggest_float(parameter.name, low, high, step=parameter.step, log=is_log)


def _as_optuna(
    state: SearchState, trial: TrialState, space: Space, distributions: dict[str, BaseDistribution]
) -> optuna.trial.FrozenTrial:
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as Status

    counted = [parameter for parameter in space if parameter.name in trial.values]
    values = {
        parameter.name: parameter.values.index(value) if parameter.kind == "choice" else value
        for parameter in counted
        for value in [trial.values[parameter.name]]
    }
    figures = trial.figures() if trial.is_complete and trial.failure is None else []
    is_known = bool(figures) and all(map(math.isfinite, figures))
    status = {
        "finished": Status.COMPLETE if is_known else Status.FAIL,
        "failed": Status.FAIL,
        "paused": Status.PRUNED,
        "begun": Status.RUNNING,
    }[state.status(trial)]
    rungs = {} if len(state.settings.metrics) > 1 else _figures_at_rungs(state, trial)
    return FrozenTrial(  # create_trial would check what add_trials checks once more
        number=trial.number,
        trial_id=trial.number,
        state=status,
        value=None,
        values=figures if status == Status.COMPLETE else None,
        datetime_start=NO_TIME,
        datetime_complete=NO_TIME if status.is_finished() else None,
        params=values,
        distributions={parameter.name: distributions[parameter.name] for parameter in counted},
        user_attrs={},
        system_attrs={},
        intermediate_values=rungs,
    )


def _figures_at_rungs(state: SearchState, trial: TrialState) -> dict[int, float]:
    reached = max((len(member.rungs) for member in trial.members), default=0)
    found = {state.settings.rung(rung): trial.value_at(rung) for rung in range(reached)}
    return {step: value for step, value in found.items() if value is not None}


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.kind == "choice":
        return CategoricalDistribution(range(len(parameter.values)))
    low, high = parameter.values
    is_log = parameter.kind == "log"
    if parameter.is_whole:
        return IntDistribution(low, high, log=is_log, step=int(parameter.step or 1))
    return FloatDistribution(low, high, log=is_log, step=parameter.step)
