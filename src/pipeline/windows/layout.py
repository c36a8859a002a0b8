"""The names inside the tensor cache, which `tensor_cache` writes and `dataset.py` opens."""

SIGNAL_FILE = "signal.safetensors"
"""The data as it was measured, with its segments: the same for every fold, window and stride."""
SPLITS_FILE = "splits.safetensors"
"""What a split of it into windows needs beside it."""
SPLITS = ("train", "val", "test")
