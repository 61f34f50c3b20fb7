"""A fitted sparse Gaussian process over local environments, as a BoTorch model.

Notation
    b, q, a   structures, structures asked about jointly, atoms of one
    phi       [.., m]   1    Nyström features of an energy (or a force component)
    s, e, f             eV, eV, eV/Å   signal, noise of energies (per root atom), forces
    A         [m, m]    1/eV²   1 / s² + F^T D^-1 F, from the training rows F
    w         [m]       eV   mean of the weights
    k   [.., m]   1     covariances with the inducing environments, phi = L^-1 k
    h   [.., m]   eV    what of them the data have seen, h . h' = phi^T (s² - A^-1) phi'

    mean       = prior + phi . w
    covariance = phi^T A^-1 phi' + s² (k(x, x') - phi . phi') = s² k(x, x') - h . h'

The second term is what the inducing environments cannot see: without it the variance
vanishes far from them (`variance="sor"`, subset of regressors); with it ("dtc"), it is
that of the deterministic training conditional and returns to the prior's (eqs. 7 and
57-59 of Digital Discovery 4, 2654 (2025); Quiñonero-Candela and Rasmussen, JMLR 6, 1939
(2005), eq. 20). The last form needs one product with a matrix for any number of
structures. "fitc" predicts as "dtc" does, from weights that trust each training row by
less as the inducing environments see less of it (the same, section 6); "averaged_fitc" has the
mean of "dtc" and a covariance for which all energies and all forces are trusted by as
much less as is so on average.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal, final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.descriptors import SOAP, FixedEnvironment
from bostruct.structures import Structures
from bostruct.surrogates.base import SupportsDecode
from bostruct.surrogates.botorch_models.conditioned_model import (
    ConditionedModel,
    condition_on_observations,
)
from bostruct.surrogates.botorch_models.posterior import (
    STRUCTURES_PER_CHUNK,
    add_noise,
    decode_structures,
    jitter,
    joint_posterior,
)
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.kernel import InducingEnvironments, energy_kernel
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.soap_state import soap_to_state
from bostruct.uncertainty import Prediction

Approximation = Literal["sor", "dtc", "fitc", "averaged_fitc"]
APPROXIMATIONS: tuple[Approximation, ...] = ("sor", "dtc", "fitc", "averaged_fitc")


@final
@dataclass(frozen=True, eq=False)
class LocalGPState:
    """All numbers that a fitted model consists of; saved and restored as they are.

    Attributes:
        radii: `[species]` Å.
        species_energies: `[species]` eV, mean energy of an atom of each species.
        inducing_features: `[m, f]` features of the inducing environments.
        species_index: `[m]` their species.
        kernel_cholesky: `[m, m]` Cholesky factor of the kernel between them.
        precision_cholesky: `[m, m]` 1/eV, Cholesky factor of A.
        weights: `[m]` eV, w.
        signal_std: eV, s.
        energy_noise_std: eV, e.
        force_noise_std: eV/Å, f.
        log_marginal_likelihood: at these values.
    """

    radii: Tensor
    species_energies: Tensor
    inducing_features: Tensor
    species_index: Tensor
    kernel_cholesky: Tensor
    precision_cholesky: Tensor
    weights: Tensor
    signal_std: Tensor
    energy_noise_std: Tensor
    force_noise_std: Tensor
    log_marginal_likelihood: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Return the attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device | str) -> LocalGPState:
        """Return the same numbers on another device."""
        moved = {name: value.to(device) for name, value in self.tensors().items()}
        return LocalGPState(**moved)


@final
class LocalGPModel(Model, FantasizeMixin):  # type: ignore[misc]
    """What `LocalGP.fit` returns. Deterministic, and never changes.

    Args:
        soap: the descriptor.
        zeta: exponent of the kernel.
        pair_repulsion: the pair prior, or None.
        fitted: the numbers.
        space: gives structures to coordinates; None if only `predict` is needed.
        approximation: one of `KINDS`.
    """

    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def __init__(
        self,
        soap: SOAP,
        zeta: int,
        pair_repulsion: PairRepulsion | None,
        fitted: LocalGPState,
        space: SupportsDecode | None = None,
        approximation: Approximation = "averaged_fitc",
    ) -> None:
        super().__init__()
        self.soap, self.zeta, self.pair_repulsion = soap, zeta, pair_repulsion
        self.fitted, self.space, self.approximation = fitted, space, approximation
        self._base_cache: tuple[FixedEnvironment, Tensor] | None = None
        self.inducing = InducingEnvironments(
            fitted.inducing_features, fitted.species_index, fitted.kernel_cholesky, zeta
        )

    @property
    def num_outputs(self) -> int:
        """Energies only: 1."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """One model, no batch."""
        return torch.Size()

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of q energies in eV, differentiable in X.

        Args:
            X: `[..., q, d]` coordinates of structures of the trained species.
            output_indices: not used, there is one output.
            observation_noise: whether to add the noise of a measured energy, or a
                tensor `[..., q]` of noise variances, eV².
            posterior_transform: applied last.

        Raises:
            NotFittedError: the model was fitted without a space.
        """
        shape = X.shape[:-1]  # [..., q]
        structures = decode_structures(self.space, X)
        place = self.soap.species_index(structures.numbers)
        base = self.soap.fixed_environment(structures)
        P, changed = self.soap.features_and_changed(structures, base)
        mean, h = self._mean_and_explained(structures, P, place, base, changed)
        counts = structures.counts
        rows, kinds = prior_variance.pad_atoms(P, place, counts)
        rows, kinds = rows.view(*shape, *rows.shape[1:]), kinds.view(*shape, -1)
        pairs = energy_kernel(rows, kinds, self.zeta)  # [..., q, q]
        C = self._covariance(pairs, h.view(*shape, -1))
        own = self.fitted.energy_noise_std**2 * counts.view(shape)
        C = add_noise(C, observation_noise, own)
        return joint_posterior(mean.view(*shape, 1), C, posterior_transform)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model that has also been told energies Y `[..., t, 1]` at X.

        Hyperparameters and inducing environments stay; see `Conditioned`.
        """
        return condition_on_observations(self, X, Y, noise)

    def predict(
        self,
        structures: Structures,
        *,
        covariance: bool = False,
        force_variance: bool = False,
    ) -> Prediction:
        """Return energies, forces and uncertainties of any structures.

        Args:
            structures: b structures of n atoms in total, of the trained species.
            covariance: also the latent covariance `[b, b]` between the energies.
            force_variance: also the latent variance `[n, 3]` of each force.

        Raises:
            InputError: a species the model was not trained on.
        """
        parts = [
            self._predict(structures[start : start + STRUCTURES_PER_CHUNK], force_variance)
            for start in range(0, len(structures), STRUCTURES_PER_CHUNK)
        ]
        prediction = Prediction.cat(parts)
        if covariance:
            return replace(prediction, covariance=self._joint_covariance(structures))
        return prediction

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        state = self.fitted.tensors() | soap_to_state(self.soap, self.pair_repulsion, self.zeta)
        if self.approximation != "dtc":  # the first logs know no other, and name none
            state["approximation"] = torch.tensor(APPROXIMATIONS.index(self.approximation))
        return state

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        fit = self.fitted
        found = {
            "signal_eV": float(fit.signal_std),
            "energy_noise_eV_per_root_atom": float(fit.energy_noise_std),
            "force_noise_eV_per_angstrom": float(fit.force_noise_std),
            "log_marginal_likelihood": float(fit.log_marginal_likelihood),
            "inducing_environments": float(len(self.inducing)),
            "cutoff_angstrom": self.soap.cutoff,
            "alchemy": self.soap.species_similarity,
        }
        for number, value in zip(self.soap.species, fit.species_energies, strict=True):
            found[f"energy_per_atom_of_Z{number}_eV"] = float(value)
        return found

    def _features(self, structures: Structures) -> tuple[Tensor, Tensor]:
        return self.soap(structures), self.soap.species_index(structures.numbers)

    def _prior_mean(self, structures: Structures, species_index: Tensor) -> Tensor:
        """Return the prior mean `[b]` eV."""
        energy = self.fitted.species_energies.new_zeros(len(structures))
        energy = energy.index_add(0, structures.index, self.fitted.species_energies[species_index])
        if self.pair_repulsion is None:
            return energy
        return energy + self.pair_repulsion(structures, self.fitted.radii[species_index])

    def _mean_and_explained(
        self,
        structures: Structures,
        P: Tensor,
        species_index: Tensor,
        base: FixedEnvironment | None = None,
        changed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the means `[b]` eV and what the data have seen, h `[b, m]` eV.

        Atoms that have not `changed` against the base are as they are there.
        """
        b, index = len(structures), structures.index
        if base is None or changed is None or bool(changed.all()):
            K = self.inducing.energy_covariances(P, species_index, index, b)
        else:
            rows = changed.nonzero().squeeze(-1)
            K = self.inducing.energy_covariances(P[rows], species_index[rows], index[rows], b)
            rest = ~changed.view(b, -1)[:, base.fixed_atoms.fixed_index >= 0]
            K = K + rest.to(K) @ self._fixed_covariances(base)
        pull, seen = self._projections
        return self._prior_mean(structures, species_index) + K @ pull, K @ seen

    def _fixed_covariances(self, base: FixedEnvironment) -> Tensor:
        """Return the covariances `[g, m]` of the base's own environments."""
        if self._base_cache is None or self._base_cache[0] is not base:
            place = self.soap.species_index(base.fixed_atoms.atoms.numbers)
            self._base_cache = (
                base,
                self.inducing.environment_covariances(base.features, place),
            )
        return self._base_cache[1]

    @cached_property
    def _projections(self) -> tuple[Tensor, Tensor]:
        """Return L^-T w `[m]` and S `[m, m]`: k S = h, with A = V diag(a) V^T.

        For sor h is that of its own form, phi^T A^-1 phi' = h . h'.
        """
        fit = self.fitted
        values, vectors = torch.linalg.eigh(fit.precision_cholesky @ fit.precision_cholesky.T)
        left = 1 / values
        known = left if self.approximation == "sor" else fit.signal_std**2 - left
        shrunk = known.clamp(min=0).sqrt()
        both = torch.cat((fit.weights.unsqueeze(-1), vectors * shrunk), -1)
        both = torch.linalg.solve_triangular(fit.kernel_cholesky.T, both, upper=True)
        return both[:, 0].contiguous(), both[:, 1:].contiguous()

    def _covariance(self, kernel: Tensor, h: Tensor) -> Tensor:
        """Return the latent covariance `[..., q, q]` eV² from the kernel and h."""
        seen: Tensor = h @ h.transpose(-1, -2)
        if self.approximation == "sor":  # h is what the weights leave open
            own = seen.diagonal(dim1=-2, dim2=-1)
            return seen + torch.diag_embed(jitter(own, torch.zeros_like(own)))
        prior = self.fitted.signal_std**2 * kernel
        C: Tensor = prior - seen
        own = C.diagonal(dim1=-2, dim2=-1)
        return C + torch.diag_embed(jitter(own, prior.diagonal(dim1=-2, dim2=-1)))

    def _predict(self, structures: Structures, force_variance: bool) -> Prediction:
        moving = structures.positions.detach().clone().requires_grad_()
        with torch.enable_grad():
            P, place = self._features(replace(structures, positions=moving))
            where = replace(structures, positions=moving)
            mean, h = self._mean_and_explained(where, P, place)
            (slope,) = torch.autograd.grad(mean.sum(), moving)
        P, h = P.detach(), h.detach()
        counts = structures.counts
        pairs = prior_variance.energy_variances(P, place, counts, self.zeta).view(-1, 1, 1)
        C = self._covariance(pairs, h.unsqueeze(-2))
        K = self.inducing.environment_covariances(P, place)
        local = self.fitted.species_energies[place] + K @ self._projections[0]
        spread = self._force_variances(structures) if force_variance else None
        return Prediction(
            mean=mean.detach(),
            variance=C.flatten(),
            noise_variance=self.fitted.energy_noise_std**2 * counts,
            forces=-slope,
            atomic_energies=local,
            force_variance=spread,
        )

    def _joint_covariance(self, structures: Structures) -> Tensor:
        """Return the latent covariance `[b, b]` between all energies."""
        with torch.no_grad():
            P, place = self._features(structures)
            _, h = self._mean_and_explained(structures, P, place)
            rows, kinds = prior_variance.pad_atoms(P, place, structures.counts)
            return self._covariance(energy_kernel(rows, kinds, self.zeta), h)

    def _force_variances(self, structures: Structures) -> Tensor:
        return torch.cat([self._force_variance(one) for one in structures])

    def _force_variance(self, structure: Structures) -> Tensor:
        """Return the latent variance of each force component, `[a, 3]` (eV/Å)²."""
        slopes, place = (
            self.soap.gradients(structure),
            self.soap.species_index(structure.numbers),
        )
        h = self.inducing.force_covariances(slopes, place).flatten(0, 1) @ self._projections[1]
        variance = h.square().sum(-1)
        if self.approximation != "sor":
            every = torch.ones_like(place, dtype=torch.bool)
            prior = prior_variance.force_variances(
                slopes, place, structure.counts, self.zeta, every
            )
            variance = self.fitted.signal_std**2 * prior.flatten() - variance
        return variance.clamp(min=0).view(-1, 3)
