"""Names that are one to a person and two to a computer: `P1` and `p1 `, `1` and `1.0`, two Unicode forms of `é`.

A person under two spellings would be in training and in test at once, and a class would be two.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from pipeline.import_data.contents.values import NUMBER

if TYPE_CHECKING:
    from pipeline.import_data.columns import ImportOptions
    from pipeline.import_data.survey import ColumnSurvey

CHOICES = ("join", "keep")
ALIKE = dict.fromkeys("\u2018\u2019\u201b\u2032`\u00b4", "'") | {"\u2212": "-"}
"""What word processors make of an apostrophe and of a minus; they write dashes of all lengths, too."""


def plain_name(name: str) -> str:
    """What is the same for all spellings of a name."""
    text = unicodedata.normalize("NFKC", "".join(ALIKE.get(letter, letter) for letter in name))
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")  # no width at all
    text = "".join("-" if unicodedata.category(letter) == "Pd" else letter for letter in text)
    text = unicodedata.normalize("NFC", " ".join(text.casefold().split()))
    number = text.replace(",", ".")
    if NUMBER.fullmatch(number) and len(number) < 40:
        value = Decimal(number)
        return "0" if value == 0 else str(value.normalize())
    return text


def other_spellings(values: Counter, known: Iterable[str] = ()) -> dict[str, str]:
    """For each name that has a more frequent spelling: that one.

    Args:
        values: how many rows have each name.
        known: names of a catalog entry, which come first, and are apart if it has them so.
    """
    alike: dict[str, list[str]] = {}
    known = list(dict.fromkeys(map(str, known)))
    for name in [*known, *sorted(values.keys() - set(known), key=lambda name: (-values[name], name))]:
        alike.setdefault(plain_name(name), []).append(name)
    return {name: names[0] for names in alike.values() for name in names[1:] if name not in known}


def spelling_problem(column: str, values: Counter, others: dict[str, str]) -> str:
    """The line that refuses names that are alike."""
    shown = ", ".join(f"{shown_name(first)} and {shown_name(name)}" for name, first in list(others.items())[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    rows = sum(values[name] for name in others)
    return (
        f"{column}: {shown}{more} differ only in case, spaces, Unicode form or number format; type: --spellings join "
        f"(each gets its most frequent spelling: {rows:,} row{'s' * (rows != 1)} change) or --spellings keep"
    )


def shown_name(name: str) -> str:
    """Quoted, and with escapes where letters look alike."""
    return repr(name) if unicodedata.normalize("NFKC", name) == name else ascii(name)


def join_spellings(values: Counter, others: dict[str, str]) -> Counter:
    """The counts of names when all have one spelling."""
    joined: Counter = Counter()
    for name, count in values.items():
        joined[others.get(name, name)] += count
    return joined


def join_names(
    options: ImportOptions, columns: dict[str, ColumnSurvey], label: str | None
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Which spelling takes the place of which, and a line for each column in which nobody said so.

    Args:
        columns: get the joined counts.
        label: the column of classes, if there is one.
    """
    spellings: dict[str, dict[str, str]] = {}
    problems = []
    # Recordings that are files have the files' names: they are apart.
    names = [label, options.group, None if options.sequence else options.series, *options.categories]
    known = dict(options.known_categories)
    known[label or ""] = options.known_classes
    for name in filter(None, names):
        values = columns[name].values
        others = other_spellings(values, known.get(name, ()))
        if others and options.spellings is None:
            problems.append(spelling_problem(name, values, others))
        elif others and options.spellings == "join":
            spellings[name] = others
            columns[name].values = join_spellings(values, others)
    return spellings, problems
