import pytest
import torch
from ase.build import fcc111

from bostruct.campaign.analysis.bound_diagnosis import WAYS_OUT
from bostruct.spaces import Cluster, Surface
from bostruct.spaces.molecules.bounds import REACTIONS, bond_bounds, name_reactions
from bostruct.testing import seeded_generator


def stretched(space, factor):
    """Return a structure whose first molecule has bonds longer by a factor."""
    P = space.sample(1, seeded_generator(0))[0].reshape(-1, 3).clone()
    first = space.fragments.unit_index == 0
    center = space.fragments.centers(P)[0]
    P[first] = center + factor * (P[first] - center)
    return P


def test_bonds_that_are_about_to_break_are_bounds():
    space = Cluster.of({"H2O": 2})
    atoms = torch.arange(6)
    assert bond_bounds(stretched(space, 1.2), space.fragments, atoms) == []
    P = stretched(space, 1.24)
    (bound,) = bond_bounds(P, space.fragments, atoms)
    assert bound.argument in WAYS_OUT
    assert bound.pair == "H-O"
    assert bound.limit == pytest.approx(1.25 * float(space.fragments.bond_lengths[0]))
    i, j = bound.atoms.tolist()
    forces = torch.zeros(6, 3, dtype=torch.float64)
    forces[i], forces[j] = P[i] - P[j], P[j] - P[i]  # they would move apart
    assert bound.pressure(forces) > 0
    assert bound.pressure(-forces) < 0


def test_spaces_name_the_argument_that_lets_bonds_form():
    space = Cluster.of({"H2O": 2})
    P = space.fragments.reference.clone()
    P[3:] = -P[3:]
    P[3:, 2] += 1.75 + 2 * 0.119262  # oxygen atoms beside each other
    bounds = [b for b in space.active_bounds(P.flatten()) if b.pair == "O-O"]
    assert [bound.argument for bound in bounds] == [REACTIONS]
    atomic = Cluster("(OH2)2", min_distance={"O-O": 1.8})
    (bound,) = [b for b in atomic.active_bounds(P.flatten()) if b.pair == "O-O"]
    assert bound.argument == "min_distance"
    assert name_reactions([bound], {"O-O": 1.8})[0].argument == "min_distance"
    assert name_reactions([bound], {"O-O": 0.9})[0].argument == REACTIONS


def test_bounds_on_a_surface_are_those_of_atoms_of_the_structure():
    space = Surface(fcc111("Pt", (3, 3, 2), vacuum=8.0), molecules=["CO"])
    P = stretched(space, 1.24)
    bound = next(b for b in space.active_bounds(P.flatten()) if b.pair == "C-O")
    assert bound.argument == REACTIONS
    assert sorted(bound.atoms.tolist()) == [18, 19]
