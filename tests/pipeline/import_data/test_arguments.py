"""Every option that a message names exists in the commands that may print it."""

import ast
import re

from support.projects import ROOT
from typer.main import get_command

from pipeline.cli import app

FOREIGN = {"--force", "--quiet", "--version", "--headless", "--convert-to", "--porcelain"}  # of git, dvc and others
FOLDERS = {
    "import_data": [("catalog", "add"), ("catalog", "update")],
    "import_data/reading": [("catalog", "add"), ("catalog", "update"), ("predict",)],
    "predict": [("predict",)],
}
ONLY_ADD = {"columns.py", "commands.py", "advice.py", "suitability.py", "plan.py", "arguments.py"}
"""Their words are about columns that `update` takes from the entry."""


def options_of(path):
    command = get_command(app)
    for name in path:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


def named_options(file):
    texts = (node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant))
    return {option for text in texts if isinstance(text, str) for option in re.findall(r"--[a-z][a-z-]+", text)}


def test_every_option_that_a_message_names_exists():
    for folder, commands in FOLDERS.items():
        for file in sorted((ROOT / "src/pipeline" / folder).glob("*.py")):
            named = named_options(file) - FOREIGN
            in_all = named - options_of(commands[0]) if file.name in ONLY_ADD else set()
            if file.name not in ONLY_ADD:
                in_all = {option for option in named for command in commands if option not in options_of(command)}
            assert not in_all, f"{folder}/{file.name} names {sorted(in_all)}"
