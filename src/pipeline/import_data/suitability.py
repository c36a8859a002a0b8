"""Whether columns can be what they are meant to be: label, features, group, series, time. Each problem is a line."""

from __future__ import annotations

from pipeline.import_data.columns import ImportOptions, list_some, quoted
from pipeline.import_data.contents.kinds import Kinds, kept_notes
from pipeline.import_data.contents.values import mark_problems
from pipeline.import_data.reading.dialect import Sample
from pipeline.import_data.survey import MAX_VALUES, ColumnSurvey

MAX_CLASSES = 100
MAX_FEATURES = 1000
MAX_UNITS = 6  # in a message
MIN_GROUPS = 3  # train, val, test


def label_problems(label: str, column: ColumnSurvey) -> list[str]:
    """Why a column is no label: too few or too many classes."""
    values = column.values
    if len(values) > MAX_CLASSES:
        count = f"more than {MAX_VALUES:,}" if len(values) > MAX_VALUES else f"{len(values):,}"
        return [f"{label}: {count} different values; expected 2 to {MAX_CLASSES} classes"]
    if len(values) < 2:
        count = f"one class, {next(iter(values))}" if values else "no value"
        words = ", ".join(f"--not-missing {quoted(word)}" for word in column.words)
        keep = f" ({', '.join(map(repr, column.words))} counts as missing, unless you type {words})" if words else ""
        return [f"{label}: {count}; expected 2 to {MAX_CLASSES}{keep}"]
    return []


def feature_problems(
    kinds: Kinds,
    others: list[str],
    columns: dict[str, ColumnSurvey],
    sample: Sample,
    counters: list[str],
) -> list[str]:
    """Why columns are no features: numbers with two readings, numbers with text among them, too many or none.

    Args:
        others: the time and targets, numbers of which the first is true as well.
    """
    problems = list(kinds.problems)
    features = kinds.numbers()
    numbers = {name: columns[name] for name in [*features, *others] if name in sample.header}
    if marked := mark_problems(numbers, sample):
        more = f" (and likewise {list_some(list(marked)[1:])})" if len(marked) > 1 else ""
        problems.append(next(iter(marked.values())) + more)
    if not 1 <= len(kinds.features) <= MAX_FEATURES and not problems:
        count = f"{len(kinds.features):,} features; expected 1 to {MAX_FEATURES:,}"
        kept = [f"; {note}" for note in kept_notes(kinds)]
        problems.append(count + "".join(kept) + _left_out(counters))
    mixed = [name for name in features if columns[name].not_number and name not in marked]
    first = dict(zip(sample.header, sample.rows[0], strict=True)) if sample.rows else {}
    units = [name for name in mixed if (unit := columns[name].example) and unit.value == first[name].strip()]
    if len(mixed) > 1 and units == mixed and all(columns[name].not_number == 1 for name in mixed):
        shown = ", ".join(f"{name} {first[name].strip()}" for name in units[:MAX_UNITS])
        problems.append(
            f"{sample.file}, line {sample.lines_above() + 1}: looks like units ({shown}): delete that line; "
            "what is in data/catalog.yaml as unit afterwards stays"
        )
    elif mixed:
        example = columns[mixed[0]].example
        value, place = (example.value, example.place()) if example else ("", "")
        problems.append(
            f"{list_some(mixed)}: {value!r} among numbers, in {place}; if it means missing: "
            f"--missing {quoted(value)}; if it is a category: --category {quoted(mixed[0])}; if neither, keep the "
            f"column out of training: --extra {quoted(mixed[0])}"
        )
    return problems


def _left_out(counters: list[str]) -> str:
    if not counters:
        return ""
    keep = " ".join(f"--feature {quoted(name)}" for name in counters[:20])
    return f"; {list_some(counters)} was left out, since it numbers the rows or has no name: to train on it, {keep}"


def id_problems(options: ImportOptions, columns: dict[str, ColumnSurvey]) -> list[str]:
    """Too few groups or series to split, or a time that is no number."""
    problems = []
    part = options.group or options.series
    if part and (count := len(columns[part].values)) < MIN_GROUPS:
        hint = " (without --group, rows or recordings are spread over the folds)" if options.group else ""
        one = count == 1 and not options.group
        hint = "; --blocks 20 cuts one long recording into as many" if one else hint
        problems.append(
            f"{part}: {count} value{'s' * (count > 1)}; expected at least {MIN_GROUPS}, for train, val and test{hint}"
        )
    time = columns[options.time] if options.time else None
    if time and time.has_numbers() and (example := time.example) and not time.marks:
        problems.append(
            f"{example.place()}: {options.time} is {example.value!r}; expected a number, as in other rows; without "
            f"--time, --extra {quoted(options.time or '')} keeps it as text"
        )
    return problems
