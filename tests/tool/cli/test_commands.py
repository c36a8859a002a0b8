"""The command line itself: its groups, completion, and a project whose own commands cannot be loaded."""

import pytest
from typer.testing import CliRunner

from trackstack.cli import PANELS, PROJECT_PANEL, app


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **variables: CliRunner(env=variables).invoke(app, arguments, prog_name="trackstack")


def test_help_groups_the_commands_and_in_a_repository_without_own_ones_is_silent_of_them(invoke):
    text = invoke("--help").output
    assert all(panel in text for panel in PANELS)
    assert PROJECT_PANEL not in text
    assert all(f" {name} " in text for name in ("runs", "sweep", "submit", "init", "doctor", "ui"))


def test_own_commands_stand_in_help_and_can_be_called(invoke, tmp_path):
    (tmp_path / "own_commands.py").write_text(
        "import typer\napp = typer.Typer()\n"
        "@app.command()\ndef greet() -> None:\n    '''Say hello.'''\n    print('hello')\n"
        "@app.command()\ndef part() -> None:\n    '''Say goodbye.'''\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.trackstack]\ncommands = "own_commands:app"\n')
    text = invoke("--help").output
    assert "Say hello." in text[text.index(PROJECT_PANEL) :]
    assert invoke("greet").output == "hello\n"
    complete = {"_TRACKSTACK_COMPLETE": "complete_bash", "COMP_WORDS": "trackstack gr", "COMP_CWORD": "1"}
    assert invoke(**complete).output.split() == ["greet"]


def test_own_commands_that_cannot_be_loaded_are_a_line_and_the_tool_works(invoke, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.trackstack]\ncommands = "no_such_module:app"\n')
    done = invoke("--help")
    assert (done.exit_code, "doctor" in done.stdout) == (0, True)
    assert done.stderr.startswith("pyproject.toml: tool.trackstack.commands is 'no_such_module:app'")
    assert len(done.stderr.splitlines()) == 1
    assert invoke("runs", "list").exit_code == 0
    done = invoke("greet")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_runs_list_shows_the_metrics_that_runs_have(invoke, tmp_path):
    import trackstack

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKSTACK_SINKS", "")
        with trackstack.start_run("linear", {"alpha": 0.1}) as run:
            run.log({"loss": 0.5, "score": 0.25}, step=0)
    header, row = invoke("runs", "list").output.splitlines()
    assert header.split()[-2:] == ["loss", "score"]
    assert row.split()[-2:] == ["0.5", "0.25"]
    header, _ = invoke("runs", "list", "--columns", "score").output.splitlines()
    assert header.split()[-2:] == ["run", "score"]
