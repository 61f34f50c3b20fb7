"""Features and their products with a vector, beside those of autograd."""

from dataclasses import replace

import pytest
import torch

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from tests.descriptors.soap.test_neighbor_vectors import CUTOFF, slabs


def product_by_autograd(soap, structures, g):
    positions = structures.positions.clone().requires_grad_()
    P = soap(replace(structures, positions=positions))
    (product,) = torch.autograd.grad((g * P).sum(), positions)
    return P.detach(), product


@pytest.mark.parametrize("similarity", [0.0, 0.8])
@pytest.mark.parametrize("periodic", [True, False])
def test_features_and_products_are_those_of_autograd(similarity, periodic):
    soap, structures = SOAP((29, 79), CUTOFF, species_similarity=similarity), slabs(layers=2)
    if not periodic:
        structures = replace(structures, pbc=torch.zeros_like(structures.pbc))
    g = torch.randn(len(structures.numbers), soap.n_features, dtype=torch.float64)
    P, product = product_by_autograd(soap, structures, g)
    spectra = soap.power_spectra(structures)
    torch.testing.assert_close(spectra.features, P, rtol=0, atol=0)
    found = spectra.vector_jacobian_product(g)
    torch.testing.assert_close(found, product, rtol=0, atol=1e-12 * float(product.abs().max()))


def test_only_atoms_that_see_a_moving_one_have_a_row():
    soap, structures = SOAP((29, 79), CUTOFF), slabs()
    base = soap.fixed_environment(structures)
    spectra = soap.power_spectra(structures, base)
    P, changed = soap.features_and_changed(structures, base)
    assert torch.equal(spectra.center, changed.nonzero().squeeze(-1))
    assert 0 < len(spectra.center) < len(P)
    assert torch.equal(spectra.features, P[changed])
    g = torch.zeros_like(P)
    g[changed] = torch.randn(len(spectra.center), soap.n_features, dtype=torch.float64)
    _, product = product_by_autograd(soap, structures, g)
    found = spectra.vector_jacobian_product(g[changed])
    moves = ~structures.fixed
    torch.testing.assert_close(found[moves], product[moves], rtol=1e-9, atol=1e-12)


def test_a_lone_atom_has_features_and_no_gradient():
    lone = Structures.unchecked(
        positions=torch.zeros(1, 3, dtype=torch.float64),
        numbers=torch.tensor([29]),
        cell=torch.zeros(1, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(1, 3, dtype=torch.bool),
        index=torch.tensor([0]),
        fixed=torch.tensor([False]),
        tags=torch.tensor([0]),
    )
    spectra = SOAP((29,), CUTOFF).power_spectra(lone)
    assert spectra.features.square().sum().item() == pytest.approx(1)
    assert not spectra.vector_jacobian_product(torch.ones_like(spectra.features)).any()
