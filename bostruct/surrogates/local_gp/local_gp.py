"""The default surrogate: energies as sums of a Gaussian process over atomic environments.

    E = prior + sum_Z c_Z n_Z + sum_pairs g(r) f_c(r) + sum_atoms [F(density) + f(environment)]

The other terms are Gaussian processes too, of two-body distances (`pair_term`), of the number of
neighbors (`embedding_term`) and of the composition (`species_constants`), each with an amplitude of
its own by evidence and all of them fitted jointly.

Energies and forces are trained on together through m inducing environments. The cost of a fit is
linear in the number of structures, and its memory does not grow with it beyond the structures
themselves; the cost of a prediction does not depend on it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import (
    InputError,
    check_count,
    check_fraction,
    check_instance,
    check_positive,
    error_message,
)
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.force_consistency import ForceConsistency
from bostruct.surrogates.local_gp.dot_product_kernel import (
    ExponentialKernel,
    PowerKernel,
    kernel_from_state,
)
from bostruct.surrogates.local_gp.embedding_densities import JointLikelihood
from bostruct.surrogates.local_gp.embedding_term import (
    Densities,
    EmbeddingTerm,
    FittedEmbeddingTerm,
)
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, EnergyTerm, EnergyTerms
from bostruct.surrogates.local_gp.force_consistency import comparable_structures, compare_energies
from bostruct.surrogates.local_gp.hyperparameter_fit import fit_hyperparameters
from bostruct.surrogates.local_gp.inducing_points import inducing_environments
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.local_gp.kernel_selection import (
    MIN_GAIN_PER_ROW,
    KernelSelection,
    LocalKernel,
    Selected,
    Selection,
    most_probable,
    selection_data,
    selection_size,
    with_most_probable_similarity,
)
from bostruct.surrogates.local_gp.marginal_likelihood import (
    Rows,
    RowStatistics,
    StandardDeviations,
    are_seen,
    degrees_of_freedom,
    log_marginal_likelihood,
    weight_posterior,
)
from bostruct.surrogates.local_gp.model import (
    APPROXIMATIONS,
    Approximation,
    LocalGPModel,
    LocalGPState,
)
from bostruct.surrogates.local_gp.outliers import contradicted_energies
from bostruct.surrogates.local_gp.pair_term import (
    SHORT_LENGTH_SCALES,
    FittedPairTerm,
    PairTerm,
)
from bostruct.surrogates.local_gp.row_statistics import sufficient_statistics
from bostruct.surrogates.local_gp.species_constants import FittedSpeciesConstants, SpeciesConstants
from bostruct.surrogates.local_gp.spectral_likelihood import SpectralLikelihood
from bostruct.surrogates.local_gp.stress_consistency import (
    compare_virials,
    structures_with_stress,
)
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.soap_state import soap_from_state
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.stress_consistency import StressConsistency
from bostruct.surrogates.training_data import Observations, prepare_observations

CUTOFF_FACTOR = 1.9  # default cutoff in units of the longest bond: past the second shell
DEFAULT_PAIR_REPULSION = PairRepulsion()
DEFAULT_PAIR_TERM = PairTerm()
DEFAULT_EMBEDDING_TERM = EmbeddingTerm()
DEFAULT_SPECIES_CONSTANTS = SpeciesConstants()
TERM_ARGUMENTS = ("pair_term", "embedding_term", "species_constants")
PART_TYPES: dict[str, type] = {
    "pair_repulsion": PairRepulsion,
    "pair_term": PairTerm,
    "embedding_term": EmbeddingTerm,
    "species_constants": SpeciesConstants,
    "kernel": ExponentialKernel,
    "selection": KernelSelection,
}
FIRST_SIZE_OF_PAIRS = 8  # structures from which on the length scale of pairs is selected
N_SELECTION_STRUCTURES = 20  # structures in the selection of the species similarity
N_SELECTION_ENVIRONMENTS = 80  # inducing environments of a species in the same selection


@final
@dataclass(frozen=True)
class LocalGP:
    """Sparse Gaussian process over pairs and local environments, on energies and forces.

    Equation (7) with the features of (57)-(59) of Grasselli et al., Digital Discovery 2025, 4,
    2654; `approximation` selects the variance.

    Attributes:
        cutoff: Radius of an environment, Å; by default 1.9 times the longest bond between the
            species' radii.
        n_max: Number of radial functions of the descriptor.
        l_max: Largest degree of its spherical harmonics.
        center_atom_weight: Weight of the central atom in its own descriptor.
        zeta: Exponent of the dot-product kernel.
        kernel: Exponential kernel of the dot product in place of the power; None takes the power.
        selection: Alternatives to cutoff, `n_max`, kernel and `center_atom_weight`, of which the
            most probable are taken: `KernelSelection()` has some. A value other than the default
            is kept; None keeps all.
        max_inducing: Largest number of inducing environments of one species; each further species
            adds half as many.
        species_similarity: Similarity of two different species, from 0 to below 1: how much is
            learnt around one from the other. None takes the most probable.
        inducing_tolerance: Residual variance, in units of the signal variance, up to which an
            environment is not taken as an inducing one.
        pair_repulsion: The pair prior, or None.
        pair_term: Energies of pairs of atoms as a process of their distance, or None.
        embedding_term: Energies of atoms as a process of the density of their neighbors, or None.
        species_constants: Prior of the energies of the species, or None to take the mean energies
            of least squares for certain.
        hyperparameters: Standard deviations (signal eV, energy noise eV per root atom, force noise
            eV/Å) to keep fixed; None fits them. The amplitudes of the terms are fitted.
        approximation: Sparse approximation of the posterior. "dtc", deterministic training
            conditional: the residual variance of the training data given the inducing environments
            counts as noise and again in predictions, so that σ is too wide by up to a half.
            "averaged_fitc": the residual variances of energies and of forces, averaged over each,
            count as noise once; where little of the forces is unseen, with the mean of "dtc", which
            learns more from them (see `marginal_likelihood`). "fitc", fully independent training
            conditional: as noise of each row, for mean and variance; a fit takes twice as long.
            "sor", subset of regressors: no residual variance; dangerous, as σ vanishes far from the
            data, so that a search never goes there.
        label_noise: Standard deviation of the noise of the energies themselves, eV per root atom; 0
            for those of converged calculations. What the fitted noise has beyond it is the model's
            own error, part of the latent variance; see `misfit`. None takes all of it for noise.

    Raises:
        InputError: a number is out of range, or a part is of another class.
    """

    cutoff: float | None = None
    n_max: int = 5
    l_max: int = 4
    center_atom_weight: float = 45.0
    zeta: int = 3
    max_inducing: int = 500
    species_similarity: float | None = None
    inducing_tolerance: float = 1e-6
    pair_repulsion: PairRepulsion | None = DEFAULT_PAIR_REPULSION
    pair_term: PairTerm | None = DEFAULT_PAIR_TERM
    embedding_term: EmbeddingTerm | None = DEFAULT_EMBEDDING_TERM
    species_constants: SpeciesConstants | None = DEFAULT_SPECIES_CONSTANTS
    hyperparameters: tuple[float, float, float] | None = None
    approximation: Approximation = "averaged_fitc"
    label_noise: float | None = 0.0
    kernel: ExponentialKernel | None = None
    selection: KernelSelection | None = None
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            check_positive("cutoff", self.cutoff, "Give a length in Å, or None.")
        check_count("zeta", self.zeta)
        check_count("max_inducing", self.max_inducing)
        if self.approximation not in APPROXIMATIONS:
            condition = f"be one of {', '.join(map(repr, APPROXIMATIONS))}"
            raise InputError(error_message("approximation", condition, repr(self.approximation)))
        check_fraction("inducing_tolerance", self.inducing_tolerance)
        if self.label_noise is not None and not 0 <= self.label_noise < math.inf:
            condition, hint = "be finite and not negative", "In eV per root atom; 0 for no noise."
            raise InputError(error_message("label_noise", condition, self.label_noise, hint))
        for name, kind in PART_TYPES.items():
            if (part := getattr(self, name)) is not None:
                check_instance(name, part, kind, "None leaves it out.")
        self._soap((1,), 1.0, self.species_similarity or 0.0)
        if self.hyperparameters is not None:
            hint = "They are three standard deviations."
            if len(self.hyperparameters) != 3:
                condition = "be three numbers"
                raise InputError(
                    error_message("hyperparameters", condition, self.hyperparameters, hint)
                )
            for value in self.hyperparameters:
                check_positive("hyperparameters", value, hint)

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values.

        The approximation "dtc", and other kernels, selections and terms that are None, are left
        out: campaigns from before there were others continue with these; so is the label noise of
        converged calculations, as they have none.
        """
        omitted: dict[str, object] = dict.fromkeys((*TERM_ARGUMENTS, "kernel", "selection"))
        omitted |= {"approximation": "dtc", "label_noise": 0}
        arguments = asdict(self).items()
        kept = {name: x for name, x in arguments if name not in omitted or x != omitted[name]}
        return {"type": "LocalGP"} | kept

    def fit(
        self, structures: Structures, space: Space | None = None, *, screen: bool = True
    ) -> LocalGPModel:
        """Return the model fitted to energies and forces.

        Args:
            structures: Structures with `energy`, and `forces` where there are any.
            space: Gives structures to coordinates, and radii where the potential has its own length
                scale; None if only `predict` is needed.
            screen: True to leave out the structures of `contradicted_energies`; False to believe
                every energy.

        Raises:
            InputError: an energy is missing, or there is no structure.
        """
        if screen and structures.energy is not None:
            doubted = set(self.contradicted_energies(structures, space).tolist())
            rows = [row for row in range(len(structures)) if row not in doubted]
            structures = structures[rows] if doubted else structures
        return self._fit(structures, space)

    def _fit(
        self, structures: Structures, space: Space | None, *, always_dtc_mean: bool = False
    ) -> LocalGPModel:
        """Return the model fitted to all structures.

        Args:
            structures: Structures with `energy`, and `forces` where there are any.
            space: Space whose species and radii count too, or None.
            always_dtc_mean: True to follow forces that environments do not express, too.
        """
        soap, radii = self.descriptor(structures, space)
        radii = radii.to(structures.positions)
        data, species_energies, terms = self._prepare(structures, soap, radii)
        kernel = self._kernel()
        terms = self._with_selected_terms(terms, soap, structures, radii)
        if self.selection is not None:
            soap, kernel = self._select_kernel(self.selection, soap, structures, radii)
        elif self.species_similarity is None and len(radii) > 1:
            soap = self._select_species_similarity(soap, data, terms)
        with_residual = self.approximation in ("fitc", "averaged_fitc")
        inducing, rows = self._inducing_statistics(
            LocalKernel(soap, kernel), data, self.max_inducing, with_residual, terms
        )
        spectral = SpectralLikelihood.of(rows, len(inducing))
        fitted, evidence = self._fit_hyperparameters(rows, data, terms, spectral)
        if self.approximation == "fitc":
            s, e, f, _ = fitted
            with torch.no_grad():
                rows = sufficient_statistics(
                    soap, inducing, data, terms, signal_to_noise=(s / e, s / f)
                )
                evidence = log_marginal_likelihood(rows, fitted)
        factor, mean = weight_posterior(rows, fitted)
        follows = always_dtc_mean or are_seen(rows.forces, fitted.s, fitted.f)
        if self.approximation == "averaged_fitc" and follows:
            mean = self._dtc_weight_mean(rows, data, terms, spectral)
        like = inducing.features
        factor, mean, evidence = (value.to(like) for value in (factor, mean, evidence))
        s, e, f, weight_std = (value.to(like) for value in fitted if value is not None)
        state = LocalGPState(
            radii=radii,
            species_energies=species_energies,
            inducing_features=inducing.features,
            species_index=inducing.species_index,
            kernel_cholesky=inducing.kernel_cholesky,
            precision_cholesky=factor.contiguous(),  # as it comes back from a file
            weights=mean,
            signal_std=s,
            energy_noise_std=e,
            force_noise_std=f,
            log_marginal_likelihood=evidence,
        )
        terms = terms.with_amplitudes(weight_std, len(inducing))
        return LocalGPModel(
            soap,
            kernel,
            data.pair_repulsion,
            state,
            space,
            self.approximation,
            terms=terms,
            label_noise=self.label_noise,
        )

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LocalGPModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        soap, repulsion, (zeta,) = soap_from_state(state)
        kernel = kernel_from_state(zeta, state)
        fitted = LocalGPState(**{name: state[name] for name in LocalGPState.__dataclass_fields__})
        index = state.get("approximation", APPROXIMATIONS.index("dtc"))
        noise = float(state["label_noise"]) if "label_noise" in state else None
        return LocalGPModel(
            soap,
            kernel,
            repulsion,
            fitted,
            space,
            APPROXIMATIONS[int(index)],
            terms=terms_from_state(state),
            label_noise=noise,
        )

    def contradicted_energies(
        self, structures: Structures, space: Space | None = None, trusted: Tensor | None = None
    ) -> Tensor:
        """Return the rows of energies far below all others that these contradict, `[k]`.

        A single one of a structure unlike all others is among them if it is 10 standard deviations
        too low, until a second one near it confirms it; see `outliers`.

        Args:
            structures: b structures with `energy`, and `forces` where there are any.
            space: Space whose species and radii count too, or None.
            trusted: `[b]` bool, structures that are not judged; none by default.
        """
        if structures.energy is None:
            return torch.zeros(0, dtype=torch.int64)
        fit = functools.partial(self._judge()._fit, space=space, always_dtc_mean=True)
        soap, _ = self.descriptor(structures, space)
        return contradicted_energies(fit, soap, structures, trusted)

    def force_consistency(
        self, structures: Structures, space: Space | None = None
    ) -> ForceConsistency | None:
        """Return whether the forces contradict the energies; None where too few tell.

        Some of those with forces are compared, see `comparable_structures`.

        Args:
            structures: Structures with `energy`, and `forces` where there are any.
            space: Space whose species and radii count too, or None.
        """
        scaled = comparable_structures(structures)
        if scaled is None:
            return None
        # Too few environments would pass for a contradiction.
        judge = replace(self._judge(), max_inducing=self.max_inducing)
        soap, radii = judge.descriptor(scaled, space)
        species_index = soap.species_index(scaled.numbers)
        data = prepare_observations(scaled, None, radii.to(scaled.positions)[species_index])
        inducing, rows = judge._inducing_statistics(
            LocalKernel(soap, judge._kernel()), data, judge.max_inducing, with_residual=True
        )
        none = RowStatistics.empty(len(inducing), inducing.features)
        (s, e, *_), _ = judge._fit_hyperparameters(rows._replace(forces=none), data)
        (_, _, f, _), _ = judge._fit_hyperparameters(rows._replace(energies=none), data)
        with torch.no_grad():
            P, b = soap(data.structures), len(data.structures)
            K = inducing.energy_covariances(P, species_index, data.structures.index, b)
            noise = e * data.structures.counts.sqrt() * data.noise_factor
            return compare_energies(inducing.whiten(K), data.energy, noise, rows.forces, s, f)

    def stress_consistency(
        self, structures: Structures, space: Space | None = None
    ) -> StressConsistency | None:
        """Return whether the stresses contradict energies and forces; None where too few tell.

        Args:
            structures: Structures with `energy`, and `forces` and `stress` where there are any.
            space: Space whose species and radii count too, or None.
        """
        given = structures_with_stress(structures)
        if given is None:
            return None
        judge = replace(
            self,
            max_inducing=min(self.max_inducing, N_SELECTION_ENVIRONMENTS),
            hyperparameters=None,
            selection=None,
            species_similarity=self.species_similarity or 0.0,
        )
        model = judge._fit(replace(given, stress=None), space)
        return compare_virials(model.predict(given, force_variance=True), given)

    def _judge(self) -> LocalGP:
        """Return the surrogate that judges data: small, and without a scale of its own."""
        return replace(
            self,
            max_inducing=min(self.max_inducing, N_SELECTION_ENVIRONMENTS),
            pair_repulsion=None,
            pair_term=None,
            embedding_term=None,
            species_constants=None,
            hyperparameters=None,
            species_similarity=self.species_similarity or 0.0,
            approximation="averaged_fitc",
            label_noise=None,
            selection=None,
        )

    def descriptor(self, structures: Structures, space: Space | None = None) -> tuple[SOAP, Tensor]:
        """Return the descriptor, and the radius of each of its species, `[species]` Å.

        Args:
            structures: Structures with all species, or those that `space` lacks.
            space: Space whose species and radii count too, or None.
        """
        species, radii = species_radii(structures, space)
        cutoff = self.cutoff or CUTOFF_FACTOR * 2 * float(radii.max())
        return self._soap(species, cutoff, self.species_similarity or 0.0), radii

    def _soap(self, species: tuple[int, ...], cutoff: float, species_similarity: float) -> SOAP:
        sizes = self.n_max, self.l_max
        return SOAP(species, cutoff, *sizes, self.center_atom_weight, species_similarity)

    def _prepare(
        self, structures: Structures, soap: SOAP, radii: Tensor
    ) -> tuple[Observations, Tensor, EnergyTerms]:
        """Return training data, mean energies of the species `[species]` eV, and the terms.

        Args:
            structures: Structures with `energy`, and `forces` where there are any.
            soap: The descriptor.
            radii: Radius of each species, `[species]` Å.
        """
        species_index = soap.species_index(structures.numbers)
        data = prepare_observations(structures, self.pair_repulsion, radii[species_index])
        data, species_energies = data.subtract_species_energies(species_index, len(radii))
        terms: list[EnergyTerm] = []
        if self.pair_term is not None:
            terms.append(self.pair_term.build(radii))
        if self.embedding_term is not None:
            terms.append(self.embedding_term.build(radii))
        if self.species_constants is not None:
            composition = data.composition(species_index, len(radii))
            scale = data.force_scale() * data.length_scale()
            terms.append(self.species_constants.build(composition, species_energies, scale))
        return data, species_energies, EnergyTerms(tuple(terms))

    def _kernel(self) -> PowerKernel | ExponentialKernel:
        return self.kernel or PowerKernel(self.zeta)

    def _with_selected_terms(
        self, terms: EnergyTerms, soap: SOAP, structures: Structures, radii: Tensor
    ) -> EnergyTerms:
        """Return the terms with densities, and the length scale of pairs, of highest likelihood.

        Arguments as of `_with_most_probable_densities`.
        """
        terms = self._with_most_probable_densities(terms, soap, structures, radii)
        description = self.pair_term
        if description is None or description.length_scale is not None:
            return terms
        if len(structures) < FIRST_SIZE_OF_PAIRS:
            return terms
        first = structures[: selection_size(len(structures))]
        data, _, first_terms = self._prepare(first, soap, radii)
        first_terms = self._with_most_probable_densities(first_terms, soap, structures, radii)
        local = LocalKernel(soap, self._kernel())

        def select() -> PairTerm:
            few = data.subsample(N_SELECTION_STRUCTURES)
            shorter = [replace(description, length_scale=x) for x in SHORT_LENGTH_SCALES]
            built = {one: one.build(radii) for one in shorter}
            every = first_terms.with_more(built.values())  # their rows in one pass over the data
            m, rows = self._selection_statistics(local, few, every, N_SELECTION_ENVIRONMENTS)

            def evidence(one: PairTerm, few: Observations) -> float:
                terms = first_terms.with_term(built[one]) if one in built else first_terms
                return self._evidence(rows.of_features(every.columns(terms, m)), few, terms)

            return most_probable(
                description, dict.fromkeys(shorter, MIN_GAIN_PER_ROW), evidence, few
            )

        selected = self._cached("_last_pairs", local, radii, data, select)
        return terms.with_term(selected.build(radii))

    def _with_most_probable_densities(
        self, terms: EnergyTerms, soap: SOAP, structures: Structures, radii: Tensor
    ) -> EnergyTerms:
        """Return the terms with the densities that the first data make most probable.

        They are cached while these data stay.

        Args:
            terms: Terms with typical densities.
            soap: The descriptor.
            structures: Structures with `energy`, and `forces` where there are any.
            radii: Radius of each species, `[species]` Å.
        """
        description = self.embedding_term
        if description is None or description.decay is not None:
            return terms
        first = structures[: selection_size(len(structures))].to(dtype=torch.float64)
        data, _, first_terms = self._prepare(first, soap, radii.double())

        def select() -> Densities:
            return JointLikelihood(
                description, radii, first_terms, soap, self._kernel(), data, self.hyperparameters
            ).most_probable_densities()

        default = LocalKernel(soap, self._kernel())
        densities = self._cached("_last_densities", default, radii, data, select)
        return terms.with_term(description.build(radii, densities))

    def _cached(
        self,
        name: str,
        default: LocalKernel,
        radii: Tensor,
        data: Observations,
        select: Callable[[], Selection],
    ) -> Selection:
        """Return the result of a selection, made anew where the data are not those of the last."""
        cached: Selected[Selection] | None = vars(self).get(name)
        if cached is None or not cached.is_of(default, radii, data):
            cached = vars(self)[name] = Selected(default, radii, data, select())
        return cached.selected

    def _select_kernel(
        self, selection: KernelSelection, soap: SOAP, structures: Structures, radii: Tensor
    ) -> LocalKernel:
        """Return the most probable descriptor and kernel, cached while the data stay.

        Args:
            selection: The alternatives.
            soap: The default descriptor.
            structures: Structures with `energy`, and `forces` where there are any.
            radii: Radius of each species, `[species]` Å.
        """
        first = structures[: selection_size(len(structures))]
        data, _, terms = self._prepare(first, soap, radii)
        terms = self._with_selected_terms(terms, soap, structures, radii)
        default = LocalKernel(soap, self._kernel())
        same_size = (self.n_max, self.l_max) == (LocalGP.n_max, LocalGP.l_max)
        same_kernel = self.kernel is None and self.zeta == LocalGP.zeta
        same_center = self.center_atom_weight == LocalGP.center_atom_weight
        possible = KernelSelection(
            cutoff_factors=selection.cutoff_factors if self.cutoff is None else (),
            n_max=selection.n_max if same_size else (),
            kernels=selection.kernels if same_kernel else (),
            center_atom_weights=selection.center_atom_weights if same_center else (),
        )

        def select() -> LocalKernel:
            return possible.select(
                default,
                selection_data(data),
                lambda rows, few: float(self._fit_hyperparameters(rows, few, terms)[-1]),
                functools.partial(self._sparse_evidence, terms=terms),
                terms,
                select_similarity=self.species_similarity is None and len(radii) > 1,
            )

        return self._cached("_last_selection", default, radii, data, select)

    def _sparse_evidence(self, one: LocalKernel, data: Observations, terms: EnergyTerms) -> float:
        """Return the log marginal likelihood of data; see `_evidence`.

        Args:
            one: Descriptor and kernel.
            data: The data.
            terms: Terms beside the environments.
        """
        _, rows = self._selection_statistics(one, data, terms, self.max_inducing)
        return self._evidence(rows, data, terms)

    def _selection_statistics(
        self, local: LocalKernel, data: Observations, terms: EnergyTerms, max_inducing: int
    ) -> tuple[int, Rows]:
        """Return the number of inducing environments, and the statistics of the data.

        Args:
            local: Descriptor and kernel.
            data: The data.
            terms: Terms beside the environments.
            max_inducing: Largest number of inducing environments of one species.
        """
        with_residual = self.approximation in ("fitc", "averaged_fitc")
        count = min(max_inducing, self.max_inducing)
        inducing, rows = self._inducing_statistics(local, data, count, with_residual, terms)
        return len(inducing), rows

    def _evidence(self, rows: Rows, data: Observations, terms: EnergyTerms) -> float:
        """Return the log marginal likelihood of rows.

        It is -inf where they determine no more numbers than there are structures: where these are
        nearly copies of one, atoms are out of each other's reach, or no forces are known.

        Args:
            rows: Statistics of the data.
            data: The data.
            terms: Terms beside the environments.
        """
        fitted, evidence = self._fit_hyperparameters(rows, data, terms)
        known = degrees_of_freedom(rows, fitted).sum()
        return float(evidence) if known > len(data.structures) else -math.inf

    def _select_species_similarity(
        self, soap: SOAP, data: Observations, terms: EnergyTerms
    ) -> SOAP:
        """Return the descriptor with the most probable species similarity.

        From a few structures and inducing environments.
        """
        few, count = data.subsample(N_SELECTION_STRUCTURES), N_SELECTION_ENVIRONMENTS
        count, with_residual = min(count, self.max_inducing), self.approximation == "fitc"

        def evidence(one: LocalKernel) -> float:
            _, rows = self._inducing_statistics(one, few, count, with_residual, terms)
            return float(self._fit_hyperparameters(rows, few, terms)[-1])

        return with_most_probable_similarity(LocalKernel(soap, self._kernel()), evidence).soap

    def _inducing_statistics(
        self,
        local: LocalKernel,
        data: Observations,
        max_inducing: int,
        with_residual: bool,
        terms: EnergyTerms = NO_TERMS,
    ) -> tuple[InducingEnvironments, Rows]:
        """Return inducing environments, and the sufficient statistics of the data for them.

        Args:
            local: Descriptor and kernel.
            data: The training data.
            max_inducing: Largest number of inducing environments of one species.
            with_residual: True for the mean residual variance of the rows, too.
            terms: Terms beside the environments.
        """
        soap, kernel = local
        max_inducing = max_inducing * (len(soap.species) + 1) // 2
        with torch.no_grad():
            inducing = inducing_environments(
                soap, kernel, data, max_inducing, self.inducing_tolerance
            )
            rows = sufficient_statistics(soap, inducing, data, terms, with_residual=with_residual)
            return inducing, rows

    def _dtc_weight_mean(
        self,
        rows: Rows,
        data: Observations,
        terms: EnergyTerms,
        spectral: SpectralLikelihood | None,
    ) -> Tensor:
        """Return the mean `[m]` eV of the weights for "dtc"."""
        rows = Rows(*(kind.without_residual() for kind in rows))
        fitted, _ = self._fit_hyperparameters(rows, data, terms, spectral)
        return weight_posterior(rows, fitted)[1]

    def _fit_hyperparameters(
        self,
        rows: Rows,
        data: Observations,
        terms: EnergyTerms = NO_TERMS,
        spectral: SpectralLikelihood | None = None,
    ) -> tuple[StandardDeviations, Tensor]:
        """Return the standard deviations, those of all weights `[m]` too, and log likelihood."""
        given, repulsion = self.hyperparameters, self.pair_repulsion
        return fit_hyperparameters(rows, data, terms, given, repulsion, spectral)


def terms_from_state(state: Mapping[str, Tensor]) -> EnergyTerms:
    """Return the terms of the model that `state` was taken from; models of old logs have none."""
    kinds = (FittedPairTerm, FittedEmbeddingTerm, FittedSpeciesConstants)
    terms = tuple(term for kind in kinds if (term := kind.from_state(state)) is not None)
    return EnergyTerms(terms, state["term_amplitudes"]) if terms else NO_TERMS
