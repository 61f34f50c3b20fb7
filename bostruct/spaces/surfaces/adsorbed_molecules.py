"""Molecules on a surface: which atoms they are, how they move, and the room that they take.

Notation
    f, a   atoms that move, all atoms
    Q      [..., f or a, 3]  Å   positions along the axes of the plane, atoms that move first
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import CONTACT_FACTOR
from bostruct.spaces.molecules import moves as unit_moves
from bostruct.spaces.molecules.fragments import MAX_ORDERS, Fragments
from bostruct.spaces.molecules.molecular_volume import packed_volume
from bostruct.spaces.surfaces.molecular_deposition import join_units, relocate_unit, slide_units
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms, is_self_pair
from bostruct.spaces.surfaces.slab_template import SlabTemplate
from bostruct.structures import covalent_radii, van_der_waals_radii

UNIT_MOVES = {
    "turn": unit_moves.turn_molecules,
    "exchange": unit_moves.exchange,
    "bend": unit_moves.bend,
    "mirror": unit_moves.mirror,
}
"""Moves of whole molecules that depend on nothing else, by name."""


def image_distances(Q: Tensor, plane: PeriodicPlane, reach: float) -> Tensor:
    """Return distances to the nearest images, of an atom and itself to another one, `[f, f]` Å.

    Args:
        Q: `[f, 3]` Å.
        plane: the plane.
        reach: largest distance that matters, Å.
    """
    shifts = plane.translations(reach)
    D = displacement_norms(plane.displacements(Q, Q, shifts))
    return D.masked_fill(is_self_pair(len(Q), len(Q), shifts), torch.inf).amin(-1)


def find_molecules(
    Q: Tensor,
    fragments: Fragments,
    plane: PeriodicPlane,
    reach: float,
    is_inside: Callable[[Tensor], bool],
) -> Tensor:
    """Return atoms in the order of the molecules, each in one piece, `[f, 3]` Å.

    Of several orders in which bonds are whole it is one that is inside. Where there is none, that
    of the structure is kept.

    Args:
        Q: `[f, 3]` Å, of the elements of the molecules in their order.
        fragments: the molecules and free atoms.
        plane: the plane.
        reach: largest length of a bond, Å.
        is_inside: function of atoms `[f, 3]` Å that says whether a structure is in the space.
    """

    def fits(q: Tensor) -> bool:
        return bool(fragments.are_bonds_whole(q)) and is_inside(q)

    given = join_units(Q, fragments, plane)
    if fits(given):
        return given
    shifts = plane.translations(reach)
    nearest = displacement_norms(plane.displacements(Q, Q, shifts)).amin(-1)
    orders = fragments.match_atoms(fragments.numbers.tolist(), nearest.detach().cpu())
    ordered = [join_units(Q[order], fragments, plane) for order in islice(orders, MAX_ORDERS)]
    is_whole = bool(fragments.are_bonds_whole(given))
    ordered = [given, *ordered] if is_whole else [*ordered, given]
    return next((q for q in ordered if fits(q)), ordered[0])


def move_molecules(
    name: str,
    Q: Tensor,
    fragments: Fragments,
    template: SlabTemplate,
    far_lengths: Tensor,
    n_adsorbate_atoms: int,
    generator: torch.Generator,
) -> Tensor:
    """Return all atoms after a move of whole molecules, which may overlap, `[n, a, 3]` Å.

    Args:
        name: name of the move.
        Q: `[n, a, 3]` Å.
        fragments: the molecules and free atoms.
        template: the slab.
        far_lengths: `[a, a]` Å, distances at which molecules touch without a bond.
        n_adsorbate_atoms: number of the atoms that are none of the slab.
        generator: source of randomness.
    """
    f, plane, bonds = len(fragments.numbers), template.plane, template.bond_lengths
    if name == "relocate":
        high = template.height_range[1]
        return relocate_unit(Q, fragments, bonds, far_lengths, high, plane, generator)
    if name == "slide":
        first_unit = f - n_adsorbate_atoms  # free atoms of the slab are units
        return slide_units(Q, fragments, first_unit, plane, generator)
    if name == "rattle":
        moved = unit_moves.rattle(Q[:, :f], fragments, float(bonds[:f, :f].mean()), generator)
    else:
        moved = UNIT_MOVES[name](Q[:, :f], fragments, generator)
    return torch.cat((moved, Q[:, f:]), 1)


def touching_lengths(
    fragments: Fragments, numbers: Tensor, atomic_radii: Tensor, bond_lengths: Tensor
) -> Tensor:
    """Return distances at which atoms of molecules touch all without a bond, `[a, a]` Å.

    Of other pairs they are the bond lengths.

    Args:
        fragments: the molecules and free atoms.
        numbers: `[a]` atomic numbers, atoms that move first.
        atomic_radii: `[a]` Å.
        bond_lengths: `[a, a]` Å.
    """
    radii = _molecular_radii(numbers, atomic_radii)
    in_molecule = torch.zeros(len(numbers), dtype=torch.bool)
    in_molecule[len(fragments.free_numbers) : len(fragments.numbers)] = True
    unlike = in_molecule.unsqueeze(0) ^ in_molecule.unsqueeze(1)
    sums = radii.unsqueeze(0) + radii.unsqueeze(1)
    return torch.where(unlike, torch.maximum(sums, bond_lengths), bond_lengths)


def least_volume(fragments: Fragments, atomic_radii: Tensor) -> tuple[float, float]:
    """Return the volume of molecules packed and compressed, Å³, and their largest radius, Å.

    Args:
        fragments: the molecules and free atoms.
        atomic_radii: `[f]` Å.
    """
    radii, k = atomic_radii.clone(), len(fragments.free_numbers)
    radii[k:] = _molecular_radii(fragments.numbers, atomic_radii)[k:]
    radii = CONTACT_FACTOR * radii
    return packed_volume(fragments, radii), float(radii.max())


def _molecular_radii(numbers: Tensor, atomic_radii: Tensor) -> Tensor:
    """Return van der Waals radii in the scale of the radii of a space, Å."""
    return van_der_waals_radii(numbers) * (atomic_radii / covalent_radii(numbers))
