"""`tensor_cache` in params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from trackstack.core.params import LARGEST, Count, Index, Section


class Params(Section):
    """Parquet to windows, split by group."""

    window: Count
    """Rows per window; 1 for data without a series."""
    stride: Count
    """Rows from the start of one window to the start of the next."""
    folds: Annotated[int, Field(strict=True, ge=3, le=LARGEST)]
    """Parts of whole groups: one for the test, one for validation, the rest to train on."""
    fold: Index
    """Which fold is the test split; the next one is for validation."""
    validation: Annotated[bool, Field(strict=True)]
    """Whether that next fold is held out. False for a last training on all but the test split, when all is chosen."""

    @field_validator("fold")
    @classmethod
    def _fold_exists(cls, fold: int, info: ValidationInfo) -> int:
        folds = info.data.get("folds")
        if folds is not None and fold >= folds:
            raise ValueError(f"expected 0 to {folds - 1}, since tensor_cache.folds is {folds}")
        return fold
