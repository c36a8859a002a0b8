"""What one of several processes gets of a batch."""

import pytest

from trackstack import UserError
from trackstack.training.distributed import Ranks, join


@pytest.mark.parametrize("world", range(1, 6))
def test_the_shares_of_a_batch_are_the_batch_in_its_order(world):
    for total in range(12):
        shares = [list(range(total))[Ranks(rank, world).share(total)] for rank in range(world)]
        assert [row for share in shares for row in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_windows_in_a_batch_is_one_line(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError) as caught, join(batch_size=1):
        pass
    assert str(caught.value) == "params.yaml: train.batch_size is 1; expected at least 2, the number of processes"
