"""Parts that would be made again are taken from the previous output; the result is the one from nothing."""

import json
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from support.conversion import MANY_REJECTED, contents, entry, write_bytes
from support.projects import write_tiny_recordings

from pipeline.ingest import pieces
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet import blocks
from pipeline.parquet.params import Params
from pipeline.parquet.stage import convert
from trackstack import UserError

RAW, OUT = Path("raw"), Path("out")


def manifest_of(raw=RAW, **changes):
    rows = sum(file.read_bytes().count(b"\n") - 1 for file in raw.iterdir())
    return build_manifest("tiny", entry(rows, **changes), raw)


def convert_again(out=OUT, params=MANY_REJECTED, **changes):
    """As the stage does after DVC has deleted its output; the names of the parts that were taken."""
    shutil.rmtree(out, ignore_errors=True)
    convert(manifest_of(**changes), RAW, out, params)
    return {file.name.partition(".csv")[0] for file in (out / "rows").iterdir() if file.stat().st_nlink > 1}


def commit():
    """What DVC does when the stage has ended."""
    with Repo() as repo:
        repo.commit("parquet", force=True)


def from_nothing(**changes):
    """The files of an output that was made in another place, where there is no previous one."""
    assert not convert_again(Path("new"), **changes)
    return contents(Path("new"))


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """Three recordings were converted by the stage `parquet`, which runs again."""
    monkeypatch.chdir(tmp_path)
    write_tiny_recordings(RAW)
    shutil.move(RAW / "subject_4.csv", "kept.csv")
    with (RAW / "subject_2.csv").open("a") as file:
        file.write("1,1,bad,1,2,up\n")
    Path("dvc.yaml").write_text("stages: {parquet: {cmd: 'true', outs: [out]}}")
    with Repo.init(no_scm=True) as made, made.config.edit() as config:
        config["cache"]["type"] = "hardlink"
    convert_again()
    commit()
    monkeypatch.setenv("DVC_STAGE", "parquet")
    return tmp_path


ALL = {"subject_1", "subject_2", "subject_3"}


def test_what_did_not_change_is_taken_with_its_rejected_rows(repo):
    assert convert_again() == ALL
    assert contents(OUT) == from_nothing()


def test_of_files_that_came_changed_were_renamed_and_went_the_others_are_taken(repo):
    shutil.move("kept.csv", RAW / "subject_0.csv")
    assert convert_again() == ALL
    with (RAW / "subject_1.csv").open("a") as file:
        file.write("9,1,1,1,2,up\n")
    assert convert_again() == ALL - {"subject_1"}
    shutil.move(RAW / "subject_2.csv", RAW / "subject_9.csv")
    (RAW / "subject_3.csv").unlink()
    assert convert_again() == {"subject_9"}
    assert contents(OUT) == from_nothing()


def test_another_contract_or_compression_makes_all_parts_anew(repo):
    assert not convert_again(classes=["down", "up"])
    assert not convert_again(params=Params(compression="none", max_rejected=9))
    assert convert_again(params=Params(compression="zstd", max_rejected=9)) == ALL


@pytest.mark.parametrize("name", ["rows/subject_2.csv.0000.parquet", "summaries/subject_2.csv.0000.json"])
def test_a_file_that_is_damaged_in_the_cache_is_made_anew_and_said(repo, capsys, name):
    right = contents(OUT)
    (cached,) = (file for file in Path(".dvc/cache").rglob("*") if file.is_file() and file.samefile(OUT / name))
    cached.chmod(0o644)
    cached.write_bytes(right[name][:-9] + b"x" + right[name][-8:])
    assert convert_again() == ALL - {"subject_2"}
    said = capsys.readouterr().err
    assert said == f"{cached.absolute()}: damaged in DVC's cache; removed, and {name} is made anew\n"
    assert contents(OUT) == right
    commit()
    assert convert_again() == ALL


def test_a_cache_that_lacks_something_is_no_reason_to_say_anything(repo, capsys):
    right = contents(OUT)
    for name in ("rows/subject_1.csv.0000.parquet", "summaries/subject_3.csv.0000.json"):
        (cached,) = (file for file in Path(".dvc/cache").rglob("*") if file.is_file() and file.samefile(OUT / name))
        cached.unlink()
    assert convert_again() == {"subject_2"}
    assert contents(OUT) == right
    shutil.rmtree(".dvc/cache")
    assert not convert_again()
    assert (contents(OUT), capsys.readouterr().err) == (right, "")


@pytest.mark.parametrize("profile", [{}, {"parts": [{"file": "rows/x.parquet"}]}, {"parts": "none"}, []])
def test_an_output_of_another_format_is_no_previous_one(repo, profile, capsys):
    (OUT / "profile.json").unlink()
    (OUT / "profile.json").write_text(json.dumps(profile))
    commit()
    assert not convert_again()
    assert capsys.readouterr().err == ""


def test_a_raw_file_that_changed_since_ingest_is_seen_though_its_part_is_there(repo):
    manifest = manifest_of()
    file = RAW / "subject_1.csv"
    before = file.read_bytes()
    for content in (before[:-9], before.replace(b"0.1", b"0.2")):
        file.write_bytes(content)
        with pytest.raises(UserError, match="changed since ingest looked at it; run dvc repro again"):
            convert(manifest, RAW, OUT, MANY_REJECTED)
    file.unlink()
    with pytest.raises(UserError, match="changed since ingest looked at it; run dvc repro again"):
        convert(manifest, RAW, OUT, MANY_REJECTED)


def test_of_a_file_that_grew_the_pieces_before_are_taken_and_the_cache_is_not_written_to(repo, monkeypatch):
    monkeypatch.setattr(pieces, "PART_BYTES", 500)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    for file in RAW.iterdir():
        file.unlink()
    lines = [f"{number // 4 % 9},1,1,1,2,up\n" for number in range(150)]  # from line 38 on series come back
    header = "recording,subject,ax,ay,az,label\n"
    for num_lines in (120, 150):
        write_bytes(RAW, "".join([header, *lines[:num_lines]]).encode())
        convert_again()
        cached = contents(Path(".dvc/cache"))
        assert contents(OUT) == from_nothing()
        assert contents(Path(".dvc/cache")) == cached
        commit()
    convert_again()
    taken = [file.stat().st_nlink > 1 for file in sorted((OUT / "rows").iterdir())]
    assert len(taken) > 3
    assert all(taken)
