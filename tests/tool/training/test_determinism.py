"""What makes results repeat: the environment before torch is imported, and kernels that are refused by name."""

import subprocess
import sys

import pytest
import torch
from support.projects import ROOT, command_environment

from trackstack import UserError
from trackstack.training.determinism import (
    PINNED_ENVIRONMENT,
    configure_torch,
    name_nondeterministic_kernels,
    warn_unless_pinned,
)


def scatter():
    torch.zeros(4).put_(torch.tensor([0, 1]), torch.ones(2))


def test_a_kernel_whose_results_do_not_repeat_is_named(settings_of_torch):
    configure_torch(threads=1, deterministic=True)
    with pytest.raises(UserError) as caught, name_nondeterministic_kernels("train.deterministic: false"):
        scatter()
    assert str(caught.value) == (
        "params.yaml: put_, which the model or the loss uses, has no kernel whose results repeat to the bit; use "
        "another layer, or set train.deterministic: false"
    )
    with pytest.raises(RuntimeError, match="another fault"), name_nondeterministic_kernels("x"):
        raise RuntimeError("another fault")


def test_without_determinism_it_is_allowed(settings_of_torch):
    torch.set_deterministic_debug_mode("default")
    configure_torch(threads=1, deterministic=False)
    scatter()


PROBE = """
import os, sys
from trackstack.core.guard import stage
from pipeline.train.params import Params
from trackstack.training.determinism import pin_environment, warn_unless_pinned
warn_unless_pinned()
pin_environment()
assert "torch" not in sys.modules
warn_unless_pinned()
import torch
print(torch.backends.cpu.get_cpu_capability(), os.environ["OMP_WAIT_POLICY"])
"""


def test_the_instruction_set_is_pinned_before_torch_is_imported_and_its_absence_is_a_warning():
    environment = command_environment() | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-P", "-c", PROBE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=True)
    capability, policy = done.stdout.split()
    assert capability in ("AVX2", "DEFAULT"), "and not AVX512"
    assert policy == "passive"
    assert done.stderr.count("warning: torch may use other instruction sets than the stage does") == 1


def test_the_warning_is_one_line_that_says_what_to_do(monkeypatch, capsys):
    for name in PINNED_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    warn_unless_pinned()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("call trackstack.training.determinism.pin_environment() before torch is imported")
