"""A model in MLflow's registry gives the labels of `trackstack predict`, with the code that lies beside it."""

import json
import os
import sys

import pytest
from support.projects import command_environment, run_in

from pipeline.predict.tables import predict
from pipeline.train.stage import MODEL_EXPORTER, MODEL_LOADER
from trackstack import UserError
from trackstack.tracking.sinks import Series, open_sink

SERVED = """
import json, sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
found = model.predict(pandas.read_csv(sys.argv[2]))
print(json.dumps({"predicted": found["predicted"].tolist(), "from": sys.modules["trackstack"].__file__}))
"""


def test_mlflow_serves_the_same_labels_with_the_code_in_the_model(table, model, evaluated, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    start = {"time": 1.0, "name": "tiny", "params": {}, "tags": {}, "data": None, "stage": "train"}
    start["environment"] = {"packages": {}}
    record = {"kind": "model", "path": os.path.relpath(model, tmp_path), "digest": "d"}
    series = Series("r1", 1, tmp_path, start)
    series.artifacts.append(record | {"loader": MODEL_LOADER, "exporter": MODEL_EXPORTER})
    sink = open_sink("mlflow", {"uri": uri, "artifacts": str(tmp_path / "artifacts"), "experiment": "tiny"})
    sink.deliver(series, [])
    sink.deliver_artifacts(series)

    import mlflow

    (logged,) = mlflow.tracking.MlflowClient(uri).search_logged_models(["1"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found, _ = predict(table, f"models:/{logged.model_id}")
    assert found["predicted"].to_list() == evaluated["predicted"].to_list()
    with pytest.raises(UserError, match=r"^--model models:/nope/1: MLflow cannot give it \(.*nope not found\)$"):
        predict(table, "models:/nope/1")

    command = [sys.executable, "-c", SERVED, f"models:/{logged.model_id}", str(table)]
    environment = command_environment() | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    served = json.loads(run_in(tmp_path, command, env=environment).stdout.splitlines()[-1])
    assert served["predicted"] == evaluated["predicted"].to_list()
    assert f"{tmp_path}/artifacts" in served["from"]
