"""What others shared is checked before it is trusted: whatever is wrong in a record, nothing of it is taken."""

import json

import pytest
from support.projects import run_in
from support.sharing import RUN, inside, record

from trackstack.core.files import CHECKSUM, sealed
from trackstack.sharing.merging import content_of
from trackstack.sharing.pull import pull_runs
from trackstack.sharing.push import push_runs
from trackstack.sharing.record import is_safe
from trackstack.tracking.journal import line_of, parse_line

RECORD = f"refs/trackstack-records/{RUN}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory, module_group):
    record(module_group.first)
    with inside(module_group.first):
        push_runs([], module_group.first, module_group.first)
    return module_group, module_group.clone("her clone"), module_group.refs()[RECORD]


def edited_journal(content, **changes):
    """The journal, its start and artifact records changed, with checksums that are right."""
    lines = []
    for line in content.splitlines(keepends=True):
        entry = parse_line(line)
        mine = changes.get(entry["type"])
        lines.append(line_of(entry | mine) if mine else line)
    return b"".join(lines)


def forge(group, commit, files=None, describe=lambda value: value, mode="100644"):
    """A record at the hub in the place of the real one: other files, another description, both with right digests."""
    names = run_in(group.hub, f"git ls-tree -r --name-only {commit}").stdout.splitlines()
    contents = {name: run_in(group.hub, f"git show {commit}:{name}").stdout.encode() for name in names}
    value = json.loads(contents["record.json"])
    del value[CHECKSUM]
    for name, content in (files or {}).items():
        contents[f"files/{name}"] = content
        value["files"][name] = {"sha256": content_of(content).sha256, "size": len(content), "md5": None}
    contents["record.json"] = json.dumps(sealed(describe(value))).encode()
    lines = []
    for number, (name, content) in enumerate(sorted(contents.items())):
        (group.place / f"blob{number}").write_bytes(content)
        blob = run_in(group.hub, f"git hash-object -w ../blob{number}").stdout.strip()
        lines.append(f"{mode if name != 'record.json' else '100644'} {blob}\t{name}\n")
    (group.place / "index-info").write_text("".join(lines))
    run_in(group.hub, "rm -f new-index && GIT_INDEX_FILE=new-index git update-index --index-info < ../index-info")
    tree = run_in(group.hub, "GIT_INDEX_FILE=new-index git write-tree").stdout.strip()
    forged = run_in(group.hub, f"git commit-tree {tree} -p {commit} -m forged").stdout.strip()
    run_in(group.hub, f"git update-ref {RECORD} {forged}")


def journal_of(group):
    return run_in(group.hub, f"git show {group.refs()[RECORD]}:files/journal-1.jsonl").stdout.encode()


def without(key, name):
    return lambda value: value | {key: {one: item for one, item in value[key].items() if one != name}}


def renamed(value):
    files = dict(value["files"])
    files["journal-1.jsonl "] = files.pop("journal-1.jsonl")
    return value | {"files": files}


FORGERIES = {
    "another run": {"describe": lambda value: value | {"run": "r999999999999"}},
    "a later format": {"describe": lambda value: value | {"format": 2}},
    "an unknown field": {"describe": lambda value: value | {"execute": "this"}},
    "a wrong digest": {
        "describe": lambda value: (
            value
            | {
                "files": value["files"]
                | {"journal-1.jsonl": value["files"]["journal-1.jsonl"] | {"sha256": "0" * 64}}
            }
        )
    },
    "a file that is not described": {"describe": without("files", "journal-1.jsonl")},
    "a name with a blank": {"describe": renamed},
    "a way out": {"files": {"artifacts/1/../../../../evil": b"x"}},
    "a file that is none of a run": {"files": {"lease.lock": b"x"}},
    "a link": {"mode": "120000"},
    "a program": {"mode": "100755"},
    "an object outside": {
        "describe": lambda value: (
            value | {"objects": [{"path": "../x", "md5": "0" * 32, "hash": "md5", "remote": None}]}
        )
    },
    "an experiment that is a branch": {
        "describe": lambda value: value | {"experiments": {"refs/heads/main": "0" * 40}}
    },
    "a commit that does not come with it": {"describe": lambda value: value | {"source": "0" * 40}},
}
JOURNALS = {
    "of another run": {"start": {"run": "r999999999999"}},
    "of another attempt": {"start": {"attempt": 7}},
    "with a path outside": {"artifact": {"path": "artifacts/1/../../../../x"}},
    "with somebody else's code": {"artifact": {"loader": "os:system"}},
    "with code of a package": {"artifact": {"exporter": "numpy.testing:runstring"}},
    "without a start": {"start": {"type": "beginning"}},
    "with a start that lists cannot show": {"start": {"tags": None}},
    "with figures that are none": {"metrics": {"values": {"loss": "low"}}},
    "with code of the command itself": {"artifact": {"loader": "__main__:main"}},
}


def is_refused(group, hers):
    with inside(hers):
        done = pull_runs([], hers, hers)
    (line,) = done.problems
    assert line.startswith(f"{RUN}: ")
    assert "refused" in line
    assert "\n" not in line
    assert not (hers / "runs").exists()
    assert "trackstack" not in run_in(hers, "git for-each-ref").stdout
    assert not done.runs


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_record_is_refused(shared, forgery):
    group, hers, commit = shared
    if forgery == "a way out":  # git itself makes no such tree: only the description can say it
        forge(
            group,
            commit,
            describe=lambda value: (
                value
                | {"files": value["files"] | {"artifacts/1/../../../../evil": value["files"]["journal-1.jsonl"]}}
            ),
        )
    else:
        forge(group, commit, **FORGERIES[forgery])
    is_refused(group, hers)


@pytest.mark.parametrize("forgery", JOURNALS)
def test_a_journal_that_is_not_of_this_run_or_calls_other_code_is_refused(shared, forgery):
    group, hers, commit = shared
    run_in(group.hub, f"git update-ref {RECORD} {commit}")
    forge(group, commit, files={"journal-1.jsonl": edited_journal(journal_of(group), **JOURNALS[forgery])})
    is_refused(group, hers)


def test_a_flipped_byte_of_the_description_is_refused(shared):
    group, hers, commit = shared
    forge(group, commit, describe=lambda value: value | {CHECKSUM: "0" * 12})
    is_refused(group, hers)


@pytest.mark.parametrize(
    "name",
    [
        "../x.json",
        "/x.json",
        "a/b.json",
        "artifacts/1/.git/config",
        "artifacts/1/a\\b",
        "artifacts/1//b",
        "artifacts/1/a\nb",
        "artifacts/x/b",
        "artifacts/1/./b",
        "journal-x.jsonl",
        ".hidden/x",
        "beside/../x.json",
        "artifacts/1/\u202e",
    ],
)
def test_names_that_lead_elsewhere_are_not_safe(name):
    assert not is_safe(name)


@pytest.mark.parametrize(
    "name", ["journal-12.jsonl", "promoted-1.json", "reproductions/0a1b.json", "artifacts/3/model/größe (1).json"]
)
def test_what_a_run_has_is_safe(name):
    assert is_safe(name)
