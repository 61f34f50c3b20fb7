"""Sufficient statistics of the energies, forces and virials of training data.

Those of all rows are sums over chunks of structures, so that memory does not grow with their
number. The residual variance of the forces is estimated from a few of them. Virials are rows of the
forces, of larger noise, in another unit; what is not seen of them follows from that of the forces
as their noise does, unless no forces are known.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bostruct.descriptors import SOAP, DescriptorGradients
from bostruct.structures import Structures
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, EnergyTerms
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.local_gp.marginal_likelihood import Rows, RowStatistics
from bostruct.surrogates.training_data import Observations

N_PROBE_STRUCTURES = 20  # structures whose forces give the mean residual variance
N_PROBE_ATOMS = 16  # atoms of one of them


def sufficient_statistics(
    soap: SOAP,
    inducing: InducingEnvironments,
    data: Observations,
    terms: EnergyTerms = NO_TERMS,
    *,
    with_residual: bool = False,
    signal_to_noise: tuple[Tensor, Tensor] | None = None,
) -> Rows:
    """Return the statistics of all energy rows, and of all force and virial rows.

    Args:
        soap: The descriptor.
        inducing: The inducing environments.
        data: The training data.
        terms: Terms beside the environments, whose features follow those of the environments.
        with_residual: True for the mean residual variance of the rows, too; that of the forces is
            estimated from some forces of some structures.
        signal_to_noise: Signal over energy noise and over force noise, to add the residual variance
            of each row to its noise; None to add none.
    """
    m = len(inducing) + terms.n_features
    energies = forces = RowStatistics.empty(m, inducing.features)
    kernel, start = inducing.kernel, 0
    known = data.forces.isfinite().all(-1)  # [n] atoms
    probes = probe_atoms(data.structures, known) if with_residual else known
    residuals: tuple[list[Tensor], ...] = ([], [], [])  # of energies, forces, virials
    for chunk in data.chunks():
        structures, factor = chunk.structures, chunk.noise_factor.square()
        species_index = soap.species_index(structures.numbers)
        atoms = slice(start, start + len(species_index))
        start += len(species_index)
        has_virials = chunk.has_virials
        if has_virials or bool(known[atoms].any()):
            gradients = soap.gradients(structures)
            P = gradients.features
        else:
            P = soap(structures)
        if bool(known[atoms].any()):
            K = inducing.force_covariances(gradients, species_index)
            phi = inducing.whiten(K)  # [n, 3, m]
            noise = factor[structures.index].unsqueeze(-1).repeat(1, 3)
            probe = probes[atoms]
            if with_residual or signal_to_noise is not None:
                prior = prior_variance.force_variances(
                    gradients, species_index, structures.counts, kernel, probe
                )
                residual = _residual_variance(prior, phi[probe])
                residuals[1].append((residual / noise[probe]).flatten())
            if signal_to_noise is not None:
                noise[probe] += residual * signal_to_noise[1] ** 2
            phi = terms.append_force_features(phi, structures, species_index)
            rows = (x[known[atoms]] for x in (phi, chunk.forces, noise))
            forces = forces.add_rows(*(x.flatten(0, 1) for x in rows))
        if has_virials:
            ratio = None if signal_to_noise is None else signal_to_noise[1]
            *virials, residual = _virial_rows(
                gradients, inducing, chunk, species_index, terms, ratio
            )
            forces = forces.add_rows(*virials)
            residuals[2].append(residual)
        K = inducing.energy_covariances(P, species_index, structures.index, len(structures))
        phi = inducing.whiten(K)
        noise = factor * structures.counts
        if with_residual or signal_to_noise is not None:
            prior = prior_variance.energy_variances(P, species_index, structures.counts, kernel)
            residual = _residual_variance(prior, phi)
            residuals[0].append(residual / noise)
        if signal_to_noise is not None:
            noise = noise + residual * signal_to_noise[0] ** 2
        phi = terms.append_features(phi, structures, species_index, structures.index)
        energies = energies.add_rows(phi, chunk.energy, noise)
    if not with_residual:
        return Rows(energies, forces)
    of_energies, of_forces, of_virials = residuals
    kinds = (of_energies, of_forces or of_virials)
    means = (torch.cat(r).mean() if r else energies.mean_residual_variance for r in kinds)
    both = zip((energies, forces), means, strict=True)
    return Rows(*(replace(kind, mean_residual_variance=mean) for kind, mean in both))


def _virial_rows(
    gradients: DescriptorGradients,
    inducing: InducingEnvironments,
    data: Observations,
    species_index: Tensor,
    terms: EnergyTerms,
    signal_to_noise: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features `[r, m]`, values, noise variance factors and residuals of r virials.

    Args:
        gradients: Features and their gradients.
        inducing: The inducing environments.
        data: The training data.
        species_index: `[n]`, species of the atoms.
        terms: Terms beside the environments.
        signal_to_noise: Signal over force noise, to add the residual variance of each row to its
            noise; None to add none.
    """
    assert data.virials is not None
    structures, P, by_strain = data.structures, gradients.features, gradients.by_strain()
    known = data.virials.values.isfinite()  # [b, 6]
    K = inducing.strain_covariances(P, by_strain, species_index, structures.index, len(known))
    phi = inducing.whiten(K)
    noise = (data.noise_factor * data.virials.lengths).square().unsqueeze(-1).expand(-1, 6)
    prior = prior_variance.strain_variances(
        P, by_strain, species_index, structures.counts, inducing.kernel
    )
    residual = _residual_variance(prior, phi)
    phi = terms.append_strain_features(phi, structures, species_index)[known]
    share = (residual / noise)[known]
    if signal_to_noise is not None:
        noise = noise + residual * signal_to_noise**2
    return phi, data.virials.values[known], noise[known], share


def probe_atoms(structures: Structures, has_forces: Tensor) -> Tensor:
    """Return the atoms that estimate the residual variance of forces, `[n]` True or False.

    Of those with known forces, at most `N_PROBE_ATOMS` of a structure, evenly spaced, and of at
    most `N_PROBE_STRUCTURES` structures, evenly spaced.
    """
    probes = torch.zeros_like(has_forces)
    indices = structures.index[has_forces].unique().tolist()
    for k in indices[:: -(-len(indices) // N_PROBE_STRUCTURES) or 1]:
        atoms = ((structures.index == k) & has_forces).nonzero().squeeze(-1)
        probes[atoms[:: -(-len(atoms) // N_PROBE_ATOMS)]] = True
    return probes


def _residual_variance(prior: Tensor, nystrom_features: Tensor) -> Tensor:
    """Return the residual variance of rows given the inducing points, in signal variances."""
    return (prior - nystrom_features.square().sum(-1)).clamp(min=0)
