import torch

from bostruct.uncertainty.linear_model.fingerprint import hash_tensors


def test_every_byte_name_shape_and_type_counts():
    a = torch.arange(4.0)
    base = hash_tensors({"w": a, "b": a})
    assert base == hash_tensors({"b": a.clone(), "w": a.clone()})
    changed = a.clone()
    changed[3] = torch.nextafter(a[3], a[3] + 1)
    others = [
        {"w": changed, "b": a},
        {"v": a, "b": a},
        {"w": a.reshape(2, 2), "b": a},
        {"w": a.double(), "b": a},
    ]
    assert base not in {hash_tensors(other) for other in others}
    assert len(base) == 64


def test_numbers_without_a_shape_have_one_too():
    assert hash_tensors({"n": torch.tensor(1)}) != hash_tensors({"n": torch.tensor(2)})
