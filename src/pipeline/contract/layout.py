"""The names inside the folder of accepted rows, which `parquet` writes and later stages read."""

ROWS_FOLDER = "rows"
"""Of Parquet files, the parts, and nothing else: any tool reads the folder as one table."""
SUMMARIES_FOLDER = "summaries"
PROFILE_FILE = "profile.json"
"""Describes all rows, and lists the parts in their order."""
REJECTED_FILE = "rejected.csv"
LINE_COLUMN = "__line__"
"""In the Parquet files: the line of a row in its raw file; where it rises by one, two rows were neighbours."""


def part_name(file: str, number: int) -> str:
    """The name, without its ending, of a raw file's part: pyarrow and pandas skip what begins with `_`."""
    escaped = file.replace("%", "%25")
    if escaped.startswith("_"):
        escaped = "%5F" + escaped[1:]
    return f"{escaped}.{number:04d}"
