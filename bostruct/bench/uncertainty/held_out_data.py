"""Held-out data of many kinds from a seed, each with the training data that it is predicted from.

Energies and forces are those of EMT, so labels have no noise: what a model gets wrong is its own
error. The distribution of the training clusters is that of `datasets`.

    in domain      other clusters of the same distribution
    loose          relaxed random points in a sphere, predicted from others of them
    larger         clusters of twice as many atoms
    hot            hardly relaxed clusters with large displacements
    pressed        clusters in domain, their lengths scaled to 88 to 96 %
    bulk           displaced fcc crystals of several lattice constants
    slab           displaced fcc(111) slabs
    adsorbate      the same slabs with two adatoms
    pull-out       the outermost atom of a cluster, moved away from it step by step
    dissociation   two atoms from contact to far apart
    few            clusters in domain, predicted from eight of them
    alike          clusters in domain, predicted from four nearly equal structures
    mixed          clusters of two metals in compositions of the training data
    composition    clusters of the same two metals in other compositions

Scans (pull-out, dissociation) hold the same structure at rising distances, nearest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.uncertainty.datasets import ClusterDataset, hot_clusters
from bostruct.errors import check_count
from bostruct.structures import Structures, from_ase, to_ase

if TYPE_CHECKING:
    from ase import Atoms

CLUSTER, LARGE_CLUSTER = "Cu15", "Cu30"
LOOSE_RADIUS = 4.2
"""Radius of the sphere of random points of loose clusters, Å."""

MIXED_FORMULAS = ("Au3Cu12", "Au7Cu8", "Au12Cu3")
"""Formulas of the training clusters of two metals."""

OTHER_FORMULAS = ("Au5Cu10", "Au10Cu5", "Cu15")
"""Formulas that the training data of two metals lack."""

DISPLACEMENT = 0.12
"""Standard deviation of displaced coordinates of crystals and slabs, Å."""

LATTICE_CONSTANTS = (3.4, 3.9)
"""Smallest and largest lattice constant of copper crystals, Å."""

PRESSED_SCALES = (0.88, 0.96)
"""Smallest and largest factor of lengths of pressed clusters."""

PULL_OUT_DISTANCES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Distances by which an atom is moved away, Å."""

DIMER_DISTANCES = (1.9, 2.1, 2.3, 2.6, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0)
"""Distances of the atoms of a dimer, Å."""

N_FEW, N_ALIKE, ALIKE_DISPLACEMENT = 8, 4, 0.01
"""Numbers of training structures, and the displacement of alike ones in Å."""


@final
@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """Structures of one kind, and those that they are predicted from.

    Args:
        kind: Name of the kind.
        train: Training structures with energies and forces.
        test: Held-out structures with energies and forces.
        scan_length: Number of structures of a scan, which follow each other; 0 for none.
    """

    kind: str
    train: Structures
    test: Structures
    scan_length: int = 0


def held_out_sets(n_train: int = 100, n_test: int = 60, seed: int = 0) -> list[HeldOutSet]:
    """Return the held-out sets of all kinds.

    Sets with the same training data hold the same object, so that a model is fitted once.

    Args:
        n_train: Number of training clusters.
        n_test: Number of held-out structures of each kind but the scans.
        seed: Random seed.

    Raises:
        InputError: a number is out of range.
    """
    check_count("n_train", n_train, N_FEW)
    check_count("n_test", n_test, 2)
    clusters = ClusterDataset(CLUSTER)
    drawn = clusters.sample(n_train + n_test, seed)
    train, test = drawn[:n_train], drawn[n_train:]
    rng = np.random.default_rng(seed)
    kinds = {
        "in domain": test,
        "larger": ClusterDataset(LARGE_CLUSTER).sample(n_test, seed + 1),
        "hot": hot_clusters(CLUSTER).sample(n_test, seed + 2),
        "pressed": label([_pressed(atoms, rng) for atoms in to_ase(test)]),
        "bulk": label([_bulk(rng) for _ in range(n_test)]),
        "slab": label([_slab(rng, 0) for _ in range(n_test)]),
        "adsorbate": label([_slab(rng, 2) for _ in range(n_test)]),
    }
    sets = [HeldOutSet(kind, train, structures) for kind, structures in kinds.items()]
    n_scans = max(1, n_test // len(PULL_OUT_DISTANCES))
    pulled = [_pull_out(atoms) for atoms in to_ase(test[: min(n_scans, n_test)])]
    sets.append(_scans("pull-out", train, pulled))
    sets.append(_scans("dissociation", train, [_dimers()]))
    sets.append(HeldOutSet("few", train[:N_FEW], test))
    sets.append(HeldOutSet("alike", label(_alike(to_ase(train[:1])[0], rng)), test))
    loose = ClusterDataset(CLUSTER, sphere_radius=LOOSE_RADIUS).sample(n_train + n_test, seed + 6)
    sets.insert(1, HeldOutSet("loose", loose[:n_train], loose[n_train:]))
    mixed = _mixed_clusters(MIXED_FORMULAS, n_train, seed + 3)
    sets.append(HeldOutSet("mixed", mixed, _mixed_clusters(MIXED_FORMULAS, n_test, seed + 4)))
    sets.append(HeldOutSet("composition", mixed, _mixed_clusters(OTHER_FORMULAS, n_test, seed + 5)))
    return sets


def label(images: Sequence[Atoms]) -> Structures:
    """Return structures with EMT energies and forces.

    Args:
        images: Structures.
    """
    labeled = []
    for atoms in images:
        atoms.calc = emt()
        energy = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
        forces = torch.from_numpy(atoms.get_forces(apply_constraint=False))
        structure = from_ase(atoms).without_results()
        labeled.append(replace(structure, energy=energy, forces=forces.to(torch.float64)))
    return Structures.cat(labeled)


def _mixed_clusters(formulas: Sequence[str], n: int, seed: int) -> Structures:
    """Return about `n` clusters, as many of each formula."""
    share = -(-n // len(formulas))
    sets = [ClusterDataset(formula) for formula in formulas]
    return Structures.cat([sets[k].sample(share, seed + 100 * k) for k in range(len(sets))])


def _scans(kind: str, train: Structures, scans: Sequence[list[Atoms]]) -> HeldOutSet:
    images = [atoms for scan in scans for atoms in scan]
    return HeldOutSet(kind, train, label(images), len(scans[0]))


def _pressed(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    pressed = atoms.copy()
    pressed.positions *= rng.uniform(*PRESSED_SCALES)
    return pressed


def _bulk(rng: np.random.Generator) -> Atoms:
    from ase.build import bulk

    return _displaced(bulk("Cu", a=rng.uniform(*LATTICE_CONSTANTS), cubic=True) * (2, 2, 2), rng)


def _slab(rng: np.random.Generator, n_adatoms: int) -> Atoms:
    from ase.build import fcc111

    atoms = fcc111("Cu", (3, 3, 3), vacuum=6.0)
    corner = np.array(atoms.cell)[:2]
    heights = atoms.positions[:, 2].max() + rng.uniform(1.6, 2.4, size=n_adatoms)
    for k, height in enumerate(heights):  # apart by about half a lattice vector
        place = (rng.uniform(size=2) / 4 + k / 2) @ corner
        atoms.append("Cu")
        atoms.positions[-1] = (place[0], place[1], height + place[2])
    return _displaced(atoms, rng)


def _displaced(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    atoms.set_constraint()
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    return atoms


def _pull_out(atoms: Atoms) -> list[Atoms]:
    """Return a scan in which the outermost atom moves away from the center."""
    P = atoms.positions - atoms.positions.mean(0)
    outermost = int(np.linalg.norm(P, axis=1).argmax())
    direction = P[outermost] / np.linalg.norm(P[outermost])
    scan = [atoms.copy() for _ in PULL_OUT_DISTANCES]
    for image, distance in zip(scan, PULL_OUT_DISTANCES, strict=True):
        image.positions[outermost] += distance * direction
    return scan


def _dimers() -> list[Atoms]:
    from ase import Atoms

    return [Atoms("Cu2", [(0, 0, 0), (r, 0, 0)]) for r in DIMER_DISTANCES]


def _alike(atoms: Atoms, rng: np.random.Generator) -> list[Atoms]:
    """Return nearly equal structures."""
    images = [atoms.copy() for _ in range(N_ALIKE)]
    for image in images:
        image.positions += rng.normal(scale=ALIKE_DISPLACEMENT, size=image.positions.shape)
    return images
