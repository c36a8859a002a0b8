"""Secrets reach no record, no message and no log; what is no secret stays as it is."""

import pytest

from trackstack import UserError, describe_error
from trackstack.system.redaction import redact, redact_uris, without_password


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:secret@host:5432/db",
        "could not reach mysql+pymysql://user:sec:ret@host, 3 times",
        "postgres://user:sec@ret@host/db",
        "https://user:secret@example.org/a.git",
        "fatal: unable to access 'https://secret@example.org/a.git/': no such host",
        "https://example.org/get?id=3&access_token=secret&x=1",
        "s3://bucket/x?X-Amz-Signature=secret",
        "DefaultEndpointsProtocol=https;AccountKey=secret;EndpointSuffix=x",
        "HTTPS://:secret@example.org",
        "sqlite:///a.db and redis://:secret@host/0",
    ],
)
def test_a_secret_in_an_address_goes_and_the_rest_stays(text):
    shown = redact_uris(text)
    assert "[redacted]" in shown
    assert not [part for part in ("sec:", "sec@", "ret@") if part in shown]
    assert "secret" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/me/mlflow.db",
        "http://127.0.0.1:5000/a@b",
        "ssh://git@example.org/a.git",
        "git@example.org:a/b.git",
        "file:///a;b/c#d%20e",
        "key=5, token = 7",
        "https://example.org/a?seed=3&keys=4",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_uris(text) == text


def test_parameters_and_messages_are_cleaned_in_one_place(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    params = {
        "db": {"url": "postgres://user:pass@host/db"},
        "files": ["https://u:t@h/x"],
        "note": "0123456789",
        "lr": 1,
    }
    shown = str(redact(params))
    assert all(secret not in shown for secret in ("user", "pass", "u:t", "0123456789"))
    assert redact(params)["lr"] == 1
    assert describe_error(UserError("git push https://me:token@host/x: 0123456789")) == (
        "git push https://[redacted]@host/x: [redacted]"
    )
    assert without_password("https://me:token@host/x") == "https://host/x"
