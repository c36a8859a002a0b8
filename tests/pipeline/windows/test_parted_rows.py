"""Rows in several tensors are read as if they lay in one."""

import itertools

import pytest
import torch

from pipeline.windows.parted_rows import PartedRows, join_rows

EDGES = (0, 3, 4, 4, 9)


@pytest.fixture(params=[torch.float32, torch.int64], ids=["signal", "label"])
def whole(request):
    rows = torch.arange(18).view(9, 2)
    return rows.to(request.param) if request.param.is_floating_point else rows[:, 0].contiguous()


@pytest.fixture
def parted(whole):
    return PartedRows([whole[begin:end] for begin, end in itertools.pairwise(EDGES)])


@pytest.mark.parametrize("length", [1, 2, 6, 9])
def test_windows_go_on_from_one_tensor_to_the_next(whole, parted, length):
    starts = torch.arange(9 - length + 1).flip(0)
    expected = torch.stack([whole[start : start + length] for start in starts])
    assert torch.equal(parted.windows(starts, length), expected)


def test_single_rows_are_taken_in_any_order(whole, parted):
    rows = torch.tensor([8, 0, 3, 3, 4, 2])
    assert torch.equal(parted.take(rows), whole[rows])


def test_all_rows_are_one_tensor_on_a_device(whole, parted):
    assert torch.equal(parted.to(torch.device("cpu")), whole)
    assert (parted.shape, len(parted), parted.nbytes) == (tuple(whole.shape), 9, whole.nbytes)


def test_one_tensor_stays_as_it_is(whole):
    assert join_rows([whole]) is whole
    assert isinstance(join_rows([whole[:4], whole[4:]]), PartedRows)
