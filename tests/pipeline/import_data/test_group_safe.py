"""No person is in two splits, whatever the spelling: read from the files that somebody added."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from support.tables import write

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.contents.spellings import other_spellings
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert
from pipeline.tensor_cache.params import Params as CacheParams
from pipeline.tensor_cache.stage import build
from pipeline.windows.dataset import open_cache

# A line for each person.
PERSONS = [
    ("Anna", "anna", "ANNA", "anna "),
    ("J\u00f6rg", "Jo\u0308rg", "J\u00d6RG"),
    ("Jos\u00e9 Mar\u00eda", "jose\u0301  mar\u00eda", "Jos\u00e9\u00a0Mar\u00eda"),
    ("O'Brien", "O\u2019Brien", "o\u2019brien", "O`Brien"),
    ("Wei\u00df", "WEISS", "weiss"),
    ("P-1", "p\u20111", "P\u20131", "P\u2010" + "1"),
    ("\uff301", "P1", "p1", "\u200bP1"),
    ("1", "1.0", "01", "+1", "1e0", "1,0"),
    ("2", "2.00", "\u0662", "\uff12", " 2"),
    ("-3", "\u22123", "-3.0"),
    ("4.50", "4.5", "4,5"),
    ("Ann Lee", "ann  lee", "Ann\tLee", "ANN LEE"),
    ("\ufb01n", "fin", "Fin"),
]
ROWS = [(person, spelling) for person, spellings in enumerate(PERSONS) for spelling in spellings]


@pytest.mark.parametrize("spellings", PERSONS, ids=lambda spellings: ascii(spellings[0]))
def test_all_spellings_of_a_person_are_one_name(spellings):
    assert len(other_spellings(Counter(spellings))) == len(set(spellings)) - 1
    others = [names[0] for names in PERSONS if names is not spellings]
    assert not other_spellings(Counter([spellings[0], *others]))


def one_table(folder):
    """Rows of all persons, in another order than theirs."""
    lines = [[f"{at}.5", who, "uv"[at % 2]] for at in range(3) for _, who in reversed(ROWS)]
    return write_rows(folder / "own.csv", lines), {}


def a_file_per_spelling(folder):
    """Several files, none of which has two spellings of a person."""
    for number in range(6):
        lines = [[f"{number}.5", names[number % len(names)], "uv"[at % 2]] for at, names in enumerate(PERSONS)]
        write_rows(folder / f"own/{number}.csv", lines)
    return folder / "own", {}


def recordings(folder):
    """Several recordings of each person in a file."""
    lines = [[f"{at}.5", who, "uv"[at % 2], str(number)] for number, (_, who) in enumerate(ROWS) for at in range(3)]
    return write_rows(folder / "own.csv", lines, "x,who,y,recording"), {"series": "recording"}


def names_in_a_table(folder):
    """A recording per file, and a table that says whose it is."""
    for number in range(len(ROWS)):
        write(folder / f"own/r{number:02}.csv", "x\n0.5\n1.5\n2.5\n")
    table = [[f"r{number:02}.csv", who, "uv"[number % 2]] for number, (_, who) in enumerate(ROWS)]
    labels = write_rows(folder / "labels.csv", table, "file,who,y")
    return folder / "own", {"sequence": True, "labels": labels}


def write_rows(path, lines, header="x,who,y"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *lines])
    return path


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def persons_of(path, options):
    """Who each row is of, in the order of the files as they were added."""
    number = {spelling.strip(): person for person, spelling in ROWS}
    if "labels" in options:
        who = {row["file"]: row["who"] for row in read_rows(options["labels"])}
        return [number[who[file.name].strip()] for file in sorted(path.iterdir()) for _ in read_rows(file)]
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [number[row["who"].strip()] for file in files for row in read_rows(file)]


@pytest.mark.parametrize("layout", [one_table, a_file_per_spelling, recordings, names_in_a_table])
def test_no_person_is_in_two_splits(layout, added, checkout, tmp_path):
    path, options = layout(tmp_path)
    assert added(path, group="who", spellings="join", **options).rejected == 0
    persons = persons_of(path, options)
    dataset = load_dataset("mine")
    raw = Path(dataset.path)
    convert(
        build_manifest("mine", dataset, raw),
        raw,
        Path("processed"),
        ParquetParams(compression="zstd", max_rejected=0),
    )
    for fold in range(5):
        params = CacheParams(
            window=dataset.settings.tensor_cache.window, stride=1, folds=5, fold=fold, validation=True
        )
        build(Path("processed"), Path("cache"), params)
        cache = open_cache(Path("cache"))
        split_of = {name: split for split, names in cache.metadata["split"].items() for name in names}
        groups, edges = cache.segment_groups.tolist(), cache.segment_edges.tolist()
        of_row = [
            split_of[cache.metadata["groups"][group]]
            for group, begin, end in zip(groups, edges[:-1], edges[1:], strict=True)
            for _ in range(begin, end)
        ]
        splits = defaultdict(set)
        for person, split in zip(persons, of_row, strict=True):
            splits[person].add(split)
        assert len(splits) == len(PERSONS)
        assert {split for one in splits.values() for split in one} == {"train", "val", "test"}
        assert all(len(one) == 1 for one in splits.values()), splits
        for split, starts in cache.starts.items():
            assert {of_row[start] for start in starts.tolist()} == {split}


def test_a_person_under_two_spellings_is_refused_until_somebody_says_so(refused, tmp_path):
    path, _ = one_table(tmp_path)
    (line,) = refused(path, "--group", "who")
    assert line.startswith("who: ")
    assert "--spellings join" in line
