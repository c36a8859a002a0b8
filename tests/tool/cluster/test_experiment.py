"""A clone takes its files from DVC's cache, and says why it could not."""

import pytest
from support.damage import no_room
from support.projects import run_in

from trackstack.cluster.experiment import main


@pytest.fixture
def clone(repository, monkeypatch):
    """A DVC repository with two files of which the cache has one, and the folder neither."""
    for name in ("large", "lost"):
        (repository / name).write_bytes(name.encode() * 1_000_000)
    run_in(repository, "dvc config cache.type copy && dvc add -q large lost && dvc cache dir")
    run_in(repository, "rm -r large lost .dvc/cache/files/md5/$(grep -oP '(?<=md5: )..' lost.dvc | tail -1)")
    monkeypatch.chdir(repository)
    return repository


def test_what_the_cache_has_is_taken_and_nothing_is_said_of_the_rest(clone, capfd):
    assert main([]) == 0
    assert (clone / "large").stat().st_size == 5_000_000
    assert not (clone / "lost").exists()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_made_is_named_though_dvc_is_silent(clone, capfd):
    with no_room(4_000_000):
        assert main([]) == 1
    assert not (clone / "large").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert "File too large" in line
