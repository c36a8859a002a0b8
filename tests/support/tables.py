"""CSV files as other people have them: real tables, recordings in folders."""

from __future__ import annotations

import zipfile
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


FORMATS = "http://schemas.openxmlformats.org"
MAIN, OFFICE = f"{FORMATS}/spreadsheetml/2006/main", f"{FORMATS}/officeDocument/2006/relationships"


def write_workbook(path: Path, **sheets: list[list]) -> None:
    """An Excel workbook: rows of texts and numbers by the names of its sheets."""
    names = "".join(f'<sheet name="{name}" sheetId="{at}" r:id="r{at}"/>' for at, name in enumerate(sheets, 1))
    places = {f"worksheets/sheet{at}.xml": "worksheet" for at in range(1, len(sheets) + 1)}
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{FORMATS}/package/2006/content-types"/>',
        "_rels/.rels": _relations({"xl/workbook.xml": "officeDocument"}),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(places),
    }
    for place, rows in zip(places, sheets.values(), strict=True):
        lines = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        parts[f"xl/{place}"] = f'<worksheet xmlns="{MAIN}"><sheetData>{lines}</sheetData></worksheet>'
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


def _relations(places: dict[str, str]) -> str:
    entries = "".join(
        f'<Relationship Id="r{at}" Type="{OFFICE}/{kind}" Target="{place}"/>'
        for at, (place, kind) in enumerate(places.items(), 1)
    )
    return f'<Relationships xmlns="{FORMATS}/package/2006/relationships">{entries}</Relationships>'


def _cell(value: str | float) -> str:
    return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if isinstance(value, str) else f"<c><v>{value}</v></c>"
