"""Models in MLflow: exported without pickle, logged beside their run, and registered when the run is promoted."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.outputs import DESCRIPTION_FILE
from trackstack.sources import imported_sources
from trackstack.tracking.sinks import Series
from trackstack.tracking.sinks.mlflow_records import DIGEST_TAG

Exports = dict[str, tempfile.TemporaryDirectory]
"""Exported models, in a folder `model`, by the id of MLflow's entry."""


def logged_model(client: Any, run: Any, artifact: dict[str, Any]) -> Any:
    """MLflow's entry of a model, made when there is none: one that a kill left half uploaded is completed."""
    run_id, experiment = run.info.run_id, run.info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    logged = [model for model in found if model.tags.get(DIGEST_TAG) == artifact["digest"]]
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


def register_model(client: Any, run_id: str, logged: Any, series: Series) -> None:
    """Make a logged model a version in MLflow's registry, once, under the name of its kind, such as `cnn`."""
    name = series.start["tags"].get("model_name") or series.start["name"]
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    # By its place: an id would be looked up wherever this process's own MLFLOW_TRACKING_URI points.
    source, tags = logged.artifact_location, {"trackstack.run": series.key}
    if not any(version.source == source for version in client.search_model_versions(f"run_id = '{run_id}'")):
        client.create_model_version(name, source, run_id, tags=tags, model_id=logged.model_id)


def export_model(logged: Any, run_id: str, series: Series, artifact: dict[str, Any], folder: Path) -> None:
    """Write a model in MLflow's format without pickle, as a graph that takes batches of any size."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    path = (series.folder / artifact["path"]).resolve()
    module, function = artifact["loader"].split(":")
    model, example = getattr(importlib.import_module(module), function)(path)
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
        if _takes_rows(path):
            _serve_rows(folder, path)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: cannot be exported ({reason}); TRACKSTACK_LOG_MODELS=none leaves it out") from error


def _takes_rows(path: Path) -> bool:
    """Whether this is a model folder that says how rows become windows; those of older runs do not."""
    file = path / DESCRIPTION_FILE
    return file.is_file() and "stride" in json.loads(file.read_text(encoding="utf-8"))


def _serve_rows(exported: Path, path: Path) -> None:
    """Make MLflow's pyfunc of an exported model classify rows, as `trackstack predict` does and by the same code.

    The model folder and the sources that it needs go along; MLflow's torch flavor stays the graph.
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    from trackstack.predict import CLASSIFIER_FOLDER, Classifier

    shutil.copytree(path, exported / CLASSIFIER_FOLDER, copy_function=shutil.copyfile)
    classifier, src = Classifier(path), Path(__file__).parents[3]
    package = src / "trackstack"
    scripts = [package / "predict.py", package / "models" / f"{classifier.description['model']}.py"]
    for file in imported_sources(scripts, src):
        copy = exported / "code" / file.relative_to(src)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    known = [ColSpec(AnyType(), name, required=False) for name in classifier.key_columns()]
    columns = [ColSpec(DataType.double, name) for name in classifier.feature_columns()]
    probs = [ColSpec(DataType.double, name) for name in classifier.probability_columns()]
    labels = [ColSpec(DataType.long, "row"), ColSpec(DataType.string, "predicted")]
    model = Model.load(exported)
    environments = model.flavors[mlflow.pyfunc.FLAVOR_NAME]["env"]
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="trackstack.predict",
        data=CLASSIFIER_FOLDER,
        code="code",
        conda_env=environments["conda"],
        python_env=environments["virtualenv"],
    )
    model.signature = ModelSignature(Schema(known + columns), Schema(known + labels + probs))
    model.saved_input_example_info = None  # which is of windows
    model.save(exported / "MLmodel")
