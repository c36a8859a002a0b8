"""`parquet` in params.yaml."""

from __future__ import annotations

from typing import Literal

from trackstack.core.params import Index, Section

Compression = Literal["zstd", "snappy", "none"]


class Params(Section):
    """CSV to Parquet."""

    compression: Compression
    max_rejected: Index
    """The stage fails when more rows than this break the catalog's contract."""
