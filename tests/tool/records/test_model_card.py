"""The model card: what the record says, what only a person can say, and what becomes of that."""

import csv

import numpy as np
import pytest
from scipy.stats import binomtest
from support.recording import trackstack
from support.sinks import START, artifact, make_series, metrics, note_promotion

from trackstack import UserError
from trackstack.records.looks import note_look
from trackstack.records.model_card import (
    MISSING,
    PERSONS,
    earlier_card,
    missing_sections,
    model_card,
    wilson,
    write_card,
)
from trackstack.records.verdicts import keep_verdict
from trackstack.tracking.journal import Journal
from trackstack.tracking.series import SeriesRecords


def measured(folder, groups, **state):
    """A finished run that was measured on groups: name, accuracy and windows of each."""
    (folder / "artifacts").mkdir()
    with (folder / "artifacts/per_group.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("group", "accuracy", "windows"), *groups])
    total = sum(count for _, _, count in groups)
    accuracy = sum(share * count for _, share, count in groups) / total
    models = [artifact("model", "artifacts/weights", name="weights"), artifact("plot", "artifacts/per_group.csv")]
    series = make_series(folder, "finished", artifacts=models, **state)
    return SeriesRecords(series, [metrics(3, test_accuracy=accuracy, test_windows=total, val_loss=0.5)])


def rows(card, heading):
    """The cells of the table under a heading, without the header."""
    lines = card.split(f"## {heading}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_a_card_says_what_the_record_has(tmp_path):
    params = {"tensor_cache": {"test": ["a", "b"]}, "odd": "a | b\n<script>"}
    upstream = {"data": [{"path": "data/raw", "md5": "c0ffee.dir", "hash": "md5"}], "stages": {}}
    start = {"params": params, "upstream": upstream, "tags": START["tags"] | {"git_dirty": "true", "source": "5eed"}}
    run = measured(tmp_path, [("a", 0.5, 10), ("b", 1.0, 30)], start=start)
    note_promotion(run.series, "detector", "champion")
    keep_verdict(run.series, {"verdict": "identical"})
    note_look([run.series], ["test_accuracy"])
    card = model_card(run)
    assert card.startswith("# Model card: detector\n")
    about = {**dict(rows(card, "Model")), **dict(rows(card, "Data"))}
    assert about["software"] == "torch 2.13.0+cpu, numpy 2.4.0"
    assert about["promoted"] == "detector@v1.0.0 by ada: so"
    assert (about["source"], about["num_samples"], about["data/raw"]) == ("5eed", "244102", "c0ffee.dir, data")
    assert rows(card, "Split") == [["tensor_cache.test", '["a", "b"]']]
    assert rows(card, "Groups") == [["a", "0.5", "10"], ["b", "1", "30"]]
    assert ["odd", "a \\| b &lt;script>"] in rows(card, "Parameters")
    limits = card.split("limits\n\n")[1]
    for said in (
        "from 0.5 (a) to 1 (b), of 2",
        "2 groups were measured: too few",
        "not committed",
        "executed once here",
        ": identical.",
        "while runs were compared: 1;",
    ):
        assert said in limits
    assert missing_sections(card) == list(PERSONS)
    assert card.count(MISSING) == len(PERSONS)


def test_of_few_groups_the_interval_is_wilsons_and_of_more_it_is_over_the_groups(tmp_path):
    for count in (2, 6):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        shares = [0.5 + 0.1 * (number % 5) for number in range(count)]
        groups = [(f"g{number}", share, 20) for number, share in enumerate(shares)]
        figures = {
            name: (value, interval) for name, value, interval in rows(model_card(measured(folder, groups)), "Figures")
        }
        assert figures["val_loss"] == ("0.5", "")
        value, interval = figures["test_accuracy"]
        low, high = float(interval.split()[0]), float(interval.split()[2].rstrip(":"))
        assert low < float(value) < high
        assert ("bootstrap over 6 groups" in interval) == (count == 6)
        if count == 2:
            expected = binomtest(22, 40).proportion_ci(method="wilson")
            assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-3)
        else:  # within a tenth of the normal interval of a mean of six
            half = 1.96 * np.std(shares) / np.sqrt(6)
            assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_a_record_with_nothing_in_it_has_a_card_that_says_so(tmp_path):
    start = {"params": {}, "tags": {}, "data": None, "environment": {}}
    card = model_card(SeriesRecords(make_series(tmp_path, "finished", start=start), []))
    for said in ("Not recorded. Say it", "no parameter says how", "None was recorded.", "no `per_group.csv`"):
        assert said in card
    assert "No figure of a test was recorded" in card


def test_what_a_person_wrote_stays_when_the_card_is_made_anew(tmp_path):
    run, path = measured(tmp_path, [("a", 0.5, 10)]), tmp_path / "card.md"
    write_card(path, run, earlier_card(path))
    text = path.read_text().replace(
        f"## Known limits\n\n{MISSING}", "## Known limits\n\nLeft-handed people.\n\n* Rain.\n\n"
    )
    path.write_text(f"{text}\n## Thanks\n\nTo all.\n")
    run.series.reproduced = 2
    write_card(path, run, earlier_card(path))
    card = path.read_text()
    assert "Left-handed people.\n\n* Rain." in card
    assert card.endswith("## Thanks\n\nTo all.\n")
    assert "equal results: 2 times" in card
    assert missing_sections(card) == ["Intended use", "Ethical considerations"]
    write_card(path, run, earlier_card(path))
    assert path.read_text() == card
    path.write_text("My notes")
    with pytest.raises(UserError, match=r"card\.md: is no model card of trackstack; give another name to --out$"):
        earlier_card(path)


def test_the_command_prints_or_writes_the_card_of_any_run(tmp_path):
    journal = Journal(tmp_path / "runs/one")
    journal.write(START | {"run": "one", "attempt": 1})
    journal.close()
    printed = trackstack(tmp_path, "runs", "card", "one")
    said = trackstack(tmp_path, "runs", "card", "one", "--out", "card.md")
    assert (tmp_path / "card.md").read_text() == printed
    assert said == f"card.md: the model card of run one; missing, to be written by a person: {', '.join(PERSONS)}\n"
