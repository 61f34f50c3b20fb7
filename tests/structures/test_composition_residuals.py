import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.structures.composition_residuals import composition_residuals, species_counts


def test_atoms_of_each_species_are_counted():
    structures = from_ase([Atoms("CuAu2"), Atoms("Cu3")])
    species, index = structures.numbers.unique(return_inverse=True)
    assert species_counts(structures, index, len(species)).tolist() == [[1, 2], [3, 0]]


def test_energies_of_one_composition_are_compared_with_the_median():
    counts = torch.full((3, 1), 4.0).double()
    found = composition_residuals(torch.tensor([7.0, -1.0, 2.0]).double(), counts)
    assert found.tolist() == [5.0, -3.0, 0.0]


def test_no_zero_of_energies_and_no_outlier_matters():
    """A hole of 10⁴ eV is alone in not having its energy explained by the composition."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 9, (12, 2), generator=generator).double()
    energy = counts @ torch.tensor([-1300.0, -2e5]).double()
    energy[5] -= 1e4
    found = composition_residuals(energy, counts)
    assert float(found[5]) < -0.99e4
    assert found[torch.arange(12) != 5].abs().max() < 1.0
