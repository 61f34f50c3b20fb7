import pytest
import torch
from ase.build import molecule
from ase.collections import g2

from bostruct.spaces.molecules.molecular_graph import (
    BOND_FACTOR,
    atom_classes,
    connected_parts,
    find_bonds,
    is_in_ring,
    match_graphs,
    neighbors_of,
    reachable_atoms,
)
from bostruct.structures import covalent_radii

SQUARE_WITH_TAIL = [[1, 3], [0, 2], [1, 3], [0, 2, 4], [3]]


def graph_of(atoms):
    """Return atomic numbers and neighbors of ASE's atoms."""
    numbers = torch.from_numpy(atoms.numbers.copy()).long()
    D = torch.from_numpy(atoms.get_all_distances())
    bonds = find_bonds(D, covalent_radii(numbers))
    return numbers.tolist(), neighbors_of(len(numbers), bonds)


def test_all_molecules_of_g2_hang_together_and_no_others_are_bonded():
    for name in g2.names:
        atoms = molecule(name)
        if len(atoms) > 1:
            _, neighbors = graph_of(atoms)
            assert len(connected_parts(neighbors)) == 1, name
            assert max(map(len, neighbors)) <= 6, name


def test_the_bonds_of_known_molecules():
    counts = {"H2O": 2, "CH3CH2OH": 8, "C6H6": 12, "cyclobutane": 12, "bicyclobutane": 11}
    for name, count in counts.items():
        assert sum(map(len, graph_of(molecule(name))[1])) == 2 * count, name


def test_bonds_end_at_the_factor():
    radii = torch.tensor([0.5, 0.7], dtype=torch.float64)
    for factor, count in ((BOND_FACTOR - 1e-9, 1), (BOND_FACTOR + 1e-9, 0)):
        D = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64) * 1.2 * factor
        assert len(find_bonds(D, radii)) == count


def test_rings_and_sides():
    assert is_in_ring((0, 1), SQUARE_WITH_TAIL)
    assert not is_in_ring((3, 4), SQUARE_WITH_TAIL)
    assert reachable_atoms(4, SQUARE_WITH_TAIL, (3, 4)) == [4]
    assert reachable_atoms(3, SQUARE_WITH_TAIL, (4, 3)) == [0, 1, 2, 3]
    assert connected_parts([[1], [0], [], [4], [3]]) == [[0, 1], [2], [3, 4]]


def test_equivalent_atoms_share_a_class():
    numbers, neighbors = graph_of(molecule("CH3CH2OH"))
    classes = atom_classes(numbers, neighbors)
    methyl = [i for i in range(len(numbers)) if numbers[i] == 1 and len(neighbors[i]) == 1]
    by_class = sorted(len([i for i in methyl if classes[i] == c]) for c in set(classes))
    assert by_class == [0, 0, 0, 1, 2, 3]


def test_classes_do_not_depend_on_the_order():
    for name in ("CH3CH2OH", "C6H6", "isobutane", "bicyclobutane"):
        atoms = molecule(name)
        order = torch.randperm(len(atoms), generator=torch.Generator().manual_seed(0)).tolist()
        classes, shuffled = (atom_classes(*graph_of(a)) for a in (atoms, atoms[order]))
        assert [classes[i] for i in order] == shuffled


def test_equal_graphs_are_matched_in_any_order():
    for name in ("H2O", "CH3CH2OH", "C6H6", "isobutane", "bicyclobutane", "C5H8"):
        atoms = molecule(name)
        order = torch.randperm(len(atoms), generator=torch.Generator().manual_seed(1)).tolist()
        (numbers, neighbors), (others, other_neighbors) = map(graph_of, (atoms, atoms[order]))
        found = next(match_graphs(numbers, neighbors, others, other_neighbors))
        assert sorted(found) == list(range(len(atoms)))
        assert [others[k] for k in found] == numbers
        for i, atoms_of in enumerate(neighbors):
            assert sorted(found[j] for j in atoms_of) == other_neighbors[found[i]]


def test_isomers_are_not_matched():
    for name, other in (("CH3CH2OH", "CH3OCH3"), ("isobutane", "trans-butane"), ("H2O", "CO")):
        assert not list(match_graphs(*graph_of(molecule(name)), *graph_of(molecule(other))))


def test_graphs_of_equal_classes_that_differ_are_not_matched():
    hexagon = [[(i - 1) % 6, (i + 1) % 6] for i in range(6)]
    triangles = [[j for j in range(3 * (i // 3), 3 * (i // 3) + 3) if j != i] for i in range(6)]
    assert not list(match_graphs([6] * 6, hexagon, [6] * 6, triangles))


@pytest.mark.parametrize(
    ("name", "count"), [("H2O", 2), ("CH4", 24), ("C6H6", 12), ("CH3CH2OH", 12)]
)
def test_symmetries_of_a_graph_are_counted(name: str, count: int) -> None:
    """Hydrogen atoms of methyl groups may be exchanged, benzene has the group of a hexagon."""
    graph = graph_of(molecule(name))
    ways = {tuple(way) for way in match_graphs(*graph, *graph)}
    assert len(ways) == count
