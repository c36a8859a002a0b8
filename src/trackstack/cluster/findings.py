"""What the doctor says of a machine: a finding per line."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the report."""

    what: str
    verdict: str
    """ok, warn or fail."""
    found: str
    todo: str = ""


def finding(what: str, fine: object, found: str, todo: str, otherwise: str = "fail") -> Finding:
    """A finding that is ok, or else a warning or a failure with what to do."""
    return Finding(what, "ok" if fine else otherwise, found, todo)
