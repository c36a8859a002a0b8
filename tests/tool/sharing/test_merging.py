"""The files of a run from two places are put together: nothing is overwritten, nothing is there twice."""

import json

from trackstack.sharing.attempts import SharedAttempt
from trackstack.sharing.merging import attempts_of, content_of, merge
from trackstack.tracking.journal import line_of


def journal(user, number=1, series=None, steps=1):
    start = {
        "type": "start",
        "time": 1.5,
        "run": "r1",
        "attempt": number,
        "stage": "train",
        "series": series or number,
    }
    records = [
        start | {"environment": {"user": user}, "destinations": {"sqlite": {"path": f"/home/{user}/project.db"}}}
    ]
    records += [{"type": "metrics", "time": 2.0, "step": step, "values": {"loss": 0.5}} for step in range(steps)]
    path = f"artifacts/{number}/model"
    records.append({"type": "artifact", "time": 3.0, "kind": "model", "path": path, "name": "model", "digest": user})
    return b"".join(map(line_of, records))


def shared(journal, number=1):
    attempt = SharedAttempt(number, journal)
    return attempt.journal(number, attempt.start["series"])


def home_of(user, number=1, **notes):
    found = {
        f"journal-{number}.jsonl": shared(journal(user, number), number),
        f"artifacts/{number}/model": user.encode(),
    }
    return {name: content_of(data) for name, data in (found | notes).items()}


def test_two_peoples_attempts_of_one_number_are_both_there():
    merged = merge(home_of("ada"), home_of("bob"), {})
    assert [attempt.start["environment"]["user"] for attempt in attempts_of(merged)] == ["ada", "bob"]
    assert merged["artifacts/1/model"].data == b"ada"
    assert merged["artifacts/2/model"].data == b"bob"
    second = attempts_of(merged)[1]
    assert (second.start["attempt"], second.start["series"]) == (2, 2)
    assert second.records()[-1]["path"] == "artifacts/2/model", "its record leads to its own copy"


def test_what_is_there_already_changes_nothing_whatever_its_number():
    both = merge(home_of("ada"), home_of("bob"), {})
    assert merge(both, home_of("ada"), {}) == both
    assert merge(both, home_of("bob"), {}) == both
    assert merge(both, merge(home_of("bob"), home_of("ada"), {}), {}) == both
    assert merge(home_of("ada"), {}, {}) == home_of("ada")


def test_an_evaluation_goes_with_the_series_that_it_belongs_to():
    theirs = home_of("bob") | {"journal-2.jsonl": content_of(shared(journal("bob, evaluating", 2, series=1), 2))}
    numbers = [(one.number, one.start["series"]) for one in attempts_of(merge(home_of("ada"), theirs, {}))]
    assert numbers == [(1, 1), (2, 2), (3, 2)]


def test_a_journal_that_has_grown_replaces_its_beginning_and_never_the_other_way():
    whole = shared(journal("ada", steps=9))
    beginning = b"".join(whole.splitlines(keepends=True)[:4])
    other_end = shared(journal("ada", steps=2))
    early, late, other = ({"journal-1.jsonl": content_of(text)} for text in (beginning, whole, other_end))
    assert merge(early, late, {}) == late
    assert merge(late, early, {}) == late
    assert merge(late, other, {}) == late, "another end of the same beginning is no later state of it"


def test_the_shared_form_names_no_back_ends_and_keeps_every_other_line():
    lines = journal("ada").splitlines(True)
    damaged = b"".join([lines[0], lines[1].replace(b"0.5", b"0.6"), *lines[2:]])
    shared = SharedAttempt(1, damaged).journal(1, 1)
    assert b"project.db" not in shared
    assert json.loads(shared.splitlines()[0])["destinations"] == {}
    assert shared.splitlines()[1:] == damaged.splitlines()[1:], (
        "a damaged line stays what it is, and is named as such"
    )


def promoted(by):
    return {"promoted-1.json": json.dumps({"by": by}).encode()}


def test_a_note_that_changed_in_one_place_is_taken_and_one_taken_back_is_taken_back():
    old, new = home_of("ada", **promoted("ada")), home_of("ada", **promoted("bob"))
    for target, incoming, expected in ((old, new, new), (new, old, new), (old, old, old)):
        assert merge(target, incoming, base=old) == expected
    without = home_of("ada")
    assert merge(old, without, base=old) == without
    assert merge(without, old, base=old) == without
    assert merge(without, old, base={}) == old


def test_two_notes_of_one_name_are_kept_side_by_side_in_every_home_for_good():
    ada, bob = home_of("ada", **promoted("ada")), home_of("ada", **promoted("bob"))
    hub = merge(merge({}, ada, {}), bob, {})
    assert hub["promoted-1.json"] == ada["promoted-1.json"]
    (beside,) = set(hub) - set(ada)
    assert beside.startswith("beside/")
    assert hub[beside] == bob["promoted-1.json"]
    at_bobs = merge(bob, hub, {})
    assert at_bobs["promoted-1.json"] == bob["promoted-1.json"]
    assert ada["promoted-1.json"] in at_bobs.values()
    assert merge(hub, at_bobs, base=hub) == hub, "pushed again it changes nothing"
    assert merge(ada, hub, base={}) == hub


def test_a_note_about_a_series_moves_with_it():
    notes = promoted("bob") | {"model-card-1.md": b"# A card"}
    merged = merge(home_of("ada"), home_of("bob", **notes), {})
    assert {"promoted-2.json", "model-card-2.md"} <= merged.keys()
    assert not notes.keys() & merged.keys()
