"""The stage `ingest`: raw files and their manifest, and what a line of CSV is.

Values are parsed and checked by `parquet/`.
"""
