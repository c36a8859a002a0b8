"""What a column of a dataset is: a feature of some kind, or an amount to predict."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trackstack.core.params import Number, Section

Column = Annotated[str, Field(min_length=1)]
Task = Literal["classification", "regression"]
ColumnType = Literal["int8", "int16", "int32", "int64", "float64", "text"]
# YAML reads a class called 1 or 2 as a number.
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


class Feature(Section):
    """One measured column."""

    name: Column
    unit: str = ""
    range: tuple[Number, Number] | None = None
    """Lowest and highest value that a sensor can have measured, both allowed."""
    missing: Literal["reject", "mean"] = "reject"
    """What becomes of a row whose field is empty or NaN: `reject` sets it aside; `mean` keeps it, null in Parquet and
    the mean of the training rows in the tensor cache."""
    kind: Literal["number", "category", "time"] = "number"
    """What the files hold: a number, one of `categories`, or a time in seconds since 1970 (UTC)."""
    categories: tuple[ClassName, ...] = ()
    """The values of a category, in the order of their channels. With `missing: mean` any other value is missing."""
    parts: tuple[Literal["hour", "weekday", "month", "days"], ...] = ()
    """What the model sees of a time: the hour (0 to 24), the day of the week (0 is Monday), the month (1 to 12), the
    days since 1970; hours and days with their fractions."""

    @model_serializer(mode="wrap")
    def _without_what_a_number_lacks(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What later stages read of a dataset of numbers has the same bytes whatever other kinds there are.
        values = handler(self)
        return {name: value for name, value in values.items() if name not in _unused_fields(self.kind)}

    @model_validator(mode="after")
    def _fields_are_those_of_the_kind(self) -> Feature:
        unused = {*_unused_fields(self.kind), *(() if self.kind == "number" else ("unit", "range"))} - {"kind"}
        if given := sorted(name for name in unused if getattr(self, name)):
            raise ValueError(f"a {self.kind} has no {', '.join(given)}")
        categories, parts = self.categories, self.parts
        if self.kind == "category" and (len(categories) < 2 or len(set(categories)) < len(categories)):
            raise ValueError("expected categories: two or more, each another")
        if self.kind == "time" and (not parts or len(set(parts)) < len(parts)):
            raise ValueError("expected parts: one or more of hour, weekday, month, days")
        return self

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Feature:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range is {list(self.range)}; expected the lowest value, then the highest")
        return self


def _unused_fields(kind: str) -> tuple[str, ...]:
    return {"number": ("kind", "categories", "parts"), "category": ("parts",), "time": ("categories",)}[kind]


class Target(Section):
    """One amount that a model predicts."""

    name: Column
    unit: str = ""


class Vector(Section):
    """Three features that are the x, y and z of one vector, so that augmentation may rotate and mirror it."""

    axes: tuple[Column, Column, Column]
    kind: Literal["acceleration", "angular_rate"]
