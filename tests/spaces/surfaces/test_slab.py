import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import fcc100
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixedPlane

from bostruct.errors import InputError, SpaceError
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane
from bostruct.spaces.surfaces.slab import (
    available_height,
    check_images,
    check_region,
    check_slab_overlaps,
    read_slab,
    slab_digest,
)
from bostruct.structures import from_ase


def slab():
    atoms = fcc100("Au", (2, 2, 2), vacuum=8.0)
    atoms.info.clear()  # not everything in there can be written
    return atoms


def test_fixes_all_atoms_unless_told_otherwise():
    assert read_slab(slab()).fixed.all()
    some = slab()
    some.set_constraint(FixAtoms(mask=some.get_tags() == 2))
    assert read_slab(some).fixed.tolist() == [True] * 4 + [False] * 4
    none = slab()
    none.set_constraint(FixAtoms(indices=[]))
    assert not read_slab(none).fixed.any()


def test_reads_files(tmp_path):
    path = tmp_path / "slab.extxyz"
    slab().write(path)
    assert (
        slab_digest(read_slab(path))
        == slab_digest(read_slab(str(path)))
        == slab_digest(read_slab(slab()))
    )


def test_energies_are_dropped():
    atoms = slab()
    atoms.calc = EMT()
    atoms.get_forces()
    assert from_ase(atoms).energy is not None
    assert read_slab(atoms).energy is None


def flat():
    atoms = slab()
    atoms.cell[1] = 2 * atoms.cell[0]
    return atoms


def sliding():
    atoms = slab()
    atoms.set_constraint(FixedPlane(0, (0, 0, 1)))
    return atoms


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (7, "`slab` must be ase.Atoms or the path of a file, got 7"),
        ("missing.xyz", "file of structures that ASE can read, got missing.xyz, which is no"),
        (Atoms(), "`slab` must have atoms, got none"),
        (Atoms("H", pbc=True), "got vectors that are zero or parallel. Set pbc to False along"),
        (flat(), "`cell` must have independent lattice vectors"),
        (sliding(), "`constraints` must be FixAtoms, got FixedPlane"),
    ],
)
def test_refuses(given, match):
    with pytest.raises(InputError, match=match):
        read_slab(given)


def test_refuses_files_that_are_no_structures(tmp_path):
    path = tmp_path / "slab.xyz"
    path.write_text("nonsense")
    with pytest.raises(InputError, match="`slab` must be a file of structures that ASE can read"):
        read_slab(path)


def test_a_region_is_two_heights():
    assert check_region((0, 6)) == (0.0, 6.0)
    assert check_region([-2.5, np.float64(3)]) == (-2.5, 3.0)


@pytest.mark.parametrize(
    "given",
    [(3, 1), (2, 2), (-3, -1), (0,), (0, 1, 2), (0, "6"), 6, "06", (0, float("inf"))],
)
def test_refuses_regions(given):
    with pytest.raises(InputError, match="`region` must be two heights in Å"):
        check_region(given)


def test_a_digest_ignores_the_last_digits_only():
    one = slab()
    same, moved, tagged = slab(), slab(), slab()
    same.positions += 1e-9
    moved.positions[3, 0] += 1e-3
    tagged.set_tags(0)
    assert slab_digest(read_slab(one)) == slab_digest(read_slab(same))
    found = {slab_digest(read_slab(atoms)) for atoms in (one, moved, tagged)}
    assert len(found) == 3


def plane_of(atoms):
    return PeriodicPlane.from_cell(torch.from_numpy(np.asarray(atoms.cell)))


def test_the_room_above_a_slab():
    atoms = slab()
    assert available_height(read_slab(atoms), plane_of(atoms), 2, 2.5) == pytest.approx(8)
    atoms.pbc = True  # then the next slab must not be touched
    assert available_height(read_slab(atoms), plane_of(atoms), 2, 2.5) == pytest.approx(13.5)
    atoms = fcc100("Au", (2, 2, 2))
    atoms.cell[2] = 0
    assert available_height(read_slab(atoms), plane_of(atoms), 2, 2.5) == math.inf


def test_atoms_keep_away_from_their_images():
    plane = plane_of(fcc100("Au", (1, 2, 2), vacuum=8.0))
    check_images(plane, 2, 2.8)
    with pytest.raises(SpaceError, match=r"2.90 Å from their own.*2.88 Å. Repeat it"):
        check_images(plane, 2, 2.9)


def test_refuses_slabs_with_close_atoms():
    atoms = slab()
    check_slab_overlaps(read_slab(atoms), plane_of(atoms), torch.full((8, 8), 2.8))
    atoms.positions[0] += 2 * atoms.cell[0] + [0, 0, 1.9]
    match = r"atoms 0 \(Au\) and 4 \(Au\) 2.80 Å apart, got .* smaller `min_dist"
    with pytest.raises(InputError, match=match):
        check_slab_overlaps(read_slab(atoms), plane_of(atoms), torch.full((8, 8), 2.8))


def test_moments_of_a_slab_are_part_of_its_identity():
    magnetic = slab()
    magnetic.set_initial_magnetic_moments([0.6] * 8)
    assert read_slab(magnetic).magnetic_moments.tolist() == [0.6] * 8
    assert slab_digest(read_slab(magnetic)) != slab_digest(read_slab(slab()))
