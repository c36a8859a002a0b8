"""The manifest tells what the raw files are; a file, header or row count that is wrong is one line with what to type."""

import os
from pathlib import Path

import pytest
from support.projects import TINY_ENTRY, write_tiny_recordings

from pipeline.contract.catalog import Dataset
from pipeline.ingest.csv_lines import MAX_LINE_BYTES
from pipeline.ingest.manifest import build_manifest, read_manifest
from trackstack import UserError
from trackstack.core.digest import digest_file

FILES = {f"subject_{subject}.csv": 120 for subject in range(1, 5)}


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/raw/tiny"
    write_tiny_recordings(folder)
    return folder.relative_to(tmp_path)


def entry(**changes):
    return Dataset.model_validate(TINY_ENTRY | {"files": FILES} | changes)


def test_the_manifest_tells_what_was_found(raw):
    manifest = build_manifest("tiny", entry(), raw)
    assert manifest.num_samples == 480
    assert [file.name for file in manifest.files] == list(FILES)
    assert manifest.files[0].sha256 == digest_file(raw / "subject_1.csv")


def test_the_digest_follows_data_and_contract_and_not_the_description(raw):
    digest = build_manifest("tiny", entry(), raw).digest
    assert build_manifest("tiny", entry(description="other words"), raw).digest == digest
    assert build_manifest("tiny", entry(classes=["down", "up"]), raw).digest != digest
    file = raw / "subject_1.csv"
    file.write_text(file.read_text().replace("0.1", "0.2"))
    assert build_manifest("tiny", entry(), raw).digest != digest


def test_a_last_line_without_a_newline_counts(raw):
    file = raw / "subject_1.csv"
    file.write_text(file.read_text().rstrip("\n"))
    assert build_manifest("tiny", entry(), raw).num_samples == 480


def _rename_column(raw):
    file = raw / "subject_2.csv"
    file.write_text(file.read_text().replace("ay", "acc_y", 1))


def _cut_rows(raw):
    file = raw / "subject_2.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:101]) + "\n")


RESTORE = "type: git checkout -- data/raw/tiny.dvc && dvc pull data/raw/tiny.dvc"
BACK = "if not: git checkout -- data/raw/tiny.dvc && dvc checkout data/raw/tiny.dvc"
MEANT = f"if the change is intended, correct data/catalog.yaml; {BACK}"
UNIX = "a CR alone does not end a line; save the file with LF or CRLF"
EXPECTED = "subject, recording, ax, ay, az, label"


def rewrite(old, new):
    """Damage that replaces some bytes of a file once."""

    def damage(raw):
        file = raw / "subject_2.csv"
        file.write_bytes(file.read_bytes().replace(old, new, 1))

    return damage


def content(damaged):
    """Damage that replaces a whole file."""
    return lambda raw: (raw / "subject_2.csv").write_bytes(damaged)


def _empty(raw):
    for file in raw.iterdir():
        file.unlink()


def _leave_a_dead_link(raw):
    (raw / "subject_2.csv").unlink()
    (raw / "subject_2.csv").symlink_to("gone")


def _become_a_folder(raw):
    (raw / "subject_2.csv").unlink()
    (raw / "subject_2.csv").mkdir()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            lambda raw: (raw / "subject_2.csv").unlink(),
            f"data/raw/tiny/subject_2.csv: missing, expected a file of 120 rows; {RESTORE}",
        ),
        (
            _rename_column,
            "data/raw/tiny/subject_2.csv, line 1: no column 'ay'; found recording, subject, ax, acc_y, az, label; "
            + MEANT,
        ),
        (
            _cut_rows,
            "data/raw/tiny/subject_2.csv: 100 rows, expected 120 (data/catalog.yaml); " + MEANT,
        ),
        (
            content(b""),
            f"data/raw/tiny/subject_2.csv, line 1: no header, expected the columns {EXPECTED}",
        ),
        (
            lambda raw: (raw / "notes.txt").write_text("hello"),
            "data/raw/tiny/notes.txt: not in data/catalog.yaml; list it under datasets.tiny.files or remove it",
        ),
        (
            content(b"\xff\xfe\n"),
            "data/raw/tiny/subject_2.csv, line 1: byte 1 is not UTF-8; save the file as UTF-8",
        ),
        (
            rewrite(b"ax,", b'"ax",ax,'),
            "data/raw/tiny/subject_2.csv, line 1: a column is there twice: "
            f"recording, subject, ax, ax, ay, az, label; {MEANT}",
        ),
        (
            lambda raw: (raw / "subject_2.csv").write_bytes(
                (raw / "subject_1.csv").read_bytes().replace(b"\n", b"\r")
            ),
            f"data/raw/tiny/subject_2.csv, line 1: {UNIX}",
        ),
        (rewrite(b"ax,", b"\rax,"), f"data/raw/tiny/subject_2.csv, line 1: {UNIX}"),
        (rewrite(b"\n", b"\r\r\n"), f"data/raw/tiny/subject_2.csv, line 1: {UNIX}"),
        (
            rewrite(b"ax,", b'"ax,'),
            "data/raw/tiny/subject_2.csv, line 1: a quote is not closed",
        ),
        (
            rewrite(b"ax,", b'"a"x,'),
            """data/raw/tiny/subject_2.csv, line 1: not CSV: ',' expected after '"'""",
        ),
        (
            rewrite(b"ax,", b"a" * 131_073 + b","),
            "data/raw/tiny/subject_2.csv, line 1: not CSV: field larger than field limit (131072)",
        ),
        (
            content(b"a," * (1 << 20)),
            "data/raw/tiny/subject_2.csv, line 1: longer than 1,048,576 bytes",
        ),
        (
            rewrite(b"ax,", b"a\x1b\xc2\x85" + b"x" * 1000 + b","),
            "data/raw/tiny/subject_2.csv, line 1: no column 'ax'; found "
            f"recording, subject, a��{'x' * 277}…; {MEANT}",
        ),
        (
            _empty,
            "data/raw/tiny/subject_1.csv: missing, expected a file of 120 rows (and 3 more); " + RESTORE,
        ),
        (_leave_a_dead_link, f"data/raw/tiny/subject_2.csv: a link to a file that is gone; {RESTORE}"),
        (_become_a_folder, "data/raw/tiny/subject_2.csv: cannot be read: Is a directory"),
        (
            lambda raw: (raw / os.fsdecode(b"m\xfcller.csv")).write_bytes(b""),
            r"data/raw/tiny: the file name 'm\udcfcller.csv' is not printable UTF-8; rename the file",
        ),
        (
            lambda raw: (raw / "two\nlines.csv").write_bytes(b""),
            r"data/raw/tiny: the file name 'two\nlines.csv' is not printable UTF-8; rename the file",
        ),
        (
            lambda raw: raw.rename("moved"),
            "data/raw/tiny: no such folder; type: dvc pull data/raw/tiny.dvc",
        ),
    ],
)
def test_data_that_breaks_the_contract_is_one_line(raw, damage, expected):
    damage(raw)
    with pytest.raises(UserError) as caught:
        build_manifest("tiny", entry(), raw)
    assert str(caught.value) == expected


def test_a_folder_that_may_not_be_read_is_one_line(raw, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # tests may run as root, whom no mode bit stops
    with pytest.raises(UserError) as caught:
        build_manifest("tiny", entry(), raw)
    assert str(caught.value) == "data/raw/tiny: cannot be read: Permission denied"


def test_of_a_file_without_line_ends_only_the_beginning_is_taken_for_a_header(raw, monkeypatch):
    lengths = []
    monkeypatch.setattr(
        "pipeline.ingest.manifest.check_header", lambda file, line, contract: lengths.append(len(line))
    )
    (raw / "subject_2.csv").write_bytes(b"a," * (1 << 20))
    with pytest.raises(UserError, match=r"subject_2\.csv: 0 rows, expected 120"):
        build_manifest("tiny", entry(), raw)
    assert max(lengths) == MAX_LINE_BYTES + 2


def test_a_header_may_have_a_byte_order_mark_quotes_and_windows_ends(raw):
    header = b'\xef\xbb\xbf"recording","subject",ax,ay,az,label\r\n'
    rewrite(b"recording,subject,ax,ay,az,label\n", header)(raw)
    assert build_manifest("tiny", entry(), raw).num_samples == 480


def test_an_unknown_column_is_named(raw):
    for file in raw.iterdir():
        file.write_text(file.read_text().replace("label\n", "label,note\n", 1))
    with pytest.raises(
        UserError, match=r"subject_1\.csv, line 1: column 'note' is not in data/catalog\.yaml"
    ) as caught:
        build_manifest("tiny", entry(), raw)
    assert str(caught.value).endswith(
        f"which expects {EXPECTED}; if the change is intended, list it under extra; {BACK}"
    )


def test_the_name_of_the_segments_is_not_for_a_column(raw):
    with pytest.raises(UserError, match=r"catalog\.yaml: datasets\.tiny has a column '__line__'.*rename it"):
        build_manifest("tiny", entry(extra=["__line__"]), raw)


def test_without_a_list_of_files_the_total_is_checked(raw):
    (raw / "subject_4.csv").unlink()
    with pytest.raises(UserError) as caught:
        build_manifest("tiny", entry(files=None), raw)
    assert str(caught.value) == (
        "data/raw/tiny: 360 rows in 3 files, expected 480 (data/catalog.yaml: datasets.tiny.num_samples); " + MEANT
    )
    _empty(raw)
    with pytest.raises(UserError, match=rf"^data/raw/tiny: empty, expected CSV files; {RESTORE}$"):
        build_manifest("tiny", entry(files=None), raw)


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        (None, "cannot be read: No such file or directory; type: dvc repro ingest"),
        (b"\xff", "not a manifest (byte 1 is not UTF-8); type: dvc repro --force ingest"),
        (b"{}", "not a manifest (dataset: Field required); type: dvc repro --force ingest"),
        (b"<<<<", "not a manifest (the file: Invalid JSON: expected value at line 1 column 1); type: dvc"),
    ],
)
def test_a_manifest_that_is_none_is_one_line(tmp_path, damaged, expected):
    file = tmp_path / "manifest.json"
    if damaged is not None:
        file.write_bytes(damaged)
    with pytest.raises(UserError) as caught:
        read_manifest(file)
    assert str(caught.value).startswith(f"{file}: {expected}")
    assert len(str(caught.value).splitlines()) == 1
