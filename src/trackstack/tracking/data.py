"""The dataset version of a run, for its record: digests from the data path, words from the catalog."""

from __future__ import annotations

from typing import Any

from trackstack import UserError
from trackstack.catalog import load_dataset


def describe_data(metadata: dict[str, Any]) -> dict[str, Any]:
    """Name, version and digests of the data in a tensor cache; path and description where the catalog has them."""
    digests = {**metadata["digests"], "tensor_cache": metadata["digest"]}
    data = {"name": metadata["dataset"], "version": digests["ingest"][:12], "digests": digests}
    try:
        dataset = load_dataset(metadata["dataset"])
    except UserError:  # a record is no reason to stop a stage that does not read the catalog
        return data | {"path": "", "num_samples": None, "description": ""}
    return data | dataset.model_dump(include={"path", "num_samples", "description"})
