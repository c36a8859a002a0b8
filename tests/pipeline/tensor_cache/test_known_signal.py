"""What the previous signal file has of a part is copied: the same bytes as from nothing, whatever became of the rest."""

import shutil
from pathlib import Path

import pytest
from support.conversion import contents, convert_folder
from support.projects import write_tiny_recordings

from pipeline.tensor_cache import parts, signal, stage
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
        signal, "decode", lambda part, contract: decoded.append(part.raw_file) or real(part, contract)
    )

    def make(change=lambda raw: None, params=PARAMS):
        if not (tmp_path / "cached").exists():
            convert_folder(raw, tmp_path / "processed", **KINDS[request.param])
            build(tmp_path / "processed", tmp_path / "cached", PARAMS)
        change(raw)
        convert_folder(raw, tmp_path / "processed", **KINDS[request.param])
        build(tmp_path / "processed", tmp_path / "from nothing", params)
        decoded.clear()
        files = {name: tmp_path / "cached" / name for name in ("signal.safetensors", "splits.safetensors")}
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


def test_another_fold_decodes_nothing_and_links_the_signal(again):
    folder, decoded = again(params=PARAMS.model_copy(update={"fold": 1, "window": 10}))
    assert decoded == []
    assert (folder / "beside/signal.safetensors").samefile(folder / "cached/signal.safetensors")


def test_of_a_file_that_changed_that_one_alone_is_decoded(again):
    _, decoded = again(replace_a_line)
    assert decoded == ["subject_2.csv"]


def test_a_file_that_is_new_first_or_gone_leaves_the_others(again):
    def change(raw):
        (raw / "subject_3.csv").unlink()
        text = (raw / "subject_1.csv").read_text()
        (raw / "a first one.csv").write_text(text.replace("0.", "1."))

    _, decoded = again(change)
    assert decoded == ["a first one.csv"]


def test_a_signal_that_is_damaged_in_the_cache_is_said_removed_and_made_anew(again, capsys):
    def damage(at):
        def change(raw):
            file = raw.parent / "cached/signal.safetensors"
            content = bytearray(file.read_bytes())
            content[len(content) * at // 100 - 1] ^= 1
            file.write_bytes(content)

        return change

    folder, decoded = again(damage(100))  # the last row of the last part
    assert decoded == ["subject_4.csv"]
    assert not (folder / "cached/signal.safetensors").exists()
    assert capsys.readouterr().err.count("damaged in DVC's cache; removed, and signal.safetensors is made anew") == 1
    shutil.rmtree(folder / "cached")
    _, decoded = again(damage(1))  # the header
    assert len(decoded) == 4
