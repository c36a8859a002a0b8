"""The names inside the tensor cache, which `tensor_cache` writes and `dataset.py` opens."""

CACHE_FILE = "tensors.safetensors"
SPLITS = ("train", "val", "test")
