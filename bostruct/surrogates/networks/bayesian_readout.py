"""The last layer of a trained network as Bayesian linear regression.

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    n, b, s      atoms, structures, species
    t    [n, m]      1     features of atoms: h units of the second hidden layer, the
                           first d inputs of the network, the species as s numbers
    f    [b, m]      1     features of structures, the sums of those of their atoms
    F    [rows, m]         of all training energies, and minus their slopes
    D    [rows, rows]      misfits of energies (e² per atom) and of forces (f²)
    H    [m, m]      1/eV² F^T D^-1 F + 1 / sigma²                         (10), (13)
    w    [m]         eV    H^-1 F^T D^-1 y

sigma, e and f are the most probable ones. Forces are rows like energies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.surrogates.local_gp.marginal_likelihood import (
    NAMES,
    Hyperparameters,
    Rows,
    maximise,
    moment,
    posterior,
    solved,
)
from bostruct.surrogates.networks.dataset import Lesson
from bostruct.surrogates.networks.featurizer import Encoder
from bostruct.surrogates.networks.network import Weights

USUAL, BELIEF = 4.0, 4.0
"""Errors over σ of what was left out before anything is known, and how many structures
that is worth. Trained on 3 to 100 clusters of Cu15 or Au5Cu10, they were 4 to 20."""

WITNESSES = 200  # structures that are left out, at most


@final
@dataclass(frozen=True, eq=False)
class Readout:
    """The last layer and its posterior.

    Attributes:
        mean: `[m]` eV, w.
        factor: `[m, m]` 1/eV, Cholesky factor of H.
        signal: eV, sigma.
        energy_noise: eV per root atom, e.
        force_noise: eV/Å, f.
        log_marginal_likelihood: at these values.
    """

    mean: Tensor
    factor: Tensor
    signal: Tensor
    energy_noise: Tensor
    force_noise: Tensor
    log_marginal_likelihood: Tensor

    def root(self, features: Tensor) -> Tensor:
        """Return a root `[b, m]` eV of f H^-1 f^T, of features `[b, m]`."""
        found: Tensor = torch.linalg.solve_triangular(
            self.factor, features.mT, upper=False
        )
        return found.mT


def readout(
    encoder: Encoder, weights: Weights, lesson: Lesson, inputs: int = 0
) -> Readout:
    """Return the most probable last layer of a trained network, and its posterior.

    Args:
        encoder: what comes before the network.
        weights: of one network.
        lesson: the data; a structure of trust t has t² of the noise variance.
        inputs: d.
    """
    energies, forces = statistics(encoder, weights, lesson, inputs)
    found = Hyperparameters(float(encoder.scale), 1.0)
    evidence = maximise(energies, forces, found)
    s, e, f = (found.value(name).detach().to(lesson.x) for name in NAMES)
    factor, mean = posterior(energies, forces, s, e, f)
    return Readout(mean, factor.contiguous(), s, e, f, evidence)


def stretch(
    encoder: Encoder, weights: Weights, lesson: Lesson, last: Readout, inputs: int = 0
) -> Tensor:
    """Return alpha, (26): how many σ off energies are that the last layer never saw.

    alpha² is the mean of z² over structures whose energies and forces were left out of
    the last layer, and of `BELIEF` more for which it is `USUAL`². What the hidden
    layers have learnt of them stays. The distrusted count for less.

    Args:
        encoder: what comes before the network.
        weights: of one network.
        lesson: the data.
        last: their posterior.
        inputs: d.
    """
    s, e, f = last.signal, last.energy_noise, last.force_noise
    H = last.factor @ last.factor.T
    v = H @ last.mean
    count = len(lesson)
    told = range(0, count, math.ceil(count / WITNESSES))
    total = BELIEF * USUAL**2
    for k in told:
        part = lesson.take(torch.tensor([k]))
        energies, forces = statistics(encoder, weights, part, inputs)
        factor = torch.linalg.cholesky(H - energies.gram / e**2 - forces.gram / f**2)
        mean = solved(factor, v - moment(energies, forces, s, e, f))
        rest = replace(last, factor=factor, mean=mean)
        t = features(weights, part.x, part.place, inputs).sum(0, keepdim=True)
        missed = encoder.scale * part.energy - t @ rest.mean
        variance = rest.root(t).square().sum() * part.trust.square()
        total += float(missed.square() / variance)
    return H.new_tensor(total / (BELIEF + len(told))).sqrt()


def statistics(
    encoder: Encoder, weights: Weights, lesson: Lesson, inputs: int = 0
) -> tuple[Rows, Rows]:
    """Return the statistics of all energy rows and of all force rows, in eV and eV/Å.

    A force row is minus the slope of a structure's features with one coordinate.
    """
    h, d, species = weights.last.shape[1], lesson.x.shape[1], len(encoder.radii)
    direct = torch.eye(min(inputs, d), d).to(lesson.x)  # slopes of inputs with inputs
    energies = forces = Rows.none(h + len(direct) + species, lesson.x)
    scale = encoder.scale
    with torch.no_grad():
        every = torch.eye(h).to(lesson.x)
        for part in lesson.blocks():
            trust = part.trust.square()
            t = features(weights, part.x, part.place, inputs)
            f = t.new_zeros(len(part), t.shape[1]).index_add(0, part.index, t)
            energies = energies.add(f, scale * part.energy, trust * part.counts)
            if not bool(part.known.any()):
                continue
            slopes = weights.slopes(weights.hidden(part.x, part.place), every)
            given = direct.unsqueeze(1).expand(-1, len(part.x), -1)
            rows = part.pull(torch.cat((slopes, given)))  # [h + d, n, 3]
            rows = torch.cat((rows, rows.new_zeros(species, *rows.shape[1:])))
            known = part.known.flatten() > 0
            F = rows.flatten(1).T[known]
            noise = trust[part.index].repeat_interleave(3)[known]
            forces = forces.add(F, scale * part.forces.flatten()[known], noise)
    return energies, forces


def features(weights: Weights, x: Tensor, place: Tensor, inputs: int = 0) -> Tensor:
    """Return what the last layer sees of atoms, `[n, m]`.

    Args:
        weights: of one network.
        x: `[n, ..]`, its inputs.
        place: `[n]`, species.
        inputs: d.
    """
    hidden = weights.hidden(x, place).second[0]
    hot = torch.nn.functional.one_hot(place, weights.shift.shape[1]).to(x)
    return torch.cat((hidden, x[:, :inputs], hot), -1)
