"""Reads W&B's own `.wandb` files: protobuf records in the framing of a LevelDB log.

A file starts with 7 bytes (":W&B", a magic number, a version). Blocks of 32 KiB hold chunks, each behind a
header of checksum, length and type; a record is one chunk (1), or a first (2), middle ones (3) and a last (4).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
FILE_HEADER = 7
HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_wandb(path: Path) -> Iterator[Any]:
    """The records of a file, in order; one that was cut by a kill is left out."""
    from wandb.proto import wandb_internal_pb2

    for content in _contents(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        yield record


def _contents(data: bytes) -> Iterator[bytes]:
    if data[:4] != b":W&B":
        raise ValueError("not a .wandb file")
    position, parts = FILE_HEADER, []
    while position + HEADER.size <= len(data):
        room = BLOCK - position % BLOCK
        if room < HEADER.size:
            position += room
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        start, position = position + HEADER.size, position + HEADER.size + length
        if kind not in (FULL, FIRST, MIDDLE, LAST):
            raise ValueError(f"chunk of type {kind} at byte {start}")
        if position > len(data):
            return
        parts.append(data[start:position])
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


def history(records: Iterator[Any]) -> list[tuple[int, dict[str, Any]]]:
    """The logged rows with their steps, in order; names and values as W&B keeps them."""
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            values = {_name(item): _value(item) for item in record.history.item}
            rows.append((values.pop("_step"), values))
    return rows


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _value(item: Any) -> Any:
    typed = item.WhichOneof("value") if item.DESCRIPTOR.oneofs else None
    return getattr(item, typed) if typed else json.loads(item.value_json)
