"""The commands of this pipeline: check, catalog, data and predict. `pyproject.toml` joins them to `trackstack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.data_diff.commands import data
from pipeline.import_data.arguments import (
    DateFormat,
    Decimal,
    Delimiter,
    Encoding,
    Missing,
    NoHeader,
    Sheet,
    Skip,
    Thousands,
)
from pipeline.import_data.commands import catalog
from trackstack.cli.printing import Json, print_json

app = typer.Typer()
app.add_typer(catalog, name="catalog")
app.add_typer(data, name="data")


@app.command()
def check(as_json: Json = False) -> None:
    """Validate params.yaml, the catalog and the raw files; run nothing."""
    from pipeline.check.everything import main

    if as_json:
        print_json(list(main()))
        return
    for line in main():
        typer.echo(line)


@app.command()
def predict(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="With the columns that the model was trained on.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model folder, a promoted model such as NAME, NAME@champion or NAME@v2, or an MLflow URI such as "
            "models:/NAME@champion; by default dvc.yaml's model."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write this .csv or .parquet file instead of printing.")] = None,
    extra: Annotated[list[str] | None, typer.Option(help="A column to keep in the result; repeat it.")] = None,
    missing: Missing = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    encoding: Encoding = None,
    skip: Skip = None,
    sheet: Sheet = None,
    no_header: NoHeader = False,
    date_format: DateFormat = None,
) -> None:
    """Label the rows of a table, or their windows, with the probability of each class; or predict their amounts."""
    from trackstack.training.determinism import pin_environment

    pin_environment()  # before torch is imported
    from pipeline.import_data.reading.dialect import DialectOptions
    from pipeline.predict.tables import as_csv
    from pipeline.predict.tables import predict as label

    dialect = DialectOptions.typed(encoding, delimiter, decimal, thousands, skip, sheet, no_header)
    words, formats = tuple(missing or ()), tuple(date_format or ())
    labelled, summary = label(table, model, out, words, dialect, formats, tuple(extra or ()))
    if out is None:
        typer.echo(as_csv(labelled), nl=False)
    typer.echo(f"{out or table}: {summary}", err=True)
