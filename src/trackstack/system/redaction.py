"""What must reach no record, no message and no log: the one place that knows what a secret looks like."""

from __future__ import annotations

import os
import re
import sys
from typing import Any
from urllib.parse import urlsplit, urlunsplit

REDACTED = "[redacted]"
SECRET_NAME = re.compile(r"(^|[-_])(api)?(key|token|secret|password|passwd|credentials?|auth)([-_]|$)", re.IGNORECASE)
USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s/?#@:'\"<>]*:[^\s/'\"<>]*(?=@)")
"""In a URI of any scheme, a password that has an `@` of its own included."""
WEB_USER = re.compile(r"(?<=\bhttp://)[^\s/?#'\"<>]+(?=@)|(?<=\bhttps://)[^\s/?#'\"<>]+(?=@)", re.IGNORECASE)
"""Of a web address the user alone, too: `https://TOKEN@host` is how many sites take a token."""
FIELD = re.compile(
    r"([?&;](?:[\w.-]*[-_.])?(?:(?:api|access|account)?[-_]?key|token|secret|password|passwd|pwd|credentials?|auth|sig"
    r"(?:nature)?)=)[^&;#\s'\"]+",
    re.IGNORECASE,
)
"""In a query (`?password=x&token=y`) or a connection string (`AccountKey=x;`)."""


def redact(value: Any) -> Any:
    """The value, with all that it holds, without passwords in URIs and the values of secret variables.

    A variable counts as secret when its name looks like a key, a token or a password; so does a command-line
    flag of such a name (`--api-key X`, `--api-key=X`).
    """
    secrets = [v for name, v in os.environ.items() if SECRET_NAME.search(name) and len(v) >= 8] + _secret_arguments()
    return _without(value, sorted(secrets, key=len, reverse=True))


def redact_uris(text: str) -> str:
    """A text without the passwords of the URIs in it."""
    if "://" not in text and ";" not in text:
        return text
    for pattern in (USER_AND_PASSWORD, WEB_USER):
        text = pattern.sub(REDACTED, text)
    return FIELD.sub(lambda match: match[1] + REDACTED, text)


def without_password(uri: str) -> str:
    """A URI that works as far as it does without them: user name and password left out."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def _secret_arguments() -> list[str]:
    secrets = []
    for flag, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, value = flag.partition("=")
        if name.startswith("-") and SECRET_NAME.search(name):
            secrets.append(value or following)
    return [value for value in secrets if value]


def _without(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            _without(key, secrets): REDACTED
            if SECRET_NAME.search(str(key)) and isinstance(item, str)
            else _without(item, secrets)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
        return redact_uris(value)
    return value
