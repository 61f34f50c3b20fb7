import re

import numpy as np
import pytest
from ase.build import bulk, graphene, make_supercell
from ase.spacegroup import crystal

from bostruct.spaces.crystals.crystal_summary import summarize_crystal
from bostruct.structures import from_ase


def rutile():
    return crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.493, 4.493, 3.01, 90, 90, 90],
    )


@pytest.mark.parametrize("seed", range(3))
def test_rutile_in_any_cell_and_with_noise(seed):
    rng = np.random.default_rng(seed)
    atoms = make_supercell(rutile(), [[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    atoms.rattle(0.01, seed=seed)
    atoms.set_cell(atoms.cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0], scale_atoms=True)
    found = summarize_crystal(from_ase(atoms))
    assert (found.space_group, found.space_group_number) == ("P4_2/mnm", 136)
    assert found.lengths == pytest.approx((4.493, 4.493, 3.01), abs=1e-6)
    assert found.angles == pytest.approx((90, 90, 90))
    assert re.fullmatch("O 4[fg], Ti 2[ab]", found.wyckoff_positions)  # by the origin
    assert found.volume_per_atom == pytest.approx(4.493**2 * 3.01 / 6)
    assert found.density == pytest.approx(4.365, abs=1e-3)


def test_the_primitive_cell_has_the_conventional_one():
    found = summarize_crystal(from_ase(bulk("Cu", a=3.6)))
    assert (found.space_group_number, found.wyckoff_positions[:4]) == (225, "Cu 4")
    assert found.lengths == pytest.approx((3.6,) * 3)


def test_without_symmetry():
    atoms = bulk("Cu", cubic=True)
    atoms.positions += np.random.default_rng(0).normal(size=(4, 3))
    found = summarize_crystal(from_ase(atoms))
    assert (found.space_group, found.wyckoff_positions) == ("P1", "Cu 4a")


def test_layers_have_a_layer_group_and_an_area():
    found = summarize_crystal(from_ase(graphene(a=2.46, vacuum=8.0)))
    assert (found.space_group, found.space_group_number) == ("p6/mmm", 80)
    assert found.wyckoff_positions == "C 2b"
    assert found.volume_per_atom == pytest.approx(2.46**2 * 0.75**0.5 / 2)
    assert found.density == pytest.approx(0.761, abs=1e-3)  # of graphene, mg/m²
