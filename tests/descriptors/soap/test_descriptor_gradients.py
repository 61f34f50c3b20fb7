"""Descriptors follow the cell, beside central differences of the strain."""

from dataclasses import replace

import pytest
import torch

from bostruct.descriptors import SOAP
from tests.surrogates.crystals import KINDS, assert_follows_cell, by_strain, crystals


@pytest.fixture(scope="module", params=KINDS)
def some(request):
    symbols, shape = KINDS[request.param]
    return crystals(symbols, 3, shape=shape).without_results()


def test_features_follow_the_cell(some):
    soap = SOAP((29, 79), 4.2, n_max=3, l_max=2, species_similarity=0.4)
    g = torch.randn(3, soap.n_features, generator=torch.Generator().manual_seed(0)).double()

    def function(structures):
        P = soap(structures)
        return P.new_zeros(3).index_add(0, some.index, (P * g[some.index]).sum(-1))

    assert_follows_cell(function, some)


def test_gradients_of_features_by_strain(some):
    soap = SOAP((29, 79), 4.2)
    gradients = soap.gradients(some)
    expected = by_strain(soap, some).transpose(1, 2)
    torch.testing.assert_close(gradients.by_strain(), expected, rtol=1e-5, atol=1e-6)


def test_fixed_atoms_follow_a_cell_that_varies(some):
    """What they are among themselves is not computed once where the cell varies."""
    held = replace(some[0], fixed=torch.ones_like(some[0].fixed))
    soap = SOAP((29, 79), 4.2)
    assert soap.fixed_environment(held) is not None
    moved = replace(held, cell=held.cell.clone().requires_grad_())
    assert soap.fixed_environment(moved) is None
