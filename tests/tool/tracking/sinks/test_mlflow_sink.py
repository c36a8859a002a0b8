"""The MLflow sink against real SQLite stores and a real tracking server: each point once, whatever happens."""

import functools
import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import support.sinks
import torch
from safetensors.torch import load_file, save_file
from support.servers import failing, hanging, refusing
from support.sinks import (
    RUN,
    START,
    STARTED,
    artifact,
    epochs,
    make_series,
    metrics,
    note_promotion,
    system,
)
from torch import nn

from trackstack import UserError
from trackstack.tracking.sinks import open_sink

ONE_SERVER = pytest.mark.xdist_group("mlflow_server")
MILLISECONDS = round(STARTED * 1000)
deliver = functools.partial(support.sinks.deliver, "mlflow", artifacts=False)


def read(destination, key=RUN):
    """The one run with this key, as MLflow's own client sees it."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=destination["uri"])
    experiment = client.get_experiment_by_name(destination["experiment"])
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`trackstack.key` = '{key}'")
    run = client.get_run(run.info.run_id)

    def history(name):
        return [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]

    return SimpleNamespace(client=client, experiment=experiment, run=run, history=history)


def expected(records, name):
    return [(r["step"], r["values"][name], round(r["time"] * 1000)) for r in records if name in r["values"]]


def convolutional():
    layers = nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Dropout(0.1), nn.Linear(8, 2)).eval()


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2)).eval()


def load_convolutional(path, model=convolutional):
    network = model()
    network.load_state_dict(load_file(path / "weights.safetensors"))
    return network, np.zeros((1, 3, 20), np.float32)


def load_dense(path):
    return load_convolutional(path, dense)


def add_model(series, make=dense):
    """A model with an artifact's record; the model."""
    torch.manual_seed(0)
    path, model = f"artifacts/{make.__name__}", make()
    (series.folder / path).mkdir(parents=True)
    save_file(model.state_dict(), series.folder / path / "weights.safetensors")
    series.artifacts.append(artifact("model", path, loader=f"{__name__}:load_{make.__name__}"))
    return model


def add_file(series, kind, path):
    file = series.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(path)
    series.artifacts.append(artifact(kind, path))


def artifact_paths(seen, folder=None):
    for item in seen.client.list_artifacts(seen.run.info.run_id, folder):
        if item.is_dir:
            yield from artifact_paths(seen, item.path)
        else:
            yield item.path


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    home = tmp_path_factory.mktemp("store") / "a home"
    home.mkdir()
    return {"uri": f"sqlite:///{home}/mlflow.db", "artifacts": f"{home}/mlartifacts"}


@pytest.fixture(scope="session")
def server(mlflow_server, tmp_path_factory):
    return {"uri": mlflow_server, "artifacts": f"{tmp_path_factory.getbasetemp()}/not-used"}


@pytest.fixture(params=["database", pytest.param("server", marks=ONE_SERVER)])
def destination(request, tmp_path):
    return request.getfixturevalue(request.param) | {"experiment": tmp_path.name}


@pytest.fixture
def in_database(database, tmp_path):
    return database | {"experiment": tmp_path.name}


@pytest.fixture
def series(tmp_path):
    return make_series(tmp_path / "runs" / RUN)


@pytest.mark.parametrize(
    ("uri", "lock"),
    [
        ("sqlite:///{0}/a b/m.db", "{0}/a b/m.db.lock"),
        ("sqlite:///{0}/m.db?timeout=5", "{0}/m.db.lock"),
        ("sqlite+pysqlite:///{0}/m.db", "{0}/m.db.lock"),
        ("sqlite:///m.db", "{0}/m.db.lock"),
        ("sqlite:///sub/../link/m.db", "{0}/real/m.db.lock"),
        ("http://127.0.0.1:5000", None),
        ("https://example.org/mlflow", None),
        ("postgresql://db.example.org/mlflow", None),
    ],
)
def test_the_lock_lies_beside_the_file_that_is_written(uri, lock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    sink = open_sink("mlflow", {"uri": uri.format(tmp_path), "artifacts": "a", "experiment": "e"})
    assert sink.lock_file() == (lock and Path(lock.format(tmp_path)))


def test_what_was_recorded_reads_back(destination, tmp_path):
    tags = {"git_commit": "c0ffee", "git_dirty": "false", "model_name": "cnn", "slurm_job_id": ""}
    series = make_series(tmp_path, start={"params": START["params"] | {"note": "x" * 7000}, "tags": tags})
    records = [*epochs(0, 5), metrics(5, loss=math.nan), metrics(6, loss=0.1 + 0.2)]
    use = [system(0.4, cpu_percent=93.0), system(2.6, cpu_percent=50.0)]
    series.status, series.finished, series.reproduced = "finished", STARTED + 60, 2
    assert deliver(destination, series, [*records, *use]) is False
    assert deliver(destination, series, []) is True
    seen = read(destination)
    run, tags = seen.run, seen.run.data.tags
    assert run.data.params == {
        "dataset": "tiny",
        "train.lr": "0.003",
        "train.augment.rotation": "20",
        "train.resume": "null",
        "widths": "[32, 48]",
        "note": "x" * 6000,
    }
    assert (run.info.run_name, run.info.status) == ("cnn-quick-fox", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (MILLISECONDS, MILLISECONDS + 60_000)
    assert tags == {
        "trackstack.key": "r0123456789ab",
        "trackstack.run": "r0123456789ab",
        "trackstack.attempt": "1",
        "trackstack.reproduced": "2",
        "trackstack.git_commit": "c0ffee",
        "trackstack.git_dirty": "false",
        "trackstack.model_name": "cnn",
        "trackstack.digest.ingest": "d1",
        "trackstack.digest.parquet": "d2",
        "trackstack.digest.tensor_cache": "d3",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.source.name": "train",
        "mlflow.source.type": "LOCAL",
        "mlflow.runName": "cnn-quick-fox",
        "mlflow.user": "ada",
    }
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("tiny", "ffbd28c19235")
    assert (data.dataset.source, data.dataset.profile) == ('{"uri": "data/raw/tiny"}', '{"num_rows": 244102}')
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    assert seen.history("lr") == expected(records, "lr")
    assert repr(seen.history("loss")) == repr(expected(records, "loss"))
    assert seen.history("system/cpu_percent") == [(0, 93.0, MILLISECONDS + 400), (2, 50.0, MILLISECONDS + 2600)]


def test_repeated_and_overlapping_deliveries_leave_each_point_once(destination, series):
    special = [metrics(step, odd=value) for step, value in enumerate([math.nan, math.inf, -math.inf, 0.0])]
    records = [*epochs(0, 30), *special, system(3, memory_mb=1.5)]
    deliver(destination, series, records[:20])
    deliver(destination, series, records[10:])
    deliver(destination, series, records)
    late = [metrics(3, time=STARTED + 99, loss=7.0), metrics(0, time=STARTED + 99, odd=7.0)]
    again = [metrics(30, loss=1.0), metrics(30, time=STARTED + 99, loss=2.0)]
    deliver(destination, series, [*late, *again])
    seen = read(destination)
    assert seen.history("lr") == expected(records, "lr")
    assert seen.history("loss") == expected([*records[:30], again[0]], "loss")
    largest = sys.float_info.max
    assert [(step, str(value)) for step, value, _ in seen.history("odd")] == [
        (0, "nan"),
        (1, str(largest)),
        (2, str(-largest)),
        (3, "0.0"),
    ]
    assert len(seen.history("system/memory_mb")) == 1


def test_one_sink_sees_what_another_delivered_in_between(in_database, series):
    sink = open_sink("mlflow", in_database)
    sink.deliver(series, epochs(0, 3))
    deliver(in_database, series, epochs(3, 6))
    sink.deliver(series, [metrics(4, time=STARTED + 99, loss=7.0), *epochs(6, 8)])
    assert read(in_database).history("loss") == expected(epochs(0, 8), "loss")


def test_the_guides_search_finds_good_runs(in_database, tmp_path):
    for number, accuracy in ((1, 0.85), (2, 0.95)):
        deliver(in_database, make_series(tmp_path, number=number), [metrics(0, val_accuracy=accuracy)])
    seen = read(in_database, "r0123456789ab-2")
    found = seen.client.search_runs([seen.experiment.experiment_id], "metrics.val_accuracy > 0.9")
    assert [run.info.run_id for run in found] == [seen.run.info.run_id]


def test_more_than_a_batch_and_names_that_mlflow_refuses_arrive(in_database, tmp_path):
    params = {f"p{number}": number for number in range(250)} | {"a/../b$": {}}
    records = [metrics(step, **{"top@1": float(step), "/x//y": 1.0}) for step in range(1200)]
    deliver(in_database, make_series(tmp_path, start={"params": params, "data": None}), records)
    seen = read(in_database)
    assert len(seen.run.data.params) == 251
    assert seen.run.data.params["a/b_"] == "{}"
    assert len(seen.history("top_1")) == len(seen.history("x/y")) == 1200


def test_the_state_follows_the_series(in_database, series):
    states = []
    for status, finished, error in [
        ("running", None, None),
        ("interrupted", STARTED + 10, "time limit"),
        ("pruned", STARTED + 15, None),
        ("running", None, None),
        ("failed", STARTED + 20, "ValueError: no"),
        ("finished", STARTED + 30, None),
    ]:
        series.status, series.finished, series.error = status, finished, error
        deliver(in_database, series, [])
        info, tags = read(in_database).run.info, read(in_database).run.data.tags
        states.append((info.status, tags.get("trackstack.status"), info.end_time, tags.get("trackstack.error")))
    assert [(status, word, error) for status, word, _, error in states] == [
        ("RUNNING", None, None),
        ("KILLED", "interrupted", "time limit"),
        ("KILLED", "pruned", None),
        ("RUNNING", None, None),
        ("FAILED", None, "ValueError: no"),
        ("FINISHED", None, None),
    ]
    assert [states[index][2] for index in (0, 1, 4, 5)] == [None, *(MILLISECONDS + s * 1000 for s in (10, 20, 30))]


def test_a_lost_run_ended_with_its_last_point(in_database, series):
    series.status = "lost"
    for _ in range(2):
        deliver(in_database, series, epochs(0, 4))
        info = read(in_database).run.info
        assert (info.status, info.end_time) == ("KILLED", MILLISECONDS + 3000)


def test_what_a_kill_left_while_the_database_was_made_is_cleared_away(tmp_path, series):
    home = tmp_path / "home"
    home.mkdir()
    destination = {"uri": f"sqlite:///{home}/mlflow.db", "artifacts": f"{home}/art", "experiment": "e"}
    (home / "mlflow.db.new").write_bytes(b"SQLite format 3\0 and no more")
    (home / "mlflow.db.new-journal").write_bytes(b"half a page")
    assert deliver(destination, series, epochs(0, 3)) is False
    assert read(destination).history("loss") == expected(epochs(0, 3), "loss")
    assert sorted(path.name for path in home.iterdir()) == ["mlflow.db"]


def test_a_run_made_twice_by_a_lost_answer_is_one_again(destination, series):
    deliver(destination, series, epochs(0, 2))
    seen = read(destination)
    twin = seen.client.create_run(seen.experiment.experiment_id, tags={"trackstack.key": series.key})
    deliver(destination, series, epochs(1, 4))
    assert read(destination).run.info.run_id == seen.run.info.run_id != twin.info.run_id
    assert read(destination).history("loss") == expected(epochs(0, 4), "loss")


def test_a_run_that_was_deleted_in_mlflow_stays_deleted(in_database, series):
    deliver(in_database, series, epochs(0, 2))
    seen = read(in_database)
    seen.client.delete_run(seen.run.info.run_id)
    assert deliver(in_database, series, epochs(0, 4)) is True
    open_sink("mlflow", in_database).deliver_artifacts(series)
    assert seen.client.get_run(seen.run.info.run_id).info.lifecycle_stage == "deleted"
    assert seen.client.search_runs([seen.experiment.experiment_id]) == []


@ONE_SERVER
def test_many_that_start_at_once_share_one_experiment(server, tmp_path):
    destination = server | {"experiment": tmp_path.name}
    ready = threading.Barrier(6)

    def start(number):
        ready.wait(20)
        deliver(destination, make_series(tmp_path, number=number), epochs(0, 2))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, range(1, 7)))
    seen = read(destination)
    assert [e.name for e in seen.client.search_experiments()].count(destination["experiment"]) == 1
    assert len(seen.client.search_runs([seen.experiment.experiment_id])) == 6


def test_a_deleted_experiment_is_one_clear_line(in_database, series):
    deliver(in_database, series, [])
    seen = read(in_database)
    seen.client.delete_experiment(seen.experiment.experiment_id)
    with pytest.raises(UserError, match=f"is deleted; .*--experiment-id {seen.experiment.experiment_id}$"):
        deliver(in_database, series, [])


@pytest.mark.parametrize(
    ("place", "make"), [("database", convolutional), pytest.param("server", dense, marks=ONE_SERVER)]
)
def test_the_model_loads_both_ways_and_predicts(place, make, request, series, tmp_path, monkeypatch, capfd):
    destination = request.getfixturevalue(place) | {"experiment": tmp_path.name}
    model = add_model(series, make)
    deliver(destination, series, epochs(0, 2))
    for _ in range(2):
        open_sink("mlflow", destination).deliver_artifacts(series)
    assert capfd.readouterr() == ("", "")
    seen = read(destination)
    (output,) = seen.run.outputs.model_outputs
    (logged,) = seen.client.search_logged_models([seen.experiment.experiment_id])
    assert (output.model_id, str(logged.status)) == (logged.model_id, "READY")

    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", destination["uri"])
    uri = f"runs:/{seen.run.info.run_id}/model"
    native, generic = mlflow.pytorch.load_model(uri), mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    for size in (1, 2, 7):
        windows = np.random.default_rng(size).normal(size=(size, 3, 20)).astype(np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(windows)).numpy()
            np.testing.assert_allclose(native(torch.from_numpy(windows)).numpy(), wanted, atol=1e-6)
        np.testing.assert_allclose(generic.predict(windows), wanted, atol=1e-6)
    assert generic.metadata.signature.inputs.inputs[0].shape == (-1, 3, 20)
    requirements = Path(mlflow.artifacts.download_artifacts(f"{uri}/requirements.txt")).read_text().split()
    assert {line.partition("==")[0] for line in requirements} == {"mlflow", "torch", "numpy"}
    assert "+" not in "".join(requirements)


def test_a_model_left_half_uploaded_is_completed(in_database, series):
    add_model(series)
    deliver(in_database, series, [])
    seen = read(in_database)
    half = seen.client.create_logged_model(
        seen.experiment.experiment_id,
        name="model",
        source_run_id=seen.run.info.run_id,
        tags={"trackstack.digest": series.artifacts[0]["digest"]},
    )
    open_sink("mlflow", in_database).deliver_artifacts(series)
    # As if the kill had come before the last request.
    seen.client.delete_tag(seen.run.info.run_id, "trackstack.artifacts")
    open_sink("mlflow", in_database).deliver_artifacts(series)
    (logged,) = seen.client.search_logged_models([seen.experiment.experiment_id])
    assert (logged.model_id, str(logged.status)) == (half.model_id, "READY")
    assert [output.model_id for output in read(in_database).run.outputs.model_outputs] == [half.model_id]


def test_files_arrive_in_their_folders_and_new_ones_later(destination, series):
    add_file(series, "report", "artifacts/report.html")
    add_file(series, "plot", "artifacts/plots/roc.png")
    series.artifacts[-1]["path"] = "artifacts/plots"
    deliver(destination, series, [])
    sink = open_sink("mlflow", destination)
    sink.deliver_artifacts(series)
    add_file(series, "file", "artifacts/a/notes.txt")
    add_file(series, "file", "artifacts/b/notes.txt")
    sink.deliver_artifacts(series)
    paths = sorted(artifact_paths(read(destination)))
    assert paths == ["files/a/notes.txt", "files/b/notes.txt", "plots/roc.png", "reports/report.html"]


def test_an_artifact_that_is_gone_is_one_clear_line(in_database, series):
    add_file(series, "report", "artifacts/report.html")
    (series.folder / "artifacts/report.html").unlink()
    deliver(in_database, series, [])
    with pytest.raises(UserError, match=r"report\.html: no such file"):
        open_sink("mlflow", in_database).deliver_artifacts(series)


@pytest.mark.parametrize(("setting", "tags"), [("none", {}), ("promoted", {}), ("", {"sweep": "s1"})])
def test_the_model_stays_out_when_it_should(setting, tags, in_database, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_LOG_MODELS", setting)
    series = make_series(tmp_path, start={"tags": tags})
    add_model(series)
    add_file(series, "report", "artifacts/report.html")
    deliver(in_database, series, [])
    open_sink("mlflow", in_database).deliver_artifacts(series)
    seen = read(in_database)
    assert seen.client.search_logged_models([seen.experiment.experiment_id]) == []
    assert list(artifact_paths(seen)) == ["reports/report.html"]


def test_a_promoted_model_arrives_is_registered_once_and_has_the_aliases_that_it_was_given(
    destination, tmp_path, monkeypatch
):
    import mlflow

    monkeypatch.setenv("TRACKSTACK_LOG_MODELS", "promoted")
    series = make_series(tmp_path, start={"tags": {"model_name": tmp_path.name}})
    add_model(series)
    deliver(destination, series, [])
    sink = open_sink("mlflow", destination)
    sink.deliver_artifacts(series)
    for _ in range(2):
        note_promotion(series, tmp_path.name, "champion", "steady")
        sink.deliver(series, [])
        sink.deliver_artifacts(series)
    seen = read(destination)
    assert seen.client.get_registered_model(tmp_path.name).aliases.keys() == {"champion", "steady"}
    seen.client.set_registered_model_alias(tmp_path.name, "mine", "1")  # a person's own, here
    note_promotion(series, tmp_path.name, "champion")
    sink.deliver(series, [])
    sink.deliver_artifacts(series)
    assert seen.client.get_registered_model(tmp_path.name).aliases.keys() == {"champion", "mine"}
    seen = read(destination)
    (version,) = seen.client.search_model_versions(f"name = '{tmp_path.name}'")
    assert (version.run_id, version.tags["trackstack.run"]) == (seen.run.info.run_id, series.key)
    assert (version.tags["trackstack.version"], version.description) == ("v1.0.0", "so")
    assert seen.run.data.tags["trackstack.promoted"] == f"{tmp_path.name}@champion"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", destination["uri"])
    model = mlflow.pytorch.load_model(f"models:/{tmp_path.name}@champion")
    assert model(torch.zeros(2, 3, 20)).shape == (2, 2)


def test_an_unknown_choice_of_models_is_one_clear_line(in_database, series, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_LOG_MODELS", "some")
    deliver(in_database, series, [])
    with pytest.raises(UserError, match=r"^TRACKSTACK_LOG_MODELS is 'some'; expected one of all, promoted, none$"):
        open_sink("mlflow", in_database).deliver_artifacts(series)


@ONE_SERVER
def test_a_bad_server_raises_in_time_and_a_good_one_gets_everything(server, series, tmp_path):
    from mlflow.exceptions import MlflowException

    def fail(port):
        began = time.monotonic()
        bad = {"uri": f"http://127.0.0.1:{port}", "artifacts": "none", "experiment": "e"}
        with pytest.raises(MlflowException, match=str(port)):
            open_sink("mlflow", bad).deliver(series, epochs(0, 2))
        return time.monotonic() - began

    with failing() as broken, hanging() as silent, refusing() as closed, ThreadPoolExecutor(3) as pool:
        took = list(pool.map(fail, (broken, silent, closed)))
    assert max(took) < 60, "two tries of 10 s; MLflow on its own would take many minutes"
    destination = server | {"experiment": tmp_path.name}
    assert deliver(destination, series, epochs(0, 4)) is False
    assert read(destination).history("loss") == expected(epochs(0, 4), "loss")
