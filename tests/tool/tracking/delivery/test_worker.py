"""A back end that hangs is seen, and holds up nobody else."""

import threading

from support.processes import until

from trackstack.tracking.delivery import worker
from trackstack.tracking.delivery.worker import Workers


def test_a_back_end_that_hangs_is_seen_and_the_others_work(monkeypatch):
    monkeypatch.setattr(worker, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(worker, "LONGEST_QUIET_SECONDS", 0.2)
    workers, answer = Workers(), threading.Event()
    hanging = workers["server"].submit(True, answer.wait)

    def is_seen():
        workers.look(set())
        return workers.hanging

    try:
        until(is_seen, "it to be seen")
        assert workers.hanging == {"server"}
        assert workers["database"].submit(True, lambda: "done").result(timeout=900) == "done"
        behind = workers["server"].submit(False, lambda: "then")
    finally:
        answer.set()
    assert hanging.result(timeout=900)
    assert behind.result(timeout=900) == "then"
    is_seen()
    assert not workers.hanging
