"""Which columns own files have: their own, and those that come from file names or from a table of labels."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pipeline.contract.catalog import ImportRecipe
from pipeline.contract.columns import Task
from pipeline.import_data.contents.spellings import CHOICES
from pipeline.import_data.contents.values import MissingWords
from pipeline.import_data.reading.dialect import DialectOptions, Sample, find_differences
from pipeline.import_data.reading.files import SUFFIXES
from trackstack import UserError

TASKS = get_args(Task)
LABEL_NAMES = ("label", "class", "target", "y", "species", "category", "activity", "state", "diagnosis")
MAX_SHOWN = 12


@dataclass(frozen=True)
class ImportOptions:
    """What a person says of own files: the options of `trackstack catalog add`."""

    label: str | None = None
    """The column of classes or amounts."""
    more_labels: tuple[str, ...] = ()
    """Further columns of amounts, for a model that predicts several."""
    task: str | None = None
    """classification or regression; None: guessed from the label's values."""
    group: str | None = None
    series: str | None = None
    time: str | None = None
    extra: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    """Columns to train on although they number the rows or have no name."""
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()
    sequence: bool = False
    group_from: str | None = None
    label_from: str | None = None
    labels: Path | None = None
    spellings: str | None = None
    """What becomes of names that differ only in how they are spelled: join or keep; None refuses them."""
    categories: tuple[str, ...] = ()
    """Columns that are categories, whatever their values look like."""
    date_features: tuple[str, ...] = ()
    """Columns of dates to train on."""
    date_formats: tuple[str, ...] = ()
    """How dates are written, where that is not to be guessed."""
    blocks: int | None = None
    """How many blocks each recording is cut into."""
    gap: int | None = None
    """Rows that are left out between two of them; None for what fits."""
    known_classes: tuple[str, ...] = ()
    """The classes of the catalog's entry, of `catalog update`."""
    known_categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Likewise its categories, by their columns."""
    known_formats: tuple[str, ...] = ()
    """Likewise its formats of dates."""
    dialect: DialectOptions = field(default_factory=DialectOptions)

    def __post_init__(self) -> None:
        for option, value, allowed in (("--task", self.task, TASKS), ("--spellings", self.spellings, CHOICES)):
            if value not in (None, *allowed):
                raise UserError(f"{option} {value}: expected {' or '.join(allowed)}")

    def label_columns(self) -> list[str]:
        """All columns that are to be predicted."""
        return [*filter(None, [self.label]), *self.more_labels]

    def missing_words(self) -> MissingWords:
        """What stands for a missing value."""
        return MissingWords.of(self.missing, self.not_missing)

    def recipe(self, sample: Sample) -> dict[str, Any]:
        """What must be known to treat next month's files alike, for the catalog."""
        labels = self.labels and self.labels.as_posix()
        of_lines = {"delimiter": None, "encoding": None} if sample.kind else {}
        values = asdict(self) | asdict(sample.dialect) | of_lines | {"labels": labels, "missing": list(self.missing)}
        values |= {"skip": self.dialect.skip, "sheet": self.dialect.sheet, "no_header": self.dialect.no_header}
        values["date_formats"] = list(self.date_formats)
        return {name: values[name] for name in ImportRecipe.model_fields if values[name]}


def guess_label(samples: list[Sample]) -> str | None:
    """The column that is called like a label, if there is exactly one."""
    columns = [column for column in samples[0].header if column.lower() in LABEL_NAMES]
    return columns[0] if len(columns) == 1 else None


def resolve_columns(options: ImportOptions, samples: list[Sample]) -> tuple[ImportOptions, list[dict[str, str]]]:
    """The options with the names of all columns filled in, and for each file the columns that are added to it.

    Raises:
        UserError: the files differ, or a name or the table does not say what it should; a line for each fault.
    """
    problems = find_differences(samples)
    added: list[dict[str, str]] = [{} for _ in samples]
    for what, pattern in (("group", options.group_from), ("label", options.label_from)):
        if pattern:
            column = getattr(options, what) or free_name(what, samples[0].header)
            changes: dict[str, Any] = {what: column}
            options = replace(options, **changes)
            problems += _add_from_names(f"--{what}-from", pattern, column, samples, added)
    if options.labels:
        options, faults = _add_from_table(options, options.labels, samples, added)
        problems += faults
    if options.sequence and not options.series:
        column = free_name("recording", samples[0].header)
        options = replace(options, series=column)
        for columns, sample in zip(added, samples, strict=True):
            columns[column] = stem(sample.name)
    refuse(problems)
    refuse(_unknown_columns(options, samples[0].header, list(added[0])))
    return options, added


def free_name(name: str, header: list[str]) -> str:
    """What an added column is called: `name` unless the files have such a column, then the first free `name_file`."""
    while name in header:
        name += "_file"
    return name


def refuse(problems: list[str]) -> None:
    """UserError with all problems, if there are any."""
    if problems:
        raise UserError("\n".join(problems))


def stem(name: str) -> str:
    """A file's name without its ending, its folders joined to it: what it is called in the raw folder."""
    ending = next((ending for ending in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(ending)), "")
    return re.sub(r"\.(csv|tsv|txt)$", "", name.removesuffix(ending)).replace("/", "__")


def list_some(names: list[str]) -> str:
    """The first of many names, for a message."""
    return ", ".join(names[:MAX_SHOWN]) + (f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else "")


def quoted(text: str) -> str:
    """As a shell takes it, for a command that a person may copy."""
    return text if re.fullmatch(r"[\w.%+/-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _unknown_columns(options: ImportOptions, header: list[str], added: list[str]) -> list[str]:
    known = [*header, *added]
    named = [(option, getattr(options, option)) for option in ("label", "group", "series", "time")]
    named += [("label", column) for column in options.more_labels]
    named += [("extra", column) for column in options.extra]
    named += [("feature", column) for column in options.features]
    named += [("category", column) for column in options.categories]
    named += [("date-features", column) for column in options.date_features]
    problems = [
        f"--{option} {column}: no such column; there are {list_some(known)}"
        for option, column in named
        if column and column not in known
    ]
    problems += [
        f"{column}: a column of the files, and to be added as well; rename it in their first lines"
        for column in sorted(set(added) & set(header))
    ]
    if options.time and not options.series:
        problems.append("--time: needs --series or --sequence, within which it rises")
    if (options.blocks or options.gap is not None) and not options.series:
        problems.append("--blocks: needs --series or --sequence: recordings that are cut")
    if options.gap is not None and not options.blocks:
        problems.append("--gap: needs --blocks, between which it lies")
    return problems


def _add_from_names(option: str, pattern: str, column: str, samples: list[Sample], added: list[dict]) -> list[str]:
    """Add a column whose value a regular expression finds in each file's name."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        return [f"{option} {pattern}: not a regular expression: {error}"]
    problems = []
    for sample, columns in zip(samples, added, strict=True):
        if match := expression.search(sample.name):
            columns[column] = next((part for part in match.groups() if part), match[0])
        else:
            problems.append(f"{sample.file}: {option} {pattern}: does not fit the name {sample.name}")
    return problems


def _add_from_table(
    options: ImportOptions, path: Path, samples: list[Sample], added: list[dict]
) -> tuple[ImportOptions, list[str]]:
    """Add columns from a table whose first column names the files."""
    try:
        header, *rows = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"--labels {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if options.label is None and len(header) > 1:
        options = replace(options, label="label" if "label" in header[1:] else header[1])
    wanted = [name for name in (options.label, options.group, options.series) if name in header[1:]]
    if not wanted:
        return options, [f"--labels {path}: expected a first column of file names and {options.label or 'a label'}"]
    by_name = {row[0].strip(): dict(zip(header, row, strict=False)) for row in rows if row}
    problems, words = [], options.missing_words().names
    for sample, columns in zip(samples, added, strict=True):
        names = (sample.name, sample.file.name, stem(sample.name), stem(sample.file.name))
        row = next((by_name[name] for name in names if name in by_name), None)
        empty = [name for name in wanted if row is not None and row.get(name, "").strip().lower() in words]
        if row is None or empty:
            problems.append(f"--labels {path}: {sample.name}: {f'no {empty[0]}' if empty else 'no row'}")
        else:
            columns.update({name: row[name].strip() for name in wanted})
    return options, problems
