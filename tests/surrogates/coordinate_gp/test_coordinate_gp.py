"""Gaussian process over coordinates, on energies and projected forces."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from bostruct.errors import InputError, NotFittedError
from bostruct.spaces import Cluster, Conformers, Coordinates
from bostruct.structures import Structures
from bostruct.surrogates import CoordinateGP, TrainingData, fit_surrogate
from bostruct.testing import SurrogateContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient

ETHANOL = Conformers("CH3CH2OH", "all")


def torsional_energy(X: Tensor) -> Tensor:
    """Return an energy of two torsions with barriers and a coupling, eV."""
    a, b = X.unbind(-1)
    return 0.1 * (3 * a).cos() + 0.15 * b.cos() + 0.08 * (a - 2 * b).sin()


def labelled(X: Tensor, space: Conformers = ETHANOL, offset: float = 0.0) -> Structures:
    """Return conformers with energies, and forces that have their gradient by X.

    The forces solve -F . dR/dX = dE/dX with the least norm.
    """
    leaf = X.clone().requires_grad_()
    energy = torsional_energy(leaf)
    (gradient,) = torch.autograd.grad(energy.sum(), leaf)
    forces = []
    for x, g in zip(X, gradient, strict=True):
        J = torch.autograd.functional.jacobian(lambda x: space.decode(x).positions.flatten(), x)
        forces.append((-torch.linalg.pinv(J).T @ g).reshape(-1, 3))
    return replace(space.decode(X), energy=energy.detach() + offset, forces=torch.cat(forces))


def stretched(x: NDArray[np.float64]) -> Atoms:
    """Return two nitrogen atoms at a distance."""
    return Atoms("N2", [(0, 0, 0), (x[0], 0, 0)])


class TestOfConformers(SurrogateContract):
    symmetric = False
    tolerance = 1e-6

    @pytest.fixture
    def surrogate(self) -> CoordinateGP:
        return CoordinateGP()

    @pytest.fixture
    def space(self) -> Conformers:
        return ETHANOL

    @pytest.fixture
    def data(self) -> Structures:
        return labelled(ETHANOL.sample(8, seeded_generator(0)))


class TestOfEnergiesAlone(TestOfConformers):
    @pytest.fixture
    def surrogate(self) -> CoordinateGP:
        return CoordinateGP(use_forces=False, additive=False)


@pytest.fixture(scope="module")
def X_test() -> Tensor:
    return ETHANOL.sample(64, seeded_generator(9))


def moments(model, X: Tensor) -> tuple[Tensor, Tensor]:
    posterior = model.posterior(X.unsqueeze(-2))
    return posterior.mean.flatten(), posterior.variance.flatten()


def test_forces_reduce_the_error(X_test: Tensor) -> None:
    """Structures with forces predict better, and say so."""
    data = labelled(ETHANOL.sample(12, seeded_generator(0)))
    truth, error, sigma = torsional_energy(X_test), [], []
    for use_forces in (False, True):
        mean, variance = moments(CoordinateGP(use_forces).fit(data, ETHANOL), X_test)
        error.append(float((mean - truth).square().mean().sqrt()))
        sigma.append(float(variance.mean().sqrt()))
    assert error[1] < 0.6 * error[0]
    assert sigma[1] < sigma[0]


def test_interpolates_energies_and_gradients() -> None:
    """At the data the posterior has their energies and their gradients."""
    X = ETHANOL.sample(8, seeded_generator(0))
    data = labelled(X)
    model = CoordinateGP().fit(data, ETHANOL)
    leaf = X.clone().requires_grad_()
    mean = model.posterior(leaf.unsqueeze(-2)).mean
    (gradient,) = torch.autograd.grad(mean.sum(), leaf)
    (expected,) = torch.autograd.grad(torsional_energy(leaf).sum(), leaf)
    torch.testing.assert_close(mean.flatten().detach(), torsional_energy(X), rtol=0, atol=2e-3)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-2)


def test_a_period_changes_nothing(X_test: Tensor) -> None:
    """X and X plus 2 π have equal posteriors."""
    model = CoordinateGP().fit(labelled(ETHANOL.sample(8, seeded_generator(0))), ETHANOL)
    for first, second in zip(
        moments(model, X_test), moments(model, X_test + 2 * math.pi), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("factor", "offset"), [(1.0, -1234.5), (1000.0, 0.0), (1e-3, 7.0)])
def test_origin_and_unit_of_the_energy_do_not_matter(
    X_test: Tensor, factor: float, offset: float
) -> None:
    """Data c E + b have means c mean + b and variances c² variance."""
    data = labelled(ETHANOL.sample(8, seeded_generator(0)))
    other = replace(data, energy=factor * data.energy + offset, forces=factor * data.forces)
    mean, variance = moments(CoordinateGP().fit(data, ETHANOL), X_test)
    scaled, scaled_variance = moments(CoordinateGP().fit(other, ETHANOL), X_test)
    torch.testing.assert_close((scaled - offset) / factor, mean, rtol=0, atol=2e-4)
    torch.testing.assert_close(scaled_variance / factor**2, variance, rtol=2e-2, atol=1e-8)


def test_closed_form_gradients_are_those_of_the_posterior(X_test: Tensor) -> None:
    """Mean, σ and their gradients without autograd are those with it."""
    X = ETHANOL.sample(8, seeded_generator(0))
    model = CoordinateGP().fit(labelled(X), ETHANOL).warped
    leaf = torch.cat((X_test[:8], X[:1])).requires_grad_()
    posterior = model.posterior(leaf.unsqueeze(-2))
    mean, std = posterior.mean.flatten(), posterior.variance.flatten().sqrt()
    found = model.posterior_moments(leaf.detach())
    torch.testing.assert_close(found.mean, mean.detach())
    torch.testing.assert_close(found.std[:8], std[:8].detach())
    one, two = torch.linspace(0.5, 1.5, 9).double(), torch.linspace(-1, 1, 9).double()
    two[-1] = 0.0  # at the data σ is a difference of equal numbers
    (expected,) = torch.autograd.grad((one * mean + two * std).sum(), leaf)
    torch.testing.assert_close(found.gradient(one, two), expected, rtol=1e-6, atol=1e-8)
    assert model.has_closed_form_gradients


def test_near_duplicates_are_harmless(X_test: Tensor) -> None:
    """A copy of a structure, exact or nearly so, leaves finite and like predictions."""
    X = ETHANOL.sample(8, seeded_generator(0))
    mean, _ = moments(CoordinateGP().fit(labelled(X), ETHANOL), X_test)
    for shift in (0.0, 1e-9, 1e-6):
        copies = torch.cat((X, X[:3] + shift))
        again, variance = moments(CoordinateGP().fit(labelled(copies), ETHANOL), X_test)
        assert (variance > 0).all()
        assert (again - mean).abs().mean() < 0.02


def test_rotated_structures_have_rotated_forces() -> None:
    """Forces are projected in the frame in which they were computed."""
    X = ETHANOL.sample(6, seeded_generator(0))
    data = labelled(X)
    R = torch.linalg.qr(torch.randn(3, 3, generator=seeded_generator(1), dtype=torch.float64)).Q
    R = R * torch.linalg.det(R).sign()
    turned = replace(data, positions=data.positions @ R.T + 1.0, forces=data.forces @ R.T)
    first, second = (
        CoordinateGP().fit(TrainingData(X, each.energy.unsqueeze(-1), ("energy",), each), ETHANOL)
        for each in (data, turned)
    )
    torch.testing.assert_close(first.fitted.alpha, second.fitted.alpha, rtol=1e-3, atol=1e-3)


def test_training_data_have_coordinates(X_test: Tensor) -> None:
    """A campaign hands on X; the fit is the one with X from the structures."""
    X = ETHANOL.sample(6, seeded_generator(0))
    structures = labelled(X)
    data = TrainingData(X, structures.energy.unsqueeze(-1), ("energy",), structures)
    first = fit_surrogate(CoordinateGP(), data, ETHANOL)
    second = CoordinateGP().fit(structures, ETHANOL)
    torch.testing.assert_close(moments(first, X_test)[0], moments(second, X_test)[0])
    with pytest.raises(InputError, match="`structures` must be given"):
        CoordinateGP().fit(replace(data, structures=None), ETHANOL)


def test_unknown_forces_are_left_out(X_test: Tensor) -> None:
    """Of a structure without forces the energy counts; without any, energies alone."""
    data = labelled(ETHANOL.sample(8, seeded_generator(0)))
    a = len(ETHANOL.numbers)
    forces = data.forces.clone()
    forces[:a] = torch.nan
    model = CoordinateGP().fit(replace(data, forces=forces), ETHANOL)
    assert int(model.fitted.is_observed.sum()) == 8 + 2 * 7
    nothing = CoordinateGP().fit(replace(data, forces=torch.full_like(forces, torch.nan)), ETHANOL)
    alone = CoordinateGP(use_forces=False).fit(data, ETHANOL)
    torch.testing.assert_close(moments(nothing, X_test)[0], moments(alone, X_test)[0])


def test_one_coordinate_with_bounds() -> None:
    """A distance that is not periodic is learnt with few energies."""
    space = Coordinates(stretched, {"distance": (0.9, 2.5)})

    def morse(X: Tensor) -> Tensor:
        return ((1 - torch.exp(-2.0 * (X[:, 0] - 1.3))) ** 2) * 3.0

    X = torch.tensor([[1.0], [1.2], [1.5], [1.9], [2.4]], dtype=torch.float64)
    structures = replace(space.decode(X), energy=morse(X))
    model = CoordinateGP().fit(structures, space)
    at = torch.linspace(1.0, 2.4, 15, dtype=torch.float64).unsqueeze(-1)
    mean, variance = moments(model, at)
    assert (mean - morse(at)).abs().mean() < 0.25
    assert ((mean - morse(at)).abs() < 4 * variance.sqrt() + 1e-3).all()
    assert_gradient(lambda x: model.posterior(x[None]).mean.sum(), X[2] + 0.1, rtol=1e-4)


def test_refuses_other_spaces() -> None:
    """Without named coordinates, or without a space where one is needed, it says so."""
    data = labelled(ETHANOL.sample(3, seeded_generator(0)))
    with pytest.raises(InputError, match="have few named coordinates for `CoordinateGP`"):
        CoordinateGP().fit(data, Cluster("Cu3"))
    model = CoordinateGP().fit(data, ETHANOL)
    with pytest.raises(NotFittedError, match="`predict` must have a space"):
        CoordinateGP().restore(model.state()).predict(data)
    assert set(model.hyperparameters()) >= {"lengthscale_0", "lengthscale_1", "single_std"}
