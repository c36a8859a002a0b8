"""Every row of the raw files against the catalog, without running a stage: `trackstack catalog check`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.contract.catalog import load_catalog, load_dataset
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.stage import RejectedRows, accepted_rows

MAX_SHOWN = 5


class RowCheck(NamedTuple):
    """What the rows of one dataset version are like."""

    name: str
    here: bool
    rows: int
    rejected: int
    first: list[str]
    """The first rejected rows: file, line, column, value, reason."""


def check_rows(name: str | None) -> Iterator[RowCheck]:
    """Read one dataset version, or all; UserError where files, headers or counts are not the catalog's."""
    for dataset_name, dataset in ({name: load_dataset(name)} if name else load_catalog()).items():
        raw = Path(dataset.path)
        if name is None and not raw.exists():
            yield RowCheck(dataset_name, False, dataset.num_samples, 0, [])
            continue
        manifest = build_manifest(dataset_name, dataset, raw)
        report = io.StringIO()
        rejected = RejectedRows(report)
        for _ in accepted_rows(manifest, raw, rejected):
            pass
        first = report.getvalue().splitlines()[1 : MAX_SHOWN + 1]
        yield RowCheck(dataset_name, True, manifest.num_samples, rejected.count, first)
