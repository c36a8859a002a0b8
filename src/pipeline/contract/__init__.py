"""What a dataset is: its entry in `data/catalog.yaml`, and the folder of rows that keep it.

How rows are read and checked is in `ingest/` and `parquet/`.
"""
