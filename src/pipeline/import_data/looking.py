"""What dataset versions there are, and whether their files keep the contract: `list`, `check`, `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.import_data.arguments import Name
from pipeline.import_data.printing import show_dataset
from trackstack.cli.printing import Json, print_json, print_table

looking = typer.Typer()


@looking.command("list")
def list_(as_json: Json = False) -> None:
    """All dataset versions."""
    from pipeline.contract.catalog import load_catalog

    rows = [
        {
            "name": name,
            "kind": dataset.kind(),
            "task": dataset.task,
            "rows": dataset.num_samples,
            "features": len(dataset.features),
            "classes": len(dataset.classes) or None,
            "group": dataset.group,
            "here": Path(dataset.path).is_dir(),
            "description": dataset.description,
        }
        for name, dataset in load_catalog().items()
    ]
    if as_json:
        print_json(rows)
        return
    table = [[*(row | {"here": "yes" if row["here"] else "no"}).values()] for row in rows]
    print_table(list(rows[0]) if rows else ["name"], table)


@looking.command()
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this dataset version; by default all that are here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate every row of the raw files against the catalog; exit code 1 if one breaks the contract."""
    from pipeline.import_data.check_rows import check_rows

    checks = list(check_rows(name))
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        for check in checks:
            result = f"{check.rows:,} rows, {check.rejected:,} rejected" if check.here else "not here"
            typer.echo("\n  ".join([f"{check.name}: {result}", *check.first, *check.notes]))
    if any(check.rejected for check in checks):
        raise typer.Exit(1)


@looking.command()
def show(name: Name, as_json: Json = False) -> None:
    """One dataset version: what its columns are, its files, and where it comes from."""
    from pipeline.contract.catalog import load_dataset

    dataset = load_dataset(name)
    content = dataset.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(content)
    else:
        show_dataset(dataset.kind(), content)
