"""Dates are read in one way or not at all, and written as seconds since 1970."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from support.tables import write

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.contents.dates import fitting_formats, parts_of, seconds

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31 12:00:00.5", NOON + 0.5),
        ("2024-01-31 12:00", NOON),
        ("2024-01-31T12:00Z", NOON),
        ("2024-01-31T12:00:00+02:00", NOON - 7200),
        ("2024-01-31 12:00:00.25-0530", NOON + 0.25 + 5.5 * 3600),
        ("2024-01-31", NOON - 43200),
        ("2024/01/31", NOON - 43200),
        ("31.01.2024", NOON - 43200),
        ("31/01/2024 12:00", NOON),
        ("01/31/2024 12:00:00 PM", NOON),
        ("Jan 31 2024", NOON - 43200),
        ("31-Jan-2024", NOON - 43200),
        ("January 31, 2024", NOON - 43200),
        ("Jan-31-2024", NOON - 43200),
        ("2024-02", NOON + 43200),
        ("2024 Feb", NOON + 43200),
        ("February 2024", NOON + 43200),
    ],
)
def test_a_common_date_has_one_format(text, expected):
    (found,) = fitting_formats(pl.Series([text]))
    assert pl.select(seconds(pl.lit(text), found)).item() == expected


@pytest.mark.parametrize("text", ["24-01-31", "2024", "2024-02-30", "31.01.24", "noon", "2024-01-31 late", "1.5"])
def test_what_is_no_date_has_none(text):
    assert fitting_formats(pl.Series([text])) == ()


def test_day_and_month_are_told_apart_by_a_day_above_12_in_any_row():
    assert fitting_formats(pl.Series(["01/02/2024", "03/04/2024"])) == ("%d/%m/%Y", "%m/%d/%Y")
    assert fitting_formats(pl.Series(["01/02/2024", "13/04/2024"])) == ("%d/%m/%Y",)
    assert fitting_formats(pl.Series(["01/02/2024", "13/04/2024", "04/13/2024"])) == ()
    assert fitting_formats(pl.Series(["31.01.24"]), ["%d.%m.%y"]) == ("%d.%m.%y",)
    assert fitting_formats(pl.Series(["noon"]), ["%Q", "%H", ""]) == ()


def test_only_a_time_of_day_has_an_hour():
    assert parts_of("%d.%m.%Y") == ["weekday", "month", "days"]
    assert parts_of("%d.%m.%Y %I:%M %p") == ["hour", "weekday", "month", "days"]


def recordings(folder, stamp):
    for number in range(4):
        lines = [f"{stamp(number, row)},{row}.5,{'ab'[number % 2]}" for row in range(12)]
        write(folder / f"r{number}.csv", "t,x,y\n" + "\n".join(lines) + "\n")
    return folder


SEQUENCE = ("--sequence", "--label", "y", "--time", "t")


def test_recordings_with_dates_are_ordered_by_them(planned, added, updated, checked, tmp_path):
    own = recordings(tmp_path / "own", lambda number, row: f"2024-01-3{number % 2} 10:00:{row:02}.125")
    plan = planned(own, *SEQUENCE)
    assert plan["converted"][0] == "dates of t to seconds since 1970 (UTC where they name no zone)"
    added(own, sequence=True, time="t")
    first = pl.read_csv("data/raw/mine/r1.csv")["t"][0]
    assert first == datetime(2024, 1, 31, 10, 0, 0, 125000, tzinfo=UTC).timestamp()
    assert checked() == ["mine: 48 rows, 0 rejected"]
    assert load_dataset("mine").recipe.date_formats == ("%Y-%m-%d %H:%M:%S%.f",)
    code, said = updated(own)
    assert (code, "Nothing to do" in said) == (0, True)


def test_a_date_with_two_readings_is_refused_until_an_option_decides(planned, refused, added, updated, tmp_path):
    own = recordings(tmp_path / "own", lambda number, row: f"0{number + 1}/02/2024 10:{row:02}")
    (line,) = refused(own, *SEQUENCE)
    assert line.startswith(f"{own}/r0.csv, line 2: t is '01/02/2024 10:00': the day or the month first?")
    assert "--date-format '%d/%m/%Y %H:%M' or --date-format '%m/%d/%Y %H:%M'" in line
    plan = planned(own, *SEQUENCE, "--date-format", "%m/%d/%Y %H:%M")
    assert plan["entry"]["recipe"]["date_formats"] == ["%m/%d/%Y %H:%M"]
    added(own, sequence=True, time="t", date_formats=("%m/%d/%Y %H:%M",))
    assert updated(own)[0] == 0, "the recipe says which it is"
    assert Path("data/raw/mine/r1.csv").read_text().splitlines()[1].startswith("r1,1706868000.0,")


def test_an_option_about_dates_that_helps_nobody_is_refused(refused, tmp_path):
    own = recordings(tmp_path / "own", lambda number, row: f"{row}.5")
    assert refused(own, *SEQUENCE, "--date-format", "%d.%m.%y")[0].startswith(
        "--date-format %d.%m.%y: no used column"
    )
    mixed = recordings(tmp_path / "mixed", lambda number, row: "2024-01-31" if row else "soon")
    (line,) = refused(mixed, *SEQUENCE)
    assert line.startswith(f"{mixed}/r0.csv, line 2: t is 'soon'; expected the same form of date in every row")
    assert line.endswith("without --time, --extra t keeps it as text")


def test_dates_are_features_on_request_alone(planned, added, checked, tmp_path):
    rows = "".join(f"2024-01-{day:02},{day}.5,{'ab'[day % 2]}\n" for day in range(1, 21))
    own = write(tmp_path / "own.csv", "when,x,y\n" + rows + ",3.5,a\n")
    plan = planned(own)
    assert plan["entry"]["extra"] == ["when"]
    assert plan["notes"] == [
        "when: dates; kept as extra; --date-features when trains on weekday, month, days since 1970 and, if there is "
        "one, the hour"
    ]
    stamp = {"name": "when", "kind": "time", "parts": ["weekday", "month", "days"], "missing": "mean"}
    assert planned(own, "--date-features", "when")["entry"]["features"] == [stamp, {"name": "x"}]
    added(own, date_features=("when",))
    assert checked() == ["mine: 21 rows, 0 rejected"]
