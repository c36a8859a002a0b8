"""Every row of the raw files against the catalog, without running a stage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trackstack.catalog import load_catalog, load_dataset
from trackstack.ingest import build_manifest
from trackstack.parquet import Quarantine, accepted_rows

SHOWN = 5


class Checked(NamedTuple):
    """One dataset version."""

    name: str
    here: bool
    rows: int
    rejected: int
    first: list[str]
    """The first rejected rows: file, line, column, value, reason."""


def check_rows(name: str | None) -> Iterator[Checked]:
    """Look at one dataset version, or at all; UserError where files, headers or counts are not the catalog's."""
    for each, dataset in ({name: load_dataset(name)} if name else load_catalog()).items():
        raw = Path(dataset.path)
        if name is None and not raw.exists():
            yield Checked(each, False, dataset.num_samples, 0, [])
            continue
        manifest = build_manifest(each, dataset, raw)
        report = io.StringIO()
        rejected = Quarantine(report)
        for _ in accepted_rows(manifest, raw, rejected):
            pass
        yield Checked(each, True, manifest.num_samples, rejected.count, report.getvalue().splitlines()[1 : SHOWN + 1])
