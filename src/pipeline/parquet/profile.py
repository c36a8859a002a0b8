"""Description of rows, block by block and part by part: counts, nulls, extremes, mean, spread and quantiles."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.contract.moments import Moments
from pipeline.parquet.sample import JoinedSample, Sample

if TYPE_CHECKING:
    import polars as pl


class _Counts:
    """What the profile of a part and that of all of them hold.

    Sums are made with NumPy in float64, block by block, then part by part: the same on every machine.
    """

    def __init__(self, contract: Contract):
        self.contract = contract
        self.rows = 0
        self.columns = {name: Moments() for name in contract.amounts()}
        self.categories = {feature.name: dict.fromkeys(feature.categories, 0) for feature in contract.categories()}
        self.classes = Counter(dict.fromkeys(contract.classes, 0))
        self.groups: Counter = Counter()


class PartProfile(_Counts):
    """Running description of a part's accepted rows."""

    def __init__(self, contract: Contract):
        super().__init__(contract)
        self.sample = Sample(list(self.columns))

    def add(self, rows: pl.DataFrame, moments: dict[str, Moments]) -> None:
        """Take a block of accepted rows and its `block_moments` into account."""
        if rows.is_empty():
            return
        self.sample.add(rows)
        self.rows += rows.height
        for name, column in self.columns.items():
            column.merge(moments[name])
        for name, categories in self.categories.items():
            for category, count in rows[name].drop_nulls().alias("category").value_counts(name="rows").iter_rows():
                categories[category] += count
        if self.contract.label:
            counts = np.bincount(rows[self.contract.label].to_numpy(), minlength=len(self.contract.classes))
            for name, count in zip(self.contract.classes, counts.tolist(), strict=True):
                self.classes[name] += count
        if self.contract.group:
            for count, group in rows[self.contract.group].rle().struct.unnest().iter_rows():
                self.groups[group] += count

    def dump(self) -> dict:
        """Of plain values, from which `load` makes it again, to the last bit."""
        return {
            "rows": self.rows,
            "columns": {name: moments.dump() for name, moments in self.columns.items()},
            "categories": self.categories,
            "classes": dict(self.classes),
            "groups": [[group, self.groups[group]] for group in sorted(self.groups)],
            "sample": self.sample.dump(),
        }

    @classmethod
    def load(cls, contract: Contract, values: dict) -> PartProfile:
        """What `dump` gave."""
        profile = cls(contract)
        profile.rows = values["rows"]
        profile.columns = {name: Moments.load(values["columns"][name]) for name in profile.columns}
        profile.categories, profile.classes = values["categories"], Counter(values["classes"])
        profile.groups = Counter(dict(values["groups"]))
        profile.sample = Sample.load(list(profile.columns), values["sample"])
        return profile


class Profile(_Counts):
    """Description of the accepted rows of all parts: what `profile.json` shows."""

    def __init__(self, contract: Contract):
        super().__init__(contract)
        self._sample = JoinedSample(list(self.columns))

    def add(self, part: PartProfile) -> None:
        """Take the rows of a later part into account; its sample may be coarsened."""
        self.rows += part.rows
        for name, column in self.columns.items():
            column.merge(part.columns[name])
        for name, categories in self.categories.items():
            for category, count in part.categories[name].items():
                categories[category] += count
        self.classes.update(part.classes)
        self.groups.update(part.groups)
        self._sample.add(part.sample)

    def as_json(self) -> dict:
        """Counts, and per feature and target count, nulls, min, max, mean, standard deviation and quantiles, or the
        rows of each category."""
        quantiles = self._sample.quantiles()
        columns: dict[str, dict] = {
            name: {**column.as_json(), "quantiles": quantiles[name]} for name, column in self.columns.items()
        }
        for name, categories in self.categories.items():
            count = sum(categories.values())
            columns[name] = {"count": count, "nulls": self.rows - count, "categories": categories}
        targets = {name: columns[name] for name in self.contract.target_names()}
        return {
            "columns": {name: columns[name] for name in self.contract.feature_names()},
            "quantiles_of_rows": self._sample.num_rows,
            **({"targets": targets} if targets else {"classes": dict(self.classes)}),
            "groups": {str(group): self.groups[group] for group in sorted(self.groups)},
        }


def block_moments(rows: pl.DataFrame, contract: Contract) -> dict[str, Moments]:
    """The moments of each feature but for categories, and of each target, of some rows; may run in any thread."""
    return {name: Moments.of(rows[name].to_numpy()) for name in contract.amounts()}
