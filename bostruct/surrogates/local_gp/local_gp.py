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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import (
    InputError,
    check_count,
    check_fraction,
    check_positive,
    error_message,
)
from bostruct.spaces import Space
from bostruct.structures import Structures, neighbor_table
from bostruct.structures.problem_scale import UNKNOWN_ENERGY
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.embedding_term import EmbeddingTerm, FittedEmbeddingTerm
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, EnergyTerm, EnergyTerms
from bostruct.surrogates.local_gp.force_consistency import (
    MIN_STRUCTURES,
    ForceConsistency,
    compare_energies,
)
from bostruct.surrogates.local_gp.inducing_points import (
    evenly_spaced,
    select_inducing_points,
)
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    RowStatistics,
    degrees_of_freedom,
    log_marginal_likelihood,
    maximize_marginal_likelihood,
    weight_posterior,
)
from bostruct.surrogates.local_gp.model import (
    APPROXIMATIONS,
    Approximation,
    LocalGPModel,
    LocalGPState,
)
from bostruct.surrogates.local_gp.outliers import contradicted_energies, in_units_of_spread
from bostruct.surrogates.local_gp.pair_term import FittedPairTerm, PairTerm
from bostruct.surrogates.local_gp.species_constants import FittedSpeciesConstants, SpeciesConstants
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.soap_state import soap_from_state
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import (
    Observations,
    prepare_observations,
    species_counts,
)

CUTOFF_FACTOR = 1.9  # default cutoff in units of the longest bond: past the second shell
MAX_INDUCING_CANDIDATES = 8192  # training environments that may become inducing ones
DISPLACEMENT_FRACTION = 0.035  # of the cutoff: a fifteenth of a bond
DEFAULT_PAIR_REPULSION = PairRepulsion()
DEFAULT_PAIR_TERM = PairTerm()
DEFAULT_EMBEDDING_TERM = EmbeddingTerm()
DEFAULT_SPECIES_CONSTANTS = SpeciesConstants()
TERM_ARGUMENTS = ("pair_term", "embedding_term", "species_constants")
SIMILARITY_CANDIDATES = {0.95: 0.8, 0.0: 0.5}  # species similarities, and a milder one of each
N_SELECTION_STRUCTURES = 20  # structures in the selection of the species similarity
N_SELECTION_ENVIRONMENTS = 80  # inducing environments of a species in the same selection
MIN_DEGREES_OF_FREEDOM = 0.5  # beyond the energies of the species, for data that tell a scale
FEW_DEGREES_OF_FREEDOM = 4.0  # further ones, for terms that explain all of near copies
N_PROBE_ATOMS = 16  # atoms of a structure whose forces give the mean residual variance


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
            "averaged_fitc": the mean of "dtc", and a variance for which the residual variances of
            energies and of forces, averaged over each, count once. "fitc", fully independent
            training conditional: as noise of each row, for mean and variance; a fit takes twice as
            long. "sor", subset of regressors: no residual variance; dangerous, as σ vanishes far
            from the data, so that a search never goes there.
        label_noise: Standard deviation of the noise of the energies themselves, eV per root atom; 0
            for those of converged calculations. What the fitted noise has beyond it is the model's
            own error, part of the latent variance; see `misfit`. None takes all of it for noise.

    Raises:
        InputError: a number is out of range.
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
        self._soap((1,), 1.0, self.species_similarity or 0.0)
        if self.hyperparameters is not None:
            for value in self.hyperparameters:
                check_positive("hyperparameters", value, "They are three standard deviations.")

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values.

        The approximation "dtc" and terms that are None are left out, with which campaigns from
        before there were others continue; so is the label noise of converged calculations, as they
        have none.
        """
        description = {"type": "LocalGP"} | asdict(self)
        if self.approximation == "dtc":
            del description["approximation"]
        for name in TERM_ARGUMENTS:
            if description[name] is None:
                del description[name]
        if self.label_noise == 0:
            del description["label_noise"]
        return description

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
        soap, radii = self.descriptor(structures, space)
        screen = screen and structures.energy is not None
        if screen and len(doubted := self.contradicted_energies(structures, space)):
            rows = [row for row in range(len(structures)) if row not in set(doubted.tolist())]
            structures = structures[rows]
        species_index = soap.species_index(structures.numbers)
        radii = radii.to(structures.positions)
        data = prepare_observations(structures, self.pair_repulsion, radii[species_index])
        data, species_energies = data.subtract_species_energies(species_index, len(radii))
        composition = data.composition(species_index, len(radii))
        terms = self._build_terms(
            radii, composition, species_energies, data.force_scale() * data.length_scale()
        )
        if self.species_similarity is None and len(radii) > 1:
            soap = self._select_species_similarity(soap, data, terms)
        inducing, energies, forces = self._inducing_statistics(
            soap, data, self.max_inducing, self.approximation in ("fitc", "averaged_fitc"), terms
        )
        *fitted, evidence = self._fit_hyperparameters(energies, forces, data, terms)
        if self.approximation == "fitc":
            s, e, f, _ = fitted
            with torch.no_grad():
                energies, forces = _sufficient_statistics(
                    soap, inducing, data, terms, signal_to_noise=(s / e, s / f)
                )
                evidence = log_marginal_likelihood(energies, forces, *fitted)
        factor, mean = weight_posterior(energies, forces, *fitted)
        if self.approximation == "averaged_fitc":
            mean = self._dtc_weight_mean(energies, forces, data, terms)
        s, e, f, weight_std = fitted
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
            self.zeta,
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
        fitted = LocalGPState(**{name: state[name] for name in LocalGPState.__dataclass_fields__})
        index = state.get("approximation", APPROXIMATIONS.index("dtc"))
        noise = float(state["label_noise"]) if "label_noise" in state else None
        return LocalGPModel(
            soap,
            zeta,
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
        fit = functools.partial(self._judge().fit, space=space, screen=False)
        soap, _ = self.descriptor(structures, space)
        return contradicted_energies(fit, soap, structures, trusted)

    def force_consistency(
        self, structures: Structures, space: Space | None = None
    ) -> ForceConsistency | None:
        """Return whether the forces contradict the energies; None where too few tell.

        At most `N_SELECTION_STRUCTURES` of those with forces are compared, evenly spaced, the last
        one among them.

        Args:
            structures: Structures with `energy`, and `forces` where there are any.
            space: Space whose species and radii count too, or None.
        """
        if structures.forces is None or structures.energy is None:
            return None
        rows = structures.index[structures.forces.isfinite().all(-1)].unique()
        rows = rows[(len(rows) - 1) % max(-(-len(rows) // N_SELECTION_STRUCTURES), 1) :]
        rows = rows[:: max(-(-len(rows) // N_SELECTION_STRUCTURES), 1)]
        if len(rows) < MIN_STRUCTURES:
            return None
        structures = structures[rows.tolist()]
        species, index = structures.numbers.unique(return_inverse=True)
        scaled = in_units_of_spread(structures, species_counts(structures, index, len(species)))
        assert scaled.energy is not None
        if not bool(scaled.energy.isfinite().all()):
            return None  # all energies are equal
        # Too few environments would pass for a contradiction.
        judge = replace(self._judge(), max_inducing=self.max_inducing)
        soap, radii = judge.descriptor(scaled, space)
        species_index = soap.species_index(scaled.numbers)
        data = prepare_observations(scaled, None, radii.to(scaled.positions)[species_index])
        inducing, energies, forces = judge._inducing_statistics(
            soap, data, judge.max_inducing, with_residual=True
        )
        none = RowStatistics.empty(len(inducing), inducing.features)
        s, e, *_ = judge._fit_hyperparameters(energies, none, data)
        _, _, f, *_ = judge._fit_hyperparameters(none, forces, data)
        with torch.no_grad():
            P, b = soap(data.structures), len(data.structures)
            K = inducing.energy_covariances(P, species_index, data.structures.index, b)
            noise = e * data.structures.counts.sqrt() * data.noise_factor
            return compare_energies(inducing.whiten(K), data.energy, noise, forces, s, f)

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

    def _build_terms(
        self, radii: Tensor, composition: Tensor, species_energies: Tensor, energy_scale: float
    ) -> EnergyTerms:
        """Return the terms beside the environments.

        Args:
            radii: Radius of each species, `[species]` Å.
            composition: Numbers of atoms of the data, `[b, species]`.
            species_energies: Mean energies of the species, `[species]` eV.
            energy_scale: Typical energy of an atom beside these, eV.
        """
        terms: list[EnergyTerm] = []
        if self.pair_term is not None:
            terms.append(self.pair_term.build(radii))
        if self.embedding_term is not None:
            terms.append(self.embedding_term.build(radii))
        if self.species_constants is not None:
            prior = self.species_constants
            terms.append(prior.build(composition, species_energies, energy_scale))
        return EnergyTerms(tuple(terms))

    def _select_species_similarity(
        self, soap: SOAP, data: Observations, terms: EnergyTerms
    ) -> SOAP:
        """Return the descriptor with the species similarity of highest marginal likelihood.

        From a few structures and inducing environments: of a high and a low similarity, then of the
        better one and a milder value.
        """
        few = data.subsample(N_SELECTION_STRUCTURES)
        count = min(N_SELECTION_ENVIRONMENTS, self.max_inducing)

        def evidence(similarity: float) -> float:
            _, energies, forces = self._inducing_statistics(
                replace(soap, species_similarity=similarity),
                few,
                count,
                self.approximation == "fitc",
                terms,
            )
            return float(self._fit_hyperparameters(energies, forces, few, terms)[-1])

        evidences = {similarity: evidence(similarity) for similarity in SIMILARITY_CANDIDATES}
        milder = SIMILARITY_CANDIDATES[max(evidences, key=evidences.__getitem__)]
        evidences[milder] = evidence(milder)
        return replace(soap, species_similarity=max(evidences, key=evidences.__getitem__))

    def _inducing_statistics(
        self,
        soap: SOAP,
        data: Observations,
        max_inducing: int,
        with_residual: bool,
        terms: EnergyTerms = NO_TERMS,
    ) -> tuple[InducingEnvironments, RowStatistics, RowStatistics]:
        """Return inducing environments, and the sufficient statistics of the data for them.

        Args:
            soap: The descriptor.
            data: The training data.
            max_inducing: Largest number of inducing environments of one species.
            with_residual: True for the mean residual variance of the rows, too.
            terms: Terms beside the environments.
        """
        with torch.no_grad():
            inducing = self._select_inducing(
                soap, data, max_inducing * (len(soap.species) + 1) // 2
            )
            rows = _sufficient_statistics(soap, inducing, data, terms, with_residual=with_residual)
            return inducing, *rows

    def _select_inducing(
        self, soap: SOAP, data: Observations, max_inducing: int
    ) -> InducingEnvironments:
        """Return the inducing environments: those of the data, then those of displaced atoms.

        Forces are changes of energies with positions, which a few environments of the data cannot
        express; where there is room left, those of a displaced copy of every structure are added.
        """
        species_index = soap.species_index(data.structures.numbers)
        kept = evenly_spaced(len(species_index), MAX_INDUCING_CANDIDATES).to(species_index.device)
        candidates, start = [], 0
        for chunk in data.chunks():
            P = soap(chunk.structures)
            candidates.append(P[kept[(kept >= start) & (kept < start + len(P))] - start])
            start += len(P)
        P, species_index = torch.cat(candidates), species_index[kept]
        n_preferred = len(P)
        if n_preferred < max_inducing:
            displaced = _displaced(data.structures, DISPLACEMENT_FRACTION * soap.cutoff)
            P = torch.cat((P, soap(displaced)[kept]))
            species_index = species_index.repeat(2)
        return select_inducing_points(
            P,
            species_index,
            self.zeta,
            max_inducing=max_inducing,
            tolerance=self.inducing_tolerance,
            n_preferred=n_preferred,
            max_pool=MAX_INDUCING_CANDIDATES,
        )

    def _dtc_weight_mean(
        self,
        energies: RowStatistics,
        forces: RowStatistics,
        data: Observations,
        terms: EnergyTerms,
    ) -> Tensor:
        """Return the mean `[m]` eV of the weights for "dtc"."""
        rows = energies.without_residual(), forces.without_residual()
        *fitted, _ = self._fit_hyperparameters(*rows, data, terms)
        return weight_posterior(*rows, *fitted)[1]

    def _fit_hyperparameters(
        self,
        energies: RowStatistics,
        forces: RowStatistics,
        data: Observations,
        terms: EnergyTerms = NO_TERMS,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return signal, energy noise, force noise, those of all weights `[m]`, log likelihood.

        They are fitted in the units of the problem, so that a fit to energies in another unit takes
        the same steps.
        """
        unit, length = data.scale.energy, data.scale.length
        fitted = Hyperparameters(
            data.force_scale() / data.scale.force,
            data.length_scale() / length,
            terms.amplitude_names,
        )
        units = (unit, unit, unit / length, *[unit] * len(terms.amplitude_names))
        given = self.hyperparameters
        fixed_names: tuple[str, ...] = ()
        if given is not None:
            fitted.set_values((given[0] / unit, given[1] / unit, given[2] * length / unit))
            fixed_names = HYPERPARAMETER_NAMES
        rows = energies.in_units(unit), forces.in_units(unit / length, 1 / length)
        evidence = maximize_marginal_likelihood(
            *rows, fitted, terms.in_units(unit), fixed_names=fixed_names
        )
        evidence = evidence - energies.n_rows * math.log(unit)
        evidence = evidence - forces.n_rows * math.log(unit / length)
        values = [
            (fitted.value(name).detach() * unit).to(energies.gram)
            for name, unit in zip(fitted.names, units, strict=True)
        ]
        if given is not None:
            values[:3] = energies.gram.new_tensor(given).unbind()
        s, e, f, *amplitudes = values
        m = len(energies.moment) - terms.n_features
        std = terms.weight_std(s, m, amplitudes)
        if given is None and not self._tells_scale(energies, forces, (s, e, f, std), data, m):
            s = s.clamp(min=self._prior_scale(data))
            std = terms.weight_std(s, m, amplitudes)
            evidence = log_marginal_likelihood(energies, forces, s, e, f, std)
        return s, e, f, std, evidence

    def _tells_scale(
        self,
        energies: RowStatistics,
        forces: RowStatistics,
        hyperparameters: tuple[Tensor, ...],
        data: Observations,
        m: int,
    ) -> bool:
        """Return whether the data determine more than the energies of the species.

        They do not where structures are copies of one: that their energies are alike, or differ by
        noise, says nothing of those of other structures. Nor do they where atoms are out of each
        other's reach, although a term may see these, or where a term explains a few energies.

        Args:
            energies: Statistics of the energy rows.
            forces: Statistics of the force rows.
            hyperparameters: Signal, energy noise, force noise, those of all weights.
            data: The training data.
            m: Number of inducing environments.
        """
        structures = data.structures
        species, species_index = structures.numbers.unique(return_inverse=True)
        counts = species_counts(structures, species_index, len(species))
        minimum = int(torch.linalg.matrix_rank(counts)) + MIN_DEGREES_OF_FREEDOM
        known = degrees_of_freedom(energies, forces, *hyperparameters)
        if float(known[:m].sum()) > minimum:
            return True
        if float(known.sum()) <= minimum + FEW_DEGREES_OF_FREEDOM:
            return False
        cutoff = self.cutoff or CUTOFF_FACTOR * data.scale.length
        return bool(neighbor_table(structures, cutoff)[2].any())

    def _prior_scale(self, data: Observations) -> float:
        """Return the signal, eV, of data that do not tell it: by the force of the pair prior.

        Its default strength is then at least that for chemical bonds.
        """
        force = data.force_scale()
        if self.pair_repulsion is not None:
            scale = replace(data.scale, energy=max(data.scale.energy, UNKNOWN_ENERGY))
            wall = self.pair_repulsion.in_scale(scale)
            force = max(force, wall.typical_force(scale.length))
        return force * data.length_scale()


def terms_from_state(state: Mapping[str, Tensor]) -> EnergyTerms:
    """Return the terms of the model that `state` was taken from; models of old logs have none."""
    kinds = (FittedPairTerm, FittedEmbeddingTerm, FittedSpeciesConstants)
    terms = tuple(term for kind in kinds if (term := kind.from_state(state)) is not None)
    return EnergyTerms(terms, state["term_amplitudes"]) if terms else NO_TERMS


def _displaced(structures: Structures, displacement: float) -> Structures:
    """Return the structures with normal random displacements of standard deviation in Å."""
    generator = torch.Generator().manual_seed(0)
    shape = structures.positions.shape
    noise = torch.randn(shape, dtype=torch.float64, generator=generator) * displacement
    return replace(structures, positions=structures.positions + noise.to(structures.positions))


def _sufficient_statistics(
    soap: SOAP,
    inducing: InducingEnvironments,
    data: Observations,
    terms: EnergyTerms = NO_TERMS,
    *,
    with_residual: bool = False,
    signal_to_noise: tuple[Tensor, Tensor] | None = None,
) -> tuple[RowStatistics, RowStatistics]:
    """Return the statistics of all energy rows and of all force rows.

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
    zeta, start = inducing.zeta, 0
    known = data.forces.isfinite().all(-1)  # [n] atoms
    probes = _probe_atoms(data.structures, known) if with_residual else known
    residuals: tuple[list[Tensor], list[Tensor]] = ([], [])  # of energies, of forces
    for chunk in data.chunks():
        structures, factor = chunk.structures, chunk.noise_factor.square()
        species_index = soap.species_index(structures.numbers)
        atoms = slice(start, start + len(species_index))
        start += len(species_index)
        if bool(known[atoms].any()):
            gradients = soap.gradients(structures)
            P = gradients.features
            K = inducing.force_covariances(gradients, species_index)
            phi = inducing.whiten(K)  # [n, 3, m]
            noise = factor[structures.index].unsqueeze(-1).repeat(1, 3)
            probe = probes[atoms]
            if with_residual or signal_to_noise is not None:
                prior = prior_variance.force_variances(
                    gradients, species_index, structures.counts, zeta, probe
                )
                residual = _residual_variance(prior, phi[probe])
                residuals[1].append((residual / noise[probe]).flatten())
            if signal_to_noise is not None:
                noise[probe] += residual * signal_to_noise[1] ** 2
            phi = terms.append_force_features(phi, structures, species_index)
            rows = (x[known[atoms]] for x in (phi, chunk.forces, noise))
            forces = forces.add_rows(*(x.flatten(0, 1) for x in rows))
        else:
            P = soap(structures)
        K = inducing.energy_covariances(P, species_index, structures.index, len(structures))
        phi = inducing.whiten(K)
        noise = factor * structures.counts
        if with_residual or signal_to_noise is not None:
            prior = prior_variance.energy_variances(P, species_index, structures.counts, zeta)
            residual = _residual_variance(prior, phi)
            residuals[0].append(residual / noise)
        if signal_to_noise is not None:
            noise = noise + residual * signal_to_noise[0] ** 2
        phi = terms.append_features(phi, structures, species_index, structures.index)
        energies = energies.add_rows(phi, chunk.energy, noise)
    if not with_residual:
        return energies, forces
    means = (torch.cat(r).mean() if r else energies.mean_residual_variance for r in residuals)
    energies, forces = (
        replace(rows, mean_residual_variance=mean)
        for rows, mean in zip((energies, forces), means, strict=True)
    )
    return energies, forces


def _probe_atoms(structures: Structures, has_forces: Tensor) -> Tensor:
    """Return the atoms that estimate the residual variance of forces, `[n]` True or False.

    Of those with known forces, at most `N_PROBE_ATOMS` of a structure, evenly spaced, and of at
    most `N_SELECTION_STRUCTURES` structures, evenly spaced.
    """
    probes = torch.zeros_like(has_forces)
    indices = structures.index[has_forces].unique().tolist()
    for k in indices[:: -(-len(indices) // N_SELECTION_STRUCTURES) or 1]:
        atoms = ((structures.index == k) & has_forces).nonzero().squeeze(-1)
        probes[atoms[:: -(-len(atoms) // N_PROBE_ATOMS)]] = True
    return probes


def _residual_variance(prior: Tensor, nystrom_features: Tensor) -> Tensor:
    """Return the residual variance of rows given the inducing points, in signal variances."""
    return (prior - nystrom_features.square().sum(-1)).clamp(min=0)
