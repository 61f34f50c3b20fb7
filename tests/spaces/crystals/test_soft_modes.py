"""Soft modes against the second derivatives of springs, and what resists them."""

from dataclasses import replace

import pytest
import torch
from ase.build import bulk

from bostruct.spaces import Crystal
from bostruct.spaces.crystals.soft_modes import (
    MAX_SPRING_LENGTH,
    SOFT_AMPLITUDE_RANGE,
    STIFFNESS_DECAY,
    softmutate,
    spring_matrix,
)
from bostruct.structures import from_ase
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list
from bostruct.testing import seeded_generator

SPACE = Crystal("Ti2O4")


@pytest.fixture(scope="module")
def structures():
    return SPACE.decode(SPACE.sample(3, seeded_generator(0)))


def test_they_are_the_second_derivatives_of_springs_at_rest(structures):
    one = structures[:1]
    pairs = build_neighbor_list(one, MAX_SPRING_LENGTH * float(SPACE.bond_lengths.max()))
    rest = torch.linalg.vector_norm(pairs.vectors(one.positions, one.cell), dim=-1)
    relative = rest / SPACE.bond_lengths[pairs.center, pairs.neighbor]
    k = torch.exp((1 - relative) / STIFFNESS_DECAY) * (relative <= MAX_SPRING_LENGTH)

    def energy(flat):
        r = torch.linalg.vector_norm(pairs.vectors(flat.reshape(-1, 3), one.cell), dim=-1)
        return (k * (r - rest).square()).sum() / 4  # each pair is listed twice

    expected = torch.autograd.functional.hessian(energy, one.positions.flatten())
    K = spring_matrix(structures, SPACE.bond_lengths)
    torch.testing.assert_close(K[0], expected)
    torch.testing.assert_close(K, K.mT)
    assert torch.linalg.eigvalsh(K).min() > -1e-9
    shift = torch.eye(3, dtype=K.dtype).repeat(6, 1)
    assert (K @ shift).abs().max() < 1e-9


def test_they_are_those_of_the_crystal_and_not_of_its_axes(structures):
    Q = torch.linalg.qr(torch.randn(3, 3, generator=seeded_generator(0)).double()).Q
    turned = replace(structures, positions=structures.positions @ Q, cell=structures.cell @ Q)
    spectra = [
        torch.linalg.eigvalsh(spring_matrix(each, SPACE.bond_lengths))
        for each in (structures, turned)
    ]
    torch.testing.assert_close(*spectra)


def test_displacements_meet_less_resistance_than_random_ones(structures):
    """Than those of a rattle of the same size, in each crystal and several times in the mean."""
    many = type(structures).cat([structures] * 40)
    u = softmutate(many, SPACE.bond_lengths, seeded_generator(1))
    v = torch.randn(u.shape, generator=seeded_generator(2), dtype=u.dtype)
    v = v - v.mean(1, keepdim=True)
    K = spring_matrix(many, SPACE.bond_lengths)

    def resistance(x):
        x = x.flatten(1).unsqueeze(-1)
        return ((x.mT @ K @ x) / (x.mT @ x)).reshape(40, 3).mean(0)

    assert (resistance(u) < 0.4 * resistance(v)).all()
    assert u.mean(1).abs().max() < 1e-9
    size = u.square().sum(-1).mean(-1).sqrt() / float(SPACE.bond_lengths.mean())
    low, high = SOFT_AMPLITUDE_RANGE
    assert low <= size.min() < 1.5 * low
    assert high / 1.5 < size.max() <= high


def test_crystals_out_of_reach_are_displaced_as_well():
    far = from_ase(bulk("Cu", cubic=True, a=30.0))
    u = softmutate(far, Crystal("Cu4").bond_lengths, seeded_generator(0))
    assert u.isfinite().all()
    assert u.abs().max() > 0.1


def test_one_atom_has_no_such_move():
    assert "softmutate" not in Crystal("Cu").moves()
    layer = Crystal("Cu4", periodic=(True, True, False), thickness=3.0)
    X = layer.sample(4, seeded_generator(0))
    moved = layer.moves()["softmutate"](X, seeded_generator(1))
    assert layer.contains(moved).all()
    assert not torch.equal(moved, X)
