"""scikit-learn: parameters of an estimator, its cross-validation fold by fold, and the model without pickle.

with start_run("my-model", parameters(model)) as run:
    scores = cross_validate(run, model, x, y)
    log_model(run, model.fit(x, y))
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection import cross_validate as sklearn_cross_validate

from trackstack import UserError
from trackstack.frameworks.interruption import Interruption
from trackstack.system.stopping import Interrupted
from trackstack.tracking.run import Run, start_run
from trackstack.tracking.series import RunFolder

__all__ = ["cross_validate", "load_model", "log_model", "parameters", "start_run"]

FOLD, MODEL = "fold/", "model.skops"
OF_THE_CLOCK = ("fit_time", "score_time")


def parameters(model: BaseEstimator) -> dict[str, Any]:
    """All parameters of an estimator and of those in it, by scikit-learn's names; what is no value, by its name."""
    return {"estimator": type(model).__name__} | {name: _plain(value) for name, value in model.get_params().items()}


def cross_validate(
    run: Run, model: BaseEstimator, x: Any, y: Any, cv: Any = None, scoring: Any = None, **more: Any
) -> dict[str, np.ndarray]:
    """As scikit-learn's, with each fold recorded as soon as it is there; those of earlier attempts are not repeated.

    Records `fold/test_score` by the number of the fold, and at the end mean and standard deviation, `test_score` and
    `test_score_std`. Stops between two folds.

    Args:
        cv, scoring, more: as scikit-learn's function has them; `groups` with them.

    Returns:
        By score, an array of one value for each fold; no times.

    Raises:
        Interrupted: a stop file, a deadline, a signal.
        UserError: folds are drawn anew each time.
    """
    groups = more.pop("groups", None)
    splitter = check_cv(cv, y, classifier=is_classifier(model))
    if getattr(splitter, "shuffle", False) and not isinstance(getattr(splitter, "random_state", None), int):
        raise UserError(
            f"cross_validate: {splitter} draws other folds each time; "
            f"type {type(splitter).__name__}(..., random_state=0)"
        )
    interruption, known, rows = Interruption(run), _known_folds(run), []
    interruption.begin()
    for fold, split in enumerate(splitter.split(x, y, groups)):
        if reason := interruption.reason():
            raise Interrupted(reason)
        row = known.get(fold, {})
        if not row:
            found = sklearn_cross_validate(clone(model), x, y, cv=[split], scoring=scoring, **more)
            row = {f"{FOLD}{name}": float(value[0]) for name, value in found.items() if name not in OF_THE_CLOCK}
            run.log(row, step=fold)
            run.flush()
        rows.append(row)
    interruption.end()
    scores = {name.removeprefix(FOLD): np.array([row[name] for row in rows]) for name in rows[0]}
    spread = {f"{name}_std": values.std() for name, values in scores.items()}
    run.log({name: values.mean() for name, values in scores.items()} | spread, step=len(rows))
    return scores


def log_model(run: Run, model: BaseEstimator) -> None:
    """Keep a fitted model with the run, in skops' format: loading it runs no code."""
    import skops.io

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, MODEL)
        skops.io.dump(model, file)
        run.log_artifact(file, kind="model")


def load_model(path: Path | str) -> BaseEstimator:
    """The model of a file that `log_model` kept.

    Raises:
        UserError: there is none, or it holds types that are neither scikit-learn's nor NumPy's.
    """
    import skops.io

    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file; trackstack runs show RUN lists those of a run")
    if unknown := skops.io.get_untrusted_types(file=path):
        raise UserError(f"{path}: has the types {', '.join(unknown)}, which loading would run code of")
    return skops.io.load(path)


def _known_folds(run: Run) -> dict[int, dict[str, float]]:
    """By number, what earlier attempts have recorded of folds."""
    known: dict[int, dict[str, float]] = {}
    for attempt in RunFolder(run.folder).refresh():
        if attempt.number < run.attempt and attempt.start["series"] == run.series:
            for point in attempt.points:
                names = [name for name in point["values"] if name.startswith(FOLD)]
                known.setdefault(point.get("step", -1), {}).update({name: point["values"][name] for name in names})
    return known


def _plain(value: Any) -> Any:
    """A JSON value for a parameter: text for what is none."""
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float | dict):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return getattr(value, "__qualname__", type(value).__name__)
