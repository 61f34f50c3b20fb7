"""Fixed atoms that are put aside: nothing changes but the time it takes."""

from dataclasses import replace

import pytest
import torch
from ase.build import add_adsorbate, fcc111
from ase.constraints import FixAtoms

from bostruct.descriptors import SOAP, NeighborVectors
from bostruct.structures import Structures, from_ase

CUTOFF = 4.1


def slabs(count=3, layers=4):
    """Return copper on gold, of which the adsorbates move."""
    found = []
    for k in range(count):
        slab = fcc111("Au", (2, 3, layers), vacuum=6.0)
        slab.set_constraint(FixAtoms(range(len(slab))))
        for where in ((0.3 + 0.2 * k, 0.5), (2.5, 2.0 + 0.1 * k)):
            add_adsorbate(slab, "Cu", 1.9 + 0.1 * k, where)
        found.append(slab)
    return from_ase(found)


def derivatives(soap, structures, base):
    """Return features, slopes and slopes of these for the atoms that move."""
    generator = torch.Generator().manual_seed(0)
    positions = structures.positions.clone().requires_grad_()
    P = soap(replace(structures, positions=positions), base)
    g = torch.randn(P.shape, generator=generator).to(P)
    push = torch.randn(positions.shape, generator=generator).to(P)
    push[structures.fixed] = 0
    (plain,) = torch.autograd.grad((g * P).sum(), positions, retain_graph=True)
    (slope,) = torch.autograd.grad((g * P).sum(), positions, create_graph=True)
    (second,) = torch.autograd.grad((slope * push).sum(), positions)
    moves = ~structures.fixed
    return P.detach(), plain[moves], slope.detach()[moves], second[moves]


@pytest.mark.parametrize("alchemy", [0.0, 0.8])
def test_features_and_slopes_are_those_without_a_base(alchemy):
    soap, structures = SOAP((29, 79), CUTOFF, species_similarity=alchemy), slabs()
    base = soap.fixed_environment(structures)
    assert len(base.features) == 24
    found = derivatives(soap, structures, base)
    for one, two in zip(found, derivatives(soap, structures, None), strict=True):
        assert one.abs().max() > 1e-2
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_atoms_that_see_nothing_that_moves_are_those_of_the_base():
    soap, structures = SOAP((29, 79), CUTOFF), slabs()
    base = soap.fixed_environment(structures)
    P, changed = soap.features_and_changed(structures, base)
    rows = base.fixed_index(len(P))
    assert bool(changed[rows < 0].all())
    assert int((~changed).sum()) >= 3 * 12
    assert torch.equal(P[~changed], base.features[rows[~changed]])
    differs = (P[rows >= 0] - base.features[rows[rows >= 0]]).abs().amax(-1) > 1e-9
    assert torch.equal(differs, changed[rows >= 0])


def test_pairs_that_the_base_accounts_for_are_not_listed():
    soap, structures = SOAP((29, 79), CUTOFF), slabs()
    place = soap.species_index(structures.numbers)
    near = NeighborVectors.from_structures(
        structures, CUTOFF, place, soap.fixed_environment(structures)
    )
    both = structures.fixed.unsqueeze(1) & structures.fixed[near.neighbor]
    assert not bool((both & near.mask).any())
    assert (
        near.mask.sum() < NeighborVectors.from_structures(structures, CUTOFF, place).mask.sum() / 3
    )


def test_a_base_is_kept_until_the_slab_changes():
    soap, structures = SOAP((29, 79), CUTOFF), slabs()
    base = soap.fixed_environment(structures)
    moved = structures.positions + 0.1 * (~structures.fixed).unsqueeze(-1)
    assert soap.fixed_environment(replace(structures, positions=moved)) is base
    shifted = replace(structures, positions=structures.positions * 1.01)
    other = soap.fixed_environment(shifted)
    assert other is not base
    found = soap(shifted, other)
    torch.testing.assert_close(found, soap(shifted), rtol=0, atol=1e-12)


def test_structures_on_different_slabs_have_no_base():
    soap = SOAP((29, 79), CUTOFF)
    assert soap.fixed_environment(Structures.cat([slabs(1), slabs(1, 3)])) is None
    free = slabs()
    assert soap.fixed_environment(replace(free, fixed=torch.zeros_like(free.fixed))) is None


def test_single_precision_has_a_base_of_its_own():
    soap, structures = SOAP((29, 79), CUTOFF), slabs()
    soap.fixed_environment(structures)
    single = structures.to(dtype=torch.float32)
    P = soap(single, soap.fixed_environment(single))
    assert P.dtype == torch.float32
    torch.testing.assert_close(P.double(), soap(structures), rtol=0, atol=1e-4)
