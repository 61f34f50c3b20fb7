"""Best superposition and the RMSD after it."""

from __future__ import annotations

import pytest
import torch

from bostruct.spaces.coordinates.rotation_vectors import from_quaternions
from bostruct.spaces.molecules.rotations import rotation_matrices
from bostruct.spaces.molecules.superposition import optimal_quaternions, superposed_rmsd


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


def test_optimal_quaternions_turn_a_copy_back() -> None:
    """The rotation of a turned copy is found; of another structure it leaves the least RMSD."""
    generator = torch.Generator().manual_seed(2)
    P = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    P = P - P.mean(-2, keepdim=True)
    R = rotation_matrices(3 * torch.randn(5, 3, generator=generator, dtype=torch.float64))
    q = optimal_quaternions(P, P @ R.transpose(-1, -2))
    found = rotation_matrices(from_quaternions(q[:, 0], q[:, 1:]))
    torch.testing.assert_close(found, R, rtol=0, atol=1e-10)
    Q = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    Q = Q - Q.mean(-2, keepdim=True)
    q = optimal_quaternions(P, Q)
    turned = P @ rotation_matrices(from_quaternions(q[:, 0], q[:, 1:])).transpose(-1, -2)
    rmsd = (turned - Q).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(rmsd, superposed_rmsd(P, Q))
