from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixedLine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Molecule, Species, Structure

from bostruct.errors import InputError
from bostruct.structures import (
    Structures,
    covalent_radii,
    from_ase,
    from_pymatgen,
    to_ase,
    to_pymatgen,
    van_der_waals_radii,
)

# slow machines draw slowly; the same examples every time
SETTINGS = settings(
    deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
REAL = st.floats(-50, 50, allow_nan=False, width=64)


@st.composite
def structures(draw, placeholder=True, wires=True):
    """Atoms of any kind, with any cell that is possible."""
    a = draw(st.integers(1, 5))
    least = 0 if placeholder else 1
    numbers = draw(st.lists(st.integers(least, 118), min_size=a, max_size=a))
    positions = np.array(draw(st.lists(REAL, min_size=3 * a, max_size=3 * a)))
    pbc = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    if draw(st.booleans()) or any(pbc):
        lengths = draw(st.tuples(*[st.floats(1, 30)] * 3))
        skew = np.array(draw(st.lists(st.floats(-3, 3), min_size=9, max_size=9)))
        cell = np.diag(lengths) + np.triu(skew.reshape(3, 3), 1)
        if wires:
            cell[~np.array(pbc)] *= draw(st.sampled_from([0, 1]))
    else:
        cell = np.zeros((3, 3))
    atoms = Atoms(numbers=numbers, positions=positions.reshape(a, 3), cell=cell, pbc=pbc)
    atoms.set_tags(draw(st.lists(st.integers(-9, 9), min_size=a, max_size=a)))
    fixed = [i for i in range(a) if draw(st.booleans())]
    if fixed:
        atoms.set_constraint(FixAtoms(indices=fixed))
    known = {}
    if draw(st.booleans()):
        known["energy"] = draw(REAL)
    if draw(st.booleans()):
        known["forces"] = np.array(draw(st.lists(REAL, min_size=3 * a, max_size=3 * a)))
        known["forces"] = known["forces"].reshape(a, 3)
        largest = np.abs(known["forces"]).max()
        if fixed and np.abs(known["forces"][fixed]).max() <= 1e-5 * largest:
            known["forces"][fixed] = max(largest, 1.0)  # zeros on fixed atoms are unknown
    if draw(st.booleans()):
        known["stress"] = np.array(draw(st.lists(REAL, min_size=6, max_size=6)))
    if known:
        atoms.calc = SinglePointCalculator(atoms, **known)
    return atoms


def assert_equal(one, two, atol=0.0, names=("energy", "forces", "stress")):
    assert one.numbers.tolist() == two.numbers.tolist()
    np.testing.assert_allclose(one.positions, two.positions, rtol=0, atol=atol)
    np.testing.assert_allclose(one.cell, two.cell, rtol=0, atol=atol)
    assert one.pbc.tolist() == two.pbc.tolist()
    assert one.get_tags().tolist() == two.get_tags().tolist()
    assert fixed(one) == fixed(two)
    for name in names:
        results = [{} if x.calc is None else x.calc.results for x in (one, two)]
        assert (name in results[0]) == (name in results[1])
        if name in results[0]:
            assert np.array_equal(results[0][name], results[1][name])


def fixed(atoms):
    return [i for c in atoms.constraints for i in c.get_indices().tolist()]


@given(st.lists(structures(), min_size=1, max_size=4))
@SETTINGS
def test_round_trip_through_ase(images):
    batch = from_ase(images)
    assert len(batch) == len(images)
    for one, two in zip(images, to_ase(batch), strict=True):
        assert_equal(one, two)


@given(st.lists(structures(placeholder=False, wires=False), min_size=1, max_size=3))
@SETTINGS
def test_round_trip_through_pymatgen(images):
    batch = from_ase(images)
    back = to_ase(from_pymatgen(to_pymatgen(batch)))
    for one, two in zip(images, back, strict=True):
        assert_equal(one, two, atol=1e-10, names=("energy", "forces"))
        assert two.calc is None or "stress" not in two.calc.results


def test_reads_results_that_are_stored_and_no_others():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = EMT()
    assert from_ase(atoms).energy is None  # nothing is calculated
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    batch = from_ase([atoms, molecule("H2O")])
    assert batch.energy[0] == energy
    assert batch.energy[1].isnan()
    assert np.array_equal(batch.forces[:4].numpy(), forces)
    assert batch.forces[4:].isnan().all()
    atoms.positions[0] += 0.1
    assert from_ase(atoms).energy is None  # stale
    assert atoms.calc.results  # and left as it was


def test_results_of_calculators_that_do_not_check():
    atoms = molecule("H2")
    atoms.calc = SimpleNamespace(results={"energy": -1.5})
    assert from_ase(atoms).energy.tolist() == [-1.5]


def test_follows_device_and_dtype():
    batch = from_ase(molecule("H2O"), device="cpu", dtype=torch.float32)
    assert batch.dtype == batch.cell.dtype == torch.float32
    assert batch.formulas() == ["H2O"]


def test_gradients_do_not_hinder():
    batch = from_ase(molecule("H2O"))
    values = vars(batch) | {"positions": batch.positions.requires_grad_()}
    assert len(to_ase(Structures(**values))) == 1


def test_pymatgen_kinds():
    crystal, gas = to_pymatgen(from_ase([bulk("NaCl", "rocksalt", 5.6), molecule("CO")]))
    assert isinstance(crystal, Structure)
    assert isinstance(gas, Molecule)
    slab = fcc111("Cu", (1, 1, 2), vacuum=5)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == 2))
    (found,) = to_pymatgen(from_ase(slab))
    assert found.lattice.pbc == (True, True, False)
    assert found.site_properties["selective_dynamics"] == [[False] * 3, [True] * 3]
    assert found.site_properties["tags"] == [2, 1]


def test_pymatgen_isotopes_and_missing_properties():
    lattice = Lattice.cubic(4)
    one = Structure(lattice, ["D"], [[0, 0, 0]])
    two = Structure(
        lattice, ["Cu"], [[0, 0, 0]], site_properties={"selective_dynamics": [None], "tags": [None]}
    )
    batch = from_pymatgen([one, two])
    assert batch.numbers.tolist() == [1, 29]
    assert batch.tags.tolist() == [0, 0]
    assert not batch.fixed.any()


def test_covalent_radii():
    radii = covalent_radii(torch.tensor([[29, 1]]))
    assert radii.tolist() == [[1.32, 0.31]]
    assert radii.dtype == torch.float64
    with pytest.raises(InputError, match=r"radius is known, got X\. Give its radius"):
        covalent_radii(torch.tensor([0]))


def _line():
    atoms = molecule("H2O")
    atoms.set_constraint(FixedLine(0, [0, 0, 1]))
    return atoms


@pytest.mark.parametrize(
    ("atoms", "match"),
    [
        ([], "at least one structure, got none"),
        ([Atoms("Cu"), Atoms()], "at least one atom each, got 0. Structure 1"),
        (_line(), "`constraints` must be FixAtoms, got FixedLine"),
        (Atoms("Cu", positions=[[0, 0, np.nan]]), "`positions` must be finite"),
        (Atoms("Cu", pbc=True), "independent lattice vectors"),
    ],
)
def test_refuses_from_ase(atoms, match):
    with pytest.raises(InputError, match=match):
        from_ase(atoms)


CELL = Lattice.cubic(4)


@pytest.mark.parametrize(
    ("item", "match"),
    [
        (
            Structure(CELL, [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]),
            "ordered sites of one element, got .*Choose one",
        ),
        (Structure(CELL, ["X"], [[0, 0, 0]]), "ordered sites of one element, got X"),
        (
            Structure(
                CELL,
                ["Cu"],
                [[0, 0, 0]],
                site_properties={"selective_dynamics": [[True, False, True]]},
            ),
            "all true or all false for each atom",
        ),
    ],
)
def test_refuses_from_pymatgen(item, match):
    with pytest.raises(InputError, match=match):
        from_pymatgen(item)


def test_refuses_to_pymatgen():
    with pytest.raises(InputError, match=r"elements for pymatgen, got X \(0\)"):
        to_pymatgen(from_ase(Atoms("X")))
    wire = Atoms("Cu", cell=[2, 0, 0], pbc=[True, False, False])
    with pytest.raises(InputError, match="span a volume, or be zero"):
        to_pymatgen(from_ase(wire))


def charged():
    """Return structures with all, some and none of what a calculator begins with."""
    ion, magnet, plain = molecule("CH3"), bulk("Ni") * (2, 1, 1), bulk("Cu")
    ion.set_initial_charges([1, 0, 0, 0])
    ion.info |= {"charge": 1, "spin": 1.5}
    magnet.set_initial_magnetic_moments([0.6, -0.6])
    return [ion, magnet, plain]


def test_moments_and_charges_survive_a_round_trip():
    batch = from_ase(charged())
    for found, wanted in zip(to_ase(batch), charged(), strict=True):
        assert found == wanted
        assert found.info == wanted.info
        assert found.has("initial_magmoms") == wanted.has("initial_magmoms")
        assert found.has("initial_charges") == wanted.has("initial_charges")
    assert isinstance(to_ase(batch)[0].info["charge"], int)
    for again in (from_ase(to_ase(batch)), from_pymatgen(to_pymatgen(batch))):
        assert set(again.electronic_state) == set(batch.electronic_state)
        for name, value in batch.electronic_state.items():
            assert torch.equal(again.value_or_nan(name).nan_to_num(9), value.nan_to_num(9)), name
    assert from_ase(bulk("Cu")).electronic_state == {}


def test_moments_and_charges_of_pymatgen():
    lattice = Lattice.cubic(4.0)
    positions = [[0, 0, 0], [0.5, 0.5, 0.5]]
    cell = Structure(lattice, ["Fe", "O"], positions, site_properties={"magmom": [4.0, None]})
    found = from_pymatgen(cell)
    assert found.magnetic_moments[0] == 4.0
    assert found.magnetic_moments[1].isnan()
    spins = Structure(lattice, [Species("Fe", 2, spin=-4), Species("O", -2)], positions)
    assert from_pymatgen(spins).magnetic_moments[0] == -4.0
    ion = Structure(lattice, ["Fe", "O"], positions, charge=-1)
    assert from_pymatgen(ion).charge.tolist() == [-1.0]
    # Neither oxidation states that do not add up, nor the default multiplicity, are a charge.
    odd = Structure(lattice, [Species("Fe", 3), Species("O", -2)], positions)
    assert from_pymatgen(odd).charge is None
    assert from_pymatgen(Molecule(["O", "H"], [[0, 0, 0], [0, 0, 1]])).electronic_state == {}
    triplet = Molecule(["O", "O"], [[0, 0, 0], [0, 0, 1.2]], spin_multiplicity=3)
    assert from_pymatgen(triplet).spin.tolist() == [3.0]
    cation = Molecule(["O", "H"], [[0, 0, 0], [0, 0, 1]], charge=1)
    assert from_pymatgen(cation).charge.tolist() == [1.0]


def test_refuses_what_cannot_be_carried():
    atoms = bulk("Cu")
    atoms.set_initial_magnetic_moments([[0, 0, 0.6]])
    with pytest.raises(InputError, match=r"`magnetic_moments` must be one number for each atom"):
        from_ase(atoms)
    for value in ("one", [1, 2]):
        atoms = bulk("Ni")
        atoms.info["charge"] = value
        with pytest.raises(InputError, match=r"`info\['charge'\]` must be one number"):
            from_ase(atoms)


def test_refuses_what_pymatgen_has_and_cannot_be_carried():
    lattice, positions = Lattice.cubic(4.0), [[0, 0, 0], [0.5, 0.5, 0.5]]
    for moments in ([[0, 0, 4.0], [0, 0, -4.0]], [[0, 0, 4.0], None], ["up", "down"]):
        cell = Structure(lattice, ["Fe", "O"], positions, site_properties={"magmom": moments})
        with pytest.raises(InputError, match="`magmom` must be one number for each atom"):
            from_pymatgen(cell)
    for name, value in (("charge", "one"), ("spin", {"up": 1})):
        cell = Structure(lattice, ["Fe", "O"], positions, properties={name: value})
        with pytest.raises(InputError, match=rf"`properties\['{name}'\]` must be one number"):
            from_pymatgen(cell)


def test_refuses_partial_occupancies():
    atoms = bulk("Cu")
    atoms.info["occupancy"] = {"0": {"Cu": 0.6, "Au": 0.4}}
    with pytest.raises(InputError, match=r"one whole atom on each site, got 0\.6 Cu 0\.4 Au on"):
        from_ase(atoms)


def test_zeros_on_fixed_atoms_are_unknown_forces():
    atoms = fcc111("Cu", (1, 1, 3), vacuum=5)
    atoms.rattle(0.1, seed=0)
    atoms.set_constraint(FixAtoms([0, 1]))
    atoms.calc = EMT()
    true = atoms.get_forces(apply_constraint=False)
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=atoms.get_forces())
    found = from_ase(atoms)
    assert found.forces[:2].isnan().all()
    assert np.allclose(found.forces[2].numpy(), true[2])
    # and ASE's zeros again on the way back
    assert np.array_equal(to_ase(found)[0].get_forces(), atoms.get_forces())
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=true)
    assert np.array_equal(from_ase(atoms).forces.numpy(), true)


def test_labels_under_other_names():
    atoms = bulk("Cu")
    atoms.info["REF_energy"] = -3.0
    atoms.set_array("REF_forces", np.ones((1, 3)))
    assert from_ase(atoms).energy is None
    found = from_ase(atoms, energy_key="REF_energy")
    assert (found.energy.tolist(), found.forces.tolist()) == ([-3.0], [[1.0] * 3])
    assert from_ase(atoms, energy_key="REF_energy", forces_key="").forces is None


def test_stress_is_that_of_the_calculator():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell @ [[1, 0.02, 0], [0, 1.03, 0.01], [0.04, 0, 0.99]], scale_atoms=True)
    atoms.calc = EMT()
    voigt = atoms.get_stress()
    batch = from_ase([atoms, molecule("H2O")])
    assert np.array_equal(batch.stress[0].numpy(), voigt)
    assert batch.stress[1].isnan().all()
    assert np.array_equal(to_ase(batch)[0].get_stress(), voigt)
    assert to_ase(batch)[1].calc is None
    matrix = atoms.get_stress(voigt=False)
    for value in (matrix, matrix.ravel()):
        atoms.calc = SinglePointCalculator(atoms, stress=value)
        assert np.array_equal(from_ase(atoms).stress[0].numpy(), voigt)


def test_van_der_waals_radii_are_those_of_alvarez_or_exceed_covalent_ones():
    numbers = torch.tensor([[1, 8], [78, 61]])  # promethium has none of its own
    radii = van_der_waals_radii(numbers)
    assert radii[0].tolist() == [1.2, 1.5]
    assert float(radii[1, 0]) == 2.29
    assert float(radii[1, 1]) == pytest.approx(float(covalent_radii(torch.tensor(61))) + 0.9)
    with pytest.raises(InputError, match="covalent radius is known"):
        van_der_waals_radii(torch.tensor([0]))
