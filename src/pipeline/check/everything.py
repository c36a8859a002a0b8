"""Validate params.yaml, the catalog, the models and the raw files, and run nothing: `trackstack check`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.check.stage import check_choices
from pipeline.contract.catalog import CATALOG_FILE, chosen_dataset, fill_from_dataset, load_catalog
from pipeline.ingest.manifest import build_manifest
from pipeline.modeling.base import LOSSES, METRICS, MODELS
from pipeline.train.params import Params as TrainParams
from pipeline.train.params import refuse_without_validation
from trackstack import UserError
from trackstack.core.params import PARAMS_FILE, Parameters
from trackstack.core.registry import Registry

STAGES = Path(__file__).parents[1]
REGISTRIES = {registry.section: registry for registry in (MODELS, LOSSES, METRICS)}


def check_params(values: Any) -> None:
    """Validate the whole of `params.yaml`, sections that are not chosen included.

    A section is described by `Params` in the folder of its name: `train` by `pipeline/train/params.py`.

    Raises:
        UserError: a line for each fault of the first section that has one.
    """
    params = Parameters(values)
    sections = sorted(folder.parent.name for folder in STAGES.glob("*/params.py"))
    known = ["dataset", *sections, *REGISTRIES]
    if unknown := [name for name in params.values if name not in known]:
        raise UserError(f"{PARAMS_FILE}: {unknown[0]} is unknown; allowed here: {', '.join(known)}")
    fill_from_dataset(params)
    for name in sections:
        params.section(name, importlib.import_module(f"pipeline.{name}.params").Params)
    train = params.section("train", TrainParams)
    if not params.get("tensor_cache.validation"):
        refuse_without_validation(train)
    check_choices(params)
    for registry in REGISTRIES.values():
        _check_choice(registry, params)


def main() -> Iterator[str]:
    """Yield a line per thing that is in order; UserError at the first that is not.

    Only the chosen dataset must be there; others are checked when they are.
    """
    params = Parameters.load()
    check_params(params.values)
    chosen = chosen_dataset(params)
    yield f"{PARAMS_FILE}: dataset {chosen}, model {params.get('train.model')}"

    catalog = load_catalog()
    yield f"{CATALOG_FILE}: {len(catalog)} dataset version{'s' if len(catalog) > 1 else ''}"

    for name in sorted(catalog, key=lambda name: name != chosen):
        raw = Path(catalog[name].path)
        if name != chosen and not raw.exists():
            yield f"{raw}: not here, and not needed for dataset {chosen}"
            continue
        manifest = build_manifest(name, catalog[name], raw)
        yield f"{raw}: {len(manifest.files)} files, {manifest.num_samples:,} rows"


def _check_choice(registry: Registry, params: Parameters) -> None:
    """The parameters of every file that the section names, chosen or not."""
    sections = params.get(registry.section)
    if not isinstance(sections, dict):
        raise UserError(f"{PARAMS_FILE}: {registry.section}: expected a section per file of its folder")
    registry.params(params.get(registry.choice), params)
    if unknown := sorted(set(sections) - set(registry.names())):
        allowed = ", ".join(registry.names())
        raise UserError(f"{PARAMS_FILE}: {registry.section}.{unknown[0]} is unknown; allowed here: {allowed}")
    for name in sections:
        registry.params(name, params)
