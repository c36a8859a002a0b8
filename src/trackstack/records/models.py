"""The model of a recorded run, loaded by the function that the run itself named: `trackstack.load_model(run)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_path
from trackstack.records.query import find_run
from trackstack.tracking.environment import home as usual_home
from trackstack.tracking.sinks import load_by_name


def load_model(run: str, *, home: Path | str | None = None) -> Any:
    """The model that a run recorded, ready to be used; its files are compared with their digest first.

    Nothing is unpickled here: the run's own loader, the `loader=` of `run.log_artifact`, reads the files.

    Args:
        run: an id, the beginning of one, or a name.
        home: the folder that holds `runs/`; by default TRACKSTACK_HOME, or the working folder.

    Raises:
        UserError: no such run, no model, no loader, or files that are not those that were recorded.
    """
    series = find_run(Path(home).absolute() if home is not None else usual_home(), run).series
    models = [record for record in series.artifacts if record["kind"] == "model"]
    if not models:
        raise UserError(f"{series.key}: recorded no model; expected a run with run.log_artifact(..., kind='model')")
    model = models[-1]
    path = series.folder / model["path"]
    if not path.exists():
        raise UserError(f"{path}: no such file; trackstack storage status tells where it may be")
    if digest_path(path) != model["digest"]:
        raise UserError(f"{path}: damaged or replaced: its digest is not the recorded one")
    if not model.get("loader"):
        raise UserError(f"{series.key}: its model was recorded without loader='module:function'; it lies in {path}")
    try:
        loaded, _ = load_by_name(model["loader"], series.home)(path.resolve())
    except (ImportError, AttributeError) as error:
        raise UserError(f"{series.key}: its loader {model['loader']} cannot be imported: {error}") from None
    return loaded
