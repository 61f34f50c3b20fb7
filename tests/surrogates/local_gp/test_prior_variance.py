"""Prior variances against sums and derivatives written out."""

from dataclasses import replace

import pytest
import torch

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel

KERNEL = PowerKernel(3)
EXPONENTIALS = ExponentialKernel((0.2, 0.8), (0.05, 0.5))


@pytest.fixture(scope="module")
def soap():
    return SOAP((29, 79), 5.0, 3, 2, 45.0, 0.5)


def test_energies_are_sums_over_pairs_of_atoms(soap, data, mixed):
    both = Structures.cat([mixed[:2], data[:1]])
    both = Structures.cat([both, _less(mixed[2:3])])
    P, place = soap(both), soap.species_index(both.numbers)
    found = prior_variance.energy_variances(P, place, both.counts, PowerKernel(3))
    expected = []
    for k in range(4):
        mine = both.index == k
        same = place[mine].unsqueeze(-1) == place[mine]
        expected.append((((P[mine] @ P[mine].T) ** 3) * same).sum())
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=0)


def _less(one):
    """Return the structure without its last atom."""
    names = ("positions", "numbers", "index", "fixed", "tags", "forces")
    return replace(one, **{name: getattr(one, name)[:-1] for name in names})


@pytest.mark.parametrize("g", [PowerKernel(1), PowerKernel(2), PowerKernel(3), EXPONENTIALS])
def test_forces_are_the_second_derivative_of_the_kernel(soap, mixed, g):
    """d²/dx dx' of sum_ij k(P_i(x), P_j(x')) at x = x', with torch's derivatives."""
    one = mixed[4:5]
    place = soap.species_index(one.numbers)
    same = (place.unsqueeze(-1) == place).double()
    J = torch.autograd.functional.jacobian(
        lambda positions: soap(replace(one, positions=positions)), one.positions
    )
    J = J.flatten(2)  # [a, f, 3 a]
    P = soap(one)
    expected = []
    for x in range(J.shape[-1]):

        def kernel(t, u, x=x):
            left, right = P + t * J[..., x], P + u * J[..., x]
            return (g.value(left @ right.T) * same).sum()

        zero = torch.zeros((), dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(kernel, (zero, zero))
        expected.append(hessian[0][1])
    found = prior_variance.force_variances(soap.gradients(one), place, one.counts, g, _all(one))
    torch.testing.assert_close(found, torch.stack(expected).view(-1, 3), rtol=1e-8, atol=1e-10)


def _all(structures):
    return torch.ones_like(structures.numbers, dtype=torch.bool)


def test_forces_on_some_atoms_are_those_among_all(soap, data, mixed):
    """In a batch of several sizes and species, one structure asked nothing about."""
    batch = Structures.cat([mixed[:1], _less(mixed[1:2]), data[:2]])
    place, slopes = soap.species_index(batch.numbers), soap.gradients(batch)
    alone = [
        prior_variance.force_variances(
            soap.gradients(one), soap.species_index(one.numbers), one.counts, KERNEL, _all(one)
        )
        for one in batch
    ]
    every = prior_variance.force_variances(slopes, place, batch.counts, KERNEL, _all(batch))
    torch.testing.assert_close(every, torch.cat(alone), rtol=1e-12, atol=1e-12)
    some = torch.zeros_like(batch.numbers, dtype=torch.bool)
    some[[0, 3, 7, 10, 20]] = True
    found = prior_variance.force_variances(slopes, place, batch.counts, KERNEL, some)
    torch.testing.assert_close(found, every[some], rtol=1e-12, atol=1e-12)
    none = prior_variance.force_variances(
        slopes, place, batch.counts, KERNEL, torch.zeros_like(some)
    )
    assert none.shape == (0, 3)


def test_padding_belongs_to_no_species(soap, mixed):
    both = Structures.cat([mixed[:1], _less(mixed[1:2])])
    P, place = soap(both), soap.species_index(both.numbers)
    rows, kinds = prior_variance.pad_atoms(P, place, both.counts)
    assert rows.shape == (2, 6, P.shape[1])
    assert torch.equal(torch.cat((rows[0], rows[1, :5])), P)
    assert (rows[1, 5] == 0).all()
    assert kinds[1, 5] == -1
