"""An archive is verified file by file, and refused by name where a byte of it is another."""

import contextlib
import hashlib
import stat
import zipfile

import pytest

from trackstack import UserError
from trackstack.archive.manifest import MANIFEST, unpack_archive, verify_archive, write_archive


@pytest.fixture
def archive(tmp_path):
    """One with a program, a large file from the disk and a name that is not ASCII."""
    (tmp_path / "weights").write_bytes(bytes(range(256)) * 5000)
    files = {"run.sh": b"echo\n", "model/weights": tmp_path / "weights", "größe.txt": "é\n".encode()}
    write_archive(tmp_path / "run.zip", files, {"run.sh"})
    return tmp_path / "run.zip"


def rewritten(archive, change):
    """The archive packed anew, after a change of its contents by name."""
    with zipfile.ZipFile(archive) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    change(contents)
    target = archive.with_name("other.zip")
    with zipfile.ZipFile(target, "w") as new:
        for name, content in contents.items():
            new.writestr(name, content)
    return target


def line_for(archive):
    with pytest.raises(UserError) as refused:
        verify_archive(archive)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_same_files_give_the_same_bytes_and_come_out_as_they_went_in(archive, tmp_path):
    assert verify_archive(archive) == ["größe.txt", "model/weights", "run.sh"]
    unpack_archive(archive, tmp_path / "out")
    assert (tmp_path / "out/model/weights").read_bytes() == (tmp_path / "weights").read_bytes()
    assert (tmp_path / "out/run.sh").stat().st_mode & stat.S_IXUSR
    before = archive.read_bytes()
    files = {"run.sh": b"echo\n", "größe.txt": "é\n".encode(), "model/weights": tmp_path / "weights"}
    write_archive(archive, files, ["run.sh"])
    assert archive.read_bytes() == before


def test_one_byte_changed_in_each_file_in_turn_is_refused_with_its_name(archive):
    with zipfile.ZipFile(archive) as old:
        names = old.namelist()
    for name in names:

        def flip(contents, name=name):
            middle = len(contents[name]) // 2
            contents[name] = (
                contents[name][:middle] + bytes([contents[name][middle] ^ 1]) + contents[name][middle + 1 :]
            )

        assert name in line_for(rewritten(archive, flip))


def test_a_byte_flipped_in_the_file_itself_is_refused(archive):
    data = archive.read_bytes()
    for place in range(0, len(data), len(data) // 40):
        damaged = archive.with_name("damaged.zip")
        damaged.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert "damaged.zip" in line_for(damaged)


def test_whatever_byte_of_the_names_and_modes_is_another_it_ends_in_a_line(tmp_path):
    write_archive(tmp_path / "small.zip", {"run.sh": b"echo\n", "größe.txt": b"x"}, {"run.sh"})
    data, modes = (tmp_path / "small.zip").read_bytes(), []
    for place in range(len(data)):
        (tmp_path / "flipped.zip").write_bytes(data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :])
        with contextlib.suppress(UserError):
            verify_archive(tmp_path / "flipped.zip")
            with zipfile.ZipFile(tmp_path / "flipped.zip") as archive:
                modes += [bool(info.external_attr >> 16 & stat.S_IXUSR) for info in archive.infolist()]
    assert modes.count(True) == len(modes) / 3


def test_a_program_that_is_none_any_more_is_named(archive):
    assert "run.sh is not what its manifest says" in line_for(rewritten(archive, lambda contents: None))


@pytest.mark.parametrize("line", [b"abc\n", b"\xff  a\n"])
def test_a_manifest_of_somebody_else_s_is_one_line(tmp_path, line):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a", "")
        other.writestr(MANIFEST, line + f"{hashlib.sha256(line).hexdigest()}  {MANIFEST}\n".encode())
    assert "line 1 is no digest with a name" in line_for(tmp_path / "other.zip")


def test_an_archive_that_was_cut_short_or_is_something_else_or_is_not_there(archive, tmp_path):
    for size in (0, 100, archive.stat().st_size // 2, archive.stat().st_size - 1):
        (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:size])
        assert "no whole archive" in line_for(tmp_path / "cut.zip")
    assert "no such file" in line_for(tmp_path / "nothing.zip")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil", "C:/evil", "./evil", "e//vil", "ev\nil", ".", "evil/"]
)
def test_a_name_that_leads_elsewhere_is_refused(archive, name):
    def add(contents):
        contents[name] = b"x"

    assert "is no name of a file in an archive" in line_for(rewritten(archive, add))


def test_bytes_before_or_behind_it_are_refused(archive, tmp_path):
    content = archive.read_bytes()
    for more in (content + b"more", b"more" + content):
        (tmp_path / "more.zip").write_bytes(more)
        assert "bytes before or behind it" in line_for(tmp_path / "more.zip")


def test_a_file_too_much_or_one_that_is_missing_is_named(archive):
    assert "extra.txt is in no line" in line_for(
        rewritten(archive, lambda contents: contents.update({"extra.txt": b""}))
    )
    assert "run.sh is missing" in line_for(rewritten(archive, lambda contents: contents.pop("run.sh")))
    assert f"has no {MANIFEST}" in line_for(rewritten(archive, lambda contents: contents.pop(MANIFEST)))


def test_the_manifest_is_what_sha256sum_reads(archive, tmp_path):
    unpack_archive(archive, tmp_path / "out")
    *lines, last = (tmp_path / "out" / MANIFEST).read_text().splitlines()
    assert [line[64:] for line in lines] == ["  größe.txt", "  model/weights", " *run.sh"]
    for digest, name in ((line[:64], line[66:]) for line in lines):
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert last.endswith(f"  {MANIFEST}")


def test_where_it_cannot_be_written_whole_nothing_is_left(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "half.zip", {"a": b"1", "b": tmp_path / "is not there"})
    assert not list(tmp_path.glob("*half*"))
