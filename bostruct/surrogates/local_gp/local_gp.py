"""The default surrogate: energies as sums of a Gaussian process over atomic environments.

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
from bostruct.structures import Structures
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.dot_product_kernel import (
    DotProductKernel,
    ExponentialKernel,
    PowerKernel,
    kernel_from_state,
)
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
from bostruct.surrogates.local_gp.kernel_selection import (
    SIMILARITY_CANDIDATES,
    KernelSelection,
    LocalKernel,
    selection_data,
    selection_size,
)
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
DEFAULT_SELECTION = KernelSelection()
N_SELECTION_STRUCTURES = 20  # structures in the selection of the species similarity
N_SELECTION_ENVIRONMENTS = 80  # inducing environments of a species in the same selection
MIN_DEGREES_OF_FREEDOM = 0.5  # beyond the energies of the species, for data that tell a scale
N_PROBE_ATOMS = 16  # atoms of a structure whose forces give the mean residual variance


@final
@dataclass(frozen=True)
class LocalGP:
    """Sparse Gaussian process over local environments, on energies and forces.

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
            most probable are taken; None keeps the values given here. A value other than the
            default is kept, too.
        max_inducing: Largest number of inducing environments of one species; each further species
            adds half as many.
        species_similarity: Similarity of two different species, from 0 to below 1: how much is
            learnt around one from the other. None takes the most probable.
        inducing_tolerance: Residual variance, in units of the signal variance, up to which an
            environment is not taken as an inducing one.
        pair_repulsion: The pair prior, or None.
        hyperparameters: Standard deviations (signal eV, energy noise eV per root atom, force noise
            eV/Å) to keep fixed; None fits them.
        approximation: Sparse approximation of the posterior. "dtc", deterministic training
            conditional: the residual variance of the training data given the inducing environments
            counts as noise and again in predictions, so that σ is too wide by up to a half.
            "averaged_fitc": the mean of "dtc", and a variance for which the residual variances of
            energies and of forces, averaged over each, count once. "fitc", fully independent
            training conditional: as noise of each row, for mean and variance; a fit takes twice as
            long. "sor", subset of regressors: no residual variance; dangerous, as σ vanishes far
            from the data, so that a search never goes there.

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
    hyperparameters: tuple[float, float, float] | None = None
    approximation: Approximation = "averaged_fitc"
    kernel: ExponentialKernel | None = None
    selection: KernelSelection | None = DEFAULT_SELECTION
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
        self._soap((1,), 1.0, self.species_similarity or 0.0)
        if self.hyperparameters is not None:
            for value in self.hyperparameters:
                check_positive("hyperparameters", value, "They are three standard deviations.")

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values.

        The approximation "dtc", and no other kernel and no selection, are left out: campaigns from
        before there were others continue with these.
        """
        description = {"type": "LocalGP"} | asdict(self)
        for name in ("kernel", "selection"):
            if description[name] is None:
                del description[name]
        if self.approximation == "dtc":
            del description["approximation"]
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
        kernel = self._kernel()
        if self.selection is not None:
            soap, kernel = self._select_kernel(self.selection, soap, structures, radii)
        elif self.species_similarity is None and len(radii) > 1:
            soap = self._select_species_similarity(soap, data)
        inducing, energies, forces = self._inducing_statistics(
            soap, kernel, data, self.max_inducing, self.approximation in ("fitc", "averaged_fitc")
        )
        fitted = self._fit_hyperparameters(energies, forces, data)
        s, e, f, evidence = (value.to(energies.gram) for value in fitted)
        if self.approximation == "fitc":
            with torch.no_grad():
                energies, forces = _sufficient_statistics(
                    soap, inducing, data, signal_to_noise=(s / e, s / f)
                )
                evidence = log_marginal_likelihood(energies, forces, s, e, f)
        factor, mean = weight_posterior(energies, forces, s, e, f)
        if self.approximation == "averaged_fitc":
            mean = self._dtc_weight_mean(energies, forces, data)
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
        repulsion, approximation = self.pair_repulsion, self.approximation
        return LocalGPModel(soap, kernel, repulsion, state, space, approximation)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LocalGPModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        soap, repulsion, (zeta,) = soap_from_state(state)
        kernel = kernel_from_state(zeta, state)
        fitted = LocalGPState(**{name: state[name] for name in LocalGPState.__dataclass_fields__})
        index = state.get("approximation", APPROXIMATIONS.index("dtc"))
        return LocalGPModel(soap, kernel, repulsion, fitted, space, APPROXIMATIONS[int(index)])

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
            soap, judge._kernel(), data, judge.max_inducing, with_residual=True
        )
        none = RowStatistics.empty(len(inducing), inducing.features)
        s, e, _, _ = judge._fit_hyperparameters(energies, none, data)
        _, _, f, _ = judge._fit_hyperparameters(none, forces, data)
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
            hyperparameters=None,
            species_similarity=self.species_similarity or 0.0,
            approximation="averaged_fitc",
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

    def _kernel(self) -> PowerKernel | ExponentialKernel:
        return self.kernel or PowerKernel(self.zeta)

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
        species_index = soap.species_index(first.numbers)
        data = prepare_observations(first, self.pair_repulsion, radii[species_index])
        data, _ = data.subtract_species_energies(species_index, len(radii))
        data, default = selection_data(data), LocalKernel(soap, self._kernel())
        cached: tuple[LocalKernel, Observations, LocalKernel] | None
        cached = vars(self).get("_last_selection")
        if cached is None or cached[0] != default or not cached[1].is_identical(data):
            same_size = (self.n_max, self.l_max) == (LocalGP.n_max, LocalGP.l_max)
            same_kernel = self.kernel is None and self.zeta == LocalGP.zeta
            same_center = self.center_atom_weight == LocalGP.center_atom_weight
            possible = KernelSelection(
                cutoff_factors=selection.cutoff_factors if self.cutoff is None else (),
                n_max=selection.n_max if same_size else (),
                kernels=selection.kernels if same_kernel else (),
                center_atom_weights=selection.center_atom_weights if same_center else (),
            )
            selected = possible.select(
                default,
                data,
                lambda *rows: float(self._fit_hyperparameters(*rows)[-1]),
                self._sparse_evidence,
                select_similarity=self.species_similarity is None and len(radii) > 1,
            )
            cached = default, data, selected
            vars(self)["_last_selection"] = cached
        return cached[2]

    def _sparse_evidence(self, one: LocalKernel, data: Observations) -> float:
        """Return the log marginal likelihood of data.

        It is -inf where they determine no more numbers than there are structures: where these are
        nearly copies of one, atoms are out of each other's reach, or no forces are known.
        """
        with_residual = self.approximation in ("fitc", "averaged_fitc")
        _, energies, forces = self._inducing_statistics(
            *one, data, self.max_inducing, with_residual
        )
        *fitted, evidence = self._fit_hyperparameters(energies, forces, data)
        known = degrees_of_freedom(energies, forces, *fitted)
        return float(evidence) if known > len(data.structures) else -math.inf

    def _select_species_similarity(self, soap: SOAP, data: Observations) -> SOAP:
        """Return the descriptor with the species similarity of highest marginal likelihood.

        From a few structures and inducing environments: of a high and a low similarity, then of the
        better one and a milder value.
        """
        few = data.subsample(N_SELECTION_STRUCTURES)
        count = min(N_SELECTION_ENVIRONMENTS, self.max_inducing)

        def evidence(similarity: float) -> float:
            _, energies, forces = self._inducing_statistics(
                replace(soap, species_similarity=similarity),
                self._kernel(),
                few,
                count,
                self.approximation == "fitc",
            )
            return float(self._fit_hyperparameters(energies, forces, few)[-1])

        evidences = {similarity: evidence(similarity) for similarity in SIMILARITY_CANDIDATES}
        milder = SIMILARITY_CANDIDATES[max(evidences, key=evidences.__getitem__)]
        evidences[milder] = evidence(milder)
        return replace(soap, species_similarity=max(evidences, key=evidences.__getitem__))

    def _inducing_statistics(
        self,
        soap: SOAP,
        kernel: DotProductKernel,
        data: Observations,
        max_inducing: int,
        with_residual: bool,
    ) -> tuple[InducingEnvironments, RowStatistics, RowStatistics]:
        """Return inducing environments, and the sufficient statistics of the data for them.

        Args:
            soap: The descriptor.
            kernel: Kernel of its dot products.
            data: The training data.
            max_inducing: Largest number of inducing environments of one species.
            with_residual: True for the mean residual variance of the rows, too.
        """
        with torch.no_grad():
            inducing = self._select_inducing(
                soap, kernel, data, max_inducing * (len(soap.species) + 1) // 2
            )
            rows = _sufficient_statistics(soap, inducing, data, with_residual=with_residual)
            return inducing, *rows

    def _select_inducing(
        self, soap: SOAP, kernel: DotProductKernel, data: Observations, max_inducing: int
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
            kernel,
            max_inducing=max_inducing,
            tolerance=self.inducing_tolerance,
            n_preferred=n_preferred,
            max_pool=MAX_INDUCING_CANDIDATES,
        )

    def _dtc_weight_mean(
        self, energies: RowStatistics, forces: RowStatistics, data: Observations
    ) -> Tensor:
        """Return the mean `[m]` eV of the weights for "dtc"."""
        rows = energies.without_residual(), forces.without_residual()
        s, e, f, _ = (x.to(energies.gram) for x in self._fit_hyperparameters(*rows, data))
        return weight_posterior(*rows, s, e, f)[1]

    def _fit_hyperparameters(
        self, energies: RowStatistics, forces: RowStatistics, data: Observations
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return signal, energy noise, force noise, log marginal likelihood."""
        fitted = Hyperparameters(data.force_scale(), 1.0)
        if self.hyperparameters is not None:
            fitted.set_values(self.hyperparameters)
        evidence = maximize_marginal_likelihood(
            energies, forces, fitted, optimize=self.hyperparameters is None
        )
        s, e, f = (fitted.value(name).detach().to(energies.gram) for name in HYPERPARAMETER_NAMES)
        if self.hyperparameters is None and not _tells_scale(energies, forces, (s, e, f), data):
            s = s.clamp(min=self._prior_scale(data))
            evidence = log_marginal_likelihood(energies, forces, s, e, f)
        return s, e, f, evidence

    def _prior_scale(self, data: Observations) -> float:
        """Return the signal, eV, of data that do not tell it: the force of the pair prior × 1 Å."""
        scale = data.force_scale()
        if self.pair_repulsion is None:
            return scale
        _, radii = self.descriptor(data.structures)
        return max(scale, self.pair_repulsion.typical_force(2 * float(radii.max())))


def _tells_scale(
    energies: RowStatistics,
    forces: RowStatistics,
    hyperparameters: tuple[Tensor, ...],
    data: Observations,
) -> bool:
    """Return whether the data determine more than the energies of the species.

    They do not where atoms are out of each other's reach, nor where structures are copies of one:
    that their energies are alike, or differ by noise, says nothing of those of other structures.
    """
    species, species_index = data.structures.numbers.unique(return_inverse=True)
    counts = species_counts(data.structures, species_index, len(species))
    n_means = int(torch.linalg.matrix_rank(counts))
    return degrees_of_freedom(energies, forces, *hyperparameters) > n_means + MIN_DEGREES_OF_FREEDOM


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
    *,
    with_residual: bool = False,
    signal_to_noise: tuple[Tensor, Tensor] | None = None,
) -> tuple[RowStatistics, RowStatistics]:
    """Return the statistics of all energy rows and of all force rows.

    Args:
        soap: The descriptor.
        inducing: The inducing environments.
        data: The training data.
        with_residual: True for the mean residual variance of the rows, too; that of the forces is
            estimated from some forces of some structures.
        signal_to_noise: Signal over energy noise and over force noise, to add the residual variance
            of each row to its noise; None to add none.
    """
    energies = forces = RowStatistics.empty(len(inducing), inducing.features)
    kernel, start = inducing.kernel, 0
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
                    gradients, species_index, structures.counts, kernel, probe
                )
                residual = _residual_variance(prior, phi[probe])
                residuals[1].append((residual / noise[probe]).flatten())
            if signal_to_noise is not None:
                noise[probe] += residual * signal_to_noise[1] ** 2
            rows = (x[known[atoms]] for x in (phi, chunk.forces, noise))
            forces = forces.add_rows(*(x.flatten(0, 1) for x in rows))
        else:
            P = soap(structures)
        K = inducing.energy_covariances(P, species_index, structures.index, len(structures))
        phi = inducing.whiten(K)
        noise = factor * structures.counts
        if with_residual or signal_to_noise is not None:
            prior = prior_variance.energy_variances(P, species_index, structures.counts, kernel)
            residual = _residual_variance(prior, phi)
            residuals[0].append(residual / noise)
        if signal_to_noise is not None:
            noise = noise + residual * signal_to_noise[0] ** 2
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
