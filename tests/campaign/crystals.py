"""Stand-ins with a variable cell: two copper atoms in it, and a Gaussian process on X."""

import torch
from ase.calculators.emt import EMT

from bostruct.campaign import Campaign, stop
from bostruct.evaluators import Calculator
from bostruct.structures import Structures
from tests.campaign.standin import NOISE, Draw, Fitted, kernel

LENGTH = 3.0


class Cells:
    """Two copper atoms; X are fractional coordinates and the strain of a cell, times a length."""

    dimension = 12
    numbers = torch.full((2,), 29)
    atomic_radii = torch.full((2,), 1.3)

    def __init__(self, pressure=0.0):
        self.pressure = pressure

    def sample(self, n, generator):
        X = torch.rand(n, self.dimension, generator=generator, dtype=torch.float64)
        return torch.cat((X[:, :6] * LENGTH, 0.2 * X[:, 6:] * LENGTH), -1)

    def decode(self, X):
        X = X.reshape(-1, self.dimension)
        b, voigt = len(X), [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
        stretch = torch.diag(X.new_tensor([1.0, 1.0, 1.6]))
        cell = LENGTH * stretch @ (torch.eye(3).to(X) + X[:, 6:][:, voigt] / LENGTH)
        return Structures(
            positions=((X[:, :6] / LENGTH).reshape(b, 2, 3) @ cell).reshape(-1, 3),
            numbers=self.numbers.to(X.device).repeat(b),
            cell=cell,
            pbc=torch.ones(b, 3, dtype=torch.bool, device=X.device),
            index=torch.arange(b, device=X.device).repeat_interleave(2),
            fixed=torch.zeros(2 * b, dtype=torch.bool, device=X.device),
            tags=torch.zeros(2 * b, dtype=torch.int64, device=X.device),
        )

    def encode(self, structures):
        cell = structures.cell
        fractional = structures.positions.reshape(-1, 2, 3) @ torch.linalg.inv(cell)
        stretch = torch.diag(cell.new_tensor([1.0, 1.0, 1.6]))
        strain = torch.linalg.inv(LENGTH * stretch) @ cell - torch.eye(3).to(cell)
        six = strain.reshape(-1, 9)[:, [0, 4, 8, 5, 2, 1]]
        return LENGTH * torch.cat((fractional.reshape(-1, 6), six), -1)

    def contains(self, X):
        return (X[..., 6:].abs() < LENGTH).all(-1)

    def project(self, X):
        return X

    def is_duplicate(self, A, B, tolerance_scale=1.0):
        return (A - B).abs().amax(-1) < 1e-3 * tolerance_scale

    def moves(self):
        return {}

    def description(self):
        return {"kind": "Cells", "pressure": self.pressure}


class FittedCells(Fitted):
    """Features are the coordinates themselves."""

    def posterior(self, X, output_indices=None, observation_noise=False, posterior_transform=None):
        return _on_features(self, X, observation_noise)

    def condition_on_observations(self, X, Y, **_):
        return FittedCells(torch.cat([self.F, X]), torch.cat([self.y, Y.reshape(-1)]))


def _on_features(model, X, observation_noise):
    from botorch.posteriors.gpytorch import GPyTorchPosterior
    from gpytorch.distributions import MultivariateNormal

    k, offset = kernel(X, model.F), model.y.mean()
    a = torch.cholesky_solve((model.y - offset).unsqueeze(-1), model.L)
    v = torch.linalg.solve_triangular(model.L, k.mT, upper=False)
    extra = 1e-8 + (NOISE if observation_noise else 0.0)
    C = kernel(X, X) - v.mT @ v + extra * torch.eye(X.shape[-2]).to(X)
    return GPyTorchPosterior(MultivariateNormal(offset + (k @ a).squeeze(-1), C))


class CellsGP:
    """Surrogate of the energy."""

    supports_multiple_outcomes = False

    def fit(self, structures, space=None):
        return FittedCells(space.encode(structures), structures.energy)

    def restore(self, tensors, space=None):
        return FittedCells(tensors["features"], tensors["energies"])

    def description(self):
        return {"kind": "CellsGP"}


def campaign(pressure=0.0, n=8, **arguments):
    """Return a campaign over cells."""
    parts = {
        "space": Cells(pressure),
        "evaluator": Calculator(EMT),
        "surrogate": CellsGP(),
        "search": Draw(),
        "stop": stop.Evaluations(n),
        "n_initial": 4,
    }
    return Campaign(**{**parts, **arguments})
