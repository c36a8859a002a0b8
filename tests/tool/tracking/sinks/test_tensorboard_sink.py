"""TensorBoard: what its own readers see in a run's folder."""

import contextlib
import functools
import json
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import support.sinks
from support.processes import started
from support.sinks import STARTED, artifact, epochs, kill_delivery, make_series, metrics, note_promotion, system
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from torch import nn

from trackstack.tracking.sinks import open_sink
from trackstack.tracking.sinks.views import runs_by_name

EVERYTHING = dict.fromkeys(("scalars", "tensors", "images", "graph"), 0)
deliver = functools.partial(support.sinks.deliver, "tensorboard", {})


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
    cnn = make_series(tmp_path / "r1", "finished")
    mlp = make_series(tmp_path / "r2", "failed", start={"run": "r2", "params": {"dataset": "tiny", "depth": 3}})
    deliver(cnn, [metrics(1, loss=2.0), metrics(2, loss=0.5)])
    deliver(mlp, [metrics(1, loss=1.5)])
    rows, experiment = hyperparameters(tmp_path)
    assert {column.name for column in experiment.hparam_infos} == {
        "dataset", "train.lr", "train.augment.rotation", "widths", "train.resume", "depth"
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


def artifacts(folder, load=load_linear):
    (folder / "artifacts/evaluation").mkdir(parents=True, exist_ok=True)
    table = "row,actual,predicted\n0,up,up\n1,up,down\n2,down,down\n"
    (folder / "artifacts/evaluation/predictions.csv").write_text(table)
    model = artifact("model", "artifacts/model", loader=f"{__name__}:{load.__name__}", digest="d")
    return [model, artifact("plot", "artifacts/evaluation/predictions.csv")]


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
    series = make_series(tmp_path, "finished", start={"tags": {"sweep": "s1"}}, artifacts=artifacts(tmp_path))
    deliver(series, [metrics(1, loss=1.0)])
    assert not list((tmp_path / "tensorboard").glob("*.graph"))
    note_promotion(series, "linear")
    deliver(series, [metrics(1, loss=1.0)])
    assert any("Linear" in node.name for node in read(tmp_path).Graph().node)
    assert len(points(tmp_path, "loss")) == 1


def test_a_model_that_cannot_be_traced_is_noted_and_costs_nothing_else(tmp_path, capfd):
    given = artifacts(tmp_path, load_untraceable)
    series = make_series(tmp_path, "finished", artifacts=given)
    deliver(series, [metrics(1, loss=1.0)])
    found = read(tmp_path)
    (note,) = found.Tensors("model_graph/text_summary")
    assert b"cannot be traced" in note.tensor_proto.string_val[0]
    assert len(found.Images("confusion_matrix")) == 1
    assert len(points(tmp_path, "loss")) == 1
    assert capfd.readouterr() == ("", "")


def test_a_missing_predictions_file_is_noted(tmp_path):
    series = make_series(tmp_path, "finished", artifacts=[artifact("plot", "predictions.csv")])
    deliver(series, [metrics(1, loss=1.0)])
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


def test_each_step_is_there_once_after_kills_at_any_instant(tmp_path):
    for after in (1, 40, 3):
        kill_delivery("tensorboard", {}, tmp_path, after)
    deliver(make_series(tmp_path, "finished"), epochs(0, 2000))
    assert [(step, value) for step, _, value in points(tmp_path, "loss")] == [(n, n / 7) for n in range(2000)]
    assert [(step, value) for step, _, value in points(tmp_path, "lr")] == [(n, 1 / (n + 3)) for n in range(2000)]


def test_a_full_disk_is_an_error_and_the_next_delivery_is_whole(tmp_path):
    sink, series = open_sink("tensorboard", {}), make_series(tmp_path)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            sink.deliver(series, epochs(0, 500))
        assert not sink.has(series)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    sink.deliver(series, epochs(0, 500))
    sink.close()
    assert [point[0] for point in points(tmp_path, "loss")] == list(range(500))


@contextlib.contextmanager
def tensorboard(folder, load_fast):
    """A real TensorBoard; its address."""
    program = str(Path(sys.executable).parent / "tensorboard")
    command = [program, f"--logdir={folder}/", "--port=0", f"--load_fast={load_fast}"]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
        yield lambda: next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))


def shown(address, until):
    """What the page of the scalars gets, as soon as that is all four."""
    query = "data/plugin/scalars/scalars?tag=loss&run=cnn-quick-fox%20r0123456789ab"
    while True:
        with contextlib.suppress(urllib.error.HTTPError):  # not loaded yet
            answer = json.load(urllib.request.urlopen(address + query, timeout=300))
            if len(answer) == 4 or time.monotonic() > until:
                return answer
        threading.Event().wait(0.05)


def test_both_of_tensorboards_readers_show_the_runs_by_name(tmp_path):
    """`auto`, the default, is the pickier one."""
    folder = tmp_path / "runs/r0123456789ab"
    deliver(make_series(folder, "finished"), [metrics(step, loss=step / 2) for step in range(4)])
    runs = runs_by_name(tmp_path)
    with tensorboard(runs, "auto") as fast, tensorboard(runs, "false") as slow:
        for address in (fast(), slow()):
            assert shown(address, time.monotonic() + 600) == [[STARTED + step, step, step / 2] for step in range(4)]


def test_a_home_from_before_there_were_names_gets_them_and_a_run_that_was_removed_is_shown_no_more(tmp_path):
    for number in (1, 2):
        (tmp_path / f"runs/r{number}/tensorboard").mkdir(parents=True)
        (tmp_path / f"runs/r{number}/journal-1.jsonl").write_text(json.dumps({"name": "a/b of mine"}) + "\n")
    assert sorted(link.name for link in runs_by_name(tmp_path).iterdir()) == ["a-b-of-mine r1", "a-b-of-mine r2"]
    shutil.rmtree(tmp_path / "runs/r1")
    assert [link.name for link in runs_by_name(tmp_path).iterdir()] == ["a-b-of-mine r2"]
