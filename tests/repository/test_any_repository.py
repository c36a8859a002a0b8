"""docs/any-repository.md shows the files of examples/any-repository as they are; its commands are typed by test_docs.py."""

import re

from support.documents import SHOWN_FILE
from support.projects import ROOT

EXAMPLE = ROOT / "examples/any-repository"
DOCUMENT = (ROOT / "docs/any-repository.md").read_text()


def test_the_document_shows_the_files_of_the_example():
    shown = dict(SHOWN_FILE.findall(DOCUMENT))
    assert set(shown) >= {"dvc.yaml", "params.json", "train.py"}
    assert {name: (EXAMPLE / name).read_text() for name in shown} == shown
    assert re.search(r"```diff\n(.*?)```", DOCUMENT, re.DOTALL)[1] == (EXAMPLE / "record.patch").read_text()


def test_the_example_is_as_small_as_the_document_says():
    code = [line for file in EXAMPLE.glob("*.py") for line in file.read_text().splitlines()]
    assert sum(bool(line.strip()) and not line.startswith('"""') for line in code) <= 35
    added = re.findall(r"^\+(?!\+)", (EXAMPLE / "record.patch").read_text(), re.MULTILINE)
    assert len(added) == 5
