"""Latent variances of forces and virials of a fitted sparse Gaussian process.

Notation
    m          inducing environments and features of the other terms
    K  [.., m]  covariances of derivatives of the energy with the inducing environments, and
                derivatives of the features
    S  [m, m]  eV   h = K S, with signs g [m]: g . h² is the variance beyond the prior's
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.structures import Structures
from bostruct.structures.strain import per_volume
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.energy_terms import EnergyTerms
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.virials import virial_lengths
from bostruct.uncertainty import Prediction


@final
@dataclass(frozen=True, eq=False)
class DerivativeVariances:
    """Variances of derivatives of single energies.

    Attributes:
        soap: The descriptor.
        inducing: The inducing environments.
        terms: Terms beside the environments.
        root: S, `[m, m]` eV.
        signs: g, `[m]`.
        signal_variance: Signal variance, eV².
        has_residual: False if g . h² itself is the variance ("sor").
    """

    soap: SOAP
    inducing: InducingEnvironments
    terms: EnergyTerms
    root: Tensor
    signs: Tensor
    signal_variance: Tensor
    has_residual: bool

    def added_to(
        self, prediction: Prediction, structures: Structures, force_noise_std: Tensor, radii: Tensor
    ) -> Prediction:
        """Return a prediction with the variances of forces, and of stresses where it has them.

        Args:
            prediction: Energies and forces of the structures.
            structures: b structures of n atoms in total.
            force_noise_std: Noise standard deviation of a force, eV/Å.
            radii: Radius of each atom, `[n]` Å.
        """
        assert prediction.forces is not None
        prediction = replace(
            prediction,
            force_variance=torch.cat([self.forces(one) for one in structures]),
            force_noise_variance=(force_noise_std**2).expand_as(prediction.forces),
        )
        if prediction.stress is None:
            return prediction
        variance = torch.cat([self.virial(one) for one in structures])
        noise = (force_noise_std * virial_lengths(structures, radii)).square()
        return replace(
            prediction,
            stress_variance=per_volume(structures, variance, power=2),
            stress_noise_variance=per_volume(structures, noise.unsqueeze(-1), power=2).expand(
                -1, 6
            ),
        )

    def forces(self, structure: Structures) -> Tensor:
        """Return the variance of each force component of one structure, `[a, 3]` (eV/Å)²."""
        gradients = self.soap.gradients(structure)
        species_index = self.soap.species_index(structure.numbers)
        K = self.inducing.force_covariances(gradients, species_index)
        K = self.terms.append_force_features(K, structure, species_index)
        prior = K.new_zeros(len(K), 3)
        if self.has_residual:
            every = torch.ones_like(species_index, dtype=torch.bool)
            prior = prior_variance.force_variances(
                gradients, species_index, structure.counts, self.inducing.kernel, every
            )
        return self._latent(K, prior)

    def virial(self, structure: Structures) -> Tensor:
        """Return the variance of the strain derivative of one structure, `[1, 6]` eV²."""
        gradients = self.soap.gradients(structure)
        P, by_strain = gradients.features, gradients.by_strain()
        species_index = self.soap.species_index(structure.numbers)
        K = self.inducing.strain_covariances(P, by_strain, species_index, structure.index, 1)
        K = self.terms.append_strain_features(K, structure, species_index)
        prior = K.new_zeros(1, 6)
        if self.has_residual:
            prior = prior_variance.strain_variances(
                P, by_strain, species_index, structure.counts, self.inducing.kernel
            )
        return self._latent(K, prior)

    def _latent(self, K: Tensor, prior: Tensor) -> Tensor:
        """Return the variances `[..]` of values with prior variances `[..]` in signal variances."""
        explained = ((K @ self.root).square() * self.signs).sum(-1)
        return (self.signal_variance * prior + explained).clamp(min=0)
