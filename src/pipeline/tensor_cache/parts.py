"""The accepted rows as `parquet` left them: parts in their order, read a row group at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import PROFILE_FILE
from pipeline.windows.encoding import encode
from trackstack import UserError
from trackstack.core.files import read_json


class Part(NamedTuple):
    """A Parquet file with the rows of a raw file, or of a piece of a large one."""

    path: Path
    rows: int
    digest: str
    """XXH3-128 of the Parquet file."""

    @property
    def raw_file(self) -> str:
        """What the parts of one raw file have in common: their name without the number of the piece."""
        return self.path.name.rsplit(".", 2)[0]


def open_rows(processed: Path) -> tuple[dict[str, Any], Contract, list[Part]]:
    """The profile of the rows, their contract, and the parts that have rows; UserError when it is not whole."""
    todo = how_to_mend(processed)
    try:
        profile = read_json(processed / PROFILE_FILE, todo)
        contract = Contract.model_validate(profile["contract"])
        parts = [
            Part(processed / part["file"], part["rows"], part["digest"]) for part in profile["parts"] if part["rows"]
        ]
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; {todo}") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{processed / PROFILE_FILE}: damaged ({reason}); {todo}") from None
    return profile, contract, parts


def how_to_mend(processed: Path) -> str:
    """The end of a message on damaged rows."""
    return f"type: trackstack repair {processed} && dvc repro --force parquet"


def refuse_damaged_part(part: Part) -> None:
    """UserError when a part is not the file that the profile means."""
    processed = part.path.parents[1]
    try:
        with part.path.open("rb") as file:
            intact = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest() == part.digest
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; {how_to_mend(processed)}") from None
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}; {how_to_mend(processed)}") from None
    if not intact:
        raise UserError(f"{part.path}: damaged: it is not what {PROFILE_FILE} says; {how_to_mend(processed)}")


def row_groups(part: Part, columns: list[str]) -> Iterator[pa.Table]:
    """These columns of the row groups that have rows."""
    with pq.ParquetFile(part.path) as rows:
        for number in range(rows.num_row_groups):
            table = rows.read_row_group(number, columns)
            if len(table):  # a block of which every row was rejected has none
                yield table


def decode(part: Part, contract: Contract) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of a part, a row group at a time.

    Yields:
        channels float32 [N, C], NaN where a value is missing; and the numbers of classes int64 [N], or amounts
        float32 [N, K].
    """
    features = [feature.model_dump(mode="json") for feature in contract.features]
    texts = [feature.name for feature in contract.categories()]
    predicted = [contract.label] if contract.label else contract.target_names()
    for table in row_groups(part, [*contract.feature_names(), *predicted]):
        columns = {name: table[name] for name in contract.feature_names()}
        columns |= {name: table[name].cast(pa.string()) for name in texts}
        signal_NC = encode({name: column.to_numpy() for name, column in columns.items()}, features)
        if contract.label:
            yield signal_NC, table[contract.label].to_numpy().astype(np.int64)
        else:
            yield signal_NC, np.column_stack([table[name].to_numpy() for name in predicted])
