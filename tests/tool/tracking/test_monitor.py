"""Which GPU a run's record is about."""

import pytest

from trackstack.tracking.monitor import first_visible_gpu


@pytest.mark.parametrize(
    ("value", "gpu"),
    [
        (None, 0),
        ("2,3", 2),
        (" 1 ", 1),
        ("GPU-8f6d1a5e-0000-0000-0000-000000000000,0", "GPU-8f6d1a5e-0000-0000-0000-000000000000"),
        ("MIG-1", "MIG-1"),
        ("", None),
        ("-1", None),
        ("NoDevFiles", None),
    ],
)
def test_the_gpu_is_the_first_that_cuda_shows(value, gpu):
    assert first_visible_gpu({} if value is None else {"CUDA_VISIBLE_DEVICES": value}) == gpu
