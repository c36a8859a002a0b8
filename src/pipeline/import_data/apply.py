"""Carry out a plan: files into the raw folder, `dvc add`, and the entry into the catalog with its comments kept.

The files come into a folder beside their place, where the pipeline's own code validates them; what fails leaves
nothing behind.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import polars as pl
import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pipeline.contract.catalog import CATALOG_FILE, Dataset
from pipeline.import_data.contents.blocks import BlockCutter
from pipeline.import_data.contents.dates import seconds_text
from pipeline.import_data.contents.values import is_missing, number_text
from pipeline.import_data.plan import Plan, PlannedFile
from pipeline.import_data.reading.blocks import read_blocks
from pipeline.ingest.csv_lines import CHUNK_BYTES, open_csv
from pipeline.ingest.file_notes import FileNotes, Identity, is_same_content
from pipeline.ingest.manifest import RawFile, inspect_file, manifest_of, note_on
from pipeline.parquet.csv_rows import Rejected
from pipeline.parquet.params import Compression
from pipeline.parquet.parts import accepted_rows, quick_digest
from pipeline.parquet.rejected import RejectedRows
from pipeline.parquet.stage import convert_ahead
from trackstack import UserError
from trackstack.core.dvc_yaml import stage_definition
from trackstack.core.files import new_folder
from trackstack.core.params import PARAMS_FILE, Parameters, validate
from trackstack.core.progress import after, progress
from trackstack.system.programs import run_program

FLOW = ("classes", "extra", "types", "recipe")


class Written(NamedTuple):
    """What was written."""

    entry: dict[str, Any]
    rejected: int
    """Rows that break the contract, which the pipeline will set aside."""
    first: Rejected | None
    found: dict[str, tuple[Identity | None, bytes, RawFile]]
    """What was read of each file, by its name: for `ingest`, which need not read it again."""


def apply(plan: Plan, *, move: bool) -> Written:
    """Write files, `.dvc` pointer and catalog entry; UserError leaves things as they were.

    Args:
        move: remove the originals at the end; where they lie in the same file system nothing is copied then.
    """
    raw = Path(plan.entry["path"])
    in_place = all(file.sample.file.resolve().parent == raw.resolve() for file in plan.files)
    new = not raw.exists() or in_place
    if in_place and plan.converted:
        raise UserError(f"{raw}: must be rewritten ({'; '.join(plan.converted)}); move the files elsewhere first")
    ahead = _stage_parquet() if new else None
    if in_place:
        written = validate_files(plan, raw, ahead)
    else:
        with new_folder(raw) as folder:
            write_files(plan, folder, move)
            written = validate_files(plan, folder, ahead)
    try:
        run_dvc("add", "--quiet", str(raw))
    except UserError:
        if not in_place and new:
            shutil.rmtree(raw)
        elif not in_place:
            run_dvc("checkout", "--quiet", "--force", f"{raw}.dvc")
        raise
    write_entry(plan.name, written.entry)
    _keep_notes(raw, written)
    if move and not in_place:
        for file in plan.files:
            file.sample.file.unlink()
    return written


def validate_files(plan: Plan, folder: Path, ahead: tuple[Path, str] | None = None) -> Written:
    """Count the rows of the files in the folder and check each as the pipeline will.

    Args:
        ahead: the output of the stage `parquet`, for which the checked rows are kept, and its compression.
    """
    prefix = f"datasets.{plan.name}"
    contract = validate(Dataset, plan.entry, CATALOG_FILE, prefix=prefix).contract()
    targets = [folder / file.target for file in plan.files]
    found = {file.name: (FileNotes.identify(file), *inspect_file(file, contract)) for file in sorted(targets)}
    rows = {file.name: found[file.name][2].rows for file in targets}
    entry = plan.entry | {"num_samples": sum(rows.values()), "files": rows}
    dataset = validate(Dataset, entry, CATALOG_FILE, prefix=prefix)
    manifest = manifest_of(plan.name, dataset, (file for _, _, file in found.values()))
    if ahead:
        accepted, rejected = convert_ahead(manifest, folder, *ahead)
    else:
        rejected, accepted = RejectedRows(io.StringIO()), 0
        for block in accepted_rows(manifest, folder, rejected):
            accepted += block.height
    if accepted == 0 and rejected.first:
        raise UserError(f"{rejected.first}; and no other row is accepted either")
    entry["settings"] = entry["settings"] | {"parquet": {"max_rejected": rejected.count}}
    return Written(entry, rejected.count, rejected.first, found)


def _stage_parquet() -> tuple[Path, str] | None:
    """The output and the compression of the stage `parquet`; None where it is not there, or cannot run as it is."""
    definition = stage_definition(Path.cwd(), "parquet")
    section = Parameters.load().values.get("parquet") if PARAMS_FILE.is_file() else None
    compression = section.get("compression") if isinstance(section, dict) else None
    if definition is None or not definition.outs or compression not in get_args(Compression):
        return None
    return Path(definition.outs[0]), str(compression)


def _keep_notes(raw: Path, written: Written) -> None:
    """Note for `ingest` what the files hold that lie in the raw folder now, if they are those that were read.

    `dvc add` may have put others in their place, which are then compared by their digests.
    """
    notes = FileNotes.of_project()
    for name, (before, header, found) in written.found.items():
        file = raw / name
        now = notes.identify(file)
        if now and (is_same_content(before, now) or quick_digest(file) == found.xxh3):
            notes.keep(file, now, note_on(header, found))
    notes.save(raw)


def same_content(file: PlannedFile, plan: Plan, present: Path) -> bool:
    """Whether a file of the raw folder already holds what the plan would write there."""
    with open_csv(file.sample.file) as (_, on_disk), present.open("rb") as old:
        new = _converted(file, plan) if plan.converted else iter(lambda: on_disk.read(CHUNK_BYTES), b"")
        return all(old.read(len(piece)) == piece for piece in new) and not old.read(1)


def write_entry(name: str, entry: dict[str, Any], path: Path = CATALOG_FILE) -> None:
    """Put an entry into the catalog: a new one at its end, the fields of an old one in their places."""
    style = YAML()
    style.indent(mapping=2, sequence=4, offset=2)
    style.width, style.preserve_quotes = 116, True
    catalog = style.load(path.read_text(encoding="utf-8"))
    old = catalog["datasets"].get(name)
    written = _as_written(entry)
    if old is None:
        catalog["datasets"][name] = written
        catalog["datasets"].yaml_set_comment_before_after_key(name, before="\n", indent=0)
    else:
        for key, value in written.items():
            if old.get(key) != entry[key]:
                old[key] = value
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        style.dump(catalog, file)
    partial.replace(path)


def write_files(plan: Plan, folder: Path, move: bool = False) -> None:
    """Write the planned files into a folder."""
    with progress("writing", sum(file.sample.file.stat().st_size for file in plan.files)) as show:
        done = 0
        for file in plan.files:
            target, source = folder / file.target, file.sample.file
            if plan.converted:
                with target.open("wb") as out:
                    out.writelines(_converted(file, plan, after(done, show)))
            else:
                _link_or_copy(source, target, move)
            done += source.stat().st_size
            show(done)


def _link_or_copy(source: Path, target: Path, move: bool) -> None:
    """A hard link where the original will go anyway, else a copy-on-write one, else a copy.

    A hard link that stays would let an edit of the original reach DVC's cache.
    """
    from dvc_objects.fs.system import reflink

    try:
        if move:
            os.link(source, target, follow_symlinks=True)
        else:
            reflink(str(source.resolve()), str(target))
    except OSError:
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)


def classes_of_blocks(plan: Plan) -> dict[str, int]:
    """The rows of each class without those between blocks, which are read once more."""
    label, counts = plan.entry["label"], Counter(dict.fromkeys(plan.class_rows, 0))
    for file in plan.files:
        for rows in _converted_rows(file, plan, frozenset({label, plan.entry["series"]})):
            counts.update(rows[label].drop_nulls().to_list())
    return dict(counts)


def _converted(file: PlannedFile, plan: Plan, show: Callable[[int], object] = lambda done: None) -> Iterator[bytes]:
    """A file as the pipeline reads it, block by block."""
    for number, rows in enumerate(_converted_rows(file, plan, show=show)):
        yield rows.write_csv(include_header=number == 0).encode()


def _converted_rows(
    file: PlannedFile,
    plan: Plan,
    only: frozenset[str] = frozenset(),
    show: Callable[[int], object] = lambda done: None,
) -> Iterator[pl.DataFrame]:
    """The rows of a file as they are written, all columns or only some."""
    sample = file.sample
    numbers = {column["name"] for column in (*plan.entry["features"], *plan.entry.get("targets", ()))}
    numbers = (numbers | {plan.entry.get("time")}) - {*plan.kinds.categories, *plan.kinds.times}
    series = plan.entry.get("series")
    names = {*(plan.entry.get(what) for what in ("label", "group")), series, *plan.kinds.categories}
    columns = [pl.lit(value).alias(name) for name, value in file.added.items() if name in (only or file.added)]
    for name in only & set(sample.header) if only else sample.header:
        text = pl.col(name).str.strip_chars()
        if name in plan.kinds.times:
            absent = is_missing(name, plan.missing.numbers)
            text = pl.when(~absent).then(seconds_text(text, plan.kinds.times[name]))
        elif name in numbers:
            absent = is_missing(name, plan.missing.numbers)
            text = pl.when(absent).then(None).otherwise(number_text(name, sample.dialect))
        elif name in names:
            text = pl.when(~is_missing(name, plan.missing.names)).then(text.replace(plan.spellings.get(name, {})))
        # Without null, an empty text would be written as "".
        columns.append(pl.when(text == "").then(None).otherwise(text).alias(name))
    cutter = BlockCutter(plan.blocks, file.recordings) if plan.blocks else None
    for block in read_blocks(sample, show=show):
        rows = block.select(columns)
        if cutter and series:
            names_of_blocks, kept = cutter.cut(rows[series])
            rows = rows.with_columns(names_of_blocks.alias(series)).filter(kept)
        yield rows


def run_dvc(*arguments: str) -> None:
    """Run a command of DVC; UserError with what it said when it fails."""
    command = [sys.executable, "-P", "-m", "dvc", *arguments]
    done = run_program(command)
    if done.returncode:
        raise UserError(f"dvc {' '.join(arguments)}: {' '.join(done.stderr.split())[:300]}")


def _as_written(entry: dict[str, Any]) -> CommentedMap:
    """The entry as a person would write it: short lists and features on one line each."""
    written = CommentedMap((key, _styled(value, flow=key in FLOW)) for key, value in entry.items())
    for line in (*written["features"], *written.get("targets", ()), *written["settings"].values()):
        line.fa.set_flow_style()
    return written


def _styled(value: Any, flow: bool) -> Any:
    if isinstance(value, dict):
        styled: Any = CommentedMap((_styled(key, flow), _styled(item, flow)) for key, item in value.items())
    elif isinstance(value, list | tuple):
        styled = CommentedSeq(_styled(item, flow) for item in value)
    else:
        return DoubleQuotedScalarString(value) if isinstance(value, str) and not _is_plain(value) else value
    if flow:
        styled.fa.set_flow_style()
    return styled


def _is_plain(text: str) -> bool:
    """Whether YAML 1.1, which DVC and the pipeline read, takes it for itself: it has more words than ruamel's 1.2."""
    try:
        return yaml.safe_load(f"[{text}]") == [text]
    except yaml.YAMLError:
        return False
