"""Dates as people write them: the format of a column, and its times in seconds since 1970.

A format is tried on every value, and what fails once is out: `01/02/2024` has two readings until another row has a
day above 12. A time without a zone is taken for UTC.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

MONTHS = ("%Y-%m", "%Y/%m", "%Y %B", "%B %Y", "%B-%Y")
"""Of a month its first day is taken."""
NAMED = ("%d %B %Y", "%d-%B-%Y", "%B %d %Y", "%B %d, %Y", "%B-%d-%Y")
"""A month's name may be whole or its first three letters."""
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", *NAMED, "%d/%m/%Y", "%m/%d/%Y")
CLOCKS = ("%H:%M", "%H:%M:%S%.f", "%H:%M%#z", "%H:%M:%S%.f%#z", "%I:%M %p", "%I:%M:%S %p")
FORMATS = (
    *MONTHS,
    *DAYS,
    *(f"{day} {clock}" for day in DAYS for clock in CLOCKS),
    *(f"{DAYS[0]}T{clock}" for clock in CLOCKS),
)
FIRST_YEAR = 1000
CLOCK_PARTS = ("hour", "weekday", "month", "days")


def seconds(text: pl.Expr, date_format: str) -> pl.Expr:
    """float64 seconds since 1970 (UTC) of texts without spaces around them; null where the format does not fit."""
    if date_format in MONTHS:
        text, date_format = text + " 1", f"{date_format} %d"
    times = text.str.strptime(pl.Datetime("us"), date_format, strict=False)
    # 24 would be the year 24, and `February 2024` the 20th of a February in that year.
    return pl.when(times.dt.year() >= FIRST_YEAR).then(times.dt.timestamp("us") / 1_000_000)


def seconds_text(text: pl.Expr, date_format: str) -> pl.Expr:
    """The seconds as the pipeline reads them from a file."""
    return seconds(text, date_format).cast(pl.String)


def fitting_formats(text: pl.Series, given: Iterable[str] = ()) -> tuple[str, ...]:
    """The formats that every value has, of those that are given and the usual ones.

    Args:
        text: without spaces around the values and without missing ones.
    """
    formats = tuple(dict.fromkeys((*given, *FORMATS)))
    for values in (text[:1], text):
        formats = tuple(one for one in formats if _fits(values, one))
    return formats


def parts_of(date_format: str) -> list[str]:
    """What a model sees of such times: no hour where there is no time of day."""
    has_clock = "%H" in date_format or "%I" in date_format
    return [part for part in CLOCK_PARTS if has_clock or part != "hour"]


def _fits(text: pl.Series, date_format: str) -> bool:
    try:
        return text.to_frame("text").select(seconds(pl.col("text"), date_format)).to_series().null_count() == 0
    except pl.exceptions.PolarsError:  # a format that names no day
        return False
