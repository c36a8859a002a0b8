"""TensorBoard: event files in the run's folder, so that `tensorboard --logdir=runs/` shows every run.

The events are written directly: `SummaryWriter` hands them to a thread, which prints a traceback when the disk
is full, and it needs torch, which is imported here only to draw a model.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import itertools
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.tracking.sinks import Series, takes_model
from trackstack.tracking.sinks.folder import MARKER, FolderSink, Seen, new_rows, remove_parts

GRAPH = ".graph"
"""How the name of an event file ends that holds a model's graph, after the model's digest."""


def open(destination: dict[str, Any]) -> FolderSink:
    """The sink; everything it needs to know is in the series."""
    return FolderSink(_place, _begin)


def _place(series: Series) -> Path:
    """The folder that TensorBoard shows as a run."""
    return series.folder / ("tensorboard" if series.number == 1 else f"tensorboard-{series.number}")


def _begin(series: Series, marker: dict[str, Any], complete: bool) -> EventWriter:
    """Go on after whole files only to add artifacts: anything but the graph is written anew, which is cheap."""
    place = _place(series)
    parts = marker.get("parts", [])
    if not complete:
        (place / MARKER).unlink(missing_ok=True)
        parts = [part for part in parts if part.endswith(GRAPH)]
    remove_parts(place, "events.out.tfevents.*", keep=parts)
    return EventWriter(series, place, fresh=not complete)


class EventWriter:
    """Writes one event file, and a second one for the model's graph."""

    def __init__(self, series: Series, place: Path, fresh: bool):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.series, self._place = series, place
        self._event, self._seen = Event, Seen(set)
        # Whoever watches the folder goes from file to file by name, so names have to ascend with time.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (place / name).open("xb")
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
        for artifact in self.series.artifacts if takes_model(self.series) else ():
            if artifact["kind"] == "model" and artifact.get("loader"):
                suffix = f".{artifact['digest'][:12]}{GRAPH}"
                if not any(file.stat().st_size for file in self._place.glob(f"*{suffix}")):
                    _write_graph(self._place, suffix, self.series.folder / artifact["path"], artifact["loader"])

    def finish(self) -> dict[str, Any]:
        """Close the file; everything in the folder is whole."""
        self._end()
        return {"parts": sorted(path.name for path in self._place.glob("events.out.tfevents.*"))}

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
        parameters = dict(flatten(self.series.start["params"]))
        self._add(started, summary=hparams_pb(parameters, self.series.key, start_time_secs=started))

    def _write_picture(self, artifact: dict[str, Any]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        try:
            width, height, png = draw_confusion(self.series.folder / artifact["path"])
        except (OSError, KeyError, ValueError) as error:
            from torch.utils.tensorboard.summary import text

            self._add(artifact["time"], summary=text("confusion_matrix", f"not drawn: {error!r}"))
            return
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag="confusion_matrix", image=image)
        self._add(artifact["time"], summary=Summary(value=[value]))

    def _end(self) -> None:
        if self._file.closed:
            return
        if self.series.status != "running":
            ended = self.series.finished or self.series.start["time"]
            self._add(ended, summary=_session_end(self.series.status == "finished", ended))
        self._file.close()


def flatten(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """Nested parameters as `train.lr`; lists and nulls as JSON text."""
    for name, value in params.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, bool | int | float | str)
            yield f"{prefix}{name}", value if plain else json.dumps(value)


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
        axes.text(column, row, count, ha="center", color="white" if count > highest / 2 else "black")
    canvas, png = FigureCanvasAgg(figure), io.BytesIO()
    canvas.print_png(png)
    return *canvas.get_width_height(), png.getvalue()


def _write_graph(place: Path, suffix: str, path: Path, loader: str) -> None:
    """The graph of a model, or why there is none: not every model can be traced."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(place), filename_suffix=suffix) as writer:
        try:
            module, function = loader.split(":")
            model, example = getattr(importlib.import_module(module), function)(path)
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                writer.add_graph(model, torch.from_numpy(example))
        except Exception as error:
            writer.add_text("model_graph", f"not drawn: {error!r}")
