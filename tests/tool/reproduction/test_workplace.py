"""The folder in which a run is made again: whole, of one at a time, and without anybody left in it."""

import subprocess
import sys

import pytest
from support.foreign import foreign_environment
from support.processes import started

from trackstack import UserError
from trackstack.reproduction.expected import expected_of
from trackstack.reproduction.workplace import _ended_with_us, edited_files, workplace

HOLD = """
import sys
from pathlib import Path
from trackstack.system.lease import take_lease
take_lease(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_in_which_somebody_is_at_work_is_left_to_them(linear, tmp_path):
    expected = expected_of("r", linear, linear)
    with workplace(expected, linear, tmp_path / "again") as place:
        (place.checkout / "train.py").write_text("edited")
        assert edited_files(place.checkout, expected.commit) == ["train.py"]
    command = [sys.executable, "-c", HOLD, str(tmp_path / "again")]
    with started(command, env=foreign_environment(), stdin=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is at work on it"), workplace(expected, linear, tmp_path / "again"):
            pass
    assert (tmp_path / "again/repository/train.py").read_text() == "edited"


def test_of_a_clone_that_cannot_be_made_nothing_is_left(linear, tmp_path):
    expected = expected_of("r", linear, linear)._replace(commit="0" * 40)
    with pytest.raises(UserError), workplace(expected, linear, tmp_path / "again"):
        pass
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit])
def test_whoever_stops_it_stops_all_that_it_has_started(fault):
    script = "(trap '' TERM; echo; exec sleep 60) & exec sleep 61"
    process = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)

    def stop():
        process.stdout.readline()
        raise fault

    with pytest.raises(fault), _ended_with_us(process):
        stop()
    assert process.stdout.read() == ""  # nobody holds the other end
