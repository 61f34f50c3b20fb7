from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.uncertainty import Prediction


def test_a_measured_energy_scatters_by_both():
    variance = torch.tensor([0.25, 0.0], dtype=torch.float64)
    noise = torch.tensor([0.5, 0.125], dtype=torch.float64)
    found = Prediction(torch.zeros(2, dtype=torch.float64), variance, noise)
    assert torch.equal(found.predictive_variance, torch.tensor([0.75, 0.125]).double())
    assert torch.equal(found.variance, variance)


def test_a_measured_force_scatters_by_both():
    one = torch.ones(2, 3, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    latent = Prediction(zero, zero, zero, one, force_variance=0.25 * one)
    assert torch.equal(latent.predictive_force_variance, latent.force_variance)
    noisy = replace(latent, force_noise_variance=0.5 * one)
    assert torch.equal(noisy.predictive_force_variance, 0.75 * one)
    assert torch.equal(noisy.force_variance, 0.25 * one)
    assert Prediction.cat([noisy, noisy]).predictive_force_variance.shape == (4, 3)
    assert replace(noisy, force_variance=None).predictive_force_variance is None


def test_what_was_not_asked_for_is_missing():
    found = Prediction(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    assert found.covariance is None
    assert found.force_variance is None
    assert found.force_noise_variance is None
    assert found.forces is None
    assert found.atomic_energies is None
    assert found.members is None
    assert found.member_forces is None


def test_parts_are_joined_along_structures_and_atoms():
    def part(b, value):
        full = torch.full((b,), value)
        atoms = torch.full((2 * b, 3), value)
        members, forces = full.expand(4, b), atoms.expand(4, 2 * b, 3)
        return Prediction(full, full, full, atoms, members=members, member_forces=forces)

    joined = Prediction.cat([part(2, 1.0), part(3, 2.0)])
    assert joined.mean.tolist() == [1, 1, 2, 2, 2]
    assert joined.forces.shape == (10, 3)
    assert joined.members.shape == (4, 5)
    assert joined.members[3].tolist() == joined.mean.tolist()
    assert joined.member_forces.shape == (4, 10, 3)
    assert joined.atomic_energies is None


def test_parts_that_cannot_be_joined_are_refused():
    with pytest.raises(InputError, match="`parts` must hold at least one prediction"):
        Prediction.cat([])
    zero = torch.zeros(1)
    whole = Prediction(zero, zero, zero, covariance=torch.zeros(1, 1))
    with pytest.raises(InputError, match="`parts` must have no covariance, got some"):
        Prediction.cat([whole, whole])
