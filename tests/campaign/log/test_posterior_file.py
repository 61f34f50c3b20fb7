import json

import pytest
import safetensors.torch
import torch

from bostruct.campaign.log import posterior_file
from bostruct.errors import LogError


def content():
    return {
        "model.a": torch.tensor([0.1, torch.inf], dtype=torch.float64),
        "model.b": torch.tensor(3),
        "candidates.X": torch.zeros(0, 5),
        "training_trials": torch.arange(4),
    }


def test_round_trip_is_exact():
    header = {"format": 1, "step": 3, "generators": ["a", "b"]}
    tensors, found = posterior_file.from_safetensors(
        posterior_file.to_safetensors(content(), header), "file"
    )
    assert found == header
    assert tensors.keys() == content().keys()
    for name, tensor in content().items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_equal_content_gives_equal_bytes():
    header = {"step": 3, "format": 1}
    turned = dict(reversed(content().items()))
    again = posterior_file.to_safetensors(turned, {"format": 1, "step": 3})
    assert posterior_file.to_safetensors(content(), header) == again


@pytest.mark.parametrize("cut", [0, 4, 30, 200, -1])
def test_a_file_that_was_cut_is_refused(cut):
    data = posterior_file.to_safetensors(content(), {})
    with pytest.raises(LogError, match="x is not a whole posterior file"):
        posterior_file.from_safetensors(data[:cut], "x")


def test_a_file_of_others_is_refused():
    data = safetensors.torch.save(content())
    with pytest.raises(LogError, match="not a whole posterior file"):
        posterior_file.from_safetensors(data, "x")


def with_header(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8 + b"{}",
        with_header(b"[" * 9_000),
        with_header({"a": {"dtype": "F64", "shape": [2**61], "data_offsets": [0, 8]}}, bytes(8)),
        with_header({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 2**60]}}, bytes(16)),
        with_header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        with_header({"__metadata__": {"bostruct": "[" * 9_000}}),
        with_header({"__metadata__": {"bostruct": "[]"}}),
        with_header({"__metadata__": {"other": "{}"}}),
    ],
)
def test_a_header_that_lies_is_refused(data):
    with pytest.raises(LogError, match=r"posterior file|header of x is not"):
        posterior_file.from_safetensors(data, "x")


def test_names():
    for step in (0, 12, 1234567):
        assert posterior_file.is_posterior_file_name(posterior_file.posterior_file_name(step))
    for name in ("", "../step-000001.safetensors", "/step-1.safetensors", "step-١.safetensors"):
        assert not posterior_file.is_posterior_file_name(name)
    assert not posterior_file.is_posterior_file_name("step-000001.safetensors\n")


def test_offload_copies():
    tensor = torch.ones(4, requires_grad=True)
    copies = posterior_file.to_cpu({"a": tensor, "b": tensor[::2], "c": tensor})
    with torch.no_grad():
        tensor.zero_()
    assert copies["a"].sum() == 4
    assert copies["b"].is_contiguous()
    assert not copies["a"].requires_grad
    posterior_file.to_safetensors(copies, {})  # none share memory


@pytest.mark.gpu
def test_offload_from_cuda():
    tensor = torch.arange(6.0, device="cuda").reshape(2, 3)
    copies = posterior_file.to_cpu({"a": tensor.T, "b": tensor * 2})
    assert copies["a"].device.type == "cpu"
    assert copies["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    posterior_file.to_safetensors(copies, {})


def test_model_state():
    assert posterior_file.model_state(content()).keys() == {"a", "b"}
