"""The parameters of a run, as tables show them."""

from __future__ import annotations

from typing import Any


def flatten(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted names, `{"train.lr": 0.1}`; a group without any stays as it is."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        is_group = isinstance(value, dict) and value
        flat |= flatten(value, f"{prefix}{name}.") if is_group else {f"{prefix}{name}": value}
    return flat
