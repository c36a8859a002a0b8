"""A damaged cache is refused before it is trained on, whichever of its bytes it is."""

import shutil

import numpy as np
import pytest
from support.conversion import convert_folder
from support.damage import FLIPS, damage
from support.projects import write_tiny_recordings

from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from pipeline.windows.cache_files import map_tensors, part_files, refuse_damage
from pipeline.windows.dataset import open_cache
from trackstack import UserError

TARGETS = {"features": [{"name": "ax"}], "targets": [{"name": "az"}, {"name": "ay"}], "extra": ["label"]}


@pytest.fixture(scope="module", params=[{}, TARGETS], ids=["classes", "amounts"])
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_tiny_recordings(folder / "raw")
    convert_folder(folder / "raw", folder / "processed", **request.param)
    build(folder / "processed", folder / "cache", Params(window=20, stride=10, folds=4, fold=0, validation=True))
    return folder / "cache"


@pytest.mark.parametrize("how", [*FLIPS, "cut", "empty"])
@pytest.mark.parametrize(
    "name", ["signal/subject_2.csv.0000.safetensors", "segments.safetensors", "splits.safetensors"]
)
def test_a_flipped_bit_of_the_cache_is_seen_before_it_is_trained_on(whole, tmp_path, name, how):
    folder = tmp_path / "cache"
    shutil.copytree(whole, folder)
    refuse_damage(folder)
    damage(folder / name, how)
    with pytest.raises(
        UserError, match=rf"^{folder / name}: .*; type: trackstack repair .* && dvc repro --force tensor_cache$"
    ):
        refuse_damage(folder)


def test_mapped_tensors_are_those_that_torch_opens(whole):
    metadata, segments = map_tensors(whole / "segments.safetensors")
    cache = open_cache(whole)
    assert metadata["digest"] == cache.metadata["signal"]
    for name in ("segment_edges", "segment_groups"):
        assert (segments[name] == getattr(cache, name).numpy()).all()
    parts = [map_tensors(path)[1] for path in part_files(whole)]
    for name in ("signal", "label"):
        assert (np.concatenate([part[name] for part in parts]) == getattr(cache, name).to("cpu").numpy()).all()


def test_a_part_that_is_not_there_or_is_of_other_data_is_one_line(whole, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(whole, folder)
    first, second, *_ = part_files(folder)
    first.unlink()
    for refuse in (refuse_damage, open_cache):
        with pytest.raises(UserError, match=rf"^{first}: .*; type: .*dvc repro "):
            refuse(folder)
    shutil.copyfile(second, first)
    for refuse in (refuse_damage, open_cache):
        with pytest.raises(UserError, match=rf"^{first}: .*; type: .*dvc repro "):
            refuse(folder)
