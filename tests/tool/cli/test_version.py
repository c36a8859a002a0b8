"""`trackstack --version` says which version is installed."""

from importlib.metadata import version

from typer.testing import CliRunner

from trackstack.cli import app


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"trackstack {version('trackstack')}\n")
