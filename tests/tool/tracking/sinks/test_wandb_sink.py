"""W&B: what lies in the offline folders that `wandb sync` would upload."""

import functools
import math
import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
import support.sinks
from support.sinks import RUN, STARTED, artifact, epochs, kill_delivery, make_series, metrics, start_delivery, system
from support.wandb_reader import history, read_wandb

from trackstack.tracking.sinks import open_sink

pytestmark = pytest.mark.skipif(find_spec("wandb") is None, reason="needs wandb")

DESTINATION = {"mode": "offline", "project": "trackstack"}
deliver = functools.partial(support.sinks.deliver, "wandb", DESTINATION)


def parts(folder):
    """Every offline folder's records, in the order in which `wandb sync` takes them."""
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns)
    return [list(read_wandb(file)) for file in files]


def records_of(folder, kind):
    return [getattr(r, kind) for part in parts(folder) for r in part if r.WhichOneof("record_type") == kind]


def points(folder, name):
    rows = [row for part in parts(folder) for row in history(part)]
    return [(step, values["_timestamp"], values[name]) for step, values in rows if name in values]


def test_values_are_exact_with_the_times_of_their_records(tmp_path):
    values = [0.1, 1 / 3, 5e-324, 1e308, 2.0, -7e-9, math.nan, math.inf, -math.inf]
    deliver(make_series(tmp_path), [metrics(step, train_loss=value) for step, value in enumerate(values)])
    found = points(tmp_path, "train_loss")
    assert [point[:2] for point in found] == [(step, STARTED + step) for step in range(len(values))]
    assert [struct.pack("<d", value) for *_, value in found] == [struct.pack("<d", value) for value in values]


def test_the_run_has_its_id_name_and_parameters(tmp_path):
    deliver(make_series(tmp_path, "finished"), [metrics(1, loss=1.0)])
    (run,) = records_of(tmp_path, "run")
    assert (run.run_id, run.display_name, run.project) == (RUN, "cnn-quick-fox", "trackstack")
    assert run.resume
    config = {item.key: item.value_json for item in run.config.update}
    assert config["train"] == '{"lr":0.003,"augment":{"rotation":20},"resume":null}'
    assert config["dataset"] == '"tiny"'


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("failed", 1), ("interrupted", 1), ("pruned", 1)])
def test_exit_code_and_summary_tell_how_the_run_ended(tmp_path, status, code):
    deliver(make_series(tmp_path, status), [metrics(1, loss=1.0)])
    (exit_record,) = records_of(tmp_path, "exit")
    assert exit_record.exit_code == code
    said = [item.value_json for record in records_of(tmp_path, "summary") for item in record.update]
    assert f'"{status}"' in said


def test_records_of_one_step_are_one_row_and_the_first_wins(tmp_path):
    records = [metrics(1, loss=1.0), metrics(1, STARTED + 5, val=2.0), metrics(1, STARTED + 9, loss=7.0)]
    sink = open_sink("wandb", DESTINATION)
    sink.deliver(make_series(tmp_path), records)
    sink.deliver(make_series(tmp_path), [*records, metrics(2, loss=4.0)])
    sink.close()
    assert points(tmp_path, "loss") == [(1, STARTED + 1, 1.0), (2, STARTED + 2, 4.0)]
    assert points(tmp_path, "val") == [(1, STARTED + 1, 2.0)]


def test_steps_that_come_late_are_there_once(tmp_path):
    sink, series = open_sink("wandb", DESTINATION), make_series(tmp_path)
    sink.deliver(series, [metrics(5, loss=5.0)])
    sink.deliver(series, [metrics(2, val=2.0), metrics(6, loss=6.0)])
    sink.deliver(series, [metrics(1, val=1.0)])
    sink.close()
    assert [point[::2] for point in points(tmp_path, "loss")] == [(5, 5.0), (6, 6.0)]
    assert [point[::2] for point in points(tmp_path, "val")] == [(1, 1.0), (2, 2.0)]


def test_use_of_the_machine_is_on_wandbs_own_panel_with_its_times(tmp_path):
    deliver(
        make_series(tmp_path), [system(0.5, cpu_percent=93.0), metrics(1, loss=1.0), system(5.25, cpu_percent=4.5)]
    )
    found = records_of(tmp_path, "stats")
    times = [record.timestamp.seconds + record.timestamp.nanos / 1e9 for record in found]
    assert times == [STARTED + 0.5, STARTED + 5.25]
    assert [(item.key, item.value_json) for record in found for item in record.item] == [
        ("cpu_percent", "93.0"),
        ("cpu_percent", "4.5"),
    ]
    assert len(points(tmp_path, "loss")) == 1


def artifacts(folder):
    (folder / "artifacts/model").mkdir(parents=True)
    (folder / "artifacts/model/model.json").write_text("{}")
    (folder / "artifacts/report.html").write_text("<p>")
    names = [("model", "artifacts/model"), ("report", "artifacts/report.html"), ("plot", "artifacts/x.csv")]
    return [artifact(kind, path) for kind, path in names]


def test_model_and_report_are_artifacts_once(tmp_path):
    series = make_series(tmp_path, "finished", artifacts=artifacts(tmp_path))
    for _ in range(2):
        deliver(series, [metrics(1, loss=1.0)])
    found = records_of(tmp_path, "artifact")
    assert [(record.type, record.name) for record in found] == [
        ("model", "model-r0123456789ab"),
        ("report", "report-r0123456789ab"),
    ]
    files = [file for record in found for file in record.manifest.contents]
    assert [file.path for file in files] == ["model.json", "report.html"]
    assert all(Path(file.local_path).is_relative_to(tmp_path) for file in files)
    assert [Path(file.local_path).read_text() for file in files] == ["{}", "<p>"]


def test_what_comes_after_the_end_goes_on_in_a_new_folder_and_leaves_the_first_alone(tmp_path):
    given = artifacts(tmp_path)
    first = make_series(tmp_path, "interrupted", artifacts=given[:1])
    deliver(first, [metrics(1, loss=1.0)])
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    second = make_series(tmp_path, "finished", artifacts=given)
    assert not open_sink("wandb", DESTINATION).has(second)
    deliver(second, [metrics(1, loss=1.0), metrics(2, loss=2.0)])
    assert file.read_bytes() == content
    assert len(parts(tmp_path)) == 2
    assert [point[::2] for point in points(tmp_path, "loss")] == [(1, 1.0), (2, 2.0)]
    assert [record.type for record in records_of(tmp_path, "artifact")] == ["model", "report"]
    assert [record.exit_code for record in records_of(tmp_path, "exit")] == [1, 0]
    assert open_sink("wandb", DESTINATION).has(second)


def test_several_runs_are_delivered_side_by_side(tmp_path):
    sink = open_sink("wandb", DESTINATION)
    first = make_series(tmp_path / "one")
    second = make_series(tmp_path / "two", start={"run": "rffffffffffff"})
    for step in range(3):
        sink.deliver(first, [metrics(step, loss=1.0)])
        sink.deliver(second, [metrics(step, loss=2.0)])
    sink.close()
    for folder, value in ((tmp_path / "one", 1.0), (tmp_path / "two", 2.0)):
        assert [point[::2] for point in points(folder, "loss")] == [(step, value) for step in range(3)]


def test_another_series_of_the_run_is_another_wandb_run(tmp_path):
    deliver(make_series(tmp_path, "finished"), [metrics(1, loss=1.0)])
    deliver(make_series(tmp_path, "finished", number=2), [metrics(1, loss=2.0)])
    assert [run.run_id for run in records_of(tmp_path, "run")] == ["r0123456789ab"]
    assert [run.run_id for run in records_of(tmp_path / "wandb-2", "run")] == ["r0123456789ab-2"]


def test_each_step_is_there_once_after_a_kill_at_any_instant(tmp_path):
    kill_delivery("wandb", DESTINATION, tmp_path, after=20)
    deliver(make_series(tmp_path, "finished"), epochs(0, 600))
    assert [point[::2] for point in points(tmp_path, "loss")] == [(n, n / 7) for n in range(600)]
    assert [point[::2] for point in points(tmp_path, "lr")] == [(n, 1 / (n + 3)) for n in range(600)]


def test_no_secret_is_recorded_nothing_printed_and_nothing_written_elsewhere(tmp_path):
    home, folder = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    secrets = {"X_API_KEY": "PLANTED-1", "MY_PASSWORD": "PLANTED-2", "WANDB_API_KEY": "PLANTED3" * 5}
    more = ("--api-key", "PLANTED-4", "--token=PLANTED-5")
    with start_delivery("wandb", DESTINATION, folder, 40, *more, HOME=str(home), **secrets) as child:
        assert child.communicate(timeout=900) == ("delivered\n" * 2, "")
    contents = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert any(b"cnn-quick-fox" in content for content in contents)
    assert not [content for content in contents if b"PLANTED" in content]
    assert list(home.iterdir()) == []
