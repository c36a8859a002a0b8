"""A Python environment of exactly the packages that a run had."""

import subprocess
import sys
import zipfile

import pytest
from support.reproductions import SCALES

from trackstack import UserError
from trackstack.reproduction.environment import find_python, make_environment


def write_wheel(folder, version):
    """What a package index would give for the tests' own package."""
    metadata = f"scales-{version}.dist-info"
    with zipfile.ZipFile(folder / f"scales-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("scales.py", SCALES[version])
        wheel.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: scales\nVersion: {version}\n")
        wheel.writestr(
            f"{metadata}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{metadata}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that pip takes packages from, and nothing else."""
    write_wheel(tmp_path, "1.0")
    write_wheel(tmp_path, "2.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def test_the_recorded_version_is_installed_beside_this_very_trackstack(index, tmp_path):
    folder = tmp_path / "an environment"
    (folder / "bin").mkdir(parents=True)  # which somebody has interrupted
    make_environment({"packages": {"scales": "1.0", "trackstack": "0.1.0"}}, folder, lambda _: None)
    code = "import scales, importlib.metadata as m, trackstack; print(scales.scaled(3), m.version('scales'), m.version('trackstack'))"
    done = subprocess.run([folder / "bin/python", "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 1.0 0.1.0\n"


def test_a_package_that_nobody_has_is_one_line_and_leaves_nothing(index, tmp_path):
    with pytest.raises(UserError, match=r"^--fresh-env: .*scales==3\.0[^\n]*$"):
        make_environment({"packages": {"scales": "3.0"}}, tmp_path / "environment", lambda _: None)
    assert not (tmp_path / "environment").exists()


def test_a_record_without_packages_is_refused(tmp_path):
    with pytest.raises(UserError, match="names no packages"):
        make_environment({"packages": {}}, tmp_path / "environment", lambda _: None)


def test_where_the_recorded_python_is_missing_it_is_this_one():
    assert find_python("2.7.18") == sys.executable
