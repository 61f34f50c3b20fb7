import pytest
import torch
from ase.calculators.emt import EMT
from ase.units import GPa

from bostruct.campaign.enthalpy_gradient import enthalpy_gradient
from bostruct.spaces import ChemicalSystem, Crystal
from bostruct.structures import to_ase
from bostruct.testing.central_differences import assert_gradient
from tests.campaign import crystals


def computed(space, X):
    atoms = to_ase(space.decode(X))[0]
    atoms.calc = EMT()
    return atoms


OBLIQUE = [[4.2, 0.3, 0.1], [1.1, 4.0, -0.2], [0.4, 0.8, 4.1]]

SPACES = {
    "all": Crystal("Cu3Au", pressure=20 * GPa),
    "stand-in": crystals.Cells(0.1),
    "volume": Crystal("Cu3Au", cell=OBLIQUE, variable="volume", pressure=20 * GPa),
    "none": Crystal("Cu3Au", cell=OBLIQUE),
    "layer": Crystal("Cu3Au", periodic=(True, True, False), area=6.0),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_it_is_that_of_energy_and_volume(space):
    (X,) = space.sample(1, torch.Generator().manual_seed(3))

    def enthalpy(X):
        atoms = computed(space, X)
        value = atoms.get_potential_energy() + space.pressure * atoms.get_volume()
        return torch.tensor(value, dtype=torch.float64)

    atoms = computed(space, X)
    forces, stress = torch.tensor(atoms.get_forces()), torch.tensor(atoms.get_stress())
    gradient = enthalpy_gradient(space, X.unsqueeze(0), forces, stress.unsqueeze(0))[0]
    assert_gradient(enthalpy, X, gradient, rtol=1e-4)


def test_a_fixed_cell_has_no_gradient_by_the_cell():
    space = Crystal("Cu3Au", pressure=20 * GPa)
    X = space.sample(2, torch.Generator().manual_seed(3))
    forces = torch.ones(8, 3, dtype=torch.float64)
    fixed = enthalpy_gradient(space, X, forces, None)
    both = enthalpy_gradient(space, X, forces, torch.zeros(2, 6))
    torch.testing.assert_close(fixed[:, :12], both[:, :12])
    assert fixed[:, 12:].abs().max() < 1e-9
    assert both[:, 12:].abs().max() > 0.1


def test_an_unknown_stress_makes_it_unknown():
    space = Crystal("Cu3Au")
    X = space.sample(2, torch.Generator().manual_seed(3))
    stress = torch.zeros(2, 6, dtype=torch.float64)
    stress[1] = torch.nan
    gradient = enthalpy_gradient(space, X, torch.zeros(8, 3), stress)
    assert bool(gradient[0].isfinite().all())
    assert bool(gradient[1].isnan().any())


def test_it_is_that_of_each_of_several_sizes():
    space = ChemicalSystem("Cu-Au", max_atoms=3, pressure=20 * GPa)
    X = space.sample_members(torch.tensor([6, 0, 3]), torch.Generator().manual_seed(3))
    every = [computed(space, x) for x in X]
    forces = torch.cat([torch.tensor(atoms.get_forces()) for atoms in every])
    stress = torch.stack([torch.tensor(atoms.get_stress()) for atoms in every])

    def enthalpy(X):
        values = [computed(space, x) for x in X]
        total = sum(a.get_potential_energy() + space.pressure * a.get_volume() for a in values)
        return torch.tensor(total, dtype=torch.float64)

    gradient = enthalpy_gradient(space, X, forces, stress)
    assert_gradient(enthalpy, X, gradient, rtol=1e-4)
    for x, own, m in zip(X, gradient, space.member_index(X).tolist(), strict=True):
        assert own[0] == 0
        assert (own[1 + space.members[m].dimension :] == 0).all()
        assert x[0] == m
