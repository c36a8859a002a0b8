"""A signal is noticed whoever handles it, and no handler of others is taken away."""

import asyncio
import os
import signal
import threading

import pytest

from trackstack.system.signals import SignalWatch
from trackstack.system.stopping import Interrupted, Stop


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield
    assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM], "the handler of before is back"
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def watch(handlers):
    watch = SignalWatch()
    watch.start()
    yield watch
    watch.stop()


def swallow(number, frame):
    """As frameworks do that stop at the end of an epoch."""


def test_sigterm_that_nobody_handles_leaves_the_block_and_is_an_interruption(watch):
    with pytest.raises(Interrupted, match="signal SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    assert watch.reason() == "signal SIGTERM"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_a_later_handler_swallows_is_noticed(watch, number):
    before = signal.signal(number, swallow)
    signal.raise_signal(number)
    signal.signal(number, before)
    assert watch.reason() == f"signal {number.name}"


def test_a_handler_of_before_is_called_and_ends_what_it_ends():
    called = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
    watch = SignalWatch()
    watch.start()
    signal.raise_signal(signal.SIGTERM)
    watch.stop()
    signal.signal(signal.SIGTERM, before)
    assert called == [signal.SIGTERM]
    assert watch.reason() == "signal SIGTERM"


def test_a_framework_that_calls_the_handler_it_found_goes_on(watch):
    found = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda number, frame: found(number, frame))
    signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, found)
    assert watch.reason() == "signal SIGTERM"


def test_a_signal_that_a_stop_took_counts_once_its_loop_was_told(watch):
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert watch.reason() is None, "the loop may be through"
        assert stop.reason() == "signal SIGTERM"
    assert watch.reason() == "signal SIGTERM"


def test_a_stop_that_was_asked_before_the_watch_began_is_not_counted():
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason()
    watch = SignalWatch()
    watch.start()
    assert watch.reason() is None
    watch.stop()


def test_what_a_forked_process_gets_is_not_for_its_parent(watch):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"ready")
        signal.pause()
        os._exit(1)
    os.read(reading, 5)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM, "as by default"
    assert watch.reason() is None


def test_two_watches_notice_the_same_and_the_last_puts_the_handler_back(watch):
    other = SignalWatch()
    other.start()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    other.stop()
    assert [other.reason(), watch.reason()] == ["signal SIGTERM"] * 2


def test_runs_that_begin_while_a_framework_is_on_top_do_not_call_each_other_for_ever(watch):
    found = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda number, frame: found(number, frame))
    second = SignalWatch()
    second.start()
    signal.raise_signal(signal.SIGTERM)
    second.stop()
    signal.signal(signal.SIGTERM, found)
    assert [second.reason(), watch.reason()] == ["signal SIGTERM"] * 2


def test_a_watch_in_another_thread_leaves_the_handler_to_the_one_of_the_main_thread():
    first, second = SignalWatch(), SignalWatch()
    thread = threading.Thread(target=first.start)
    thread.start()
    thread.join()
    second.start()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    first.stop()
    second.stop()


def test_a_wakeup_pipe_of_an_event_loop_stays_its_own():
    reading, writing = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(writing)
    watch = SignalWatch()
    watch.start()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    watch.stop()
    assert signal.set_wakeup_fd(-1) == writing
    assert os.read(reading, 10) == bytes([signal.SIGTERM])
    assert watch.reason() == "signal SIGTERM", "by the handler"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_of_an_event_loop_is_noticed_also_by_the_second_run_of_a_process(number):
    """The first one began before the loop, which took its signals over."""
    first = SignalWatch()
    first.start()

    async def work() -> list[SignalWatch]:
        told, loop, second = asyncio.Event(), asyncio.get_running_loop(), SignalWatch()
        loop.add_signal_handler(number, told.set)
        second.start()
        signal.raise_signal(number)
        await asyncio.wait_for(told.wait(), 10)
        second.stop()
        return [second]

    (second,) = asyncio.run(work())
    is_deaf = first.is_deaf()
    first.stop()
    assert second.reason() == f"signal {number.name}"
    assert is_deaf, "which is said"
