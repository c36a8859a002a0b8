"""CSV files as other people have them: real tables, recordings in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn import datasets


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def table(name: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A table of scikit-learn as somebody may have it, and the options that `catalog add` needs for it.

    `iris` has an index, `european_wine` decimal commas, semicolons and words for missing values; others are plain.
    """
    frame = getattr(datasets, f"load_{name.removeprefix('european_')}")(as_frame=True)
    values, names = frame.frame.drop(columns="target"), [str(frame.target_names[at]) for at in frame.target]
    path = folder / f"{name}.csv"
    if name != "european_wine":
        values.assign(target=names).to_csv(path, index=name == "iris")
        return path, ()
    random = np.random.default_rng(0)
    values = values.mask(random.random(values.shape) < 0.05)
    german = {"class_0": "Weißburgunder", "class_1": "Müller-Thurgau", "class_2": "Grüner Veltliner"}
    values.insert(0, "Raum", [f"Raum {number % 3}" for number in range(len(values))])
    values = values.assign(Rebsorte=[german[name] for name in names]).sample(frac=1, random_state=1)
    values.to_csv(path, sep=";", decimal=",", encoding="cp1252", index=False, na_rep="k.A.")
    return path, ("--label", "Rebsorte", "--extra", "Raum", "--missing", "k.A.")


def write_recordings(folder: Path, rows: int = 40) -> None:
    """A folder per person, a file per recording, whose name says what the person did."""
    for person in ("p1", "p2", "p3", "p4"):
        for label in ("walk", "run"):
            lines = "".join(f"{number}.25,{number % 5}\n" for number in range(rows))
            write(folder / person / f"{label}_1.csv", "x,z\n" + lines)
