"""Which GPUs a run's record is about."""

import pytest

from trackstack.tracking.gpus import Gpus, visible_gpus

UUID = "GPU-8f6d1a5e-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("value", "gpus"),
    [
        (None, [0, 1, 2, 3]),
        ("2,3", [2, 3]),
        (" 1 ", [1]),
        (f"{UUID},0", [UUID, 0]),
        ("MIG-1", ["MIG-1"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [0]),
        ("9", []),
        ("NoDevFiles", []),
    ],
)
def test_the_gpus_are_those_that_cuda_shows(value, gpus):
    assert visible_gpus({} if value is None else {"CUDA_VISIBLE_DEVICES": value}, count=4) == gpus


def test_a_process_that_may_use_none_samples_nothing():
    gpus = Gpus({"CUDA_VISIBLE_DEVICES": ""})
    assert (gpus.sample(), gpus.summary()) == ({}, [])
