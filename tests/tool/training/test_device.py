"""The device is the one that was asked for, or one line says why not."""

import pytest
import torch

from trackstack import UserError
from trackstack.training.device import choose_device, describe_device, memory_errors_in_a_line


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TRACKSTACK_DEVICE", "SLURM_JOB_GPUS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def test_the_cpu_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("TRACKSTACK_DEVICE", "cpu")
    assert describe_device(choose_device()) == "cpu"


@pytest.mark.parametrize("name", ["tpu", "cpu:x", "meta"])
def test_an_unknown_device_is_one_line(monkeypatch, name):
    monkeypatch.setenv("TRACKSTACK_DEVICE", name)
    with pytest.raises(UserError) as caught:
        choose_device()
    assert str(caught.value) == f"TRACKSTACK_DEVICE is {name!r}; expected cpu, cuda, cuda:0 ... or mps"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setenv("TRACKSTACK_DEVICE", "cuda")
    with pytest.raises(UserError, match=r"TRACKSTACK_DEVICE: torch .* cannot compute on cuda \(.*\)$"):
        choose_device()
    monkeypatch.delenv("TRACKSTACK_DEVICE")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    with pytest.raises(UserError, match=r"^SLURM_JOB_GPUS is 0, but torch .* cannot use a GPU; install a build"):
        choose_device()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 bytes")]
)
def test_too_little_memory_is_one_line(error):
    with pytest.raises(UserError) as caught, memory_errors_in_a_line(torch.device("cpu"), 64):
        raise error
    assert str(caught.value).startswith("params.yaml: cpu is out of memory at train.batch_size 64; lower it")


def test_another_fault_stays_what_it_was():
    with pytest.raises(RuntimeError, match="shapes differ"), memory_errors_in_a_line(torch.device("cpu"), 64):
        raise RuntimeError("shapes differ")
