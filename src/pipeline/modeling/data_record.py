"""The dataset version of a run, for its record: digests from the tensor cache, words from the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.params import load_yaml

# Not `pipeline.contract`: no result depends on these words, so that an edit of that code must not run a training.
CATALOG_FILE = Path("data/catalog.yaml")


def describe_data(metadata: dict[str, Any]) -> dict[str, Any]:
    """Name, version and digests of the data in a tensor cache; path and description where the catalog has them."""
    digests = {**metadata["digests"], "tensor_cache": metadata["digest"]}
    data = {"name": metadata["dataset"], "version": digests["ingest"][:12], "digests": digests}
    try:
        entry = load_yaml(CATALOG_FILE)["datasets"][metadata["dataset"]]
        words = {name: entry[name] for name in ("path", "num_samples", "description")}
    except (UserError, KeyError, TypeError):  # a record is no reason to stop a training
        words = {"path": "", "num_samples": None, "description": ""}
    return data | words
