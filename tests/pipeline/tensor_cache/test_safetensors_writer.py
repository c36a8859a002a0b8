"""A file that is written piece by piece is to the byte what the library makes of the whole."""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from pipeline.tensor_cache.safetensors_writer import Tensor, write_tensors
from trackstack.core.digest import canonical_json, digest_arrays, digest_json


def test_the_file_is_what_safetensors_makes_of_the_whole(tmp_path):
    signal = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    whole = {"signal": signal, "label": np.arange(1000), "mean": signal.mean(0), "starts": np.array([], np.int64)}
    tensors = {name: Tensor.of(array) for name, array in whole.items()}
    tensors["signal"] = Tensor("F32", (1000, 3), iter([signal[:17], signal[17:]]))
    given = {"classes": ["ä", "b"], "window": 3}
    file = tmp_path / "tensors.safetensors"
    write_tensors(file, tensors, given)
    with safe_open(file, framework="np") as opened:
        metadata = json.loads(opened.metadata()["trackstack"])
    assert save(whole, {"trackstack": canonical_json(metadata)}) == file.read_bytes()
    assert metadata == given | {"digest": digest_json([given, digest_arrays(whole)])}
