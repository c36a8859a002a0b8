"""Choices that are files: `train.model: cnn` is `models/cnn.py`, and likewise for losses and metrics.

A file of such a folder holds `Params`, its typed section of `params.yaml`, and what the folder asks for. There is no
list to extend, so that a new file reruns no stage that does not use it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from trackstack import UserError
from trackstack.core.params import PARAMS_FILE, Parameters, Section


class Registry:
    """The files of one package.

    Args:
        package: such as `pipeline.models`; its last part is the section of `params.yaml`.
        choice: the parameter that names one of them, such as `train.model`.
    """

    def __init__(self, package: str, choice: str):
        self.package, self.choice = package, choice
        self.section = package.rpartition(".")[2]

    def names(self) -> list[str]:
        """The files of the package, without those whose name begins with `_`."""
        return sorted(file.stem for file in self._folder().glob("[!_]*.py"))

    def file(self, name: str) -> Path:
        """The file of a name."""
        self.refuse_unknown(name)
        return self._folder() / f"{name}.py"

    def _folder(self) -> Path:
        return Path(importlib.import_module(self.package).__path__[0])

    def refuse_unknown(self, name: str) -> None:
        """UserError for a name that is no file of the package."""
        if name not in self.names():
            raise UserError(
                f"{PARAMS_FILE}: {self.choice} is {name!r}; expected one of {', '.join(self.names())} "
                f"(each is a file in src/{self.package.replace('.', '/')})"
            )

    def module(self, name: str) -> ModuleType:
        """The file of a name, imported."""
        self.refuse_unknown(name)
        return importlib.import_module(f"{self.package}.{name}")

    def params(self, name: str, params: Parameters) -> Section:
        """The validated parameters of a choice, out of its package's section; UserError names what is wrong."""
        module = self.module(name)
        sections = params.values.get(self.section)
        if not isinstance(sections, dict) or name not in sections:
            raise UserError(f"{PARAMS_FILE}: {self.section}.{name} is missing, the parameters of {self.choice}")
        return params.section(f"{self.section}.{name}", module.Params)
