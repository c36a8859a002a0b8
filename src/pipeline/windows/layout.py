"""The names inside the tensor cache, which `tensor_cache` writes and `dataset.py` opens."""

SIGNAL_FOLDER = "signal"
"""The data as it was measured, a file for each part: the same for every fold, window and stride."""
SEGMENTS_FILE = "segments.safetensors"
"""Which files those are, in their order, and the stretches of their rows that a window may lie in."""
SPLITS_FILE = "splits.safetensors"
"""What a split of it into windows needs beside it."""
SPLITS = ("train", "val", "test")
