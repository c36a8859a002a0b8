"""A part that the previous signal has is put in its place: the same bytes as from nothing, whatever became of the rest."""

from pathlib import Path

import pytest
from support.conversion import contents, convert_folder
from support.projects import write_tiny_recordings

from pipeline.tensor_cache import parts, signal_part, stage
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from trackstack.core.previous_output import PreviousOutput

PARAMS = Params(window=20, stride=10, folds=3, fold=0, validation=True)
KINDS = {
    "groups": {},
    "recordings": {"group": None, "extra": ["subject"]},
    "rows": {"group": None, "series": None, "extra": ["subject", "recording"]},
    "amounts": {"features": [{"name": "ax"}], "targets": [{"name": "az"}, {"name": "ay"}], "extra": ["label"]},
}


@pytest.fixture(params=KINDS)
def again(request, tmp_path, monkeypatch):
    """Builds the cache from nothing, and beside the cache of the folder before; returns it and the parts decoded."""
    raw, decoded = tmp_path / "raw", []
    write_tiny_recordings(raw)
    real = parts.decode
    monkeypatch.setattr(
        signal_part, "decode", lambda part, contract: decoded.append(part.raw_file) or real(part, contract)
    )

    def make(change=lambda raw: None, params=PARAMS):
        if not (tmp_path / "cached").exists():
            convert_folder(raw, tmp_path / "processed", **KINDS[request.param])
            build(tmp_path / "processed", tmp_path / "cached", PARAMS)
        change(raw)
        convert_folder(raw, tmp_path / "processed", **KINDS[request.param])
        build(tmp_path / "processed", tmp_path / "from nothing", params)
        decoded.clear()
        files = {name: tmp_path / "cached" / name for name in contents(tmp_path / "cached")}
        with monkeypatch.context() as patch:
            patch.setattr(stage, "previous_output", lambda out: PreviousOutput(files, ("hardlink",)))
            build(tmp_path / "processed", tmp_path / "beside", params)
        assert contents(tmp_path / "beside") == contents(tmp_path / "from nothing")
        return tmp_path, decoded

    return make


def replace_a_line(raw: Path) -> None:
    lines = (raw / "subject_2.csv").read_text().splitlines()
    lines[5] = lines[6]
    (raw / "subject_2.csv").write_text("\n".join(lines) + "\n")


def links(folder: Path) -> set[str]:
    """The raw files of which the part is that of the cache."""
    files = (folder / "beside/signal").iterdir()
    known = {file.name: file for file in (folder / "cached/signal").iterdir()}
    return {
        file.name.partition(".0000")[0] for file in files if file.name in known and file.samefile(known[file.name])
    }


def test_another_fold_decodes_nothing_and_links_the_signal(again):
    folder, decoded = again(params=PARAMS.model_copy(update={"fold": 1, "window": 10}))
    assert decoded == []
    assert len(links(folder)) == 4


def test_of_a_file_that_changed_that_one_alone_is_decoded_and_the_others_take_no_room(again):
    folder, decoded = again(replace_a_line)
    assert decoded == ["subject_2.csv"]
    assert links(folder) == {"subject_1.csv", "subject_3.csv", "subject_4.csv"}


def test_a_file_that_is_new_first_or_gone_leaves_the_others(again):
    def change(raw):
        (raw / "subject_3.csv").unlink()
        text = (raw / "subject_1.csv").read_text()
        (raw / "a first one.csv").write_text(text.replace("0.", "1."))

    _, decoded = again(change)
    assert decoded == ["a first one.csv"]


@pytest.mark.parametrize("at", [1, 50, 100], ids=["header", "rows", "end"])
def test_a_part_that_is_damaged_in_the_cache_is_said_removed_and_made_anew(again, capsys, at):
    def damage(raw):
        file = raw.parent / "cached/signal/subject_4.csv.0000.safetensors"
        content = bytearray(file.read_bytes())
        content[len(content) * at // 100 - 1] ^= 1
        file.write_bytes(content)

    folder, decoded = again(damage)
    assert decoded == ["subject_4.csv"]
    assert not (folder / "cached/signal/subject_4.csv.0000.safetensors").exists()
    said = "damaged in DVC's cache; removed, and signal/subject_4.csv.0000.safetensors is made anew"
    assert capsys.readouterr().err.count(said) == 1
