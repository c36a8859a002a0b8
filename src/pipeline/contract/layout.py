"""The names inside the folder of accepted rows, which `parquet` writes and later stages read."""

ROWS_FILE = "rows.parquet"
PROFILE_FILE = "profile.json"
REJECTED_FILE = "rejected.csv"
SEGMENT_COLUMN = "__segment__"
"""In the Parquet file: a number that changes where two rows were not neighbours in one CSV file."""
