"""Which runs a page is about, and what it must not show."""

import math

import pytest
from support.choosing import write_run, write_sweep
from support.sinks import START

from trackstack import UserError
from trackstack.page.runs import read_page
from trackstack.records.looks import looks_at


def test_runs_in_any_state_are_there_with_their_curves(tmp_path):
    write_run(tmp_path, {"lr": 1}, {"val_accuracy": 0.5})
    failed = write_run(tmp_path, {"lr": 2}, {"val_accuracy": math.nan}, status="failed")
    page = read_page(tmp_path)
    assert [run.status for run in page.runs] == ["finished", "failed"]
    assert page.runs[0].curves == {"val_accuracy": [(0, -1.0), (1, 0.5)]}
    assert (page.runs[1].key, page.runs[1].is_current, page.runs[1].seconds) == (failed, False, 9)
    assert page.runs[0].params["lr"] == 1


def test_test_figures_are_hidden_until_they_are_asked_for_and_then_it_is_noted(tmp_path):
    write_sweep(tmp_path)
    hidden = read_page(tmp_path)
    assert not any("test" in name for run in hidden.runs for name in (*run.figures, *run.curves))
    assert not any(looks_at(run.candidate.series) for run in hidden.runs)
    shown = read_page(tmp_path, test=True)
    assert all("test_accuracy" in run.figures for run in shown.runs)
    assert [look["metrics"] for look in looks_at(shown.runs[0].candidate.series)] == [["test_accuracy"]]
    with pytest.raises(UserError, match="test_accuracy: test figures are hidden while you choose"):
        read_page(tmp_path, where="test_accuracy > 0.5")


def test_where_and_sweep_say_which_runs(tmp_path):
    for number, sweep in enumerate(("rates", "rates", "seeds-1a2b3c")):
        write_run(tmp_path, {"lr": number}, {"val_accuracy": 0.5}, tags=START["tags"] | {"sweep": sweep})
    assert len(read_page(tmp_path, sweep="rates").runs) == 2
    assert read_page(tmp_path, sweep="rates").title == "rates"
    assert len(read_page(tmp_path, sweep="seeds").runs) == 1, "the name that a person gave"
    page = read_page(tmp_path, sweep="rates", where="lr > 0")
    assert (len(page.runs), page.notes) == (1, ["--where lr > 0: 1 of 2 runs"])
    for asked, said in (
        (
            {"sweep": "rate"},
            "--sweep rate: no run is of a sweep of that name; there are runs of: rates, seeds-1a2b3c",
        ),
        ({"where": "lr > 9"}, "--where lr > 9: 0 of 3 runs"),
        ({"where": "rate > 9"}, "rate: no finished run has it"),
    ):
        with pytest.raises(UserError, match=said):
            read_page(tmp_path, **asked)


def test_a_damaged_run_is_named_and_hides_no_other(tmp_path):
    damaged = write_run(tmp_path, {"lr": 1}, {"val_accuracy": 0.5})
    write_run(tmp_path, {"lr": 2}, {"val_accuracy": 0.6})
    journal = tmp_path / "runs" / damaged / "journal-1.jsonl"
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([lines[0], b'{"type":' + lines[1][9:], *lines[2:]]))
    page = read_page(tmp_path)
    assert [note for note in page.notes if damaged in note and "line 2 is damaged" in note]
    assert sorted(run.is_current for run in page.runs) == [False, True]


def test_no_run_at_all_is_said(tmp_path):
    with pytest.raises(UserError, match=r"no run is recorded in .*runs; dvc repro makes one"):
        read_page(tmp_path)
