"""Regenerate the sample recordings from the PyPI package `seglearn` and prove them equal to the .dvc hashes.

    python data/make_sample.py            # download, write to a temporary folder, compare, report
    python data/make_sample.py --write    # also put the folders under data/raw/

The package is no run-time dependency: pip fetches it into a temporary folder. Its recordings are a NumPy
file that holds a pickled dictionary, so the file's SHA-256 is checked first and the reader admits the four
names that build an array and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import yaml

PACKAGE = "seglearn==1.2.5"
MEMBER = "seglearn/data/watch_dataset.npy"
MEMBER_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
DATASETS = {"sensor_v1": range(1, 6), "sensor_v2": range(1, 11)}  # dataset version -> subjects
HEADER = "recording,subject,side,ax,ay,az,wx,wy,wz,label"
RAW = Path(__file__).resolve().parent / "raw"


class ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and refuses every other name, so that the file cannot run code."""

    def find_class(self, module: str, name: str) -> object:
        """Return an admitted class; ValueError for any other."""
        if (module, name) not in ADMITTED:
            raise ValueError(f"{MEMBER}: refuses to load {module}.{name}")
        return super().find_class(module, name)


def download(folder: Path) -> bytes:
    """Fetch the package with pip and return the bytes of its recordings, verified."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("seglearn-*.whl")
    content = zipfile.ZipFile(wheel).read(MEMBER)
    if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
        raise SystemExit(f"{PACKAGE}: {MEMBER} is not the file that the sample was made from")
    return content


def load_recordings(npy: bytes) -> dict:
    """Read the dictionary of recordings out of the NumPy file."""
    stream = io.BytesIO(npy)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    return ArrayUnpickler(stream, encoding="latin1").load().item()


def subject_csv(recordings: dict, subject: int) -> str:
    """All recordings of one subject as CSV text, in the package's order, six decimals."""
    lines = [HEADER]
    for index in np.flatnonzero(np.asarray(recordings["subject"]) == subject):
        side = int(recordings["side"][index])
        label = recordings["y_labels"][int(recordings["y"][index])]
        for row in recordings["X"][index]:
            values = ",".join(f"{value:.6f}" for value in row)
            lines.append(f"{index},{subject},{side},{values},{label}")
    return "\n".join(lines) + "\n"


def folder_md5(folder: Path) -> str:
    """The hash that DVC gives to a folder: MD5 of its listing, as JSON with sorted names."""
    listing = [
        {"md5": hashlib.md5(file.read_bytes()).hexdigest(), "relpath": file.name} for file in sorted(folder.iterdir())
    ]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def recorded_md5(dataset: str) -> str | None:
    """The hash in the dataset's .dvc file; None when there is none yet."""
    pointer = RAW / f"{dataset}.dvc"
    return yaml.safe_load(pointer.read_text())["outs"][0]["md5"] if pointer.exists() else None


def main() -> None:
    """Regenerate, compare and, when asked, install the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the folders under data/raw/")
    write = parser.parse_args().write
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        recordings = load_recordings(download(Path(temporary)))
        for dataset, subjects in DATASETS.items():
            folder = Path(temporary) / dataset
            folder.mkdir()
            for subject in subjects:
                (folder / f"subject_{subject:02d}.csv").write_text(subject_csv(recordings, subject))
            expected, found = recorded_md5(dataset), folder_md5(folder)
            failed |= expected not in (None, found)
            verdict = "new" if expected is None else "identical" if expected == found else f"NOT {expected}"
            print(f"{dataset}: {len(subjects)} subjects, {found}, {verdict}")
            if write:
                shutil.rmtree(RAW / dataset, ignore_errors=True)
                shutil.copytree(folder, RAW / dataset)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
