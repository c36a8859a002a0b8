"""CSV to typed Parquet, a part for each raw file; rows that break the contract are set aside.

What did not change since the stage last ran is taken from its previous output, and what a killed stage had finished
from where that put it; the others are made by several threads, or by Dask's workers on several nodes. Memory is
bounded by blocks, whatever the size of the files. What a line is, `csv_lines` says; what a row is, `csv_rows`; what a
part is, `parts`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import polars as pl

from pipeline.contract.layout import PROFILE_FILE, REJECTED_FILE, ROWS_FOLDER, SUMMARIES_FOLDER
from pipeline.ingest.manifest import Manifest
from pipeline.parquet.blocks import Stretch, stretches
from pipeline.parquet.by_dask import write_parts
from pipeline.parquet.finished import FinishedParts
from pipeline.parquet.params import Params
from pipeline.parquet.parts import PartFiles, PartWriter, Summary, counted_progress
from pipeline.parquet.profile import Profile
from pipeline.parquet.rejected import RejectedRows, read_rejected
from pipeline.parquet.reuse import KnownParts, PreviousParts
from pipeline.parquet.sample import Sample, can_be_whole
from pipeline.parquet.series_order import SeriesState
from pipeline.parquet.workers import Workers
from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.files import new_folder, remove, write_json
from trackstack.core.previous_output import previous_output
from trackstack.system.dask_workers import dask_client
from trackstack.system.stopping import Interrupted, Stop


def convert(manifest: Manifest, raw: Path, out: Path, params: Params) -> None:
    """Write the parts and their summaries, `profile.json` and `rejected.csv` into the folder `out`.

    Raises:
        UserError: a file changed since `ingest` or cannot be read; or more than `params.max_rejected` rows, or
            all, break the contract, and then `out` holds `rejected.csv` alone.
        Interrupted: the stage was asked to stop; as after a kill, the next start goes on from the finished parts.
    """
    with Stop() as stop, FinishedParts(out) as finished:
        try:
            _convert(manifest, raw, out, params, finished, stop)
        except Interrupted as interruption:
            print(f"interrupted ({interruption}); finished parts are kept for the next start", file=sys.stderr)
            raise


def convert_ahead(manifest: Manifest, raw: Path, out: Path, compression: str) -> tuple[int, RejectedRows]:
    """Make the parts for the stage that will run, beside its output `out`; the rows it will accept, and the others.

    Raises:
        UserError: a file cannot be read.
    """
    with FinishedParts(out, ahead=True) as finished, tempfile.TemporaryDirectory(dir=finished.folder) as name:
        folder = Path(name)
        _make_folders(folder)
        writer = PartWriter(raw, finished.folder, manifest.contract, compression)
        _make_parts(stretches(manifest), folder, writer, KnownParts(writer, folder, [finished]), finished)
        profile, _, rejected = _join_summaries(manifest, folder)
    return profile.rows, rejected


def _convert(manifest: Manifest, raw: Path, out: Path, params: Params, finished: FinishedParts, stop: Stop) -> None:
    with new_folder(out) as folder:
        _make_folders(folder)
        writer = PartWriter(raw, finished.folder, manifest.contract, params.compression)
        known = KnownParts(writer, folder, [finished, PreviousParts(previous_output(out))])
        _make_parts(stretches(manifest), folder, writer, known, finished, stop)
        profile, parts, rejected = _join_summaries(manifest, folder)
        _check_counts(manifest, profile, rejected)
        too_many = rejected.count > params.max_rejected
        failed = too_many or profile.rows == 0
        if failed:
            for name in (ROWS_FOLDER, SUMMARIES_FOLDER):
                remove(folder / name)
        else:
            write_json(folder / PROFILE_FILE, _describe(manifest, profile, parts, rejected.count))
    if failed:
        why = f"parquet.max_rejected is {params.max_rejected}" if too_many else "no row was accepted"
        raise UserError(
            f"{raw}/{rejected.first} ({rejected.count:,} row{'s' * (rejected.count > 1)} rejected, {why}; "
            f"all are in {out / REJECTED_FILE})"
        )


def _make_folders(folder: Path) -> None:
    for name in (ROWS_FOLDER, SUMMARIES_FOLDER):
        (folder / name).mkdir()


def _make_parts(
    work: list[Stretch],
    folder: Path,
    writer: PartWriter,
    known: KnownParts,
    finished: FinishedParts,
    stop: Stop | None = None,
) -> None:
    """Take the parts that there are, and make the others: with Dask's workers, if there are any."""

    def look() -> None:
        if stop and (reason := stop.reason()):
            raise Interrupted(reason)

    with Workers(look) as workers, counted_progress("checking rows", work) as advance:

        def make(stretch: Stretch, before: SeriesState | None = None) -> None:
            finished.place(writer.write(stretch, workers, advance, before), folder, PartFiles.of(stretch))

        taken: set[Stretch] = set()

        def take(stretch: Stretch) -> None:
            if known.take(stretch):
                taken.add(stretch)
                advance(stretch.num_bytes())

        workers.for_each_part(take, work)
        missing = [stretch for stretch in work if stretch not in taken]
        with dask_client(finished.folder, most=len(missing)) as client:
            if client is None:
                workers.for_each_part(make, missing)
            else:
                for stretch, made_from in write_parts(client, writer, missing, look):
                    finished.place(made_from, folder, PartFiles.of(stretch))
                    advance(stretch.num_bytes())
        for _, pieces in groupby(work, key=lambda stretch: stretch.file.name):
            _keep_order_between_pieces(list(pieces), folder, writer, known, make)


def _keep_order_between_pieces(
    pieces: list[Stretch],
    folder: Path,
    writer: PartWriter,
    known: KnownParts,
    make: Callable[[Stretch, SeriesState], None],
) -> None:
    """Make those pieces of a file again of which a row is at fault because of a row in an earlier piece."""
    if len(pieces) == 1:
        return
    before = SeriesState()
    for piece in pieces:
        summary = folder / PartFiles.of(piece).summary
        state = _series_behind(summary, writer)
        if before.would_reject_of(state):
            if not known.take(piece, before):
                make(piece, before)
            state = _series_behind(summary, writer)
        before = before.then(state)


def _series_behind(summary: Path, writer: PartWriter) -> SeriesState:
    state = Summary.read(summary, writer.contract).series
    assert state is not None, "each piece of a file has one"
    return state


def _join_summaries(manifest: Manifest, folder: Path) -> tuple[Profile, list[dict], RejectedRows]:
    """The profile of all rows, the list of the parts in their order, and the report of rejected rows, written."""
    profile, parts, amounts = Profile(manifest.contract), [], manifest.contract.amounts()
    exact = can_be_whole(manifest.num_samples, len(amounts))
    with (folder / REJECTED_FILE).open("w", newline="", encoding="utf-8") as report:
        rejected = RejectedRows(report)
        for stretch in stretches(manifest):
            files = PartFiles.of(stretch)
            summary = Summary.read(folder / files.summary, manifest.contract)
            if exact and summary.profile.sample.level:  # a summary has only some of the rows
                summary.profile.sample = Sample.of_all(pl.read_parquet(folder / files.rows, columns=amounts))
            profile.add(summary.profile)
            if summary.rejected:
                for row in read_rejected(folder / files.rejected, stretch.file.name):
                    rejected.add([row])
            parts.append(
                {
                    "file": files.rows,
                    "rows": summary.profile.rows,
                    "rejected": summary.rejected,
                    "digest": summary.digest,
                    "made_from": summary.made_from,
                }
            )
    return profile, parts, rejected


def _check_counts(manifest: Manifest, profile: Profile, rejected: RejectedRows) -> None:
    if profile.rows + rejected.count != manifest.num_samples:
        raise UserError(
            f"{manifest.path}: {profile.rows:,} rows accepted and {rejected.count:,} rejected, but "
            f"the manifest has {manifest.num_samples:,}; type: dvc repro --force ingest"
        )


def _describe(manifest: Manifest, profile: Profile, parts: list[dict], num_rejected: int) -> dict:
    return {
        "dataset": manifest.dataset,
        "reads": manifest.digest,
        "digest": digest_json([part["digest"] for part in parts]),
        "rows": {"read": manifest.num_samples, "accepted": profile.rows, "rejected": num_rejected},
        "contract": manifest.contract.model_dump(mode="json"),
        **profile.as_json(),
        "parts": parts,
    }
