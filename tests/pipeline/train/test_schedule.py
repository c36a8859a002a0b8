"""What happens at which step: the learning rate, the order and the batches."""

import pytest
import torch

from pipeline.train.schedule import batches, epoch_order, step_seed, warmup_cosine


def test_the_learning_rate_rises_then_falls_to_zero(choose):
    factor = warmup_cosine(choose(epochs=10, warmup=0.2).train, steps_per_epoch=10)
    values = [factor(step) for step in range(101)]
    assert values[0] == 1 / 20
    assert values[19] == values[20] == 1
    assert values[:20] == sorted(values[:20])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert values[100] == pytest.approx(0)


def test_without_warmup_the_rate_starts_at_its_peak(choose):
    assert warmup_cosine(choose(warmup=0.0).train, 10)(0) == 1


def test_each_epoch_has_an_order_of_its_own_that_follows_the_seed():
    orders = [tuple(epoch_order(50, seed, epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert torch.equal(epoch_order(50, 0, 1), epoch_order(50, 0, 1))
    assert len({step_seed(seed, step) for seed in range(3) for step in range(100)}) == 300


@pytest.mark.parametrize(("windows", "sizes"), [(10, [4, 4, 2]), (9, [4, 5]), (4, [4]), (1, [1]), (5, [5])])
def test_a_rest_of_one_window_joins_the_batch_before(windows, sizes):
    parts = batches(torch.arange(windows), 4)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(windows))
