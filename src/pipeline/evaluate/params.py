"""`evaluate` in params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trackstack.core.params import Count, Section, Threads


class Params(Section):
    """Metrics on the test split."""

    calibration_bins: Count
    baselines: Annotated[bool, Field(strict=True)]
    """Whether models that cost seconds are measured, too."""
    threads: Threads
