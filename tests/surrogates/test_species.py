import pytest
import torch

from bostruct.spaces import Cluster
from bostruct.structures import covalent_radii
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates.species import problem_scale, species_radii


def test_a_space_adds_species_and_has_its_own_radii(data, alloy):
    assert species_radii(data, None)[0] == (29,)
    species, radii = species_radii(data, alloy)
    assert species == (29, 79)
    torch.testing.assert_close(radii, covalent_radii(torch.tensor([29, 79])).double())
    tiny = Cluster("Ar6", atomic_radii={"Ar": 0.56})
    assert species_radii(data, tiny)[1][0] == 0.56


def test_the_scale_has_the_radii_of_the_space(data):
    radii = covalent_radii(data.numbers).to(data.positions)
    assert problem_scale(data, None) == ProblemScale.from_structures(data, radii)
    wide = Cluster("Cu6", atomic_radii={"Cu": 2.0})
    assert problem_scale(data, wide).length == pytest.approx(4.0)
