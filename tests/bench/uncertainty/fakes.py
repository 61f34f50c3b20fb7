"""Dimers whose energies are known, and methods that err as much as they are told."""

import math
from dataclasses import dataclass, replace

import torch

from bostruct.errors import InputError
from bostruct.structures import Structures
from bostruct.uncertainty import Prediction

STIFF = 5.0


def truth(structures):
    """Return energies `[b]` and forces `[n, 3]` of springs between two atoms."""
    first, second = structures.positions.view(-1, 2, 3).unbind(1)
    gap = second - first
    energy = STIFF * gap.square().sum(-1)
    push = 2 * STIFF * gap
    return energy, torch.stack([push, -push], 1).flatten(0, 1)


def dimers(count, seed=0, stretch=1.0, numbers=(29, 29)):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, 3, dtype=torch.float64, generator=generator)
    x[:, 1, 0] += 4.0
    made = Structures(
        positions=stretch * x.flatten(0, 1),
        numbers=torch.tensor(numbers).repeat(count),
        cell=torch.zeros(count, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(count, 3, dtype=torch.bool),
        index=torch.arange(count).repeat_interleave(2),
        fixed=torch.zeros(2 * count, dtype=torch.bool),
        tags=torch.zeros(2 * count, dtype=torch.int64),
    )
    energy, forces = truth(made)
    return replace(made, energy=energy, forces=forces)


def gaussian(x):
    """Return numbers that look drawn from a normal law, the same for the same x."""
    share = (1e4 * x.sin()).remainder(1.0).clamp(1e-6, 1 - 1e-6)
    return math.sqrt(2) * torch.erfinv(2 * share - 1)


@dataclass(frozen=True)
class Fake:
    """Predicts energies with errors of `error` eV and deviations of `claim` eV.

    The deviation is twice as large for one structure in two.
    """

    error: float = 0.1
    claim: float = 0.1
    forces: bool = True
    species: tuple = (29,)

    def fit(self, structures):
        if structures.energy is None:
            raise InputError("no energies")
        return (FakeModel if self.forces else Shy)(self)


@dataclass(frozen=True)
class FakeModel:
    fake: Fake

    def predict(self, structures, *, force_variance=False):
        assert structures.energy is None  # nobody sees the answer
        unknown = set(structures.numbers.tolist()) - set(self.fake.species)
        if unknown:
            raise InputError(f"`numbers` must be known, got {unknown}.")
        energy, forces = truth(structures)
        x = structures.positions.view(-1, 2, 3)
        wide = 1.0 + (x[:, 0, 1] > 0).to(energy)
        by_atom = wide.repeat_interleave(2).unsqueeze(-1)
        noisy = forces + self.fake.error * by_atom * gaussian(structures.positions)
        spread = (self.fake.claim * by_atom).square().expand_as(forces)
        return Prediction(
            mean=energy + self.fake.error * wide * gaussian(x[:, 1, 2]),
            variance=(self.fake.claim * wide).square() / 2,
            noise_variance=(self.fake.claim * wide).square() / 2,
            forces=noisy,
            force_variance=spread if force_variance else None,
        )


@dataclass(frozen=True)
class Shy:
    """Knows nothing of the variances of forces."""

    fake: Fake

    def predict(self, structures):
        return FakeModel(self.fake).predict(structures)
