"""Validate the raw files of a dataset version and write their manifest."""

from __future__ import annotations

from pathlib import Path

from pipeline.contract.catalog import chosen_dataset, load_dataset, refuse_changed_entry
from pipeline.ingest.manifest import build_manifest
from trackstack import UserError
from trackstack.core.files import write_json
from trackstack.core.params import Parameters


def ingest(params: Parameters, raw: Path, manifest_file: Path) -> None:
    """Check the raw files of the chosen dataset version and write its manifest.

    Raises:
        UserError: a file is missing, unknown, empty, or its header or number of rows is not the catalog's; or the
            catalog's entry was edited meanwhile.
    """
    name = chosen_dataset(params)
    dataset = load_dataset(name)
    if Path(dataset.path) != raw:
        raise UserError(
            f"data/catalog.yaml: datasets.{name}.path is {dataset.path!r}, but dvc.yaml reads {raw}; "
            "a dataset version lies in data/raw/NAME"
        )
    write_json(manifest_file, build_manifest(name, dataset, raw, manifest_file).model_dump(mode="json"))
    refuse_changed_entry(name, dataset)
