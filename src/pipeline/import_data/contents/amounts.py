"""Whether a label is classes or amounts, and what amounts must be."""

from __future__ import annotations

import re
from dataclasses import replace

from pipeline.import_data.columns import ImportOptions, list_some, quoted
from pipeline.import_data.contents.values import GROUPED, NUMBER, THOUSANDS, mark_problems
from pipeline.import_data.reading.dialect import Dialect, Sample
from pipeline.import_data.survey import ColumnSurvey
from trackstack import UserError

MANY_NUMBERS = 20
"""More whole numbers than that are taken for amounts; half as many where they are rare."""
FEW_ROWS = 5
"""Rows of each on average, below which they are rare: less than one for each usual fold."""
MAX_TARGETS = 100


def choose_task(options: ImportOptions, columns: dict[str, ColumnSurvey], dialect: Dialect) -> str:
    """What was asked for, or the guess; UserError where there is no such task."""
    labels = options.label_columns()
    if len(labels) > 1 and options.task == "classification":
        raise UserError(f"--task classification: takes one --label, not {list_some(labels)}")
    return options.task or ("regression" if len(labels) > 1 else guess_task(columns[labels[0]], dialect))


def guess_task(label: ColumnSurvey, dialect: Dialect) -> str:
    """Numbers with fractions, or many different whole numbers, are amounts, with words among them or not."""
    numbers = {value: number for value in label.values if (number := _number(value, dialect)) is not None}
    whole = all(number.is_integer() for number in numbers.values())
    count, rows = len(set(numbers.values())), label.values.total()
    many = count > MANY_NUMBERS or (count > MANY_NUMBERS // 2 and rows < FEW_ROWS * count)
    only_numbers = bool(numbers) and len(numbers) == len(label.values)
    mostly_numbers = 2 * sum(label.values[value] for value in numbers) > rows
    return "regression" if (many and mostly_numbers) or (only_numbers and not whole) else "classification"


def as_amounts(name: str, column: ColumnSurvey) -> ColumnSurvey:
    """A label's column as one of numbers; that of a name or table of files is read here."""
    if column.amounts:
        return replace(column.amounts, values=column.values)
    numbers = [float(value) for value in column.values if NUMBER.fullmatch(value)]
    if len(numbers) < len(column.values):
        faulty = next(value for value in column.values if not NUMBER.fullmatch(value))
        raise UserError(f"{name}: {faulty!r} is no number; --task classification takes it for a class")
    return ColumnSurvey(low=min(numbers), high=max(numbers), values=column.values)


def target_problems(options: ImportOptions, columns: dict[str, ColumnSurvey], sample: Sample) -> list[str]:
    """Why columns are no amounts: text, words among numbers, the same value in every row, too many."""
    labels, problems = options.label_columns(), []
    marked = mark_problems({name: columns[name] for name in labels if name in sample.header}, sample)
    if len(labels) > MAX_TARGETS:
        problems.append(f"{len(labels)} labels; expected at most {MAX_TARGETS}")
    for name in labels:
        column = columns[name]
        if name in marked:
            continue
        if column.example:
            word = column.example.value
            classes = "; if they are classes: --task classification" if len(labels) == 1 else ""
            problems.append(
                f"{name}: {word!r} where an amount is expected, in {column.example.place()}; if it means missing: "
                f"--missing {quoted(word)}{classes}"
            )
        elif not column.low < column.high:
            found = f"{column.low:g} in every row" if column.low == column.high else "no value"
            problems.append(f"{name}: {found}; expected amounts that differ")
    return problems


def amount_notes(options: ImportOptions, columns: dict[str, ColumnSurvey], dialect: Dialect) -> list[str]:
    """Whole numbers that were taken for an amount without a word."""
    if options.task or len(options.label_columns()) > 1:
        return []
    name = options.label or ""
    numbers = [_number(value, dialect) for value in columns[name].values]
    if not all(number is not None and number.is_integer() for number in numbers):
        return []
    return [
        f"{name}: {len(set(numbers)):,} different whole numbers, taken for an amount; if they are classes: "
        "--task classification"
    ]


def _number(value: str, dialect: Dialect) -> float | None:
    """Roughly, whatever its marks mean: which of two readings is right does not change what it is."""
    if dialect.thousands:
        value = re.sub(f"[{re.escape(THOUSANDS[dialect.thousands])}]", "", value)
    if NUMBER.fullmatch(plain := value.replace(",", ".")):
        return float(plain)
    return float(re.sub(r"[^\d+-]", "", value)) if GROUPED.fullmatch(value) else None
