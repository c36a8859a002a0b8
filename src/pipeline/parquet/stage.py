"""CSV to typed Parquet, a part for each raw file; rows that break the contract are set aside.

What did not change since the stage last ran is taken from its previous output, and the others are made by several
threads. Memory is bounded by blocks, whatever the size of the files. What a line is, `csv_lines` says; what a row is,
`csv_rows`; what a part is, `parts`.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import polars as pl

from pipeline.contract.layout import PROFILE_FILE, REJECTED_FILE, ROWS_FOLDER, SUMMARIES_FOLDER
from pipeline.ingest.manifest import Manifest
from pipeline.parquet.blocks import Stretch, stretches
from pipeline.parquet.params import Params
from pipeline.parquet.parts import PartFiles, PartWriter, Summary, counted_progress
from pipeline.parquet.profile import Profile
from pipeline.parquet.rejected import RejectedRows, read_rejected
from pipeline.parquet.reuse import PreviousParts
from pipeline.parquet.sample import Sample, can_be_whole
from pipeline.parquet.series_order import SeriesState
from pipeline.parquet.workers import Workers
from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.files import new_folder, remove, write_json
from trackstack.core.previous_output import previous_output


def convert(manifest: Manifest, raw: Path, out: Path, params: Params) -> None:
    """Write the parts and their summaries, `profile.json` and `rejected.csv` into the folder `out`.

    Raises:
        UserError: a file changed since `ingest` or cannot be read; or more than `params.max_rejected` rows, or
            all, break the contract, and then `out` holds `rejected.csv` alone.
    """
    with new_folder(out) as folder:
        for name in (ROWS_FOLDER, SUMMARIES_FOLDER):
            (folder / name).mkdir()
        _make_parts(manifest, raw, folder, params.compression, PreviousParts(previous_output(out)))
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


def _make_parts(manifest: Manifest, raw: Path, folder: Path, compression: str, previous: PreviousParts) -> None:
    """Take what is the same from the previous output, and make the others."""
    work = stretches(manifest)
    with Workers() as workers, counted_progress("checking rows", work) as advance:
        writer = PartWriter(raw, folder, manifest.contract, compression, workers, advance)

        def make(stretch: Stretch) -> None:
            if previous.take(writer, stretch):
                advance(stretch.num_bytes())
            else:
                writer.write(stretch)

        workers.for_each_part(make, work)
        for _, pieces in groupby(work, key=lambda stretch: stretch.file.name):
            _keep_order_between_pieces(list(pieces), writer, previous)


def _keep_order_between_pieces(pieces: list[Stretch], writer: PartWriter, previous: PreviousParts) -> None:
    """Make those pieces of a file again of which a row is at fault because of a row in an earlier piece."""
    if len(pieces) == 1:
        return
    before = SeriesState()
    for piece in pieces:
        summary = writer.folder / PartFiles.of(piece).summary
        state = _series_behind(summary, writer)
        if before.would_reject_of(state):
            if not previous.take(writer, piece, before):
                writer.write(piece, before)
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
