"""A run as one file: written, verified anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.printing import Json, RunKey, print_json

commands = typer.Typer()


@commands.command()
def export(
    run: RunKey,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="RUN.zip by default.")] = None,
    with_data: Annotated[
        bool,
        typer.Option("--with-data/--without-data", help="With the data that DVC tracks, to be made again anywhere."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a run as one archive, an RO-Crate: source, record, model, its card, and how to cite it."""
    from trackstack.archive.export import export_run
    from trackstack.core.dvc_yaml import dvc_root
    from trackstack.tracking.environment import home

    path, size, left_out = export_run(run, home(), dvc_root(Path.cwd()) or Path.cwd(), out, with_data)
    if as_json:
        print_json({"archive": str(path), "bytes": size, "left_out": left_out})
    else:
        typer.echo(f"{path}: {size / 1e6:.1f} MB; anybody can type: trackstack runs verify {path}")
        if left_out:
            typer.echo(
                f"left out: {len(left_out)} files of the source, such as {left_out[0]!r}; see left-out.txt in it"
            )


@commands.command()
def verify(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A file that runs export wrote.")],
    as_json: Json = False,
) -> None:
    """Compare each file of an archive with its digest, anywhere, without a repository."""
    from trackstack.archive.manifest import verify_archive

    names = verify_archive(archive)
    if as_json:
        print_json({"archive": str(archive), "files": names})
    else:
        typer.echo(
            f"{archive}: {len(names)} files, each as it was written; trackstack reproduce {archive} runs it again"
        )
