"""Parts that a stage had finished when it was stopped are taken by the next one, if they are what it would make."""

import os
import signal
from pathlib import Path

import pytest
from support.conversion import MANY_REJECTED, contents, entry, write_bytes
from support.projects import write_tiny_recordings

from pipeline.ingest.manifest import build_manifest
from pipeline.parquet import finished
from pipeline.parquet.parts import PartWriter
from pipeline.parquet.stage import convert, convert_ahead
from trackstack import Interrupted, UserError

RAW, OUT = Path("raw"), Path("out")
KEPT = Path(".out.parts.partial")


def manifest_of_files():
    rows = sum(file.read_bytes().count(b"\n") - 1 for file in RAW.iterdir())
    return build_manifest("tiny", entry(rows), RAW)


def convert_files():
    convert(manifest_of_files(), RAW, OUT, MANY_REJECTED)


@pytest.fixture
def right(tmp_path, monkeypatch):
    """What an undisturbed stage makes of four files, of which one has a bad row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    write_tiny_recordings(RAW)
    with (RAW / "subject_2.csv").open("a") as file:
        file.write("1,1,bad,1,2,up\n")
    convert_files()
    assert not KEPT.exists()
    made = contents(OUT)
    OUT.rename("right")
    return made


def stop_before(number, monkeypatch, how):
    """Have the stage end when it begins a part, by its number."""
    write, begun = PartWriter.write, []

    def write_or_stop(self, stretch, *others):
        begun.append(stretch.file.name)
        if len(begun) == number:
            how()
        return write(self, stretch, *others)

    monkeypatch.setattr(PartWriter, "write", write_or_stop)
    return begun


def fail():
    raise OSError(28, "No space left on device", "somewhere")


def kept_parts():
    return sorted(KEPT.glob("*/*/rows.parquet"))


def test_after_an_error_the_finished_parts_are_taken_and_the_others_made(right, monkeypatch):
    with monkeypatch.context() as patch:
        stop_before(4, patch, fail)
        with pytest.raises(OSError, match="No space left"):
            convert_files()
    assert not OUT.exists()
    (kept, *others) = kept_parts()
    assert len(others) < 3
    inode = kept.stat().st_ino
    begun = stop_before(0, monkeypatch, fail)
    convert_files()
    assert len(begun) == 4 - len(others) - 1
    assert contents(OUT) == right
    assert inode in {file.stat().st_ino for file in (OUT / "rows").iterdir()}
    assert not KEPT.exists()


def test_a_request_to_stop_ends_it_by_a_line_and_keeps_what_is_finished(right, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_before(4, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted) as caught:
            convert_files()
    assert caught.value.code == 75
    assert capsys.readouterr().err == "interrupted (signal SIGTERM); finished parts are kept for the next start\n"
    assert not OUT.exists()
    convert_files()
    assert contents(OUT) == right


@pytest.mark.parametrize("name", ["rows.parquet", "summary.json", "rejected.csv"])
def test_a_part_that_is_damaged_or_half_is_made_anew(right, monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setattr(finished.FinishedParts, "__exit__", lambda *_: None)
        convert_files()
    files = sorted(KEPT.glob(f"*/*/{name}"))
    assert len(files) == (1 if name == "rejected.csv" else 4)
    damaged = files[0].read_bytes()[:-9] + b"123456789"
    files[0].unlink()  # the output holds it, too
    files[0].write_bytes(damaged)
    (files[-1].parent.parent / "half-x").mkdir()
    begun = stop_before(0, monkeypatch, fail)
    convert_files()
    assert len(begun) == 1
    assert contents(OUT) == right
    assert not KEPT.exists()


def test_parts_of_other_code_are_forgotten(right, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(finished.FinishedParts, "__exit__", lambda *_: None)
        convert_files()
    monkeypatch.setattr(finished, "code_digest", lambda: "0" * 64)
    begun = stop_before(0, monkeypatch, fail)
    convert_files()
    assert len(begun) == 4
    assert contents(OUT) == right


def test_a_raw_file_that_changed_since_ingest_is_seen_though_its_part_is_finished(right, monkeypatch):
    manifest = manifest_of_files()
    with monkeypatch.context() as patch:
        patch.setattr(finished.FinishedParts, "__exit__", lambda *_: None)
        convert_files()
    write_bytes(RAW, (RAW / "subject_1.csv").read_bytes().replace(b"0.1", b"0.2"), "subject_1.csv")
    with pytest.raises(UserError, match="changed since ingest looked at it; run dvc repro again"):
        convert(manifest, RAW, OUT, MANY_REJECTED)


def test_parts_that_were_made_ahead_are_taken_by_the_stage(right, monkeypatch):
    accepted, rejected = convert_ahead(manifest_of_files(), RAW, OUT, MANY_REJECTED.compression)
    assert (accepted, rejected.count, rejected.first.line) == (480, 1, 122)
    assert not OUT.exists()
    begun = stop_before(0, monkeypatch, fail)
    convert_files()
    assert begun == []
    assert contents(OUT) == right
    assert not KEPT.exists()


def test_what_was_made_ahead_goes_where_it_fails_and_what_a_killed_stage_had_finished_stays(right, monkeypatch):
    with monkeypatch.context() as patch:
        stop_before(4, patch, fail)
        with pytest.raises(OSError, match="No space left"):
            convert_files()
    kept = kept_parts()
    manifest = manifest_of_files()
    (RAW / "subject_4.csv").write_text("changed\n")
    with pytest.raises(UserError):
        convert_ahead(manifest, RAW, OUT, MANY_REJECTED.compression)
    assert kept_parts() == kept
