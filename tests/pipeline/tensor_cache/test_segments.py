"""A segment holds only rows that were recorded in a row, by one person, whatever the row groups and the parts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.projects import TINY_ENTRY

from pipeline.contract.catalog import Dataset
from pipeline.tensor_cache.parts import Part
from pipeline.tensor_cache.segments import find_segments, join_segments
from pipeline.windows.slicing import are_in

PEOPLE = ["x", "x", "x", "y", "y"]


def segments_of(folder, series, lines, cut=5, names=("a.csv.0000", "a.csv.0001"), rows_per_group=100):
    """Of five rows in one part or two, of which the second has the rows from `cut` on."""
    contract = Dataset.model_validate(TINY_ENTRY | {"series": "recording" if series else None}).contract()
    columns = {"subject": PEOPLE, "recording": series or [0] * 5, "__line__": lines}
    parts = []
    for name, (begin, end) in zip(names, ((0, cut), (cut, 5)), strict=True):
        if begin < end:
            part = {column: values[begin:end] for column, values in columns.items()}
            parts.append(Part(folder / f"{name}.parquet", end - begin, ""))
            pq.write_table(pa.table(part), parts[-1].path, row_group_size=rows_per_group)
    return join_segments(parts, [find_segments(part, contract) for part in parts], contract)


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rows_per_group", [1, 2, 100])
@pytest.mark.parametrize(
    ("series", "lines", "edges"),
    [
        ([5, 5, 6, 6, 6], [2, 3, 4, 5, 6], [0, 2, 3, 5]),
        ([5, 5, 6, 6, 6], [2, 4, 5, 6, 8], [0, 1, 2, 3, 4, 5]),
        (["a", "a", "b", "b", "b"], [2, 3, 4, 5, 6], [0, 2, 3, 5]),
        (None, [2, 4, 5, 6, 8], [0, 3, 5]),
    ],
)
def test_a_segment_ends_where_group_or_series_changes_or_rows_are_no_neighbours(
    tmp_path, rows_per_group, series, lines, edges, cut
):
    segments = segments_of(tmp_path, series, lines, cut, rows_per_group=rows_per_group)
    assert segments.edges.tolist() == edges
    assert segments.rows_of_groups() == {"x": 3, "y": 2}
    assert are_in(segments.groups, segments.names, ["y"]).tolist() == [edge >= 3 for edge in edges[:-1]]


def test_a_segment_ends_with_its_file_even_where_the_lines_would_go_on(tmp_path):
    lines = [2, 3, 4, 5, 6]
    one = segments_of(tmp_path, [5] * 5, lines, cut=2)
    assert one.edges.tolist() == [0, 3, 5]
    two = segments_of(tmp_path, [5] * 5, lines, cut=2, names=("a.csv.0000", "b.csv.0000"))
    assert two.edges.tolist() == [0, 2, 3, 5]


def test_the_segments_of_some_rows_are_those_of_a_part_alone(tmp_path):
    segments = segments_of(tmp_path, [5, 5, 6, 6, 6], [2, 3, 4, 5, 6])
    begins, groups = segments.between(1, 4)
    assert begins.tolist() == [0, 1, 2]
    assert [segments.names[group] for group in groups] == ["x", "x", "y"]
