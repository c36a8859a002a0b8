"""What is a line for the person whose script it is, and what is Python's own traceback."""

import errno
import os
import sys

import pytest

from trackstack.tracking.script.identity import PACKAGE
from trackstack.tracking.script.one_line import show_mistakes_in_one_line

FULL = f"raise OSError({errno.ENOSPC}, {os.strerror(errno.ENOSPC)!r}, 'runs/r1/journal-1.jsonl')"


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a script's person sees of an error in a file."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    show_mistakes_in_one_line()

    def show(file):
        with pytest.raises(OSError, match="journal") as caught:
            exec(compile(FULL, str(file), "exec"))
        sys.excepthook(caught.type, caught.value, caught.tb)
        return capsys.readouterr().err

    return show


def test_a_record_that_has_no_room_to_begin_is_a_line_and_a_full_disk_of_the_script_is_its_own(shown, tmp_path):
    line = shown(PACKAGE / "journal.py")
    assert "Traceback" not in line
    assert line.endswith(": runs/r1/journal-1.jsonl: No space left on device; make room, and type the same again\n")
    assert shown(tmp_path / "train.py").startswith("Traceback")
