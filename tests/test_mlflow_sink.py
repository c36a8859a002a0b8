"""The MLflow sink against real SQLite stores and a real tracking server: each point once, whatever happens."""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bad_servers import failing, hanging, refusing

from trackstack import UserError
from trackstack.models import MODELS as REGISTRY
from trackstack.models import Shape, build_model
from trackstack.saved_model import load_model, save_model
from trackstack.tracking.sinks import Series, open_sink

ROOT = Path(__file__).resolve().parent.parent
BEGAN = 1_700_000_000.123
MODELS = {"cnn": {"widths": [8, 8], "kernel": 3, "dropout": 0.1}, "mlp": {"hidden": 8, "dropout": 0.1}}
START = {
    "type": "start",
    "time": BEGAN,
    "run": "r0123456789ab",
    "attempt": 1,
    "series": 1,
    "stage": "train",
    "name": "cnn-quick-fox",
    "params": {
        "dataset": "sensor_v2",
        "train": {"lr": 0.003, "augment": {"rotation": 20}, "resume": None},
        "models": {"cnn": {"widths": [32, 48]}},
        "note": "x" * 7000,
    },
    "tags": {"git_commit": "c0ffee", "git_dirty": "false", "model_name": "cnn", "slurm_job_id": ""},
    "data": {
        "name": "sensor_v2",
        "version": "ffbd28c19235",
        "path": "data/raw/sensor_v2",
        "num_samples": 244102,
        "description": "ten subjects",
        "digests": {"ingest": "d1", "tensor_cache": "d3"},
    },
    "environment": {"user": "ada", "packages": {"torch": f"{torch.__version__}", "numpy": np.__version__}},
}


def make_series(folder, run="r0123456789ab", number=1, **start):
    return Series(run, number, folder, START | {"run": run} | start)


def metrics(step, moment=None, **values):
    return {"type": "metrics", "time": BEGAN + step + 1 if moment is None else moment, "step": step, "values": values}


def system(seconds, **values):
    return {"type": "system", "time": round(BEGAN + seconds, 3), "values": values}


def epochs(first, last):
    return [metrics(step, train_loss=1 / (step + 3), val_accuracy=step / 7) for step in range(first, last)]


def deliver(destination, series, records):
    """As a process of its own would: with a new sink, after the question whether the series is there."""
    sink = open_sink("mlflow", destination)
    held = sink.has(series)
    sink.deliver(series, records)
    sink.close()
    return held


def read(destination, key="r0123456789ab"):
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


def load_for_test(path):
    model, description = load_model(path)
    return model, np.zeros((1, description["window"], len(description["features"])), np.float32)


def add_model(series, name):
    torch.manual_seed(0)
    model = build_model(name, REGISTRY.params(name, MODELS), Shape(channels=3, window=20, classes=2))
    description = {"model": name, "model_params": MODELS[name], "features": ["x", "y", "z"], "classes": ["a", "b"]}
    path = f"artifacts/{name}"
    (series.folder / "artifacts").mkdir(parents=True, exist_ok=True)
    save_model(series.folder / path, model, description | {"window": 20})
    series.artifacts.append(
        {"kind": "model", "path": path, "digest": f"digest of {name}", "loader": f"{__name__}:load_for_test"}
    )
    return series.folder / path


def add_file(series, kind, path):
    file = series.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(path)
    series.artifacts.append({"kind": kind, "path": path, "digest": path})


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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--backend-store-uri", f"sqlite:///{home}/server.db", "--artifacts-destination", f"{home}/art"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{uri}/health"), lambda: process.poll() is not None, (home / "log").read_text)
        yield {"uri": uri, "artifacts": f"{home}/not-used"}
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            # Its worker, should it be left over.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(params=["database", "server"])
def destination(request, tmp_path):
    return request.getfixturevalue(request.param) | {"experiment": tmp_path.name}


@pytest.fixture
def in_database(database, tmp_path):
    return database | {"experiment": tmp_path.name}


@pytest.fixture
def series(tmp_path):
    return make_series(tmp_path / "runs/r0123456789ab")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(condition, hopeless, explain, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        if hopeless() or time.monotonic() > deadline:
            pytest.fail(f"waited in vain: {explain()}")
        threading.Event().wait(0.02)


def test_neither_the_module_nor_the_lock_nor_a_missing_database_loads_mlflow(tmp_path):
    code = (
        "import sys; from trackstack.tracking.sinks import Series, open_sink; from pathlib import Path\n"
        f"sink = open_sink('mlflow', {{'uri': 'sqlite:///{tmp_path}/no.db', 'artifacts': 'a', 'experiment': 'e'}})\n"
        f"assert sink.lock_file() == Path('{tmp_path}/no.db.lock')\n"
        "assert sink.has(Series('r0', 1, Path('.'), {})) is False\n"
        "assert not {'mlflow', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": f"{ROOT}/src"}, check=True)
    assert list(tmp_path.iterdir()) == []


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


def test_what_was_recorded_reads_back(destination, series):
    records = [*epochs(0, 5), metrics(5, train_loss=math.nan), metrics(6, train_loss=0.1 + 0.2)]
    use = [system(0.4, cpu_percent=93.0), system(2.6, cpu_percent=50.0)]
    series.status, series.finished, series.reproduced = "finished", BEGAN + 60, 2
    assert deliver(destination, series, [*records, *use]) is False
    assert deliver(destination, series, []) is True
    seen = read(destination)
    run, tags = seen.run, seen.run.data.tags
    assert run.data.params == {
        "dataset": "sensor_v2",
        "train.lr": "0.003",
        "train.augment.rotation": "20",
        "train.resume": "null",
        "models.cnn.widths": "[32, 48]",
        "note": "x" * 6000,
    }
    assert (run.info.run_name, run.info.status) == ("cnn-quick-fox", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_123, 1_700_000_060_123)
    assert tags == {
        "trackstack.key": "r0123456789ab",
        "trackstack.run": "r0123456789ab",
        "trackstack.attempt": "1",
        "trackstack.reproduced": "2",
        "trackstack.git_commit": "c0ffee",
        "trackstack.git_dirty": "false",
        "trackstack.model_name": "cnn",
        "trackstack.digest.ingest": "d1",
        "trackstack.digest.tensor_cache": "d3",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.source.name": "train",
        "mlflow.source.type": "LOCAL",
        "mlflow.runName": "cnn-quick-fox",
        "mlflow.user": "ada",
    }
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("sensor_v2", "ffbd28c19235")
    assert (data.dataset.source, data.dataset.profile) == ('{"uri": "data/raw/sensor_v2"}', '{"num_rows": 244102}')
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    assert seen.history("val_accuracy") == expected(records, "val_accuracy")
    assert repr(seen.history("train_loss")) == repr(expected(records, "train_loss"))
    assert seen.history("system/cpu_percent") == [(0, 93.0, 1_700_000_000_523), (2, 50.0, 1_700_000_002_723)]


def test_repeated_and_overlapping_deliveries_leave_each_point_once(destination, series):
    special = [metrics(step, loss=value) for step, value in enumerate([math.nan, math.inf, -math.inf, 0.0])]
    records = [*epochs(0, 30), *special, system(3, memory_mb=1.5)]
    deliver(destination, series, records[:20])
    deliver(destination, series, records[10:])
    deliver(destination, series, records)
    late = [metrics(3, moment=BEGAN + 99, train_loss=7.0), metrics(0, moment=BEGAN + 99, loss=7.0)]
    again = [metrics(30, train_loss=1.0), metrics(30, moment=BEGAN + 99, train_loss=2.0)]
    deliver(destination, series, [*late, *again])
    seen = read(destination)
    assert seen.history("val_accuracy") == expected(records, "val_accuracy")
    assert seen.history("train_loss") == expected([*records[:30], again[0]], "train_loss")
    largest = sys.float_info.max
    assert [(step, str(value)) for step, value, _ in seen.history("loss")] == [
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
    sink.deliver(series, [metrics(4, moment=BEGAN + 99, train_loss=7.0), *epochs(6, 8)])
    assert read(in_database).history("train_loss") == expected(epochs(0, 8), "train_loss")


def test_the_guides_search_finds_good_runs(in_database, tmp_path):
    for number, accuracy in ((1, 0.85), (2, 0.95)):
        deliver(in_database, make_series(tmp_path, number=number), [metrics(0, val_accuracy=accuracy)])
    seen = read(in_database, "r0123456789ab-2")
    found = seen.client.search_runs([seen.experiment.experiment_id], "metrics.val_accuracy > 0.9")
    assert [run.info.run_id for run in found] == [seen.run.info.run_id]


def test_more_than_a_batch_and_names_that_mlflow_refuses_arrive(in_database, tmp_path):
    params = {f"p{number}": number for number in range(250)} | {"a/../b$": {}}
    records = [metrics(step, **{"top@1": float(step), "/x//y": 1.0}) for step in range(1200)]
    deliver(in_database, make_series(tmp_path, params=params, data=None), records)
    seen = read(in_database)
    assert len(seen.run.data.params) == 251
    assert seen.run.data.params["a/b_"] == "{}"
    assert len(seen.history("top_1")) == len(seen.history("x/y")) == 1200


def test_the_state_follows_the_series(in_database, series):
    states = []
    for status, finished, error in [
        ("running", None, None),
        ("interrupted", BEGAN + 10, "time limit"),
        ("running", None, None),
        ("failed", BEGAN + 20, "ValueError: no"),
        ("finished", BEGAN + 30, None),
    ]:
        series.status, series.finished, series.error = status, finished, error
        deliver(in_database, series, [])
        info, tags = read(in_database).run.info, read(in_database).run.data.tags
        states.append((info.status, info.end_time, tags.get("trackstack.error")))
    assert [(status, error) for status, _, error in states] == [
        ("RUNNING", None),
        ("KILLED", "time limit"),
        ("RUNNING", None),
        ("FAILED", "ValueError: no"),
        ("FINISHED", None),
    ]
    assert [states[index][1] for index in (0, 1, 3, 4)] == [None, *(round((BEGAN + s) * 1000) for s in (10, 20, 30))]


def test_a_lost_run_ended_with_its_last_point(in_database, series):
    series.status = "lost"
    for _ in range(2):
        deliver(in_database, series, epochs(0, 4))
        info = read(in_database).run.info
        assert (info.status, info.end_time) == ("KILLED", round((BEGAN + 4) * 1000))


def test_a_kill_while_the_database_is_made_leaves_nothing_half_done(tmp_path, series):
    destination = {"uri": f"sqlite:///{tmp_path}/mlflow.db", "artifacts": f"{tmp_path}/art", "experiment": "e"}
    code = (
        "from pathlib import Path; from trackstack.tracking.sinks import Series, open_sink\n"
        f"open_sink('mlflow', {destination!r}).deliver(Series('r0', 1, Path('.'), {START!r}), [])"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": f"{ROOT}/src"})
    aside = tmp_path / "mlflow.db.new"
    wait_for(lambda: aside.exists() and aside.stat().st_size, lambda: child.poll() is not None, lambda: "no database")
    child.kill()
    child.wait()
    assert not (tmp_path / "mlflow.db").exists()
    assert deliver(destination, series, epochs(0, 3)) is False
    assert read(destination).history("train_loss") == expected(epochs(0, 3), "train_loss")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db"]


def test_a_run_made_twice_by_a_lost_answer_is_one_again(destination, series):
    deliver(destination, series, epochs(0, 2))
    seen = read(destination)
    twin = seen.client.create_run(seen.experiment.experiment_id, tags={"trackstack.key": series.key})
    deliver(destination, series, epochs(1, 4))
    assert read(destination).run.info.run_id == seen.run.info.run_id != twin.info.run_id
    assert read(destination).history("train_loss") == expected(epochs(0, 4), "train_loss")


def test_a_run_that_was_deleted_in_mlflow_stays_deleted(in_database, series):
    deliver(in_database, series, epochs(0, 2))
    seen = read(in_database)
    seen.client.delete_run(seen.run.info.run_id)
    assert deliver(in_database, series, epochs(0, 4)) is True
    open_sink("mlflow", in_database).deliver_artifacts(series)
    assert seen.client.get_run(seen.run.info.run_id).info.lifecycle_stage == "deleted"
    assert seen.client.search_runs([seen.experiment.experiment_id]) == []


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


@pytest.mark.parametrize(("where", "name"), [("database", "cnn"), ("server", "mlp")])
def test_the_model_loads_both_ways_and_predicts(where, name, request, series, tmp_path, monkeypatch, capfd):
    destination = request.getfixturevalue(where) | {"experiment": tmp_path.name}
    saved = add_model(series, name)
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
    model, _ = load_model(saved)
    for size in (1, 2, 7):
        windows = np.random.default_rng(size).normal(size=(size, 20, 3)).astype(np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(windows)).numpy()
            np.testing.assert_allclose(native(torch.from_numpy(windows)).numpy(), wanted, atol=1e-6)
        np.testing.assert_allclose(generic.predict(windows), wanted, atol=1e-6)
    assert generic.metadata.signature.inputs.inputs[0].shape == (-1, 20, 3)
    requirements = Path(mlflow.artifacts.download_artifacts(f"{uri}/requirements.txt")).read_text().split()
    assert {line.partition("==")[0] for line in requirements} == {"mlflow", "torch", "numpy"}
    assert "+" not in "".join(requirements)


def test_a_model_left_half_uploaded_is_completed(in_database, series):
    add_model(series, "mlp")
    deliver(in_database, series, [])
    seen = read(in_database)
    half = seen.client.create_logged_model(
        seen.experiment.experiment_id,
        name="model",
        source_run_id=seen.run.info.run_id,
        tags={"trackstack.digest": "digest of mlp"},
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
    series = make_series(tmp_path, tags=tags)
    add_model(series, "mlp")
    add_file(series, "report", "artifacts/report.html")
    deliver(in_database, series, [])
    open_sink("mlflow", in_database).deliver_artifacts(series)
    seen = read(in_database)
    assert seen.client.search_logged_models([seen.experiment.experiment_id]) == []
    assert list(artifact_paths(seen)) == ["reports/report.html"]


def test_a_promoted_model_arrives_and_is_registered_once(destination, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("TRACKSTACK_LOG_MODELS", "promoted")
    series = make_series(tmp_path, tags={"model_name": tmp_path.name})
    add_model(series, "mlp")
    deliver(destination, series, [])
    sink = open_sink("mlflow", destination)
    sink.deliver_artifacts(series)
    series.promotion_file.write_text("{}")
    for _ in range(2):
        sink.deliver(series, [])
        sink.deliver_artifacts(series)
    seen = read(destination)
    (version,) = seen.client.search_model_versions(f"name = '{tmp_path.name}'")
    assert (version.run_id, version.tags["trackstack.run"]) == (seen.run.info.run_id, series.key)
    assert seen.run.data.tags["trackstack.promoted"] == "true"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", destination["uri"])
    model = mlflow.pytorch.load_model(f"models:/{tmp_path.name}/1")
    assert model(torch.zeros(2, 20, 3)).shape == (2, 2)


def test_an_unknown_choice_of_models_is_one_clear_line(in_database, series, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_LOG_MODELS", "some")
    deliver(in_database, series, [])
    with pytest.raises(UserError, match=r"^TRACKSTACK_LOG_MODELS is 'some'; expected one of all, promoted, none$"):
        open_sink("mlflow", in_database).deliver_artifacts(series)


def test_a_bad_server_raises_in_time_and_a_good_one_gets_everything(server, series, tmp_path):
    from mlflow.exceptions import MlflowException

    def fail(port):
        began = time.monotonic()
        bad = {"uri": f"http://127.0.0.1:{port}", "artifacts": "none", "experiment": "e"}
        with pytest.raises(MlflowException, match=str(port)):
            open_sink("mlflow", bad).deliver(series, epochs(0, 2))
        return time.monotonic() - began

    with failing() as one, hanging() as two, refusing() as three, ThreadPoolExecutor(3) as pool:
        took = list(pool.map(fail, (one, two, three)))
    assert max(took) < 60, "two tries of 10 s; MLflow on its own would take many minutes"
    destination = server | {"experiment": tmp_path.name}
    assert deliver(destination, series, epochs(0, 4)) is False
    assert read(destination).history("train_loss") == expected(epochs(0, 4), "train_loss")
