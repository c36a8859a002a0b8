"""What the catalog says of a dataset, in the words of Croissant: `trackstack runs export` asks for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pipeline.contract.catalog import CATALOG_FILE, load_dataset


def describe_data(name: str, source: dict[str, bytes]) -> dict[str, Any]:
    """License, origin and fields of a dataset.

    Args:
        source: the files of the run's source, whose catalog counts: today's may say something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, CATALOG_FILE.name)
        file.write_bytes(source[str(CATALOG_FILE)])
        dataset = load_dataset(name, file)
    fields = [
        {
            "name": feature.name,
            "description": f"A feature{f', in {feature.unit}' if feature.unit else ''}",
            "dataType": "sc:Text" if feature.kind == "category" else "sc:Float",
        }
        for feature in dataset.features
    ]
    roles: dict[str, list[str | None]] = {
        "The class": [dataset.label],
        "An amount that is predicted": [target.name for target in dataset.targets],
        "The group, such as a person: never split across training, validation and test": [dataset.group],
        "The series of rows that a window never leaves": [dataset.series],
        "The time": [dataset.time],
    }
    known = {field["name"] for field in fields}
    for description, columns in roles.items():
        for column in filter(None, columns):
            if column not in known:
                known.add(column)
                fields.append({"name": column, "description": description, "dataType": "sc:Text"})
    about: dict[str, Any] = {"fields": fields}
    if dataset.licence:
        about["license"] = f"https://spdx.org/licenses/{dataset.licence}"
    if dataset.source:
        about["url"] = dataset.source
    if dataset.group:
        about["rai:dataCollection"] = f"{dataset.description}; grouped by {dataset.group}"
    return about
