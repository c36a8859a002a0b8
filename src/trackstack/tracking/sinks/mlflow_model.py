"""Models in MLflow: exported without pickle, logged beside their run, and registered when the run is promoted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.tracking.sinks import Series, load_by_name, require_own_process
from trackstack.tracking.sinks.mlflow_records import DIGEST_TAG

RUN_TAG, VERSION_TAG, ALIASES_TAG = "trackstack.run", "trackstack.version", "trackstack.aliases"
Exports = dict[str, tempfile.TemporaryDirectory]
"""Exported models, in a folder `model`, by the id of MLflow's entry."""


def logged_model(client: Any, run: Any, artifact: dict[str, Any]) -> Any:
    """MLflow's entry of a model, made when there is none: one that a kill left half uploaded is completed."""
    run_id, experiment = run.info.run_id, run.info.experiment_id
    all_logged = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    logged = [model for model in all_logged if model.tags.get(DIGEST_TAG) == artifact["digest"]]
    if logged:
        return max(logged, key=is_ready)
    tags = {DIGEST_TAG: artifact["digest"]}
    return client.create_logged_model(
        experiment, name="model", source_run_id=run_id, tags=tags, params=run.data.params
    )


def is_ready(logged: Any) -> bool:
    """Whether a model is whole in MLflow."""
    from mlflow.entities import LoggedModelStatus

    return logged.status == LoggedModelStatus.READY


def log_model(client: Any, run: Any, series: Series, artifact: dict[str, Any], exports: Exports) -> Any:
    """Log a model unless MLflow has it, and return its entry; an export that was made before is used up."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    model = logged_model(client, run, artifact)
    if not is_ready(model):
        with exports.pop(model.model_id, None) or tempfile.TemporaryDirectory() as folder:
            if not Path(folder, "model").exists():
                export_model(model, run.info.run_id, series, artifact, Path(folder, "model"))
            client.log_model_artifacts(model.model_id, str(Path(folder, "model")))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    if model.model_id not in [output.model_id for output in run.outputs.model_outputs]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def register_model(
    client: Any, run_id: str, series: Series, artifact: dict[str, Any], source: str, model_id: str | None
) -> None:
    """Make a model the versions in MLflow's registry that it was promoted to, each once, with their aliases.

    Args:
        run_id: MLflow's own.
        source: the place of the model.
    """
    for kept in series.versions if artifact["kind"] == "model" else ():
        if kept["digest"] == artifact["digest"]:
            name = kept["name"]
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            versions = client.search_model_versions(f"name = '{name}'")
            mine = [version for version in versions if version.source == source and VERSION_TAG in version.tags]
            about = {RUN_TAG: series.key, VERSION_TAG: kept["version"], "trackstack.user": kept["user"]}
            why = kept["why"] or None
            mine = mine or [
                client.create_model_version(name, source, run_id, about, description=why, model_id=model_id)
            ]
            _set_aliases(client, mine[0], set(kept["aliases"]))


def _set_aliases(client: Any, version: Any, aliases: set[str]) -> None:
    """Let a version have these aliases, and none that it has had from us; those that people gave it here stay."""
    name, number, ours = version.name, version.version, set((version.tags.get(ALIASES_TAG) or "").split())
    if ours != aliases:  # noted first, as it may be killed: what is noted and not there does no harm
        client.set_model_version_tag(name, number, ALIASES_TAG, " ".join(sorted(ours | aliases)))
    holders = client.get_registered_model(name).aliases
    for alias in aliases:
        if holders.get(alias) != number:
            client.set_registered_model_alias(name, alias, number)
    for alias in ours - aliases:
        if holders.get(alias) == number:
            client.delete_registered_model_alias(name, alias)
    if ours - aliases:
        client.set_model_version_tag(name, number, ALIASES_TAG, " ".join(sorted(aliases)))


def export_model(logged: Any, run_id: str, series: Series, artifact: dict[str, Any], folder: Path) -> None:
    """Write a model in MLflow's format without pickle, as a graph that takes batches of any size."""
    require_own_process()
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    path = (series.folder / artifact["path"]).resolve()
    model, example = load_by_name(artifact["loader"], series.home)(path)
    # torch.export takes a size of 1 for a constant.
    example = np.concatenate([example, example])
    with torch.inference_mode():
        logits = model(torch.from_numpy(example)).numpy()
    specs = [TensorSpec(array.dtype, (-1, *array.shape[1:])) for array in (example, logits)]
    packages = series.start["environment"]["packages"]
    try:
        mlflow.pytorch.save_model(
            model,
            folder,
            mlflow_model=Model(
                logged.artifact_location, run_id, model_uuid=logged.model_id, model_id=logged.model_id
            ),
            signature=ModelSignature(Schema(specs[:1]), Schema(specs[1:])),
            input_example=example,
            # A local part, as in 2.13.0+cpu, is known to no index.
            pip_requirements=[
                f"{name}=={packages[name].partition('+')[0]}"
                for name in ("mlflow", "torch", "numpy", "safetensors")
                if name in packages
            ],
            serialization_format="pt2",
        )
        if exporter := artifact.get("exporter"):
            load_by_name(exporter, series.home)(folder, path)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: cannot be exported ({reason}); TRACKSTACK_LOG_MODELS=none leaves it out") from error
