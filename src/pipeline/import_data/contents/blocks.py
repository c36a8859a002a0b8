"""One long recording, cut into blocks of rows: each is a recording of its own, with a gap of rows before the next.

Neighbouring rows are alike: without a gap, the last row of a block in training would all but tell the first one of a
block in test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.contents.spellings import join_spellings

if TYPE_CHECKING:
    from pipeline.import_data.survey import ColumnSurvey, FileSurvey

LARGEST_GAP = 200
"""By default a gap is a tenth of a block, and no longer than the usual window."""


class Blocks(NamedTuple):
    """How recordings are cut."""

    number: int
    gap: int
    """Rows that are left out after each block but a recording's last."""

    @classmethod
    def of(cls, number: int, gap: int | None, shortest: int) -> Blocks:
        """With a gap that fits the shortest recording, where none is given."""
        return cls(number, min(LARGEST_GAP, shortest // number // 10) if gap is None else gap)

    def rows(self, length: int) -> list[int]:
        """How many rows each block of a recording has, the gap left out."""
        edges = [length * part // self.number for part in range(self.number + 1)]
        sizes = np.diff(edges) - [*[self.gap] * (self.number - 1), 0]
        return np.maximum(sizes, 0).tolist()

    def lengths(self, recordings: Mapping[str, int]) -> Counter:
        """The rows of all blocks, by their names."""
        return Counter(
            {
                f"{name}-{part}": rows
                for name, length in recordings.items()
                for part, rows in enumerate(self.rows(length), 1)
                if rows
            }
        )

    def problem(self, recordings: Mapping[str, int]) -> str | None:
        """Why recordings cannot be cut so."""
        short = [name for name, length in recordings.items() if min(self.rows(length)) < 1]
        if not short:
            return None
        return (
            f"--blocks {self.number} --gap {self.gap}: {short[0]} has {recordings[short[0]]:,} rows; expected more "
            f"than {self.number * (self.gap + 1):,}, for a row in each block: fewer blocks, or a smaller --gap"
        )


class Cut(NamedTuple):
    """What becomes of the recordings of several files."""

    blocks: Blocks | None
    recordings: list[Counter]
    """For each file the rows of its recordings, before they are cut."""
    rows: list[int]
    """For each file its rows without those in gaps."""
    problems: list[str]


def cut_recordings(
    options: ImportOptions,
    surveys: list[FileSurvey],
    added: list[dict[str, str]],
    spellings: Mapping[str, Mapping[str, str]],
    columns: dict[str, ColumnSurvey],
) -> Cut:
    """Cut recordings as the options say; the blocks become the values of the series in `columns`.

    Args:
        added: for each file the columns that are added to it.
        spellings: the names that take the place of others, by column.
    """
    series = options.series
    if not series or not options.blocks:
        return Cut(None, [Counter() for _ in surveys], [survey.rows for survey in surveys], [])
    recordings = [
        Counter({constants[series]: survey.rows})
        if series in constants
        else join_spellings(survey.columns[series].values, dict(spellings.get(series, {})))
        for survey, constants in zip(surveys, added, strict=True)
    ]
    lengths = [length for one in recordings for length in one.values()]
    blocks = Blocks.of(options.blocks, options.gap, min(lengths, default=0))
    problems = [problem for one in recordings if (problem := blocks.problem(one))]
    cut = [blocks.lengths(one) for one in recordings]
    if not problems:
        columns[series].values = sum(cut, Counter())
    counts = zip(surveys, recordings, cut, strict=True)
    rows = [survey.rows - one.total() + kept.total() for survey, one, kept in counts]
    return Cut(blocks, recordings, rows, problems[:1])


class BlockCutter:
    """Cuts the rows of one file, which come in pieces."""

    def __init__(self, blocks: Blocks, recordings: Mapping[str, int]):
        self.blocks, self.recordings = blocks, recordings
        self._seen: Counter = Counter()

    def cut(self, names: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The name of each row's block, and whether the row is kept: of the next rows of the file.

        Args:
            names: of each row's recording; null where it is missing.
        """
        number, parts, kept = self.blocks.number, np.zeros(len(names), np.int64), np.ones(len(names), bool)
        runs = names.alias("name").to_frame().with_row_index("row").group_by("name", maintain_order=True).agg("row")
        for name, rows in runs.iter_rows():
            if name not in self.recordings:
                continue
            edges = np.array([self.recordings[name] * part // number for part in range(number + 1)])
            place = self._seen[name] + np.arange(len(rows))
            part = np.searchsorted(edges, place, side="right") - 1
            parts[rows] = part + 1
            kept[rows] = (part == number - 1) | (place < edges[part + 1] - self.blocks.gap)
            self._seen[name] += len(rows)
        return names + "-" + pl.Series(parts).cast(pl.String), pl.Series(kept)
