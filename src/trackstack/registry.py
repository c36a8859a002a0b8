"""Choices that are files: `train.model: cnn` is `models/cnn.py`, and likewise for losses and metrics.

A file of such a package holds `Params`, its typed section of `params.yaml`, and what the package asks for. There is
no list to extend, so that a new file makes nothing stale that does not use it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from trackstack import UserError
from trackstack.params import PARAMS_FILE, Section, validate


class Registry:
    """The files of one package.

    Args:
        package: such as `trackstack.models`; its last part is the section of `params.yaml`.
        choice: the parameter that names one of them, such as `train.model`.
    """

    def __init__(self, package: str, choice: str):
        self.package, self.choice = package, choice
        self.section = package.rpartition(".")[2]

    def names(self) -> list[str]:
        """What there is to choose from."""
        return sorted(file.stem for file in (Path(__file__).parent / self.section).glob("[!_]*.py"))

    def refuse_unknown(self, name: str) -> None:
        """UserError for a name that is no file of the package."""
        if name not in self.names():
            raise UserError(
                f"{PARAMS_FILE}: {self.choice} is {name!r}; expected one of {', '.join(self.names())} "
                f"(each is a file in src/trackstack/{self.section})"
            )

    def module(self, name: str) -> ModuleType:
        """The file of a name, imported."""
        self.refuse_unknown(name)
        return importlib.import_module(f"{self.package}.{name}")

    def params(self, name: str, sections: dict[str, dict[str, Any]]) -> Section:
        """The validated parameters of a choice out of its package's section; UserError names what is wrong."""
        module = self.module(name)
        if name not in sections:
            raise UserError(f"{PARAMS_FILE}: {self.section}.{name} is missing, the parameters of {self.choice}")
        return validate(module.Params, sections[name], PARAMS_FILE, prefix=f"{self.section}.{name}")

    def check(self, chosen: str, sections: dict[str, dict[str, Any]]) -> None:
        """UserError at the first thing that is wrong with the choice or with any section, chosen or not."""
        self.params(chosen, sections)
        if unknown := sorted(set(sections) - set(self.names())):
            allowed = ", ".join(self.names())
            raise UserError(f"{PARAMS_FILE}: {self.section}.{unknown[0]} is unknown; allowed here: {allowed}")
        for name in sections:
            self.params(name, sections)
