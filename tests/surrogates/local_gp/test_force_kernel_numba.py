"""The compiled loop over pairs, against its definition by tensors."""

import pytest
import torch

from bostruct.surrogates.local_gp.force_kernel_numba import add_force_kernel
from bostruct.surrogates.local_gp.kernel import _add_force_kernel_torch

PAIRS, ATOMS, COLUMNS, START = 30, 6, 5, 2


def pieces(dtype):
    """Return slopes, factors, and pairs of which some are of an atom with its image."""
    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(PAIRS, 3, COLUMNS, dtype=dtype, generator=generator)
    steep = torch.randn(ATOMS, COLUMNS, dtype=dtype, generator=generator)
    pairs = torch.randint(ATOMS, (2, PAIRS), generator=generator)
    assert bool((pairs[0] == pairs[1]).any())
    out = torch.ones(ATOMS, 3, COLUMNS + 2 * START, dtype=dtype)
    return slope, steep, *pairs, out


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_adds_to_one_atom_what_it_takes_from_the_other(dtype):
    slope, steep, center, other, out = pieces(dtype)
    expected = out.clone()
    for p in range(PAIRS):
        change = slope[p] * steep[center[p]]
        expected[center[p], :, START:-START] += change
        expected[other[p], :, START:-START] -= change
    found = out.clone()
    arrays = (x.numpy() for x in (slope, steep, center, other, found))
    add_force_kernel(START, *arrays)
    close = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    torch.testing.assert_close(found, expected, rtol=0, atol=close)
    assert found.dtype == dtype
    same = out.clone()
    _add_force_kernel_torch(START, slope, steep, center, other, same)
    torch.testing.assert_close(same, expected, rtol=0, atol=close)


def test_of_no_pairs_nothing_is_changed():
    slope, steep, center, other, out = pieces(torch.float64)
    none = slope[:0], steep, center[:0], other[:0], out
    add_force_kernel(START, *(x.numpy() for x in none))
    assert bool((out == 1).all())
