from contextlib import suppress

import numpy as np
import pytest
import spglib
import torch
from ase import Atoms
from ase.build import bulk

from bostruct.spaces.crystals.log_strain import cell_of_log_strain
from bostruct.spaces.crystals.symmetrization import lattice_operations, symmetrize
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.structures.convert import suppress_spglib_warnings
from bostruct.testing import seeded_generator


def n_operations(F, H, numbers, symprec=1e-3):
    found = None
    with suppress_spglib_warnings(), suppress(spglib.SpglibError):  # by a switch of the process
        found = spglib.get_symmetry_dataset((H.numpy(), F.numpy(), numbers.numpy()), symprec)
    return 0 if found is None else len(found.rotations)


def test_operations_of_lattices():
    """They hold those of all cubic and hexagonal lattices, of orders 2, 3, 4 and 6."""
    W = lattice_operations()
    kept = {tuple(w.flatten().int().tolist()) for w in W}
    for name, n in (("sc", 48), ("fcc", 48), ("bcc", 48), ("hcp", 24)):
        atoms = bulk("Cu", name, a=3.0, **({"c": 4.9} if name == "hcp" else {}))
        lattice = Atoms("Cu", cell=atoms.cell, pbc=True)
        cell = (lattice.cell[:], [[0, 0, 0]], [29])
        with suppress_spglib_warnings():
            rotations = spglib.get_symmetry_dataset(cell).rotations
        own = {tuple(w.flatten().tolist()) for w in rotations} - {(1, 0, 0, 0, 1, 0, 0, 0, 1)}
        assert len(own) == n - 1
        assert own <= kept
    power = W.clone()
    for _ in range(11):
        power = power @ W
    assert torch.equal(power, torch.eye(3).double().expand_as(W))  # the order divides twelve


@pytest.mark.parametrize("counts", [(2, 4), (8,), (12,), (1, 1, 3)])
def test_random_crystals_gain_an_operation(counts):
    numbers = torch.repeat_interleave(
        torch.tensor([22, 8, 38])[: len(counts)], torch.tensor(counts)
    )
    n, a = 20, len(numbers)
    F = uniform((n, a, 3), seeded_generator(0))
    H = cell_of_log_strain(0.1 * normal((n, 6), seeded_generator(1)), 2.2 * a ** (1 / 3))
    G, K = symmetrize(F, H, numbers, seeded_generator(2))
    torch.testing.assert_close(torch.linalg.det(K).abs(), torch.linalg.det(H))
    before = [n_operations(*pair, numbers) for pair in zip(F, H, strict=True)]
    after = [n_operations(*pair, numbers) for pair in zip(G, K, strict=True)]
    assert max(before) == 1
    assert np.mean(np.array(after) > 1) > 0.6


def test_a_symmetric_crystal_stays():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    F = torch.tensor(atoms.get_scaled_positions()).unsqueeze(0)
    H, numbers = torch.tensor(atoms.cell[:]).unsqueeze(0), torch.tensor(atoms.numbers)
    for seed in range(5):
        G, K = symmetrize(F, H, numbers, seeded_generator(seed))
        assert n_operations(G[0], K[0], numbers) == 48


def test_a_disturbed_crystal_comes_nearer_to_the_symmetric_one():
    atoms = bulk("Si", cubic=True)
    F = torch.tensor(atoms.get_scaled_positions())
    H = torch.tensor(atoms.cell[:]).expand(30, 3, 3)
    noise = 0.02 * normal((30, 8, 3), seeded_generator(0))
    numbers = torch.full((8,), 14)
    G, _ = symmetrize(F + noise, H, numbers, seeded_generator(1))

    def spread(F, reference):
        change = F - reference
        return (change - change.mean(-2, keepdim=True)).square().sum((1, 2))

    assert (spread(G, F) < spread(F + noise, F) + 1e-12).all()
    assert spread(G, F).mean() < 0.8 * spread(F + noise, F).mean()


def test_no_crystals_and_one_atom():
    numbers = torch.tensor([29])
    F, H = torch.zeros(0, 1, 3).double(), torch.zeros(0, 3, 3).double()
    assert symmetrize(F, H, numbers, seeded_generator(0))[0].shape == (0, 1, 3)
    H = cell_of_log_strain(0.1 * normal((4, 6), seeded_generator(0)), 2.5)
    _, K = symmetrize(torch.zeros(4, 1, 3).double(), H, numbers, seeded_generator(0))
    torch.testing.assert_close(torch.linalg.det(K), torch.linalg.det(H))
