"""One process records a run once, whatever threads and forked processes it has."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trackstack import UserError
from trackstack.system.lease import is_live, take_lease
from trackstack.tracking.script.claims import claimed, release


def test_of_threads_that_start_the_same_run_at_once_one_does(tmp_path):
    at_once = threading.Barrier(3)

    def begin(_: int) -> str:
        at_once.wait(10)
        try:
            with claimed(tmp_path / "r1"):
                return "begun"
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(3) as pool:
        answers = sorted(pool.map(begin, range(3)))
    release(tmp_path / "r1")
    assert [answer == "begun" for answer in answers] == [True, False, False]
    assert "run r1 is being recorded by this process" in answers[1]


def test_a_run_that_could_not_begin_is_free_again(tmp_path):
    def begin() -> None:
        with claimed(tmp_path):
            take_lease(tmp_path)
            (tmp_path / "none").read_text()

    with pytest.raises(FileNotFoundError):
        begin()
    assert not is_live(tmp_path)
    with claimed(tmp_path):
        release(tmp_path)


def test_a_forked_process_that_outlives_the_run_may_record_it(tmp_path):
    with claimed(tmp_path):
        child = os.fork()
        if child == 0:
            with claimed(tmp_path):
                os._exit(7 + is_live(tmp_path))
        release(tmp_path)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
