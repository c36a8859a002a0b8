"""Every row of the raw files against the catalog, without running a stage: `trackstack catalog check`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipeline.contract.catalog import CATALOG_FILE, Dataset, load_catalog, load_dataset
from pipeline.import_data.columns import list_some
from pipeline.import_data.contents.spellings import other_spellings, shown_name
from pipeline.import_data.contents.values import MissingWords, is_missing
from pipeline.import_data.reading.blocks import read_blocks
from pipeline.import_data.reading.dialect import DialectOptions, read_sample
from pipeline.import_data.reading.files import find_files
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.parts import accepted_rows
from pipeline.parquet.rejected import RejectedRows

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
    """Groups and series that are alike, and values that are none of a category's."""


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
        for rows in accepted_rows(manifest, raw, rejected):
            for name, values in names.items():
                values.update(map(str, rows[name].unique().to_list()))
        first = report.getvalue().splitlines()[1 : MAX_SHOWN + 1]
        alike = [
            f"note: {name}: {shown_name(first_name)} and {shown_name(other)} differ only in how they are "
            f"spelled; to join them: trackstack catalog update {dataset_name} PATH --spellings join"
            for name, values in names.items()
            for other, first_name in other_spellings(values).items()
        ]
        notes = alike + _unknown_categories(dataset, raw)
        yield RowCheck(dataset_name, True, manifest.num_samples, rejected.count, first, notes)


def _unknown_categories(dataset: Dataset, raw: Path) -> list[str]:
    """A note for each category with values that the catalog does not list: to the pipeline they are missing.

    Where missing ones are rejected, their rows are, too.
    """
    listed = {one.name: one.categories for one in dataset.categories() if one.missing == "mean"}
    if not listed:
        return []
    unknown: dict[str, Counter] = {name: Counter() for name in listed}
    for file, below in find_files(str(raw)):
        sample = read_sample(file, below, DialectOptions("utf-8", ",", ".", skip=0))
        for block in read_blocks(sample, []):
            for name, known in listed.items():
                words = MissingWords.of(kept=known).names
                others = block.filter(~pl.col(name).is_in(known) & ~is_missing(name, words))
                unknown[name].update(others[name].to_list())
    return [
        f"note: {name}: {list_some(list(map(repr, values)))} in {values.total():,} row{'s' * (values.total() > 1)} "
        f"{'are' if len(values) > 1 else 'is'} none of its categories, and counts as missing; if it is one, list it "
        f"in {CATALOG_FILE}"
        for name, values in unknown.items()
        if values
    ]
