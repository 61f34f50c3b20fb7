"""A network whose last layer is a Gaussian process (rows U7 and U8).

Notation, with equation numbers of [G25]
    h, s, b      width, species, structures
    f    [b, h + s]     1     inputs of the last layer summed over atoms, and how many
                              atoms of each species there are
    F    [rows, h + s]        of all training energies, and minus their slopes
    D    [rows, rows]         variances of energies (e² per atom) and forces (f²)
    H    [h + s, h + s] 1/eV² F^T D^-1 F + 1 / sigma²                      (10), (13)
    w    [h + s]        eV    H^-1 F^T D^-1 y

    mean = prior + f . w          covariance = f^T H^-1 f'                  (14)

The network is trained first; then only its last layer is taken as unknown, w is the
ridge solution for it, which makes the Laplace approximation exact, and sigma, e and f
are the most probable ones. Forces are rows like energies. Members are drawn from the
posterior N(w, H^-1) (12).

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654; Bigi et al., Mach. Learn.:
Sci. Technol. 2024, 5, 045018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, must
from bostruct.structures import Structures
from bostruct.surrogates.belief import Belief
from bostruct.surrogates.believed import BelievedModel
from bostruct.surrogates.encoder import Encoder
from bostruct.surrogates.evidence import (
    NAMES,
    Hyperparameters,
    Rows,
    maximise,
    precision,
)
from bostruct.surrogates.lesson import Lesson, prepare
from bostruct.surrogates.network import NETWORK, Network, Weights
from bostruct.surrogates.surrogate import Decodes
from bostruct.surrogates.training import squared, train


@final
@dataclass(frozen=True)
class LastLayer:
    """A neural network with the exact posterior of its last layer.

    One network is trained, on energies and forces; what its hidden layers have learnt
    counts as known, so that the variance is too small where they would have to change.
    Calibrate it.

    Attributes:
        network: how it looks and how it is trained.
        members: draws from the posterior that a prediction has as its members, moved
            so that their mean is the prediction; 0 for none.

    Raises:
        InputError: `members` is 1 or negative.
    """

    network: Network = NETWORK
    members: int = 0

    def __post_init__(self) -> None:
        whole = isinstance(self.members, int) and not isinstance(self.members, bool)
        if not whole or self.members < 0 or self.members == 1:
            condition = "be 0, or an integer of at least 2"
            raise InputError(must("members", condition, repr(self.members)))

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        network = self.network.description()
        return {"surrogate": "LastLayer", "network": network, "members": self.members}

    def fit(
        self, structures: Structures, space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        sizes = lesson.x.shape[1], len(encoder.radii), self.network.width
        weights = Weights.draw(sizes, generator)
        weights = train(weights, self.network, lesson, squared(), generator)
        fitted = readout(encoder, weights, lesson, self.members, generator)
        return BelievedModel(Laplace(encoder, weights, fitted), space)

    def restore(
        self, state: Mapping[str, Tensor], space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        encoder, weights = Encoder.restore(state), Weights.restore(state)
        fitted = Readout(*(state[f"readout_{one.name}"] for one in fields(Readout)))
        return BelievedModel(Laplace(encoder, weights, fitted), space)


@final
@dataclass(frozen=True, eq=False)
class Readout:
    """The last layer and its posterior.

    Attributes:
        mean: `[h + s]` eV, w.
        factor: `[h + s, h + s]` 1/eV, Cholesky factor of H.
        draws: `[h + s, M]` eV, weights of members less w.
        signal: eV, sigma.
        energy_noise: eV per root atom, e.
        force_noise: eV/Å, f.
        log_marginal_likelihood: at these values.
    """

    mean: Tensor
    factor: Tensor
    draws: Tensor
    signal: Tensor
    energy_noise: Tensor
    force_noise: Tensor
    log_marginal_likelihood: Tensor


@final
@dataclass(frozen=True, eq=False)
class Laplace:
    """What `LastLayer` has learnt: a `Believer`.

    Attributes:
        encoder: what comes before the network.
        weights: of one network; its own last layer is not used.
        readout: the last layer instead.
    """

    encoder: Encoder
    weights: Weights
    readout: Readout

    def belief(self, structures: Structures) -> Belief:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.encoder(structures)
        f = _features(self.weights, x, place)  # [n, h + s]
        total = f.new_zeros(len(structures), f.shape[1])
        total = total.index_add(0, structures.index, f)
        readout, prior = self.readout, self.encoder.prior(structures, place)
        root = torch.linalg.solve_triangular(readout.factor, total.T, upper=False).T
        mean = prior + total @ readout.mean
        members = None
        if readout.draws.shape[1]:
            members = mean + (total @ readout.draws).T
        return Belief(
            mean=mean,
            root=root,
            own=torch.zeros_like(mean),
            noise=readout.energy_noise**2 * structures.counts,
            local=self.encoder.constants[place] + f @ readout.mean,
            members=members,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        own = {f"readout_{name}": value for name, value in vars(self.readout).items()}
        return self.encoder.tensors() | self.weights.tensors() | own

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        readout = self.readout
        found = {
            "signal_eV": float(readout.signal),
            "energy_noise_eV_per_root_atom": float(readout.energy_noise),
            "force_noise_eV_per_angstrom": float(readout.force_noise),
            "log_marginal_likelihood": float(readout.log_marginal_likelihood),
        }
        return found | self.encoder.hyperparameters()


def readout(
    encoder: Encoder,
    weights: Weights,
    lesson: Lesson,
    members: int = 0,
    generator: torch.Generator | None = None,
) -> Readout:
    """Return the most probable last layer of a trained network, and its posterior.

    Args:
        encoder: what comes before the network.
        weights: of one network.
        lesson: the data; a structure of trust t has t² of the noise variance.
        members: draws that are kept.
        generator: on the CPU, for them.
    """
    energies, forces = statistics(encoder, weights, lesson)
    found = Hyperparameters(float(encoder.scale), 1.0)
    evidence = maximise(energies, forces, found)
    s, e, f = (found.value(name).detach().to(lesson.x) for name in NAMES)
    factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
    moment = energies.moment / e**2 + forces.moment / f**2
    mean = torch.cholesky_solve(moment.unsqueeze(-1), factor).squeeze(-1)
    shape = len(mean), members
    xi = torch.randn(shape, generator=generator, dtype=torch.float64)
    draws = torch.linalg.solve_triangular(factor.T, xi.to(mean), upper=True)
    if members:
        draws = draws - draws.mean(1, keepdim=True)
    return Readout(mean, factor.contiguous(), draws.contiguous(), s, e, f, evidence)


def statistics(encoder: Encoder, weights: Weights, lesson: Lesson) -> tuple[Rows, Rows]:
    """Return the statistics of all energy rows and of all force rows, in eV and eV/Å.

    A force row is minus the slope of a structure's features with one coordinate.
    """
    h, species = weights.last.shape[1], len(encoder.radii)
    energies = forces = Rows.none(h + species, lesson.x)
    scale = encoder.scale
    with torch.no_grad():
        every = torch.eye(h).to(lesson.x)
        for part in lesson.blocks():
            trust = part.trust.square()
            f = _features(weights, part.x, part.place)
            total = f.new_zeros(len(part), f.shape[1]).index_add(0, part.index, f)
            energies = energies.add(total, scale * part.energy, trust * part.counts)
            if not bool(part.known.any()):
                continue
            layers = weights.hidden(part.x, part.place)
            rows = part.pull(weights.slopes(layers, every))  # [h, n, 3]
            rows = torch.cat((rows, rows.new_zeros(species, *rows.shape[1:])))
            known = part.known.flatten() > 0
            F = rows.flatten(1).T[known]
            noise = trust[part.index].repeat_interleave(3)[known]
            forces = forces.add(F, scale * part.forces.flatten()[known], noise)
    return energies, forces


def _features(weights: Weights, x: Tensor, place: Tensor) -> Tensor:
    """Return the inputs of the last layer and the species as numbers, `[n, h + s]`."""
    hidden = weights.hidden(x, place).second[0]
    hot = torch.nn.functional.one_hot(place, weights.shift.shape[1]).to(x)
    return torch.cat((hidden, hot), -1)
