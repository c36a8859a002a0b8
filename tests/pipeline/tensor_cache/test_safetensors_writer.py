"""A file that is written piece by piece is to the byte what the library makes of the whole."""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from pipeline.tensor_cache.safetensors_writer import TensorFile, write_tensors
from trackstack.core.digest import canonical_json, digest_arrays, digest_json


def test_the_file_is_what_safetensors_makes_of_the_whole(tmp_path):
    signal = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    whole = {"signal": signal, "label": np.arange(1000), "mean": signal.mean(0), "starts": np.array([], np.int64)}
    whole |= {"sum": signal.sum(0, np.float64), "fold": np.arange(5, dtype=np.uint8)}
    given = {"classes": ["ä", "b"], "window": 3}
    shapes = {"signal": ("F32", (1000, 3)), "label": ("I64", (1000,)), "mean": ("F32", (3,)), "starts": ("I64", (0,))}
    shapes |= {"sum": ("F64", (3,)), "fold": ("U8", (5,))}
    file = tmp_path / "tensors.safetensors"
    with TensorFile(file, shapes, given) as opened:
        opened.write("signal", signal[17:], 17)
        for name in ("label", "mean", "starts", "sum", "fold"):
            opened.write(name, whole[name])
        opened.write("signal", signal[:17])
        opened.finish(given)
    assert file.read_bytes() == save(whole, {"trackstack": canonical_json(given)})


def test_the_digest_is_of_metadata_and_tensors(tmp_path):
    given, tensors = {"window": 3}, {"mean": np.ones(3, np.float32), "fold": np.zeros(2, np.uint8)}
    file = tmp_path / "tensors.safetensors"
    write_tensors(file, tensors, given)
    with safe_open(file, framework="np") as opened:
        metadata = json.loads(opened.metadata()["trackstack"])
    assert metadata == given | {"digest": digest_json([given, digest_arrays(tensors)])}
    assert file.read_bytes() == save(tensors, {"trackstack": canonical_json(metadata)})
