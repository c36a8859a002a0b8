"""The documents can be trusted: their links lead somewhere, and their messages are those of the code."""

import re

import pytest
from support.documents import commands
from support.projects import ROOT
from support.typed_documents import DOCUMENTS, NOT_RUN, TYPED_ELSEWHERE, name_of, not_run, typed_commands

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document):
    text = document.read_text()
    for target in LINK.findall(text) + PICTURE.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


def anchors(file):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PATH = re.compile(r"`((?:src|tests|stages|docs|slurm|benchmarks|data)/[\w./-]+\.(?:py|md|ya?ml|sh|env))`")
MADE_UP = re.compile(r"NAME|export|(mine|ours)\.py")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_that_is_named_exists(document):
    paths = [path for path in PATH.findall(document.read_text()) if not MADE_UP.search(path)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_document_can_be_found_from_the_readme():
    named = set(LINK.findall((ROOT / "README.md").read_text()))
    missing = {name_of(document) for document in DOCUMENTS} - named - {"README.md"}
    assert not missing


def test_nothing_is_left_out_without_need():
    used = {not_run(command) for document in DOCUMENTS for command in commands(document)}
    assert set(NOT_RUN) <= used
    for name, elsewhere in TYPED_ELSEWHERE.items():
        for start, other in elsewhere.items():
            (document, there) = (next(d for d in DOCUMENTS if d.name == holder) for holder in (name, other))
            assert [command for command in commands(document) if command.line.startswith(start)], start
            kind = " ".join(start.split()[:3])
            assert [command for command in typed_commands(there) if command.line.startswith(kind)], start


def test_the_tests_that_stand_for_what_is_not_run_are_there():
    for reason in NOT_RUN.values():
        for file in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / file).exists(), file


def test_the_command_reference_is_what_the_commands_say(tmp_path, run):
    written = tmp_path / "cli.md"
    run(ROOT, ["typer", "trackstack.cli", "utils", "docs", "--name", "trackstack", "--output", str(written)])
    assert (ROOT / "docs/cli.md").read_text() == written.read_text(), "make reference"


def test_messages_in_the_table_of_troubles_are_those_of_the_code():
    sources = " ".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # strings that go on in the next line
    section = (ROOT / "docs/troubleshooting.md").read_text().split("## Data\n")[1]
    quoted = re.findall(r"^\| `([^`]+)`", section.split("## Record")[0], re.MULTILINE)
    assert len(quoted) >= 6
    for message in quoted:
        for part in filter(None, (part.strip(" ,") for part in message.split("..."))):
            assert part in sources, part
