"""An output folder is replaced as a whole, or stays what it was."""

import shutil
from pathlib import Path

import pytest

from trackstack.core.files import new_folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("old")
    return tmp_path / "out"


def write_new(out):
    with new_folder(out) as folder:
        (folder / "new").write_text("new")


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_the_new_folder_takes_the_place_of_the_old_one(out):
    write_new(out)
    assert names(out) == ["new"]
    assert names(out.parent) == ["out"]


def test_an_error_leaves_the_old_folder(out):
    with pytest.raises(ZeroDivisionError), new_folder(out) as folder:
        (folder / "new").write_text(str(1 / 0))
    assert names(out) == ["old"]
    assert names(out.parent) == ["out"]


def test_what_cannot_be_removed_does_not_cost_the_new_folder(out, monkeypatch):
    """As on NFS, where a file that somebody reads stays on as .nfs..."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
        write_new(out)
        assert names(out) == ["new"]
    write_new(out)
    assert names(out.parent) == ["out"], "the next time takes away what was left"


def test_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_place(out, monkeypatch):
    rename = Path.rename

    def refuse(self, target):
        if target == out and self.name == ".out.partial":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"):
        write_new(out)
    assert names(out) == ["old"]
    assert names(out.parent) == ["out"]
