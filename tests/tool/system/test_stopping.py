"""A request to stop is heard, and only a request."""

import os
import signal
import time

import pytest
from support.processes import until

from trackstack import UserError
from trackstack.system.stopping import DEADLINE_MARGIN_SECONDS, EXIT_INTERRUPTED, Interrupted, Stop, needs_room


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TRACKSTACK_STOP_FILE", "TRACKSTACK_DEADLINE", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)


def heard(stop):
    """Its reason, as soon as there is one."""
    until(stop.reason, "a reason to stop")
    return stop.reason()


def test_without_a_request_nothing_is_heard():
    with Stop() as stop:
        assert stop.reason() is None


def test_a_stop_file_is_a_request(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_STOP_FILE", str(tmp_path / "stop"))
    with Stop() as stop:
        assert stop.reason() is None
        (tmp_path / "stop").touch()
        assert heard(stop) == f"the stop file {tmp_path / 'stop'} is there"


def test_a_deadline_is_a_request_some_seconds_before(monkeypatch):
    deadline = time.time() + DEADLINE_MARGIN_SECONDS + 0.5
    monkeypatch.setenv("TRACKSTACK_DEADLINE", str(deadline))
    with Stop() as stop:
        assert stop.reason() is None or time.time() >= deadline - DEADLINE_MARGIN_SECONDS
        assert heard(stop) == "the deadline is near"
    assert time.time() >= deadline - DEADLINE_MARGIN_SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request_and_the_handler_of_before_comes_back(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        os.kill(os.getpid(), number)
        assert heard(stop) == f"signal {number.name}"
    assert signal.getsignal(number) is before


def test_ctrl_c_twice_ends_at_once():
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert heard(stop) == "signal SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_interruption_has_an_exit_code_and_a_reason():
    assert Interrupted("why").code == EXIT_INTERRUPTED == 75
    assert str(Interrupted("why")) == "why"


def test_a_deadline_that_is_no_number_is_one_line(monkeypatch):
    monkeypatch.setenv("TRACKSTACK_DEADLINE", "tomorrow")
    with pytest.raises(UserError, match=r"^TRACKSTACK_DEADLINE is 'tomorrow'; expected seconds since 1970, such as "):
        Stop()


def test_what_finds_no_room_to_begin_ends_with_a_line_and_is_to_be_tried_again(capsys):
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(Interrupted) as caught, needs_room():
        os.write(full, b"x")
    os.close(full)
    assert caught.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err.endswith(": No space left on device; make room, and type the same again\n")
    with pytest.raises(PermissionError), needs_room():
        raise PermissionError
