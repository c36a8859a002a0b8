"""A model in MLflow's registry that classifies rows, as `trackstack predict` does and by the same code."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.modeling.base import MODELS
from pipeline.predict import classifier as classifier_module
from pipeline.predict.classifier import CLASSIFIER_FOLDER, Classifier
from trackstack.core.code_deps import imported_sources


def serve_rows(exported: Path, folder: Path) -> None:
    """Add a pyfunc that takes rows to a model that was exported for MLflow; its torch flavor stays the graph.

    Args:
        exported: MLflow's folder of the model; gets the model folder and the sources that it needs.
        folder: the model folder.
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    shutil.copytree(folder, exported / CLASSIFIER_FOLDER, copy_function=shutil.copyfile)
    classifier = Classifier(folder)
    modules = [classifier_module, MODELS.module(classifier.description["model"])]
    src = Path(__file__).resolve().parents[2]
    for file in imported_sources([Path(module.__file__ or "").resolve() for module in modules], src):
        copy = exported / "code" / file.relative_to(src)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    known = [ColSpec(AnyType(), name, required=False) for name in classifier.key_columns()]
    # A time may be seconds or a datetime.
    kinds = {"number": DataType.double, "category": DataType.string, "time": AnyType()}
    features = classifier.description["features"]
    columns = [ColSpec(kinds[feature.get("kind", "number")], feature["name"]) for feature in features]
    probs = [ColSpec(DataType.double, name) for name in classifier.probability_columns()]
    kind = DataType.float if "targets" in classifier.description else DataType.string
    labels = [ColSpec(DataType.long, "row"), *(ColSpec(kind, name) for name in classifier.predicted_columns())]
    model = Model.load(exported)
    environments = model.flavors[mlflow.pyfunc.FLAVOR_NAME]["env"]
    mlflow.pyfunc.add_to_model(
        model,
        loader_module=classifier_module.__name__,
        data=CLASSIFIER_FOLDER,
        code="code",
        conda_env=environments["conda"],
        python_env=environments["virtualenv"],
    )
    model.signature = ModelSignature(Schema(known + columns), Schema(known + labels + probs))
    model.saved_input_example_info = None  # which is of windows
    model.save(exported / "MLmodel")
