import pytest
import torch

from bostruct.errors import DeviceError, InputError
from bostruct.runtime.device import resolve_device


def test_auto_takes_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")


def test_refuses_cuda_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="`device` must be one that exists, got cuda"):
        resolve_device("cuda")


def test_refuses_a_gpu_that_does_not_exist(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="There are 1, counted from 0"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "", "meta"])
def test_refuses_names_of_other_devices(name):
    with pytest.raises(InputError, match="`device` must be auto, cpu or cuda"):
        resolve_device(name)
