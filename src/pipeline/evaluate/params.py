"""`evaluate` in params.yaml."""

from __future__ import annotations

from trackstack.core.params import Count, Section, Threads


class Params(Section):
    """Metrics on the test split."""

    calibration_bins: Count
    threads: Threads
