"""Hold params.yaml, the catalog, the models and the raw files against each other, and run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.catalog import CATALOG_FILE, load_catalog, load_dataset
from trackstack.ingest import build_manifest
from trackstack.models import model_names, model_params
from trackstack.params import PARAMS_FILE, load_params


def check() -> Iterator[str]:
    """Yield a line per thing that is in order; UserError at the first that is not.

    Only the chosen dataset must be there; others are checked when they are.
    """
    params = load_params()
    chosen = load_dataset(params.dataset)
    model_params(params.train.model, params.models)
    if unknown := sorted(set(params.models) - set(model_names())):
        raise UserError(f"{PARAMS_FILE}: models.{unknown[0]} is unknown; allowed here: {', '.join(model_names())}")
    for name in params.models:
        model_params(name, params.models)
    yield f"{PARAMS_FILE}: dataset {params.dataset}, model {params.train.model}"

    catalog = load_catalog()
    yield f"{CATALOG_FILE}: {len(catalog)} dataset version{'s' if len(catalog) > 1 else ''}"

    for name, dataset in {params.dataset: chosen, **catalog}.items():
        raw = Path(dataset.path)
        if name != params.dataset and not raw.exists():
            yield f"{raw}: not here, and not needed for dataset {params.dataset}"
            continue
        manifest = build_manifest(name, dataset, raw)
        yield f"{raw}: {len(manifest.files)} files, {manifest.num_samples:,} rows"
