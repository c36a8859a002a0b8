"""Every row of the raw files against the catalog, without running a stage: `trackstack catalog check`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.contract.catalog import load_catalog, load_dataset
from pipeline.import_data.contents.spellings import other_spellings, shown_name
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
    notes: list[str]
    """Groups and series that are alike."""


def check_rows(name: str | None) -> Iterator[RowCheck]:
    """Read one dataset version, or all; UserError where files, headers or counts are not the catalog's."""
    for dataset_name, dataset in ({name: load_dataset(name)} if name else load_catalog()).items():
        raw = Path(dataset.path)
        if name is None and not raw.exists():
            yield RowCheck(dataset_name, False, dataset.num_samples, 0, [], [])
            continue
        manifest = build_manifest(dataset_name, dataset, raw)
        report = io.StringIO()
        rejected = RejectedRows(report)
        names: dict[str, Counter] = {name: Counter() for name in (dataset.group, dataset.series) if name}
        for rows, _ in accepted_rows(manifest, raw, rejected):
            for name, values in names.items():
                values.update(map(str, rows[name].unique().to_list()))
        first = report.getvalue().splitlines()[1 : MAX_SHOWN + 1]
        alike = [
            f"note: {name}: {shown_name(first_name)} and {shown_name(other)} differ only in how they are "
            f"spelled; to join them: trackstack catalog update {dataset_name} PATH --spellings join"
            for name, values in names.items()
            for other, first_name in other_spellings(values).items()
        ]
        yield RowCheck(dataset_name, True, manifest.num_samples, rejected.count, first, alike)
