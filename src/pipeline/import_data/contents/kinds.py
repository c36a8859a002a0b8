"""What each column becomes: a number, a category, a time; or it is kept and not trained on, and the plan says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from pipeline.import_data.columns import ImportOptions, list_some, quoted
from pipeline.import_data.contents.values import looks_like_number

if TYPE_CHECKING:
    from pipeline.import_data.survey import ColumnSurvey, FileSurvey

MOST_CATEGORIES, MOST_FORCED = 30, 100
"""Values of a category by itself, and of one that somebody asks for."""


class Kinds(NamedTuple):
    """What the columns become that are neither label, group, series nor extra."""

    features: list[str]
    """In the order of the files; where neither in `categories` nor in `times`, numbers."""
    categories: list[str]
    times: dict[str, str]
    """Columns of dates that are used (`--time` too), with their format."""
    kept: dict[str, list[str]]
    """Columns that become extra, by what is said of them."""
    problems: list[str]
    only: tuple[str, ...] = ()
    """The features, where they are taken since there is nothing else to learn from."""

    def numbers(self) -> list[str]:
        """The features that are neither categories nor times."""
        return [name for name in self.features if name not in (*self.categories, *self.times)]


def choose_features(
    options: ImportOptions,
    counters: list[str],
    columns: dict[str, ColumnSurvey],
    surveys: list[FileSurvey],
    is_regression: bool,
) -> tuple[ImportOptions, Kinds]:
    """What each column becomes, and the options as if a person had said all of it."""
    sample = surveys[0].sample
    extra = (*options.extra, *counters)
    spoken = (options.group, options.series, options.time, *options.label_columns(), *extra)
    unspoken = [column for column in sample.header if column not in spoken]
    rows = sum(survey.rows for survey in surveys)
    kinds = sort_columns(unspoken, options, columns, rows)
    if is_regression and not (kinds.features or kinds.problems):
        # Amounts over time, as measured once a year: the years are what there is to learn from.
        years = [name for name in counters if name not in sample.unnamed]
        dates = [name for name in kinds.kept.get(DATES, ()) if len(columns[name].dates or ()) == 1]
        extra = tuple(name for name in extra if name not in years)
        dated = replace(options, date_features=(*options.date_features, *dates))
        kinds = sort_columns([*unspoken, *years], dated, columns, rows)._replace(only=(*years, *dates))
    options = replace(
        options,
        extra=(*extra, *(column for names in kinds.kept.values() for column in names)),
        categories=tuple(kinds.categories),
        date_formats=tuple(dict.fromkeys(kinds.times.values())),
    )
    return options, kinds


def sort_columns(names: list[str], options: ImportOptions, columns: Mapping[str, ColumnSurvey], rows: int) -> Kinds:
    """Decide what each column of `names` becomes, and how the time is read.

    Args:
        columns: of all files together.
        rows: how many there are.
    """
    kinds = Kinds([], [], {}, {}, [])
    for name in names:
        column = columns[name]
        if name in options.categories:
            count = len({*column.values, *options.known_categories.get(name, ())})
            if 2 <= count <= MOST_FORCED:
                kinds.categories.append(name)
                kinds.features.append(name)
            else:
                kinds.problems.append(f"--category {name}: {count:,} values; expected 2 to {MOST_FORCED}")
        elif name in options.date_features:
            _take_dates(name, "--date-features", column, options, kinds)
            if name in kinds.times:
                kinds.features.append(name)
        elif (column.has_numbers() or column.marks) and not _is_mostly_text(column):
            kinds.features.append(name)
        elif (why := _why_kept(name, column, rows)) is None:
            kinds.categories.append(name)
            kinds.features.append(name)
        else:
            kinds.kept.setdefault(why, []).append(name)
    time = columns[options.time] if options.time else None
    if options.time and time and time.dates is not None and not time.has_numbers() and not time.marks:
        _take_dates(options.time, "--time", time, options, kinds)
    used = set(kinds.times.values())
    unused = [one for one in options.date_formats if one not in (*used, *options.known_formats)]
    if unused and not kinds.problems:
        kinds.problems.append(
            f"--date-format {quoted(unused[0])}: no used column has such dates; --time or --date-features names one"
        )
    return kinds


def _is_mostly_text(column: ColumnSurvey) -> bool:
    """Whether most of the values that were counted are words, as codes are: 01J, 0E1, 123."""
    texts = sum(count for value, count in column.values.items() if not looks_like_number(value))
    return 2 * texts > column.values.total()


def kept_notes(kinds: Kinds) -> list[str]:
    """A line for each reason why columns are kept and not trained on."""
    kept = [f"{list_some(names)}: {why.format(options=_options(why, names))}" for why, names in kinds.kept.items()]
    only = f"{list_some(list(kinds.only))}: in the order of the rows; trained on, since there is nothing else"
    return [only, *kept] if kinds.only else kept


def _options(why: str, names: list[str]) -> str:
    option = "--date-features" if why == DATES else "--category"
    return " ".join(f"{option} {quoted(name)}" for name in names[:20])


DATES = "dates; kept as extra; {options} trains on weekday, month, days since 1970 and, if there is one, the hour"
SOME_TEXTS = "text of up to 100 values; kept as extra, since few rows have each; {options} trains on it as a category"
MANY_TEXTS = "text of more than 100 values, as names and remarks have; kept as extra, not trained on"
ONE_TEXT = "the same text wherever there is one; kept as extra, since nothing can be learned from it"
NO_VALUE = "no value in any row; kept as extra"


def _why_kept(name: str, column: ColumnSurvey, rows: int) -> str | None:
    """Why a column without numbers is not trained on; None where it is a category."""
    count = len(column.values)
    if count == 0:
        return NO_VALUE
    if column.dates:
        return DATES
    if count == 1:
        return ONE_TEXT
    if count > MOST_FORCED:
        return MANY_TEXTS
    return None if count <= min(MOST_CATEGORIES, rows / 2) else SOME_TEXTS


def _take_dates(name: str, option: str, column: ColumnSurvey, options: ImportOptions, kinds: Kinds) -> None:
    """Note the format of a column of dates, or what is wrong with it."""
    formats = column.dates or ()
    given = [one for one in options.date_formats if one in formats]
    if len(formats) == 1 or given:
        kinds.times[name] = (given or list(formats))[0]
        return
    example = column.example
    where = f"{example.place()}: {name} is {example.value!r}" if example else f"{option} {name}"
    if formats:
        ways = " or ".join(f"--date-format '{one}'" for one in formats)
        kinds.problems.append(f"{where}: the day or the month first? No row tells; type: {ways}")
    else:
        kinds.problems.append(
            f"{where}; expected the same form of date in every row, such as 2024-01-31 10:00:00; for another form: "
            f"--date-format '%d.%m.%y'; without {option}, --extra {quoted(name)} keeps it as text"
        )


def merge_dates(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The formats that fit both parts of a column; None of a part without values."""
    if one is None or other is None:
        return one if other is None else other
    return tuple(found for found in one if found in other)
