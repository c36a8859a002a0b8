"""A large file is cut at fixed bytes into pieces of whole lines; what is appended leaves the earlier ones as they are."""

import numpy as np
import pytest
import xxhash
from support.conversion import entry, write_bytes

from pipeline.ingest import pieces
from pipeline.ingest.manifest import build_manifest

HEADER = b"recording,subject,ax,ay,az,label\n"


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("size", [7, 64, 100, 1000])
def test_a_piece_has_the_lines_that_begin_in_its_stretch_of_the_file(tmp_path, monkeypatch, size, end):
    monkeypatch.setattr(pieces, "PART_BYTES", size)
    lengths = np.random.default_rng(size).integers(0, 90, 40).tolist()
    content = HEADER + b"\n".join(b"1" * length for length in lengths) + end
    raw = write_bytes(tmp_path / "raw", content)
    (file,) = build_manifest("tiny", entry(content.count(b"\n") - (end == b"\n")), raw).files
    begins = [piece.begin for piece in file.pieces]
    lines = [0, *(place + 1 for place, letter in enumerate(content[:-1]) if letter == ord("\n"))]
    expected = {begin // size: begin for begin in reversed(lines)}
    assert begins == sorted(expected.values())
    assert [piece.first_line for piece in file.pieces] == [lines.index(begin) + 1 for begin in begins]
    for piece, stop in zip(file.pieces, [*begins[1:], len(content)], strict=True):
        assert piece.xxh3 == xxhash.xxh3_128(content[piece.begin : stop]).hexdigest()


def test_what_is_appended_to_a_file_leaves_its_earlier_pieces_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PART_BYTES", 100)
    raw = write_bytes(tmp_path / "raw", HEADER + b"1,1,1,1,1,up\n" * 20)
    (before,) = build_manifest("tiny", entry(20), raw).files
    write_bytes(raw, HEADER + b"1,1,1,1,1,up\n" * 40)
    (after,) = build_manifest("tiny", entry(40), raw).files
    assert after.pieces[: len(before.pieces) - 1] == before.pieces[:-1]


def test_a_file_that_is_compressed_or_short_is_one_piece_and_its_entry_is_as_it_was(tmp_path, monkeypatch):
    raw = write_bytes(tmp_path / "raw", HEADER + b"1,1,1,1,1,up\n")
    (file,) = build_manifest("tiny", entry(1), raw).files
    assert "pieces" not in file.model_dump()
    monkeypatch.setattr(pieces, "PART_BYTES", 1)
    assert not pieces.is_cut(write_bytes(raw, b"", "b.csv.gz") / "b.csv.gz")
