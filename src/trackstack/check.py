"""Hold params.yaml, the catalog, the models and the raw files against each other, and run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trackstack.catalog import CATALOG_FILE, load_catalog, load_dataset
from trackstack.ingest import build_manifest
from trackstack.losses import LOSSES
from trackstack.metrics import METRICS
from trackstack.models import MODELS
from trackstack.params import PARAMS_FILE, Params, load_params


def check_choices(params: Params) -> None:
    """UserError for a dataset, model, loss or metric that does not exist.

    DVC has a path of its own to name where one is missing; the stage `check` says first what was meant.
    """
    load_dataset(params.dataset)
    MODELS.refuse_unknown(params.train.model)
    LOSSES.refuse_unknown(params.train.loss)
    METRICS.refuse_unknown(params.train.metric)


def check() -> Iterator[str]:
    """Yield a line per thing that is in order; UserError at the first that is not.

    Only the chosen dataset must be there; others are checked when they are.
    """
    params = load_params()
    check_choices(params)
    MODELS.check(params.train.model, params.models)
    LOSSES.check(params.train.loss, params.losses)
    METRICS.check(params.train.metric, params.metrics)
    yield f"{PARAMS_FILE}: dataset {params.dataset}, model {params.train.model}"

    catalog = load_catalog()
    yield f"{CATALOG_FILE}: {len(catalog)} dataset version{'s' if len(catalog) > 1 else ''}"

    for name in sorted(catalog, key=lambda name: name != params.dataset):
        raw = Path(catalog[name].path)
        if name != params.dataset and not raw.exists():
            yield f"{raw}: not here, and not needed for dataset {params.dataset}"
            continue
        manifest = build_manifest(name, catalog[name], raw)
        yield f"{raw}: {len(manifest.files)} files, {manifest.num_samples:,} rows"
