"""Cheap stand-ins: a campaign's other parts, in a few lines each.

A chain of three atoms in a box, a double-well energy, an exact Gaussian process on the
three distances, and a search among random structures. A step takes milliseconds.
"""

import functools
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal

from bostruct.campaign import Campaign, stop
from bostruct.candidates import Candidates
from bostruct.evaluators import Function
from bostruct.structures import Structures, to_ase

ATOMS = 3
NOISE = 1e-4


class Box:
    """Three copper atoms in a cube."""

    dimension = 3 * ATOMS
    numbers = torch.full((ATOMS,), 29)
    atomic_radii = torch.full((ATOMS,), 1.3)

    def __init__(self, edge=6.0):
        self.edge = edge

    def sample(self, n, generator):
        X = torch.rand(n, self.dimension, generator=generator, dtype=torch.float64)
        return self.edge * X

    def decode(self, X):
        b = X.shape[:-1].numel()
        return Structures(
            positions=X.reshape(b * ATOMS, 3),
            numbers=self.numbers.to(X.device).repeat(b),
            cell=X.new_zeros(b, 3, 3),
            pbc=torch.zeros(b, 3, dtype=torch.bool, device=X.device),
            index=torch.arange(b, device=X.device).repeat_interleave(ATOMS),
            fixed=torch.zeros(b * ATOMS, dtype=torch.bool, device=X.device),
            tags=torch.zeros(b * ATOMS, dtype=torch.int64, device=X.device),
        )

    def encode(self, structures):
        return structures.positions.reshape(-1, self.dimension)

    def contains(self, X):
        return ((X >= 0) & (self.edge >= X)).all(-1)

    def project(self, X):
        return X.clamp(0, self.edge)

    def is_duplicate(self, A, B, tolerance_scale=1.0):
        return (features(A) - features(B)).abs().amax(-1) < 1e-6 * tolerance_scale

    def moves(self):
        return {}

    def description(self):
        return {"kind": "Box", "edge": self.edge}


class Wells(Box):
    """A box in which structures are the same if no distance differs by 0.05 Å."""

    def is_duplicate(self, A, B, tolerance_scale=1.0):
        return (features(A) - features(B)).abs().amax(-1) < 0.05 * tolerance_scale


class Points(Box):
    """A box in which there are only a few structures."""

    def __init__(self, count=4):
        super().__init__()
        self.count = count

    def sample(self, n, generator):
        X = super().sample(self.count, torch.Generator().manual_seed(0))
        return X[torch.randint(self.count, (n,), generator=generator)]


def features(X):
    """Return the sorted distances, [..., 3]."""
    P = X.reshape(*X.shape[:-1], ATOMS, 3)
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]], device=X.device)
    D = (P[..., pairs[:, 0], :] - P[..., pairs[:, 1], :]).pow(2).sum(-1)
    return (D + 1e-12).sqrt().sort(-1).values


class Fitted(Model):
    """An exact Gaussian process with fixed hyperparameters."""

    num_outputs = 1
    batch_shape = torch.Size([])

    def __init__(self, F, y):
        super().__init__()
        self.F, self.y = F, y
        K = kernel(F, F) + NOISE * torch.eye(len(F)).to(F)
        self.L = torch.linalg.cholesky(K)

    def posterior(self, X, output_indices=None, observation_noise=False, posterior_transform=None):
        D = features(X)
        k = kernel(D, self.F)
        offset = self.y.mean()
        a = torch.cholesky_solve((self.y - offset).unsqueeze(-1), self.L)
        v = torch.linalg.solve_triangular(self.L, k.mT, upper=False)
        C = kernel(D, D) - v.mT @ v
        extra = 1e-8 + (NOISE if observation_noise else 0.0)
        C = C + extra * torch.eye(D.shape[-2]).to(D)
        return GPyTorchPosterior(MultivariateNormal(offset + (k @ a).squeeze(-1), C))

    def condition_on_observations(self, X, Y, **_):
        y = torch.cat([self.y, Y.reshape(-1)])
        return Fitted(torch.cat([self.F, features(X)]), y)

    def state(self):
        return {"features": self.F, "energies": self.y}

    def hyperparameters(self):
        half = torch.linalg.solve_triangular(
            self.L, (self.y - self.y.mean()).unsqueeze(-1), upper=False
        )
        evidence = -0.5 * half.pow(2).sum() - self.L.diagonal().log().sum()
        return {"log_marginal_likelihood": float(evidence), "noise": NOISE}


def kernel(A, B):
    return torch.exp(-0.5 * torch.cdist(A, B).pow(2))


class GP:
    """The surrogate."""

    supports_multiple_outcomes = False

    def __init__(self, name="GP"):
        self.name = name

    def fit(self, structures, space=None):
        X = structures.positions.reshape(-1, 3 * ATOMS)
        return Fitted(features(X), structures.energy)

    def restore(self, tensors, space=None):
        return Fitted(tensors["features"], tensors["energies"])

    def description(self):
        return {"kind": self.name}


class Draw:
    """A search among random structures."""

    def __init__(self, count=8):
        self.count = count

    def __call__(self, acq_function, space, X_evaluated, energies, generator):
        X = space.sample(self.count, generator).to(X_evaluated)
        with torch.no_grad():
            values = acq_function(X)
        return Candidates(
            X=X,
            acq_value=values,
            generator_names=["drawn"] * len(X),
            n_steps=torch.zeros(len(X), dtype=torch.int64),
            converged=torch.ones(len(X), dtype=torch.bool),
        )

    def description(self):
        return {"kind": "Draw", "count": self.count}


def energy(atoms):
    """Return a sum of double wells over the distances, and its forces."""
    total, forces = 0.0, np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for j in range(i):
            vector = atoms.positions[i] - atoms.positions[j]
            distance = math.sqrt(vector @ vector)
            total += math.cos(2 * distance) + 0.1 * distance
            slope = (-2 * math.sin(2 * distance) + 0.1) * vector / distance
            forces[i] -= slope
            forces[j] += slope
    return total, forces


def counted(file, seconds, atoms):
    """The same, with a line in a file for each time it is asked.

    It takes half to three halves of the seconds, which depends on the structure alone.
    """
    time.sleep(seconds * (0.5 + abs(float(atoms.positions.sum())) % 1))
    with Path(file).open("a") as out:
        out.write(f"{atoms.positions.tobytes().hex()}\n")
        out.flush()
        os.fsync(out.fileno())
    return energy(atoms)


def campaign(evaluator=None, n=12, **arguments):
    """Return a campaign of stand-ins."""
    parts = {
        "space": Box(),
        "evaluator": evaluator or Function(energy),
        "surrogate": GP(),
        "search": Draw(),
        "stop": stop.Evaluations(n),
        "n_initial": 4,
    }
    return Campaign(**{**parts, **arguments})


def start(*energies, seed=9, space=None):
    """Return random structures as `ase.Atoms`; those with a number carry it."""
    space = space or Box()
    X = space.sample(len(energies), torch.Generator().manual_seed(seed))
    images = to_ase(space.decode(X))
    for image, value in zip(images, energies, strict=True):
        if value is True:
            found, forces = energy(image)
            image.calc = SinglePointCalculator(image, energy=found, forces=forces)
        elif value is not None:
            image.calc = SinglePointCalculator(image, energy=value)
    return images


def counting(file, n=12, seconds=0, **arguments):
    """Return a campaign that counts what it asks for in a file.

    The file is no part of its identity, so that two runs can be compared.
    """
    function = functools.partial(counted, str(file), seconds)
    function.__name__ = function.__qualname__ = "counted"
    return campaign(_Counting(function), n, **arguments)


class _Counting(Function):
    def description(self):
        return {"kind": "Counting"}
