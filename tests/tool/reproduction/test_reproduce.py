"""A run is made again from its record, in a repository that is not ours, and whatever differs first is named."""

import json
import shutil

import pytest
from support.projects import run_in
from support.reproductions import build_scaled, environment_with, install_scales
from support.shared import built_once

CLONE = "a colleague's clone"


@pytest.fixture(scope="module")
def made_again(tmp_path_factory):
    """A colleague's clone with a run of somebody whose checkout is gone, and the folder in which it was made again."""

    def build(place):
        run = build_scaled(place)
        (place / "run").write_text(run)
        (place / "verdict.json").write_text(json.dumps(reproduced(place, expect=0)))

    return built_once(tmp_path_factory, "made again", build)


@pytest.fixture
def again(made_again, tmp_path):
    """A copy of it, to tamper with."""
    shutil.copytree(made_again, tmp_path / "place", symlinks=True)
    return tmp_path / "place"


def reproduced(place, expect=1, packages=None, **variables):
    run, environment = (place / "run").read_text(), environment_with(packages or str(place / "packages"), **variables)
    command = ["trackstack", "reproduce", run, "--json", "--in", str(place / "again")]
    return json.loads(run_in(place / CLONE, command, expect=expect, env=environment).stdout)


def cause(verdict):
    return verdict["verdict"], verdict["cause"], verdict["detail"]


def test_a_run_of_an_edited_tree_is_identical_in_a_clone_when_its_checkout_is_gone(made_again):
    verdict = json.loads((made_again / "verdict.json").read_text())
    assert cause(verdict) == ("identical", None, "")
    assert {
        (stage["stage"], outcome["what"], outcome["verdict"])
        for stage in verdict["stages"]
        for outcome in stage["outcomes"]
    } == {
        ("clean", "clean.csv", "identical"),
        ("fit", "weights.json", "identical"),
        ("fit", "figures of the run", "identical"),
    }
    assert not run_in(made_again / CLONE, "git status --porcelain").stdout


def test_the_verdict_is_in_the_record(made_again):
    shown = run_in(made_again / CLONE, "trackstack runs show", env=environment_with("")).stdout
    assert "identical, by " in shown


def test_an_edited_parameter_is_the_first_cause(again):
    (again / "again/repository/params.toml").write_text("[fit]\nc = 0.25\nseed = 0\n")
    assert cause(reproduced(again)) == (
        "differs",
        "parameters",
        "fit: params.toml:fit.c: 0.5, now 0.25",
    )


def test_a_changed_byte_of_data_is_the_first_cause(again):
    rows = again / "again/repository/measured/rows.csv"
    text = rows.read_text().replace("11,2,1", "11,3,1")
    rows.unlink()  # a link into DVC's cache
    rows.write_text(text)
    assert cause(reproduced(again)) == ("differs", "data", "clean: measured")


def test_an_edited_line_of_code_is_the_first_cause(again):
    script = again / "again/repository/fit.py"
    script.write_text(script.read_text().replace("range(50)", "range(60)"))
    assert cause(reproduced(again)) == ("differs", "code", "fit: fit.py")


def test_another_version_of_a_package_is_the_first_cause(again, tmp_path):
    packages = install_scales(tmp_path / "other", "2.0")
    verdict = cause(reproduced(again, packages=packages))
    assert verdict == ("differs", "environment", "fit: scales 1.0, now 2.0")


def test_another_number_of_threads_is_the_first_cause(again):
    verdict = cause(reproduced(again, OMP_NUM_THREADS="3"))
    assert verdict == ("differs", "environment", "fit: OMP_NUM_THREADS not there, now 3")
