"""The undo of `trackstack catalog add`: entry, `.dvc` file and raw folder go; DVC's cache keeps the data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline.contract.catalog import CATALOG_FILE, Dataset, chosen_dataset, load_catalog, load_dataset
from pipeline.import_data.apply import run_dvc
from trackstack import UserError
from trackstack.core.params import Parameters
from trackstack.system.git import try_git


class Removal(NamedTuple):
    """What will be removed."""

    name: str
    paths: list[str]
    """Folder and pointer, as far as they are here."""
    in_git: bool
    """Whether git has the entry and the pointer as they are."""


def plan_removal(name: str) -> Removal:
    """What `catalog remove` would do; UserError when there is no such dataset version, or params.yaml names it."""
    dataset = load_dataset(name)
    params = Parameters.load()
    if chosen_dataset(params) == name:
        other = next((other for other in load_catalog() if other != name), "NAME")
        raise UserError(f"{params.path}: dataset is {name!r}; first write another one there, as in dataset: {other}")
    paths = [path for path in (dataset.path, f"{dataset.path}.dvc") if Path(path).exists()]
    return Removal(name, paths, _is_in_git(dataset))


def remove(removal: Removal) -> None:
    """Remove a dataset version; other entries and all comments beside them stay as they are."""
    for path in sorted(removal.paths, reverse=True):  # the pointer first: without it the folder is nobody's
        if path.endswith(".dvc"):
            run_dvc("remove", path)
        else:
            shutil.rmtree(path)
    content = CATALOG_FILE.read_text(encoding="utf-8")
    partial = CATALOG_FILE.with_name(f".{CATALOG_FILE.name}.partial")
    partial.write_text(without_entry(content, removal.name), encoding="utf-8")
    partial.replace(CATALOG_FILE)


def without_entry(content: str, name: str) -> str:
    """The catalog's text without an entry and the comment right above it."""
    document: Any = yaml.compose(content)
    entries = next(value for key, value in document.value if key.value == "datasets").value
    lines = content.splitlines(keepends=True)
    begins = [key.start_mark.line for key, _ in entries]
    at = [key.value for key, _ in entries].index(name)
    begin, end = _with_comment(lines, begins[at]), len(lines)
    if at + 1 < len(begins):
        end = _with_comment(lines, begins[at + 1])
    rest = "".join([*lines[:begin], *lines[end:]]).rstrip("\n") + "\n"
    return rest if len(entries) > 1 else rest.replace("datasets:", "datasets: {}", 1)


def _with_comment(lines: list[str], begin: int) -> int:
    """The first line of the comment that stands right above a line, or that line."""
    while begin and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return begin


def _is_in_git(dataset: Dataset) -> bool:
    return try_git(Path(), "status", "--porcelain", "--", str(CATALOG_FILE), f"{dataset.path}.dvc") == ""
