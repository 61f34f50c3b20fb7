"""Energy of butane by springs and one torsion, whose conformers are known."""

from __future__ import annotations

import math
from typing import Any

import torch
from ase import Atoms

from bostruct.spaces import Conformers, Molecule
from bostruct.spaces.molecules.dihedral_angles import dihedral_angles

BUTANE = Molecule.from_name("trans-butane")
(CHAIN,) = BUTANE.torsions[~BUTANE.is_methyl_rotor].tolist()

SPRING = 5.0
"""eV/Å². Of bonds, and of atoms two bonds apart."""

STRETCH = 1.01
"""Lengths at rest, in those of the reference geometry, which so is not relaxed."""

GAUCHE = 0.05
"""Energy of the gauche conformer above anti, eV, in the rigid molecule."""


def conformers() -> Conformers:
    """Return the conformers of butane about its central bond."""
    return Conformers(BUTANE, {"CCCC": tuple(CHAIN)})


def butane(atoms: Atoms) -> dict[str, Any]:
    """Return energy and forces of butane with minima at 180° and near 60° and -60°."""
    P = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
    pairs = {tuple(pair) for pair in BUTANE.bonds.tolist()}
    for near in BUTANE.neighbors:
        pairs |= {(i, j) for i in near for j in near if i < j}
    i, j = torch.tensor(sorted(pairs)).unbind(-1)
    rest = STRETCH * BUTANE.distances[i, j]
    length = torch.linalg.vector_norm(P[i] - P[j], dim=-1)
    springs = 0.5 * SPRING * (length - rest).square().sum()
    phi = dihedral_angles(P, torch.tensor([CHAIN]))
    angles = dihedral_angles(P, BUTANE.torsions[BUTANE.is_methyl_rotor])
    twist = 0.1 * (1 + torch.cos(3 * phi)).sum() + GAUCHE / 1.5 * (1 + torch.cos(phi)).sum()
    methyl = 0.1 * (1 + torch.cos(3 * angles)).sum()
    energy = springs + twist + methyl
    (gradient,) = torch.autograd.grad(energy, P)
    return {"energy": float(energy.detach()), "forces": -gradient.numpy()}


def is_gauche(atoms: Atoms) -> bool:
    """Return whether the chain is bent."""
    return math.cos(math.radians(atoms.get_dihedral(*CHAIN))) > 0
