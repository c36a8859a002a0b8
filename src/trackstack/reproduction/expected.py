"""What a run's record says of its stages: what to make again, and what must come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.own_stages import own_entries
from trackstack.records.query import find_run
from trackstack.records.source import source_commit
from trackstack.tracking.series import RunFolder
from trackstack.tracking.sinks import Series


class Recorded(NamedTuple):
    """What one stage has put into the record of a run."""

    params: dict[str, Any]
    """The values at its start, by file and name."""
    figures: dict[str, float]
    """Every metric at every step, by `name at step`; of a point that was logged twice the first counts."""
    artifacts: dict[str, str]
    """Digest by name of what it logged."""


class Expected(NamedTuple):
    """A recorded run, as a reproduction needs it."""

    series: Series
    commit: str
    """Holds its source, uncommitted edits included."""
    recorded: dict[str, Recorded]
    """By the address of the stage, in the order in which they were run."""
    entries: dict[str, dict[str, Any]]
    """Of dvc.lock, by the addresses of the stages, as far as they are known."""
    hashes: dict[str, str]
    """By path, of the data that `.dvc` files track, and of what the stages before those that recorded it put out."""
    data: set[str]
    """The paths that `.dvc` files track of its data."""

    @property
    def ends(self) -> list[str]:
        """The stages that are made again, with those before them: of a rebuilt record all that DVC had run."""
        return list(self.entries if self.is_rebuilt else self.recorded)

    @property
    def is_rebuilt(self) -> bool:
        """Whether its record was written from what DVC has of it: then no process has recorded its figures."""
        return self.series.start["tags"].get("rebuilt") == "true"

    @property
    def environment(self) -> dict[str, Any]:
        """Of its first attempt."""
        return self.series.start["environment"]


def expected_of(key: str, home: Path, root: Path, commit: str | None = None) -> Expected:
    """What is known of a finished run.

    Args:
        key: its id, the beginning of it, or its name.
        root: the DVC repository that has its source.
        commit: holds the source there; by default the one that the record names.

    Raises:
        UserError: no such run, it did not finish, no stage of DVC's recorded it, or git has not its source.
    """
    series = find_run(home, key).series
    if series.status != "finished":
        raise UserError(f"{series.key}: is {series.status}; expected a finished run: only such a one has a result")
    upstream = [record for record in series.upstream if "stage" in record]
    if not upstream:
        raise UserError(
            f"{series.key}: no stage of a dvc.yaml recorded it, so nobody knows how to run it again; "
            "make its script a stage: dvc stage add"
        )
    entries = {address: entry for record in upstream for address, entry in record["stages"].items()}
    data = [item for record in upstream for item in record["data"]]
    known = [*data, *(out for entry in entries.values() for out in entry.get("outs", []))]
    deps = {dep for record in upstream for dep in record["deps"]}
    return Expected(
        series,
        commit or source_commit(series, root),
        recorded_by_stage(series),
        entries | own_entries(series, root),
        {item["path"]: item["md5"] for item in known if item["path"] in deps and item.get("hash") == "md5"},
        {item["path"] for item in data},
    )


def recorded_by_stage(series: Series) -> dict[str, Recorded]:
    """What the attempts at a series recorded, put together for each stage of DVC's."""
    found: dict[str, Recorded] = {}
    for attempt in RunFolder(series.folder).refresh():
        upstream = attempt.start.get("upstream") or {}
        if attempt.start["series"] != series.number or "stage" not in upstream:
            continue
        of_stage = found.setdefault(upstream["stage"], Recorded(upstream["params"], {}, {}))
        for record in attempt.points:
            for name, value in record["values"].items() if record["type"] == "metrics" else ():
                of_stage.figures.setdefault(f"{name} at {record['step']}", value)
        of_stage.artifacts.update((record["name"], record["digest"]) for record in attempt.artifacts)
    return found
