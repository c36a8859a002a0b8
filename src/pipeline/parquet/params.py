"""`parquet` in params.yaml."""

from __future__ import annotations

from typing import Literal

from trackstack.core.params import Index, Section


class Params(Section):
    """CSV to Parquet."""

    compression: Literal["zstd", "snappy", "none"]
    max_rejected: Index
    """The stage fails when more rows than this break the catalog's contract."""
