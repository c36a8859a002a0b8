"""TensorBoard: what its own readers see in a run's folder."""

import json
import random
import re
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from torch import nn

from trackstack.tracking.sinks import Series, open_sink

STARTED = 1_790_000_000.125
EVERYTHING = dict.fromkeys(("scalars", "tensors", "images", "graph"), 0)
PARAMS = {"dataset": "tiny", "train": {"lr": 0.003, "augment": {"rotation": 20}}, "widths": [32, 48], "stop": None}


def make_series(folder, status="running", **changes):
    start = {"type": "start", "time": STARTED, "name": "cnn-tiny", "params": PARAMS}
    ended = {"status": status, "finished": None if status == "running" else STARTED + 100}
    return Series(**({"run": "r0123456789ab", "number": 1, "folder": folder, "start": start} | ended | changes))


def metrics(step, time=None, **values):
    return {"type": "metrics", "time": STARTED + step if time is None else time, "step": step, "values": values}


def system(seconds, **values):
    return {"type": "system", "time": STARTED + seconds, "values": values}


def deliver(series, records, artifacts=True):
    """What a process does that finds the series not there, or finds it there."""
    sink = open_sink("tensorboard", {})
    sink.deliver(series, records if not sink.has(series) else [])
    if artifacts:
        sink.deliver_artifacts(series)
    sink.close()


def read(folder, name="tensorboard"):
    return EventAccumulator(str(folder / name), size_guidance=EVERYTHING).Reload()


def points(folder, tag, name="tensorboard"):
    events = read(folder, name).Tensors(tag)
    return [(event.step, event.wall_time, event.tensor_proto.double_val[0]) for event in events]


def exact(values):
    return [struct.pack("<d", value) for *_, value in values]


def hyperparameters(folder):
    """The rows of the hyperparameters tab, and its columns."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = Context(TBContext(data_provider=provider))
    request = RequestContext()
    found = provider.list_tensors(request, experiment_id="", plugin_name="hparams")
    content = {run: {tag: item.plugin_content for tag, item in tags.items()} for run, tags in found.items()}
    experiment = context.experiment_from_metadata(request, "", True, content, [])
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
    query = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=statuses, include_metrics=True)
    return list_session_groups.Handler(request, context, "", query).run().session_groups, experiment


def test_values_are_float64_with_the_times_of_their_records(tmp_path):
    values = [0.1, 1 / 3, 5e-324, -0.0, 1e308, float("nan"), float("inf"), float("-inf")]
    deliver(make_series(tmp_path), [metrics(step, train_loss=value, lr=value) for step, value in enumerate(values)])
    for tag in ("train_loss", "lr"):
        found = points(tmp_path, tag)
        assert [point[:2] for point in found] == [(step, STARTED + step) for step in range(len(values))]
        assert exact(found) == [struct.pack("<d", value) for value in values]


def test_the_first_record_of_a_point_wins(tmp_path):
    records = [metrics(1, loss=1.0), metrics(2, loss=2.0), metrics(1, STARTED + 9, loss=7.0), metrics(2, val=3.0)]
    sink = open_sink("tensorboard", {})
    sink.deliver(make_series(tmp_path), records)
    sink.deliver(make_series(tmp_path), [*records, metrics(3, loss=4.0)])
    sink.close()
    assert points(tmp_path, "loss") == [(1, STARTED + 1, 1.0), (2, STARTED + 2, 2.0), (3, STARTED + 3, 4.0)]
    assert points(tmp_path, "val") == [(2, STARTED + 2, 3.0)]


def test_a_running_series_can_be_watched(tmp_path):
    sink = open_sink("tensorboard", {})
    series = make_series(tmp_path)
    assert not sink.has(series)
    for step in range(3):
        sink.deliver(series, [metrics(step, loss=float(step))])
        assert [point[0] for point in points(tmp_path, "loss")] == list(range(step + 1))
    assert sink.has(series)
    assert not open_sink("tensorboard", {}).has(series)
    sink.close()


def test_a_watcher_that_saw_an_unfinished_file_sees_each_step_once(tmp_path):
    """With the reader behind `tensorboard --load_fast=false`; the other one begins anew by itself."""
    killed = open_sink("tensorboard", {})
    killed.deliver(make_series(tmp_path), [metrics(step, loss=1.0) for step in range(5)])
    watcher = plugin_event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"), {"tensors": 0}).Reload()
    assert len(watcher.Tensors("loss")) == 5
    deliver(make_series(tmp_path, "finished"), [metrics(step, loss=1.0) for step in range(8)])
    assert [event.step for event in watcher.Reload().Tensors("loss")] == list(range(8))


def test_use_of_the_machine_is_counted_in_seconds_since_the_start(tmp_path):
    deliver(make_series(tmp_path), [system(0.4, cpu_percent=93.0), system(5.1, cpu_percent=40.0)])
    assert [(step, value) for step, _, value in points(tmp_path, "system/cpu_percent")] == [(0, 93.0), (5, 40.0)]


def test_parameters_and_last_values_are_in_the_hyperparameters_tab(tmp_path):
    other = {"type": "start", "time": STARTED, "name": "mlp", "params": {"dataset": "tiny", "depth": 3}}
    one = make_series(tmp_path / "r1", "finished")
    two = make_series(tmp_path / "r2", "failed", run="r2", start=other)
    deliver(one, [metrics(1, loss=2.0), metrics(2, loss=0.5)])
    deliver(two, [metrics(1, loss=1.5)])
    rows, experiment = hyperparameters(tmp_path)
    assert {column.name for column in experiment.hparam_infos} == {
        "dataset", "train.lr", "train.augment.rotation", "widths", "stop", "depth"
    }  # fmt: skip
    first, second = sorted(rows, key=lambda row: row.sessions[0].name)
    assert first.hparams["train.lr"].number_value == 0.003
    assert first.hparams["widths"].string_value == "[32, 48]"
    assert second.hparams["depth"].number_value == 3
    assert [row.sessions[0].status for row in (first, second)] == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]
    assert [row.metric_values[0].value for row in (first, second)] == [0.5, 1.5]


def load_linear(path):
    assert Path(path).is_absolute()
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).eval(), np.zeros((1, 3, 2), dtype=np.float32)


class Untraceable(nn.Module):
    def forward(self, windows):
        raise RuntimeError("cannot be traced")


def load_untraceable(path):
    return Untraceable(), np.zeros((1, 3, 2), dtype=np.float32)


def artifacts(folder, loader="test_tensorboard_sink:load_linear"):
    (folder / "artifacts/evaluation").mkdir(parents=True, exist_ok=True)
    (folder / "artifacts/evaluation/predictions.csv").write_text(
        "row,actual,predicted\n0,up,up\n1,up,down\n2,down,down\n"
    )
    model = {
        "type": "artifact",
        "time": STARTED + 50,
        "kind": "model",
        "path": "artifacts/model",
        "digest": "d",
        "loader": loader,
    }
    plot = {
        "type": "artifact",
        "time": STARTED + 60,
        "kind": "plot",
        "path": "artifacts/evaluation/predictions.csv",
        "digest": "e",
    }
    return [model, plot]


def test_the_model_graph_and_the_confusion_matrix_are_there_once(tmp_path):
    series = make_series(tmp_path, "finished", artifacts=artifacts(tmp_path))
    for _ in range(2):
        deliver(series, [metrics(1, loss=1.0)])
    found = read(tmp_path)
    assert any("Linear" in node.name for node in found.Graph().node)
    (picture,) = found.Images("confusion_matrix")
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    assert picture.width > 200
    assert len(points(tmp_path, "loss")) == 1


def test_the_graph_of_a_whole_file_stays_and_one_that_a_kill_left_is_drawn_anew(tmp_path):
    deliver(make_series(tmp_path, "finished", artifacts=artifacts(tmp_path)), [metrics(1, loss=1.0)])
    (graph,) = (tmp_path / "tensorboard").glob("*.graph")
    content = graph.read_bytes()
    evaluated = make_series(tmp_path, "finished", artifacts=artifacts(tmp_path), num_records=2)
    deliver(evaluated, [metrics(1, loss=1.0), metrics(2, loss=2.0)])
    assert (
        [graph.read_bytes()]
        == [file.read_bytes() for file in (tmp_path / "tensorboard").glob("*.graph")]
        == [content]
    )
    (tmp_path / "tensorboard/.complete.json").unlink()
    deliver(evaluated, [metrics(1, loss=1.0), metrics(2, loss=2.0)])
    assert graph.read_bytes() == b""
    assert any("Linear" in node.name for node in read(tmp_path).Graph().node)


def test_in_a_sweep_the_graph_of_a_promoted_model_alone_is_drawn(tmp_path):
    series = make_series(tmp_path, "finished", artifacts=artifacts(tmp_path))
    series.start["tags"] = {"sweep": "s1"}
    deliver(series, [metrics(1, loss=1.0)])
    assert not list((tmp_path / "tensorboard").glob("*.graph"))
    series.promotion_file.write_text("{}")
    deliver(series, [metrics(1, loss=1.0)])
    assert any("Linear" in node.name for node in read(tmp_path).Graph().node)
    assert len(points(tmp_path, "loss")) == 1


def test_a_model_that_cannot_be_traced_is_noted_and_costs_nothing_else(tmp_path, capfd):
    given = artifacts(tmp_path, "test_tensorboard_sink:load_untraceable")
    series = make_series(tmp_path, "finished", artifacts=given)
    deliver(series, [metrics(1, loss=1.0)])
    found = read(tmp_path)
    (note,) = found.Tensors("model_graph/text_summary")
    assert b"cannot be traced" in note.tensor_proto.string_val[0]
    assert len(found.Images("confusion_matrix")) == 1
    assert len(points(tmp_path, "loss")) == 1
    assert capfd.readouterr() == ("", "")


def test_a_missing_predictions_file_is_noted(tmp_path):
    given = [{"type": "artifact", "time": STARTED, "kind": "plot", "path": "predictions.csv", "digest": "e"}]
    deliver(make_series(tmp_path, "finished", artifacts=given), [metrics(1, loss=1.0)])
    (note,) = read(tmp_path).Tensors("confusion_matrix/text_summary")
    assert b"FileNotFoundError" in note.tensor_proto.string_val[0]


def test_artifacts_that_come_after_the_close_are_added(tmp_path):
    series = make_series(tmp_path, "finished", artifacts=artifacts(tmp_path))
    deliver(series, [metrics(1, loss=1.0)], artifacts=False)
    assert open_sink("tensorboard", {}).has(series)
    deliver(series, [])
    assert len(read(tmp_path).Images("confusion_matrix")) == 1
    assert points(tmp_path, "loss") == [(1, STARTED + 1, 1.0)]


def test_a_series_that_changed_is_handed_over_again(tmp_path):
    deliver(make_series(tmp_path, "interrupted"), [metrics(1, loss=1.0)])
    resumed = make_series(tmp_path, "finished")
    assert not open_sink("tensorboard", {}).has(resumed)
    deliver(resumed, [metrics(1, loss=1.0), metrics(2, loss=2.0)])
    assert [point[0] for point in points(tmp_path, "loss")] == [1, 2]
    assert hyperparameters(tmp_path)[0][0].sessions[0].status == api_pb2.STATUS_SUCCESS


def test_another_series_of_the_run_has_its_own_folder(tmp_path):
    deliver(make_series(tmp_path, number=1), [metrics(1, loss=1.0)])
    deliver(make_series(tmp_path, number=2), [metrics(1, loss=2.0)])
    assert [value for *_, value in points(tmp_path, "loss") + points(tmp_path, "loss", "tensorboard-2")] == [1.0, 2.0]


def test_a_folder_that_was_deleted_is_not_said_to_be_there(tmp_path):
    series = make_series(tmp_path, "finished")
    deliver(series, [metrics(1, loss=1.0)])
    assert open_sink("tensorboard", {}).has(series)
    for file in (tmp_path / "tensorboard").iterdir():
        file.unlink()
    assert not open_sink("tensorboard", {}).has(series)


STEPS = 4000

DELIVERER = """
import sys
sys.path[:0] = [{src!r}, {tests!r}]
from pathlib import Path
from test_tensorboard_sink import STEPS, make_series, metrics
from trackstack.tracking.sinks import open_sink

sink, series = open_sink("tensorboard", {{}}), make_series(Path({folder!r}))
for step in range(STEPS):
    sink.deliver(series, [metrics(step, loss=step / 7, lr=step / 9)])
    if step == 0:
        print("begun", flush=True)
series.status, series.finished = "finished", 1.0
sink.deliver(series, [])
sink.deliver_artifacts(series)
print("done", flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_each_step_is_there_once_after_a_kill_at_any_instant(tmp_path, seed):
    here = Path(__file__).parent
    code = DELIVERER.format(src=str(here.parent / "src"), tests=str(here), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        time.sleep(random.Random(seed).uniform(0, 0.3))
        child.kill()
    deliver(make_series(tmp_path, "finished"), [metrics(step, loss=step / 7, lr=step / 9) for step in range(STEPS)])
    assert [(step, value) for step, _, value in points(tmp_path, "loss")] == [(n, n / 7) for n in range(STEPS)]
    assert [(step, value) for step, _, value in points(tmp_path, "lr")] == [(n, n / 9) for n in range(STEPS)]


def test_a_full_disk_is_an_error_and_the_next_delivery_is_whole(tmp_path):
    code = """
import resource, signal, sys
sys.path[:0] = [{src!r}, {tests!r}]
from pathlib import Path
from test_tensorboard_sink import deliver, make_series, metrics
from trackstack.tracking.sinks import open_sink

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink, series = open_sink("tensorboard", {{}}), make_series(Path({folder!r}))
records = [metrics(step, loss=1.0) for step in range(500)]
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
try:
    sink.deliver(series, records)
except OSError as error:
    print(error.strerror)
print(sink.has(series))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.deliver(series, records)
sink.close()
"""
    here = Path(__file__).parent
    code = code.format(src=str(here.parent / "src"), tests=str(here), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("File too large\nFalse\n", "")
    assert [point[0] for point in points(tmp_path, "loss")] == list(range(500))


def test_importing_and_opening_the_sink_loads_neither_torch_nor_tensorboard():
    code = "import sys; from trackstack.tracking.sinks import open_sink; open_sink('tensorboard', {}); print({'torch', 'tensorboard', 'matplotlib'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("fast", ["auto", "false"])
def test_tensorboard_shows_the_runs(tmp_path, fast):
    """Both of TensorBoard's readers; `auto`, the default, is the pickier one."""
    runs = tmp_path / "runs"
    deliver(make_series(runs / "r0123456789ab", "finished"), [metrics(step, loss=step / 2) for step in range(4)])
    program = [
        str(Path(sys.executable).parent / "tensorboard"),
        f"--logdir={runs}/",
        "--port=0",
        f"--load_fast={fast}",
    ]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
            shown, until = [], time.monotonic() + 20
            while len(shown) < 4 and time.monotonic() < until:
                query = "data/plugin/scalars/scalars?tag=loss&run=r0123456789ab%2Ftensorboard"
                try:
                    shown = json.load(urllib.request.urlopen(address + query, timeout=20))
                except urllib.error.HTTPError:
                    time.sleep(0.2)  # not loaded yet
        finally:
            server.terminate()
    assert shown == [[STARTED + step, step, step / 2] for step in range(4)]
