import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from bostruct.errors import InputError, ShapeError
from bostruct.evaluators.alloys.relaxation import (
    apply_strain,
    move_off_cell_faces,
    relax_crystal,
    relax_ions,
    validated_crystal,
)
from bostruct.structures import Structures, from_ase

COPPER = bulk("Cu", cubic=True)


def energy(atoms):
    atoms = atoms.copy()
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def margin(atoms):
    """How far the atom nearest to a face is from it, in fractions of the cell."""
    fractions = atoms.get_scaled_positions(wrap=False)
    return np.minimum(fractions, 1 - fractions).min()


@pytest.mark.parametrize("atoms", [COPPER, bulk("Cu"), bulk("Mg"), COPPER.repeat(2)])
def test_no_atom_is_on_a_face_of_its_cell(atoms):
    assert margin(atoms) < 1e-9
    # The middle of the widest gap: half of 1/m for m layers of atoms.
    layers = max(len(np.unique(column.round(6))) for column in fractions_of(atoms).T)
    assert margin(move_off_cell_faces(atoms)) > 0.4 / layers


def fractions_of(atoms):
    return atoms.get_scaled_positions(wrap=True) % 1.0


def test_moving_the_origin_changes_nothing_else():
    atoms = COPPER.repeat((2, 1, 1))
    atoms.rattle(0.05, seed=0)
    atoms.symbols[:3] = "Au"
    moved = move_off_cell_faces(atoms)
    assert energy(moved) == pytest.approx(energy(atoms), abs=1e-10)
    assert moved.get_chemical_symbols() == atoms.get_chemical_symbols()
    ours = moved.get_all_distances(mic=True)
    assert np.allclose(ours, atoms.get_all_distances(mic=True), atol=1e-10)


def test_which_side_of_a_face_an_atom_is_on_does_not_matter():
    below = COPPER.copy()
    below.positions[0] -= 1e-12
    assert np.allclose(
        move_off_cell_faces(below).positions,
        move_off_cell_faces(COPPER).positions,
        atol=1e-10,
    )


def test_constraints_are_removed():
    atoms = COPPER.copy()
    atoms.set_constraint(FixAtoms([0]))
    assert move_off_cell_faces(atoms).constraints == []


def test_validation_returns_the_same_crystal():
    found = validated_crystal(from_ase([COPPER]), 0.6)
    assert found.get_chemical_symbols() == ["Cu"] * 4
    assert found.get_volume() == pytest.approx(COPPER.get_volume())


def squeezed(distance):
    return Atoms("CuAu", [[0, 0, 0], [0, 0, distance]], cell=[9, 9, 9], pbc=True)


@pytest.mark.parametrize(
    ("atoms", "error", "match"),
    [
        ([COPPER] * 2, ShapeError, "must hold exactly one structure, got 2"),
        ([Atoms("Cu", cell=[3] * 3)], InputError, "periodic in three directions"),
        ([squeezed(1.5)], InputError, "got (Cu and Au|Au and Cu) at 1.50 Å"),
        ([squeezed(0.0)], InputError, "at 0.00 Å"),
        # An atom too near to its own image.
        ([Atoms("Cu", cell=[1.2, 9, 9], pbc=True)], InputError, "Cu and Cu at 1.20 Å"),
    ],
)
def test_structures_that_are_no_crystals_are_refused(atoms, error, match):
    with pytest.raises(error, match=match):
        validated_crystal(from_ase(atoms), 0.6)


def test_the_least_distance_is_the_users():
    assert len(validated_crystal(from_ase([squeezed(1.7)]), 0.6)) == 2
    with pytest.raises(InputError, match=r"keep atoms 0.8 of the sum"):
        validated_crystal(from_ase([squeezed(1.7)]), 0.8)


def test_an_empty_structure_is_refused():
    none = torch.zeros(0, dtype=torch.int64)
    empty = Structures.unchecked(
        positions=torch.zeros(0, 3, dtype=torch.float64),
        numbers=none,
        cell=3 * torch.eye(3, dtype=torch.float64)[None],
        pbc=torch.ones(1, 3, dtype=torch.bool),
        index=none,
        fixed=none.bool(),
        tags=none,
    )
    with pytest.raises(ShapeError, match="must have atoms, got an empty structure"):
        validated_crystal(empty, 0.6)


def alloy():
    atoms = move_off_cell_faces(bulk("Cu", cubic=True, a=3.9))
    atoms.set_chemical_symbols(["Cu", "Cu", "Au", "Au"])
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    return atoms


def test_hydrostatic_relaxation_keeps_the_shape():
    atoms = alloy()
    before = atoms.cell.cellpar()
    rest = relax_crystal(atoms, "hydrostatic", 0.002, 300)
    assert rest.reason == ""
    after = atoms.cell.cellpar()
    assert np.allclose(after[:3] / before[:3], after[0] / before[0])
    assert np.allclose(after[3:], before[3:])
    assert abs(atoms.get_stress()[:3].mean()) < 1e-3
    assert np.abs(atoms.get_stress()).max() > 5e-3  # it is not the whole cell
    assert rest.max_force == pytest.approx(np.linalg.norm(atoms.get_forces(), axis=1).max())
    assert rest.max_force <= 0.002


def test_cell_relaxation_leaves_no_stress_and_is_lower():
    whole, shape = alloy(), alloy()
    rest = relax_crystal(whole, "cell", 0.002, 300)
    assert rest.reason == ""
    assert np.abs(whole.get_stress()).max() < 1e-3
    assert rest.residual_pressure < 0.1
    assert rest.energy < relax_crystal(shape, "hydrostatic", 0.002, 300).energy - 0.01


def test_a_cell_that_changes_its_shape_comes_to_rest():
    # CuPt-like layers: the filter's axes and the crystal's end some per cent apart.
    a = 3.7443
    layers = Atoms(
        "Cu4PdAu",
        cell=a / 2 * np.array([[0, 1, 1], [1, 2, -1], [-3, 2, -1]]),
        pbc=True,
        positions=a
        / 2
        * np.array([[0, 0, 0], [-2, 3, -1], [-2, 2, 0], [-1, 2, -1], [-1, 1, 0], [0, 2, 0]]),
    )
    layers = move_off_cell_faces(layers)
    layers.calc = EMT()
    rest = relax_crystal(layers, "cell", 0.002, 300)
    assert rest.reason == ""
    assert rest.max_force <= 0.002


def test_an_interrupted_relaxation_has_a_reason():
    rest = relax_crystal(alloy(), "cell", 0.002, 2)
    assert "ended after 2 steps with" in rest.reason
    assert rest.n_steps == 2


def test_ions_relax_in_a_fixed_cell():
    atoms = alloy()
    cell = atoms.cell.array.copy()
    assert relax_ions(atoms, 0.01, 100) == ""
    assert np.array_equal(atoms.cell.array, cell)
    assert "left with" in relax_ions(alloy(), 0.01, 1)


def test_strain_moves_atoms_with_the_cell_and_leaves_the_original():
    atoms = alloy()
    strain = np.diag([0.01, 0, 0])
    moved = apply_strain(atoms, strain)
    assert moved.cell.lengths()[0] == pytest.approx(1.01 * atoms.cell.lengths()[0])
    assert np.allclose(moved.get_scaled_positions(), atoms.get_scaled_positions())
    assert moved.calc is atoms.calc
    assert atoms.cell.lengths()[0] == 3.9


def test_refuses_fixed_atoms():
    atoms = bulk("Cu", cubic=True)
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(InputError, match=r"have no fixed atoms, got 1\. The properties are"):
        validated_crystal(from_ase(atoms), 0.6)
