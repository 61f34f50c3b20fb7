"""RMSD after superposition."""

from __future__ import annotations

import pytest
import torch

from bostruct.spaces.molecules.superposition import superposed_rmsd


def test_rotations_and_shifts_do_not_count_but_reflections_do() -> None:
    """A moved copy has no RMSD; a mirrored one has that of the best rotation."""
    generator = torch.Generator().manual_seed(0)
    P = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    R = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    R = R * torch.linalg.det(R).sign()
    assert superposed_rmsd(P, P @ R.T + 2.0).max() < 1e-7
    assert superposed_rmsd(P, -P @ R.T).min() > 0.1


def test_agrees_with_ase() -> None:
    """ASE's minimize_rotation_and_translation leaves the same RMSD."""
    from ase import Atoms
    from ase.build import minimize_rotation_and_translation

    generator = torch.Generator().manual_seed(1)
    P, Q = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    target, atoms = (Atoms("H6", positions=R.numpy()) for R in (P, Q))
    minimize_rotation_and_translation(target, atoms)
    expected = ((atoms.positions - target.positions) ** 2).sum(-1).mean() ** 0.5
    assert float(superposed_rmsd(P, Q)) == pytest.approx(expected, rel=1e-6)
