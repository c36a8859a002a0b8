"""MLflow's address: made for a folder of any name, kept without its password, and used with it."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from urllib.parse import unquote

from trackstack import UserError
from trackstack.system.redaction import redact, redact_uris, without_password

CONNECT_SECONDS = 10
"""How long a database may take to let somebody in."""


def mlflow_uri(home: Path) -> str:
    """MLFLOW_TRACKING_URI, or the database at home; absolute, and without a password.

    MLflow reads that from its own MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(home / "mlflow.db")
    relative = re.fullmatch(r"sqlite:///([^/].*)", uri)
    return f"{sqlite_uri(Path.cwd())}/{relative[1]}" if relative else without_password(uri)


def with_password(uri: str) -> str:
    """MLflow's address in a record, which has no password, as this process was given it.

    It belongs into a child's environment, never on a command line, which every user of the machine may read.
    """
    own = os.environ.get("MLFLOW_TRACKING_URI", "")
    return own if own and redact(without_password(own)) == redact(uri) else uri


def sqlite_uri(path: Path) -> str:
    """The URI of a SQLite file; SQLAlchemy decodes `%25` in it, and would end the name at a question mark."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite URI, however it is spelled; None for any other."""
    scheme, _, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    return Path(unquote(name)).resolve() if scheme.partition("+")[0] == "sqlite" and name else None


def database_to_open(uri: str) -> Path | None:
    """`database_file`; UserError where MLflow could not open it."""
    file = database_file(uri)
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{file}: MLflow opens no database in a folder whose name is not UTF-8; rename it, or name another "
            "database in MLFLOW_TRACKING_URI"
        ) from None
    return file


def refuse_closed_database(uri: str) -> None:
    """UserError where a database's server does not let us in: MLflow would try again and again, for minutes."""
    if database_file(uri) is not None:
        return
    reasons = [f"no answer for {CONNECT_SECONDS} s"]
    # Each driver has a time limit of its own, and none for a server that takes the call and says nothing.
    caller = threading.Thread(target=_connect, args=(uri, reasons), daemon=True)
    caller.start()
    caller.join(CONNECT_SECONDS)
    if reasons:
        raise UserError(f"{without_password(uri)}: {reasons[-1]}; see MLFLOW_TRACKING_URI")


def _connect(uri: str, reasons: list[str]) -> None:
    """Add why it fails to the reasons, or empty them."""
    import sqlalchemy  # MLflow's

    try:
        with sqlalchemy.create_engine(uri).connect():
            reasons.clear()
    except Exception as error:  # SQLAlchemy's own, and those of every driver
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        reasons.append(redact_uris(reason)[:300])
