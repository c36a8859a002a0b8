"""The lease of a run dies with its holder."""

import subprocess
import sys

from support.projects import ROOT

from trackstack.system.lease import is_live

HOLDER = """
import sys
from pathlib import Path
from trackstack.system.lease import take_lease

take_lease(Path("r1"))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lease_falls_with_its_holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDER],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    assert is_live(tmp_path / "r1")
    process.kill()
    process.communicate(timeout=60)
    assert not is_live(tmp_path / "r1")
