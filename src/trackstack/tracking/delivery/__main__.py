"""A deliverer: `python -m trackstack.tracking.delivery HOME PLACE IMPORT_FOLDERS...`. A second one ends at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trackstack.system.locks import wait_for_lock
from trackstack.tracking.delivery.place import Place

PATIENCE = 1.0
"""Whoever asks whether there is a deliverer holds the lock for a moment."""


def main() -> None:
    """Take the lock, and only then import what takes long."""
    place = Place(Path(sys.argv[1]), Path(sys.argv[2]))
    if wait_for_lock(place.lock, PATIENCE):
        sys.path += sys.argv[3:]
        place.note.write_text(json.dumps({"pid": os.getpid()}))
        from trackstack.tracking.delivery.deliverer import serve

        serve(place)


if __name__ == "__main__":
    main()
