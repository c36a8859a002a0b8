"""Random damage to CSV, catalog, params and journal files: every one is read, or refused in words; none hangs.

    python benchmarks/fuzz.py [--inputs 100000] [--seed 0]

A damaged file may still be a good one. What must not happen is a traceback, a hang, a message that does not name the
file, an output that is there after a refusal, or a row that is neither accepted nor rejected. An input that hangs
ends it with the stacks of all threads, and is left in the folder $TMPDIR/fuzz-*.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import faulthandler
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from pipeline.check.everything import check_params
from pipeline.contract.catalog import Dataset, load_catalog
from pipeline.contract.settings import USUAL_SETTINGS
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.params import Params
from pipeline.parquet.stage import convert
from trackstack import UserError
from trackstack.core.params import Parameters
from trackstack.tracking.journal import read_records

SECONDS = 20
CONTRACT = {
    "path": "data/raw/x",
    "description": "fuzzed",
    "features": [{"name": "ax", "range": [-5, 5]}, {"name": "ay", "missing": "mean"}],
    "label": "label",
    "classes": ["up", "down"],
    "group": "subject",
    "series": "recording",
    "time": "t",
    "extra": ["side"],
    "settings": USUAL_SETTINGS,
}
LINES = [f"{n // 4},1,{n},0.{n},{n}.5,{'left' if n % 2 else 'right'},{'up' if n % 3 else 'down'}" for n in range(12)]
CSV = "\n".join(["recording,subject,t,ax,ay,side,label", *LINES]).encode() + b"\n"
CATALOG = b"datasets:\n  tiny:\n" + b"".join(
    f"    {key}: {json.dumps(value)}\n".encode()
    for key, value in {**CONTRACT, "path": "data/raw/tiny", "num_samples": 12}.items()
)
JOURNAL = b"".join(
    json.dumps(record).encode() + b"\n"
    for record in (
        {"type": "start", "time": 1.5, "run": "r1", "attempt": 1, "params": {"lr": 0.1}, "tags": {}},
        {"type": "metrics", "time": 2.5, "step": 1, "values": {"loss": 0.5}},
        {"type": "end", "time": 3.5, "status": "finished"},
    )
)
PIECES = [
    *(b"\n", b"\r", b"\r\n", b",", b'"', b'""', b"'", b"\x00", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"nan", b"-inf"),
    *(b"1e999", b"-0", b"0x1", b"9" * 30, b" ", b"\t", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a", b"*a", b"!!x"),
    *(b"#", b"|", b"null", b"true", b"1e-3", b"left", b"up", b"\x1b[31m", "é\u2028".encode(), b"x" * 200, b"\n\n\n"),
    *(b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"2026-01-01", b"..", b"/", b"__line__", b"<<: ", b"!!python/object:os.x"),
]


def damaged(content: bytes, source: random.Random) -> bytes:
    """A few random changes: pieces put in, cut out, doubled, moved, or single bytes changed."""
    for _ in range(source.choice((1, 1, 1, 2, 3, 6))):
        begin, length = source.randrange(len(content) + 1), source.choice((1, 1, 3, 10, 60))
        end = begin + length
        kind = source.randrange(6)
        if kind == 0:
            content = content[:begin] + source.choice(PIECES) + content[begin:]
        elif kind == 1:
            content = content[:begin] + source.choice(PIECES) + content[end:]
        elif kind == 2:
            content = content[:begin] + content[end:]
        elif kind == 3:
            content = content[:end] + content[begin:end] * source.choice((1, 2, 20)) + content[end:]
        elif kind == 4:
            content = content[:begin] + bytes(source.randrange(256) for _ in range(length)) + content[end:]
        else:
            lines = content.split(b"\n")
            lines.insert(source.randrange(len(lines)), lines.pop(source.randrange(len(lines))))
            content = b"\n".join(lines)
    return content


def read_csv(content: bytes, folder: Path) -> None:
    """`ingest` and `parquet` on one file: accepted and rejected rows are all, in order."""
    raw, out = folder / "raw", folder / "out"
    raw.mkdir(exist_ok=True)
    (raw / "a.csv").write_bytes(content)
    shutil.rmtree(out, ignore_errors=True)
    rows = content.count(b"\n") - content.endswith(b"\n")
    dataset = Dataset.model_validate(CONTRACT | {"num_samples": max(rows, 1)})
    manifest = build_manifest("x", dataset, raw)
    try:
        convert(manifest, raw, out, Params(compression="none", max_rejected=10**6))
    except UserError:
        assert not out.exists() or [file.name for file in out.iterdir()] == ["rejected.csv"], "half an output"
        raise
    counts = json.loads((out / "profile.json").read_text())["rows"]
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as report:
        lines = [int(row["line"]) for row in csv.DictReader(report)]
    assert counts == {"read": rows, "accepted": rows - len(lines), "rejected": len(lines)}, counts
    assert lines == sorted(set(lines)), "lines out of order"


def read_catalog(content: bytes, folder: Path) -> None:
    """`trackstack check` begins so."""
    (folder / "catalog.yaml").write_bytes(content)
    load_catalog(folder / "catalog.yaml")


def read_params(content: bytes, folder: Path) -> None:
    """Every stage and every command begin so."""
    (folder / "params.yaml").write_bytes(content)
    params = Parameters.load(folder / "params.yaml")
    with contextlib.chdir(ROOT):  # where the catalog is that `dataset` names an entry of
        check_params(params.values)


def read_journal(content: bytes, folder: Path) -> None:
    """Every sync begins so."""
    (folder / "journal-1.jsonl").write_bytes(content)
    for _ in read_records(folder / "journal-1.jsonl"):
        pass


KINDS: dict[str, tuple[bytes, Callable[[bytes, Path], None]]] = {
    "CSV": (CSV, read_csv),
    "catalog": (CATALOG, read_catalog),
    "params": ((ROOT / "params.yaml").read_bytes(), read_params),
    "journal": (JOURNAL, read_journal),
}


def main() -> None:
    """Damage, read, count; the first input that goes wrong is kept and ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source, found, began = random.Random(options.seed), Counter(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        for number in range(options.inputs):
            kind = source.choices(list(KINDS), (3, 2, 2, 3))[0]
            good, read = KINDS[kind]
            content = damaged(good, source)
            # An exception would be taken for an error of the file, and would not reach a thread or C code.
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                read(content, Path(name))
                found[f"{kind} read"] += 1
            except UserError as error:
                found[f"{kind} refused"] += 1
                if all(isinstance(part, str) and name not in part and ".yaml" not in part for part in error.args):
                    sys.exit(f"input {number} of seed {options.seed}: {kind}: no file is named: {error}")
            except Exception:
                kept = Path(f"fuzz-{options.seed}-{number}.{kind}")
                kept.write_bytes(content)
                print(f"input {number} of seed {options.seed}: {kind}, kept as {kept}", file=sys.stderr)
                raise
            finally:
                faulthandler.cancel_dump_traceback_later()
    for what, count in sorted(found.items()):
        print(f"{what:16s} {count:7,}")
    print(f"{options.inputs:,} inputs, {time.monotonic() - began:.0f} s, no traceback, no hang")


if __name__ == "__main__":
    main()
