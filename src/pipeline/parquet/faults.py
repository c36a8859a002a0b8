"""What makes a value bad, as a condition for polars and in words."""

from __future__ import annotations

import polars as pl

from pipeline.contract.catalog import Contract
from pipeline.contract.columns import Feature


def faults(header: list[str], contract: Contract) -> list[pl.Expr]:
    """For each column of a file: where its value breaks the contract; null is a missing value."""
    features = {feature.name: feature for feature in contract.features}
    return [_fault(column, features.get(column), contract) for column in header]


def _fault(column: str, feature: Feature | None, contract: Contract) -> pl.Expr:
    value = pl.col(column)
    if feature is not None and feature.kind == "category":
        return value.is_null() & pl.lit(feature.missing == "reject")
    if feature is not None:
        good = value.is_finite()
        if feature.range is not None:
            # In the precision of the values: 0.1 lies within 0.1 to 1.
            low, high = (pl.lit(bound, pl.Float32) for bound in feature.range)
            good &= value.is_between(low, high)
        return (~good).fill_null(feature.missing == "reject")
    if column in extra_texts(contract):
        return pl.lit(False)
    if column == contract.label:
        return value.is_null()
    if column in contract.target_names() or contract.id_type(column) == "float64":
        return (~value.is_finite()).fill_null(True)
    if contract.id_type(column) == "text":
        return (value == "").fill_null(True)
    return value.is_null()


def explain(name: str, value: str, contract: Contract) -> str:
    """What is expected of a column, where its value is at fault."""
    features = {feature.name: feature for feature in contract.features}
    if not value.strip():
        return "expected a value"
    if name == contract.label:
        return f"expected one of {', '.join(contract.classes)}"
    if name in contract.id_columns():
        return f"expected {contract.id_type(name)}"
    if name in features and features[name].kind == "category":
        return f"expected one of {', '.join(features[name].categories)}"
    if name in features and (bounds := features[name].range) is not None:
        return f"expected a number from {bounds[0]:g} to {bounds[1]:g}"
    return "expected a finite number"


def extra_texts(contract: Contract) -> list[str]:
    """Extra columns of text, whose values may be empty."""
    return [name for name in contract.extra if contract.id_type(name) == "text"]
