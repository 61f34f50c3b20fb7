"""A fitted sparse Gaussian process over local environments, as a BoTorch model.

Notation
    b, q, a   structures, structures of a joint posterior, atoms of one
    phi       [.., m]   1    Nyström features of an energy (or a force component)
    s, e, f             eV, eV, eV/Å   signal, noise of energies (per root atom), forces
    A         [m, m]    1/eV²   1 / s² + F^T D^-1 F, from the training rows F
    w         [m]       eV   mean of the weights
    k   [.., m]   1     covariances with the inducing environments, phi = L^-1 k
    phi_t [.., t] 1     features of the other terms of the energy, see `energy_terms`
    h   [.., m]   eV    variance explained by the data, h . h' = phi^T (s² - A^-1) phi'

    mean       = prior + phi . w
    covariance = phi^T A^-1 phi' + s² (k(x, x') - phi . phi') = s² k(x, x') - h . h'

With other terms, phi and w are those of all, A has 1 / s_t² for their weights, and h . h' has
signs: their variance adds to that of the environments as far as the data leave it open, and the
kernel k stays that of the environments alone.

The second term is the residual variance given the inducing environments. Without it ("sor", subset
of regressors) the variance vanishes far from them; with it ("dtc", deterministic training
conditional) it returns to the prior's (eqs. 7 and 57-59 of Digital Discovery 4, 2654 (2025);
Quiñonero-Candela and Rasmussen, JMLR 6, 1939 (2005), eq. 20). The last form needs one matrix
product for any number of structures. "fitc" predicts as "dtc" does, from weights for which the
residual variance of each training row is noise (section 6 there); "averaged_fitc" has the mean of
"dtc" and a covariance for which the residual variances are averaged over all energies and over all
forces. The part of e that is no noise of labels adds to the covariance, see `misfit`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP, FixedEnvironment, PowerSpectra
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.structures.strain import has_stress, per_volume, strain_derivative
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.posterior import (
    STRUCTURES_PER_CHUNK,
    add_noise,
    decode_structures,
    jitter,
)
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.derivative_variances import DerivativeVariances
from bostruct.surrogates.local_gp.dot_product_kernel import (
    ExponentialKernel,
    PowerKernel,
    kernel_to_state,
)
from bostruct.surrogates.local_gp.embedding_term import FittedEmbeddingTerm
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, EnergyTerms
from bostruct.surrogates.local_gp.kernel import InducingEnvironments, energy_kernel
from bostruct.surrogates.local_gp.misfit import (
    label_noise_variance,
    misfit_covariance,
    misfit_variance,
)
from bostruct.surrogates.local_gp.posterior_moments import (
    EnvironmentTerm,
    FixedEnergies,
    GeometryGradient,
    LinearTerm,
    LocalGPMoments,
    MomentTerm,
    local_gp_moments,
)
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.soap_state import soap_to_state
from bostruct.surrogates.training_data import prior_mean
from bostruct.uncertainty import Prediction

Approximation = Literal["sor", "dtc", "fitc", "averaged_fitc"]
APPROXIMATIONS: tuple[Approximation, ...] = ("sor", "dtc", "fitc", "averaged_fitc")


@final
@dataclass(frozen=True, eq=False)
class LocalGPState:
    """All tensors of a fitted model; saved and restored as they are.

    Attributes:
        radii: Radius of each species, `[species]` Å.
        species_energies: Mean energy of an atom of each species, `[species]` eV.
        inducing_features: Features of the inducing environments, `[m, f]`.
        species_index: Species of the inducing environments, `[m]`.
        kernel_cholesky: Cholesky factor of the kernel between them, `[m, m]`.
        precision_cholesky: Cholesky factor of A, `[m, m]` 1/eV.
        weights: Mean of the weights w, `[m]` eV.
        signal_std: Signal standard deviation s, eV.
        energy_noise_std: Noise standard deviation of an energy e, eV per root atom.
        force_noise_std: Noise standard deviation of a force f, eV/Å.
        log_marginal_likelihood: Log marginal likelihood of the training data.
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
        """Return the tensors on another device."""
        return LocalGPState(**{name: value.to(device) for name, value in self.tensors().items()})


@final
class LocalGPModel(JointModel):
    """The fitted model of `LocalGP`; deterministic, and it never changes.

    Conditioned on observations its hyperparameters and inducing environments stay.

    Args:
        soap: The descriptor.
        kernel: Kernel of the dot product of features.
        pair_repulsion: The pair prior, or None.
        fitted: The fitted tensors.
        space: Gives structures to coordinates; None if only `predict` is needed.
        approximation: Sparse approximation, one of `APPROXIMATIONS`.
        terms: Terms of the energy beside the environments.
        label_noise: Noise of the labels alone, eV per root atom; None if the fitted one is theirs.
    """

    def __init__(
        self,
        soap: SOAP,
        kernel: PowerKernel | ExponentialKernel,
        pair_repulsion: PairRepulsion | None,
        fitted: LocalGPState,
        space: Space | None = None,
        approximation: Approximation = "averaged_fitc",
        terms: EnergyTerms = NO_TERMS,
        label_noise: float | None = 0.0,
    ) -> None:
        super().__init__()
        self.soap, self.kernel, self.pair_repulsion = soap, kernel, pair_repulsion
        self.fitted, self.space, self.approximation = fitted, space, approximation
        self.terms = terms
        self.label_noise = label_noise
        self._base_cache: tuple[FixedEnvironment, Tensor] | None = None
        self._fixed_cache: FixedEnergies | None = None
        self.inducing = InducingEnvironments(
            fitted.inducing_features, fitted.species_index, fitted.kernel_cholesky, kernel
        )

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance of q energies in eV, differentiable in X.

        X `[..., q, d]` are coordinates of structures of the trained species.
        """
        shape = X.shape[:-1]  # [..., q]
        structures = decode_structures(self.space, X)
        species_index = self.soap.species_index(structures.numbers)
        base = self.soap.fixed_environment(structures)
        P, changed = self.soap.features_and_changed(structures, base)
        mean, h = self._mean_and_explained(structures, P, species_index, base, changed)
        counts = structures.counts
        P, species_index = prior_variance.pad_atoms(P, species_index, counts)
        P, species_index = P.view(*shape, *P.shape[1:]), species_index.view(*shape, -1)
        kernel = energy_kernel(P, species_index, self.kernel)  # [..., q, q]
        C = self._covariance(kernel, h.view(*shape, -1))
        C = C + misfit_covariance(kernel, self._misfit_variance(counts.view(shape)))
        C = add_noise(C, observation_noise, self._noise_variance(counts.view(shape)))
        return mean.view(*shape, 1), C, True

    @property
    def has_closed_form_gradients(self) -> bool:
        """True on a CPU, where compiled loops give them."""
        return self.fitted.weights.device.type == "cpu"

    def posterior_moments(self, X: Tensor) -> LocalGPMoments:
        """Return mean and σ at X `[b, d]` with their gradients in closed form.

        They are those of `posterior` of single structures, to rounding, in half the time.

        Raises:
            NotFittedError: the model was fitted without a space.
        """
        X = X.detach().requires_grad_()
        with torch.enable_grad():
            structures = decode_structures(self.space, X)
        with torch.no_grad():
            fixed = self._fixed_energies(structures)
            environment = None if fixed is None else fixed.environment
            spectra = self.soap.power_spectra(structures, environment)
            index, b = structures.index[spectra.center], len(structures)
            terms: list[MomentTerm] = [EnvironmentTerm(self.inducing, spectra, index, b, fixed)]
            if self.terms.terms:
                terms.append(self._linear_term(structures, spectra, fixed))
            prior = self._prior_mean_and_gradient(structures, spectra, fixed)
            misfit = self._misfit_variance(structures.counts)
            return local_gp_moments(
                X,
                structures,
                prior,
                terms,
                *self._projections,
                self.fitted.signal_std**2,
                misfit,
                has_residual=self.approximation != "sor",
            )

    def predict(
        self,
        structures: Structures,
        *,
        covariance: bool = False,
        force_variance: bool = False,
    ) -> Prediction:
        """Return energies, forces, stresses and uncertainties of any structures.

        Args:
            structures: b structures of n atoms in total, of the trained species.
            covariance: Also the latent covariance `[b, b]` between the energies.
            force_variance: Also the latent variance `[n, 3]` of each force, and the noise variance;
                those of stresses too.

        Raises:
            InputError: a species is not in the training data.
        """
        with_stress = bool(has_stress(structures).any())
        chunks = [
            self._predict(
                structures[start : start + STRUCTURES_PER_CHUNK], force_variance, with_stress
            )
            for start in range(0, len(structures), STRUCTURES_PER_CHUNK)
        ]
        prediction = Prediction.cat(chunks)
        if covariance:
            return replace(prediction, covariance=self._joint_covariance(structures))
        return prediction

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        zeta, numbers = kernel_to_state(self.kernel)
        state = self.fitted.tensors() | soap_to_state(self.soap, self.pair_repulsion, zeta)
        state |= numbers
        if self.approximation != "dtc":  # the first logs know no other, and name none
            state["approximation"] = torch.tensor(APPROXIMATIONS.index(self.approximation))
        if self.label_noise is not None:  # neither do they tell it
            state["label_noise"] = torch.tensor(self.label_noise, dtype=torch.float64)
        return state | self.terms.state()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, units in the names."""
        fit = self.fitted
        numbers = {
            "signal_eV": float(fit.signal_std),
            "energy_noise_eV_per_root_atom": float(fit.energy_noise_std),
            "force_noise_eV_per_angstrom": float(fit.force_noise_std),
            "log_marginal_likelihood": float(fit.log_marginal_likelihood),
            "inducing_environments": float(len(self.inducing)),
            "cutoff_angstrom": self.soap.cutoff,
            "species_similarity": self.soap.species_similarity,
        }
        for name in ("n_max", "center_atom_weight"):
            if (value := getattr(self.soap, name)) != getattr(SOAP, name):
                numbers[name] = float(value)
        numbers |= self.kernel.hyperparameters() | self.terms.hyperparameters()
        for term in self.terms:
            if isinstance(term, FittedEmbeddingTerm):
                numbers |= term.hyperparameters(self.soap.species)
        for number, value in zip(self.soap.species, fit.species_energies, strict=True):
            numbers[f"energy_per_atom_of_Z{number}_eV"] = float(value)
        return numbers

    def _features(self, structures: Structures) -> tuple[Tensor, Tensor]:
        return self.soap(structures), self.soap.species_index(structures.numbers)

    def _prior_mean(self, structures: Structures, species_index: Tensor) -> Tensor:
        """Return the prior mean `[b]` eV."""
        energies, radii = self.fitted.species_energies, self.fitted.radii
        return prior_mean(structures, species_index, energies, self.pair_repulsion, radii)

    def _prior_mean_and_gradient(
        self, structures: Structures, spectra: PowerSpectra, fixed: FixedEnergies | None
    ) -> tuple[Tensor, GeometryGradient]:
        """Return the prior mean `[b]` eV and its gradient, eV/Å.

        Pairs of fixed atoms add to the energy, and nothing to the gradient.
        """
        fit, species_index = self.fitted, spectra.neighbors.species_index
        prior = prior_mean(structures, species_index, fit.species_energies, None, fit.radii)
        radii, cell = fit.radii[species_index], structures.cell
        by_cell = torch.zeros_like(cell) if cell.requires_grad else None
        if self.pair_repulsion is None:
            return prior, GeometryGradient(torch.zeros_like(structures.positions), by_cell)
        if self.pair_repulsion.largest_range(radii) > self.soap.cutoff:  # some are not listed
            energy, *both = self.pair_repulsion.energy_and_gradients(structures, radii)
            return prior + energy, GeometryGradient(
                both[0], both[1] if cell.requires_grad else None
            )
        if cell.requires_grad:
            energy, *both = self.pair_repulsion.listed_gradients(spectra, structures, radii)
            return prior + energy, GeometryGradient(*both)
        energy, gradient = self.pair_repulsion.listed_energy_and_gradient(
            spectra, structures, radii
        )
        mean = prior + energy + (0 if fixed is None else fixed.pair_energy)
        return mean, GeometryGradient(gradient, None)

    def _linear_term(
        self, structures: Structures, spectra: PowerSpectra, fixed: FixedEnergies | None
    ) -> LinearTerm:
        """Return the terms beside the environments, known to autograd from the geometry."""
        positions, cell = structures.positions.detach().requires_grad_(), structures.cell.detach()
        cell.requires_grad_(structures.cell.requires_grad)
        moved, b = replace(structures, positions=positions, cell=cell), len(structures)
        fixed_atoms = None if fixed is None else fixed.environment.fixed_atoms
        species_index = spectra.neighbors.species_index
        with torch.enable_grad():
            none = positions.new_zeros(b, 0)
            features = self.terms.append_features(
                none, moved, species_index, structures.index, fixed_atoms
            )
        return LinearTerm(features, positions, cell if cell.requires_grad else None)

    def _fixed_energies(self, structures: Structures) -> FixedEnergies | None:
        """Return the energies of shared fixed atoms among themselves, computed once."""
        base = self.soap.fixed_environment(structures)
        if base is None:
            return None
        if self._fixed_cache is None or self._fixed_cache.environment is not base:
            atoms = base.fixed_atoms.atoms
            species_index = self.soap.species_index(atoms.numbers)
            pair_energy = base.features.new_zeros(1)
            if self.pair_repulsion is not None:
                pair_energy = self.pair_repulsion(atoms, self.fitted.radii[species_index])
            self._fixed_cache = FixedEnergies.of(base, species_index, self.inducing, pair_energy)
        return self._fixed_cache

    def _mean_and_explained(
        self,
        structures: Structures,
        P: Tensor,
        species_index: Tensor,
        base: FixedEnvironment | None = None,
        changed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the means `[b]` eV and h `[b, m]` eV, the variance explained by the data.

        The features of atoms that have not `changed` against the base are those of the base.
        """
        b, index = len(structures), structures.index
        if base is None or changed is None or bool(changed.all()):
            K = self.inducing.energy_covariances(P, species_index, index, b)
        else:
            rows = changed.nonzero().squeeze(-1)
            K = self.inducing.energy_covariances(P[rows], species_index[rows], index[rows], b)
            unchanged = ~changed.view(b, -1)[:, base.fixed_atoms.fixed_index >= 0]
            K = K + unchanged.to(K) @ self._fixed_covariances(base)
        fixed_atoms = None if base is None else base.fixed_atoms
        K = self.terms.append_features(K, structures, species_index, index, fixed_atoms)
        weights, S, _ = self._projections
        return self._prior_mean(structures, species_index) + K @ weights, K @ S

    def _fixed_covariances(self, base: FixedEnvironment) -> Tensor:
        """Return the covariances `[g, m]` of the environments of the base."""
        if self._base_cache is None or self._base_cache[0] is not base:
            species_index = self.soap.species_index(base.fixed_atoms.atoms.numbers)
            K = self.inducing.environment_covariances(base.features, species_index)
            self._base_cache = (base, K)
        return self._base_cache[1]

    @cached_property
    def _projections(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return L^-T w `[m]`, S `[m, m]` and signs `[m]`: k S = h.

        With A^-1 less s² over the weights of the environments, V diag(a) V^T, the signs are those
        of a. L is the unit matrix for the other terms.
        """
        fit, m = self.fitted, len(self.inducing)
        if self.terms.terms:
            added = torch.cholesky_inverse(fit.precision_cholesky.double())
            unit = added.diagonal().sqrt()  # those of open compositions may be huge
            unit[:m] = fit.signal_std
            if self.approximation != "sor":
                added.diagonal()[:m] -= fit.signal_std**2
            variance, vectors = torch.linalg.eigh(added / unit / unit.unsqueeze(-1))
            vectors = (unit.unsqueeze(-1) * vectors).to(fit.weights)
            variance = variance.to(fit.weights)
        else:
            values, vectors = torch.linalg.eigh(fit.precision_cholesky @ fit.precision_cholesky.T)
            variance = 1 / values
            if self.approximation != "sor":
                variance = -(fit.signal_std**2 - variance).clamp(min=0)
        root = vectors * variance.abs().sqrt()
        both = torch.cat((fit.weights.unsqueeze(-1), root), -1)
        environments = torch.linalg.solve_triangular(fit.kernel_cholesky.T, both[:m], upper=True)
        both = torch.cat((environments, both[m:])) if len(both) > m else environments
        return both[:, 0].contiguous(), both[:, 1:].contiguous(), variance.sign()

    @property
    def _derivative_variances(self) -> DerivativeVariances:
        return DerivativeVariances(
            self.soap,
            self.inducing,
            self.terms,
            *self._projections[1:],
            self.fitted.signal_std**2,
            has_residual=self.approximation != "sor",
        )

    def _covariance(self, kernel: Tensor, h: Tensor) -> Tensor:
        """Return the latent covariance `[..., q, q]` eV² from the kernel and h."""
        C: Tensor = (h * self._projections[2]) @ h.transpose(-1, -2)
        if self.approximation == "sor":
            variance = C.diagonal(dim1=-2, dim2=-1)
            none = torch.zeros_like(variance)
            return C + torch.diag_embed(jitter(variance, none, self.fitted.signal_std**2))
        prior = self.fitted.signal_std**2 * kernel
        C = prior + C
        variance, operands = (matrix.diagonal(dim1=-2, dim2=-1) for matrix in (C, prior))
        if self.terms.terms:  # with signs, the sum may be far below its terms
            operands = operands + h.square().sum(-1)
        return C + torch.diag_embed(jitter(variance, operands, self.fitted.signal_std**2))

    def _misfit_variance(self, counts: Tensor) -> Tensor:
        """Return the latent variance of the misfit of structures with `counts` atoms, eV²."""
        return misfit_variance(self.fitted.energy_noise_std, self.label_noise, counts)

    def _noise_variance(self, counts: Tensor) -> Tensor:
        """Return the noise variance of the energies of structures with `counts` atoms, eV²."""
        return label_noise_variance(self.fitted.energy_noise_std, self.label_noise, counts)

    def _predict(
        self, structures: Structures, force_variance: bool, with_stress: bool
    ) -> Prediction:
        positions = structures.positions.detach().clone().requires_grad_()
        cell = structures.cell.detach().clone().requires_grad_(with_stress)
        with torch.enable_grad():
            moved = replace(structures, positions=positions, cell=cell)
            P, species_index = self._features(moved)
            mean, h = self._mean_and_explained(moved, P, species_index)
            inputs = (positions, cell) if with_stress else (positions,)
            gradient, *by_cell = torch.autograd.grad(mean.sum(), inputs)
        P, h, counts = P.detach(), h.detach(), structures.counts
        kernel = prior_variance.energy_variances(P, species_index, counts, self.kernel)
        K = self.inducing.environment_covariances(P, species_index)
        every = torch.arange(len(K), device=K.device)
        K = self.terms.append_features(K, structures, species_index, every)
        energies = self.fitted.species_energies[species_index] + K @ self._projections[0]
        latent = self._covariance(kernel.view(-1, 1, 1), h.unsqueeze(-2)).flatten()
        prediction = Prediction(
            mean=mean.detach(),
            variance=latent + self._misfit_variance(counts),
            noise_variance=self._noise_variance(counts),
            forces=-gradient,
            atomic_energies=energies,
        )
        if with_stress:
            virial = strain_derivative(structures, gradient, by_cell[0])
            prediction = replace(prediction, stress=per_volume(structures, virial))
        if not force_variance:
            return prediction
        arguments = prediction, structures, self.fitted.force_noise_std
        return self._derivative_variances.added_to(*arguments, self.fitted.radii[species_index])

    def _joint_covariance(self, structures: Structures) -> Tensor:
        """Return the latent covariance `[b, b]` between all energies."""
        with torch.no_grad():
            P, species_index = self._features(structures)
            _, h = self._mean_and_explained(structures, P, species_index)
            P, species_index = prior_variance.pad_atoms(P, species_index, structures.counts)
            kernel = energy_kernel(P, species_index, self.kernel)
            misfit = misfit_covariance(kernel, self._misfit_variance(structures.counts))
            return self._covariance(kernel, h) + misfit
