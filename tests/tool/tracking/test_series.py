"""How attempts at a run become series, and when a re-execution is a reproduction."""

import itertools
import json

import pytest

from trackstack.tracking.series import RunFolder, group_attempts


class Runs:
    """Writes journals by hand, one call per attempt."""

    def __init__(self, folder):
        self.folder, self.attempts = folder, 0

    def attempt(self, losses, stage="train", series=None, status="finished", model="m1", destinations=None):
        self.attempts += 1
        start = {"type": "start", "run": "r1", "attempt": self.attempts, "stage": stage}
        records = [start | {"series": series or self.attempts, "destinations": destinations or {}}]
        name = "val_loss" if stage == "train" else "test_loss"
        records += [{"type": "metrics", "time": 1.0, "step": n, "values": {name: v}} for n, v in enumerate(losses)]
        if status == "finished" and stage == "train":
            records.append({"type": "artifact", "kind": "model", "name": "model", "path": "x", "digest": model})
        if status:
            records.append({"type": "end", "time": 2.0, "status": status, "error": None})
        text = "".join(json.dumps(record) + "\n" for record in records)
        (self.folder / f"journal-{self.attempts}.jsonl").write_text(text)

    def series(self, live=False):
        return group_attempts(self.folder, RunFolder(self.folder).refresh(), live)

    def summary(self, live=False):
        return [
            (group.series.number, group.series.status, group.series.reproduced, len(group.records))
            for group in self.series(live)
        ]


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def test_one_attempt_is_one_series(runs):
    runs.attempt([0.5, 0.4])
    assert runs.summary() == [(1, "finished", 0, 2)]


def test_evaluate_reports_into_the_series_of_its_model(runs):
    runs.attempt([0.5])
    runs.attempt([0.3], stage="evaluate", series=1)
    assert runs.summary() == [(1, "finished", 0, 2)]
    assert [list(record["values"]) for record in runs.series()[0].records] == [["val_loss"], ["test_loss"]]


def test_an_equal_execution_marks_the_run_reproduced_and_doubles_nothing(runs):
    for number in (1, 3, 5):
        runs.attempt([0.5, float("nan")])
        runs.attempt([0.3], stage="evaluate", series=number)
    assert runs.summary() == [(1, "finished", 2, 3)]


@pytest.mark.parametrize("change", [{"losses": [0.6]}, {"losses": [0.5, 0.4]}, {"losses": [0.5], "model": "m2"}])
def test_another_result_is_kept_beside_the_first(runs, change):
    runs.attempt([0.5])
    runs.attempt(**change)
    assert runs.summary() == [(1, "finished", 0, 1), (2, "finished", 0, len(change["losses"]))]
    assert [group.series.key for group in runs.series()] == ["r1", "r1-2"]


def test_a_differing_result_can_itself_be_reproduced(runs):
    for losses in ([0.5], [0.6], [0.6]):
        runs.attempt(losses)
    assert runs.summary() == [(1, "finished", 0, 1), (2, "finished", 1, 1)]


def test_another_evaluation_of_the_same_model_is_kept_beside_the_first(runs):
    runs.attempt([0.5])
    runs.attempt([0.3], stage="evaluate", series=1)
    runs.attempt([0.2], stage="evaluate", series=1)
    assert runs.summary() == [(1, "finished", 0, 2), (3, "finished", 0, 1)]


def test_a_running_execution_of_a_finished_run_is_held_back_until_it_has_ended(runs):
    runs.attempt([0.5])
    runs.attempt([0.5], status=None)
    assert runs.summary(live=True) == [(1, "finished", 0, 1)]


def test_an_execution_that_did_not_finish_is_kept_beside_the_first(runs):
    runs.attempt([0.5, 0.4])
    runs.attempt([0.5], status="failed")
    runs.attempt([0.5], status=None)
    assert runs.summary() == [(1, "finished", 0, 2), (2, "failed", 0, 1), (3, "lost", 0, 1)]


def test_going_on_from_an_attempt_continues_its_series(runs):
    runs.attempt([0.5], status="interrupted")
    runs.attempt([0.4], series=1)
    assert runs.summary() == [(1, "finished", 0, 2)]


@pytest.mark.parametrize("first", ["interrupted", "failed", None])
def test_a_run_that_was_gone_on_with_is_one_run_that_can_be_reproduced(runs, first):
    runs.attempt([0.5], status=first)
    assert runs.summary() == [(1, first or "lost", 0, 1)]
    runs.attempt([0.5, 0.4], series=1, status=None)
    assert runs.summary(live=True) == [(1, "running", 0, 3)]
    runs.attempts -= 1
    runs.attempt([0.5, 0.4], series=1)  # logs again what it goes on from
    assert runs.summary() == [(1, "finished", 0, 3)]
    assert runs.series()[0].series.error is None
    runs.attempt([0.3], stage="evaluate", series=1)
    assert runs.summary() == [(1, "finished", 0, 4)]
    runs.attempt([0.5, 0.4])
    runs.attempt([0.3], stage="evaluate", series=4)
    assert runs.summary() == [(1, "finished", 1, 4)]


def test_a_run_gone_on_with_reproduces_one_that_was_never_interrupted(runs):
    runs.attempt([0.5, 0.4])
    runs.attempt([0.5], status="interrupted")
    assert runs.summary() == [(1, "finished", 0, 2)], "whether it will be equal nobody can tell yet"
    runs.attempt([0.5, 0.4], series=2)
    assert runs.summary() == [(1, "finished", 1, 2)]


@pytest.mark.parametrize("ends", list(itertools.product(["interrupted", "failed", None], repeat=2)))
@pytest.mark.parametrize(("stage", "series"), [("train", 3), ("evaluate", 1)])
def test_what_was_published_stays_published_when_it_is_gone_on_with_and_comes_out_equal(runs, stage, series, ends):
    runs.attempt([0.5, 0.4])
    runs.attempt([0.3], stage="evaluate", series=1)
    published = {}
    for end in (*ends, "finished"):
        for status, live in ((None, True), (end, False)):
            runs.attempt([0.5, 0.4] if stage == "train" else [0.3], stage=stage, series=series, status=status)
            before, published = published, {number: reproduced for number, _, reproduced, _ in runs.summary(live)}
            assert all(number in published and published[number] >= count for number, count in before.items())
            runs.attempts -= live  # the same attempt, ended
    was_held_back = set(ends) == {"interrupted"}
    assert published == {1: int(was_held_back and stage == "train")} | ({} if was_held_back else {3: 0})


def test_a_run_gone_on_with_that_came_out_differently_is_kept_beside_the_first(runs):
    runs.attempt([0.5, 0.4])
    runs.attempt([0.5], status="interrupted")
    runs.attempt([0.5, 0.3], series=2)
    assert runs.summary() == [(1, "finished", 0, 2), (2, "finished", 0, 3)]


def test_what_is_published_later_comes_behind_what_was_published_before(runs):
    runs.attempt([0.5])
    runs.attempt([0.1], stage="evaluate", series=1, status="failed")
    runs.attempt([0.5])
    runs.attempt([0.2], stage="evaluate", series=3, status="failed")
    before = runs.series()[0].records
    runs.attempt([0.3], stage="evaluate", series=1)
    assert runs.series()[0].records[: len(before)] == before


def test_without_an_end_a_run_is_running_or_lost(runs):
    runs.attempt([0.5], status=None)
    assert runs.summary(live=True) == [(1, "running", 0, 1)]
    assert runs.summary(live=False) == [(1, "lost", 0, 1)]


def test_what_is_appended_later_is_read_later(runs, tmp_path):
    runs.attempt([0.5], status=None)
    reader = RunFolder(tmp_path)
    assert len(group_attempts(tmp_path, reader.refresh(), live=True)[0].records) == 1
    with (tmp_path / "journal-1.jsonl").open("a") as file:
        file.write('{"type":"metrics","time":1,"step":1,"values":{"val_loss":0.1}}\n{"type":"metr')
    assert len(group_attempts(tmp_path, reader.refresh(), live=True)[0].records) == 2


def test_a_line_that_is_no_record_is_named_and_hides_no_other(runs, tmp_path):
    runs.attempt([0.5, 0.4])
    path = tmp_path / "journal-1.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "damaged", *lines[2:]]) + "\n")
    reader = RunFolder(tmp_path)
    reader.refresh()
    assert reader.damage() == [f"{path}: line 2 is damaged, and left out"]
    assert runs.summary() == [(1, "finished", 0, 1)]


def test_what_a_damaged_line_took_away_makes_no_other_series(runs, tmp_path):
    runs.attempt([0.5, 0.4])
    runs.attempt([0.5, 0.4])
    path = tmp_path / "journal-1.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "damaged", *lines[2:]]) + "\n")
    assert [summary[:3] for summary in runs.summary()] == [(1, "finished", 1)]


def test_a_back_end_that_is_switched_on_later_gets_the_whole_series_and_none_is_moved(runs):
    runs.attempt([3.0], status="interrupted", destinations={"wandb": {"project": "a"}})
    runs.attempt([3.0, 2.0], series=1, destinations={"wandb": {"project": "b"}, "tensorboard": {}})
    (group,) = runs.series()
    assert group.series.destinations == {"wandb": {"project": "a"}, "tensorboard": {}}
    runs.attempt([3.0, 1.0], destinations={"wandb": {"project": "c"}})
    assert [group.series.destinations for group in runs.series()] == [
        {"wandb": {"project": "a"}, "tensorboard": {}},
        {"wandb": {"project": "c"}},
    ]


def test_an_equal_execution_brings_the_first_one_to_its_back_ends(runs):
    runs.attempt([3.0, 2.0])
    runs.attempt([3.0], destinations={"wandb": {}}, status="interrupted")
    assert [group.series.destinations for group in runs.series()] == [{}], "held back"
    runs.attempt([3.0, 2.0], series=2, destinations={"tensorboard": {}})
    (group,) = runs.series()
    assert (group.series.reproduced, group.series.destinations) == (1, {"wandb": {}, "tensorboard": {}})
