from typing import get_args

import pytest
import torch

from bostruct.uncertainty.linear_model.row_kinds import (
    OFFSETS,
    ROW_KINDS,
    VARIANCE_KINDS,
    Offset,
    RowKind,
    VarianceKind,
    with_bias,
)


def test_names_and_types_are_the_same():
    assert get_args(RowKind) == ROW_KINDS
    assert get_args(VarianceKind) == VARIANCE_KINDS
    assert get_args(Offset) == OFFSETS


@pytest.mark.parametrize("rows", ROW_KINDS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_constant_enters_energies_alone(rows, offset):
    features = torch.full((2, 4, 3), 5.0)
    found = with_bias(features, rows, offset)
    assert torch.equal(found[..., :3], features)
    if offset == "bias":
        assert found.shape == (2, 4, 4)
        assert bool((found[..., 3] == float(rows == "energy")).all())
    else:
        assert found is features
