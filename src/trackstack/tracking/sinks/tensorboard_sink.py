"""TensorBoard: event files in the run's folder, so that `tensorboard --logdir=runs/` shows every run.

The events are written directly: `SummaryWriter` hands them to a thread, which prints a traceback when the disk
is full, and it needs torch, which is imported here only to draw the graph of a model.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import socket
import time
import warnings
from pathlib import Path
from typing import Any

from trackstack.tracking.params import flatten
from trackstack.tracking.sinks import Series, is_installed, load_by_name, require_own_process, takes_model
from trackstack.tracking.sinks.folder import MARKER, FolderSink, Seen, new_rows, remove_unfinished
from trackstack.tracking.sinks.views import link_by_name

GRAPH = ".graph"
"""The end of the name of an event file with a model's graph; before it comes the model's digest."""


def make_sink(destination: dict[str, Any]) -> FolderSink:
    """The sink; everything it needs to know is in the series."""
    return FolderSink(_folder, _make_writer)


def _folder(series: Series) -> Path:
    """The folder that TensorBoard shows as a run."""
    return series.folder / ("tensorboard" if series.number == 1 else f"tensorboard-{series.number}")


def _make_writer(series: Series, marker: dict[str, Any], complete: bool) -> EventWriter:
    """Go on after whole files only to add artifacts: anything but the graph is written anew, which is cheap."""
    folder = _folder(series)
    link_by_name(series.start["name"], folder)
    parts = marker.get("parts", [])
    if not complete:
        (folder / MARKER).unlink(missing_ok=True)
        parts = [part for part in parts if part.endswith(GRAPH)]
    remove_unfinished(folder, "events.out.tfevents.*", keep=parts)
    return EventWriter(series, folder, fresh=not complete)


class EventWriter:
    """Writes one event file, and a second one for the model's graph."""

    def __init__(self, series: Series, folder: Path, fresh: bool):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.series, self._folder = series, folder
        self._event, self._seen = Event, Seen(set)
        # Whoever watches the folder goes from file to file by name, so names have to ascend with time.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._add(series.start["time"], file_version="brain.Event:2")
        if fresh:
            # Tells a TensorBoard that has read the emptied files to forget what was in them.
            self._add(series.start["time"], session_log=SessionLog(status=SessionLog.START))
            self._write_parameters()

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append scalars."""
        for row in new_rows(records, self._seen, self.series.start["time"]):
            self._add(row.time, row.step, summary=_scalars(row.values))
        self._file.flush()

    def write_artifacts(self) -> None:
        """The confusion matrix, and last, since it is another file, the model's graph."""
        for artifact in self.series.artifacts:
            if artifact["kind"] == "plot" and artifact["path"].endswith("predictions.csv"):
                self._write_picture(artifact)
        self._end()
        if takes_model(self.series) and is_installed("torch"):
            for artifact in self.series.artifacts:
                if artifact["kind"] == "model" and artifact.get("loader"):
                    self._write_graph(artifact)

    def finish(self) -> dict[str, Any]:
        """Close the file; everything in the folder is whole."""
        self._end()
        return {"parts": sorted(path.name for path in self._folder.glob("events.out.tfevents.*"))}

    def abandon(self) -> None:
        """Close the file, whatever its state."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _add(self, time: float, step: int = 0, **content: Any) -> None:
        self._records.write(self._event(wall_time=time, step=step, **content).SerializeToString())

    def _write_parameters(self) -> None:
        """A row of the hyperparameters tab, whose metrics are the scalars' last values.

        Without an `Experiment` record TensorBoard puts the columns together from all runs; with one per run,
        as `add_hparams` writes, it shows those of any one of them.
        """
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        started = self.series.start["time"]
        parameters = {
            name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
            for name, value in flatten(self.series.start["params"]).items()
        }
        self._add(started, summary=hparams_pb(parameters, self.series.key, start_time_secs=started))

    def _write_picture(self, artifact: dict[str, Any]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.summary_v2 import text_pb

        try:
            width, height, png = draw_confusion(self.series.folder / artifact["path"])
        except (OSError, KeyError, ValueError, ImportError) as error:
            self._add(artifact["time"], summary=text_pb("confusion_matrix/text_summary", f"not drawn: {error!r}"))
            return
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag="confusion_matrix", image=image)
        self._add(artifact["time"], summary=Summary(value=[value]))

    def _write_graph(self, artifact: dict[str, Any]) -> None:
        """A file of its own with the graph of a model, or why there is none: not every model can be traced."""
        suffix = f".{artifact['digest'][:12]}{GRAPH}"
        if any(file.stat().st_size for file in self._folder.glob(f"*{suffix}")):
            return
        require_own_process()
        import torch
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self._folder), filename_suffix=suffix) as writer:
            try:
                load = load_by_name(artifact["loader"], self.series.home)
                model, example = load(self.series.folder / artifact["path"])
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")
                    writer.add_graph(model, torch.from_numpy(example))
            except Exception as error:
                writer.add_text("model_graph", f"not drawn: {error!r}")

    def _end(self) -> None:
        if self._file.closed:
            return
        if self.series.status != "running":
            ended = self.series.finished or self.series.start["time"]
            self._add(ended, summary=_session_end(self.series.status == "finished", ended))
        self._file.close()


def _scalars(values: dict[str, float]) -> Any:
    """Scalars that every TensorBoard shows, and whose `double_val` is exact.

    The data server that `tensorboard` starts by default leaves out scalars of type DT_DOUBLE, which
    `SummaryWriter` writes when asked for double precision.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    tensors = {
        name: TensorProto(dtype="DT_FLOAT", float_val=[value], double_val=[value]) for name, value in values.items()
    }
    return Summary(value=[Summary.Value(tag=tag, tensor=t, metadata=metadata) for tag, t in tensors.items()])


def _session_end(finished: bool, time: float) -> Any:
    """What the hyperparameters tab shows as status; TensorBoard's own function needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    end = SessionEndInfo(status=STATUS_SUCCESS if finished else STATUS_FAILURE, end_time_secs=time)
    content = metadata.create_summary_metadata(HParamsPluginData(session_end_info=end))
    tag = metadata.SESSION_END_INFO_TAG
    return Summary(value=[Summary.Value(tag=tag, metadata=content, tensor=metadata.NULL_TENSOR)])


def draw_confusion(path: Path) -> tuple[int, int, bytes]:
    """Width, height and PNG of the confusion matrix of a CSV with the columns `actual` and `predicted`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with path.open(newline="", encoding="utf-8") as file:
        pairs = [(row["actual"], row["predicted"]) for row in csv.DictReader(file)]
    classes = sorted({name for pair in pairs for name in pair})
    counts = [[pairs.count((actual, predicted)) for predicted in classes] for actual in classes]
    side = 2 + 0.6 * len(classes)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="actual")
    highest = max(map(max, counts))
    for row, column in itertools.product(range(len(classes)), repeat=2):
        count = counts[row][column]
        axes.text(column, row, str(count), ha="center", color="white" if count > highest / 2 else "black")
    canvas, png = FigureCanvasAgg(figure), io.BytesIO()
    canvas.print_png(png)
    return *canvas.get_width_height(), png.getvalue()
