import pytest
import torch

from bostruct.spaces.fingerprint_distance import is_within_tolerance
from bostruct.testing import seeded_generator


def test_all_numbers_must_agree():
    A = torch.zeros(3, 4)
    B = torch.tensor([[0, 0, 0, 0.05], [0, 0.2, 0, 0], [0.2, 0.2, 0.2, 0.2]])
    assert is_within_tolerance(A, B, 0.1).tolist() == [True, False, False]
    assert is_within_tolerance(A[0], B, 0.3).tolist() == [True, True, True]
    assert is_within_tolerance(A[0], B[0], 0.1).shape == ()
    assert not is_within_tolerance(A[0], A[0] + torch.nan, 9.0)


@pytest.mark.parametrize("largest", [4, 30, 1 << 24])
def test_compares_many_in_little_memory(monkeypatch, largest):
    monkeypatch.setattr("bostruct.spaces.fingerprint_distance.MAX_CHUNK_ELEMENTS", largest)
    A = torch.rand(7, 1, 3, generator=seeded_generator(0))
    B = torch.rand(5, 3, generator=seeded_generator(1))
    table = is_within_tolerance(A, B, 0.5)
    assert table.shape == (7, 5)
    assert table.any()
    assert not table.all()
    for i in range(7):
        for j in range(5):
            assert table[i, j] == ((A[i, 0] - B[j]).abs().max() < 0.5)
