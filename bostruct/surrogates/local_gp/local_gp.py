"""The default surrogate: energies as sums of a Gaussian process over environments.

Energies and forces are trained on together through m inducing environments. The cost
of a fit is linear in the number of structures, and its memory does not grow with it
beyond the structures themselves; the cost of a prediction does not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

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
from bostruct.structures import Structures
from bostruct.surrogates.base import SupportsDecode
from bostruct.surrogates.local_gp import prior_variance
from bostruct.surrogates.local_gp.inducing_points import (
    evenly_spaced,
    select_inducing_points,
)
from bostruct.surrogates.local_gp.kernel import InducingEnvironments
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    Hyperparameters,
    RowStatistics,
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
from bostruct.surrogates.pair_repulsion import PairRepulsion
from bostruct.surrogates.soap_state import soap_from_state
from bostruct.surrogates.species import species_radii
from bostruct.surrogates.training_data import Observations, prepare_observations

CUTOFF_FACTOR = 1.9  # default cut-off in units of the longest bond: past the second shell
MAX_INDUCING_CANDIDATES = 8192  # training environments that may become inducing ones
DISPLACEMENT_FRACTION = 0.035  # of the cut-off: a fifteenth of a bond
DEFAULT_PAIR_REPULSION = PairRepulsion()
SIMILARITY_CANDIDATES = {
    0.95: 0.8,
    0.0: 0.5,
}  # similarities of species, and a milder one of each
N_SELECTION_STRUCTURES, N_SELECTION_ENVIRONMENTS = (
    20,
    80,
)  # structures, and environments of a species, that decide
N_PROBE_ATOMS = 16  # atoms of each of them whose forces tell what of such is not seen


@final
@dataclass(frozen=True)
class LocalGP:
    """Sparse Gaussian process over local environments, on energies and forces.

    Equation (7) with the features of (57)-(59) of Grasselli et al., Digital Discovery
    2025, 4, 2654; `approximation` says which variance.

    Attributes:
        cutoff: Å; by default 1.9 times the longest bond between the species' radii.
        n_max: radial functions of the descriptor.
        l_max: largest degree of its spherical harmonics.
        center_atom_weight: weight of the atom itself in its descriptor.
        zeta: exponent of the dot-product kernel.
        max_inducing: the most inducing environments of one species; each further one adds
            half as many.
        species_similarity: similarity of two different species, from 0 to below 1: what is learnt
            around one is believed around the other. None takes the most probable.
        inducing_tolerance: environments explained up to this share of the signal variance are
            not taken as inducing ones.
        pair_repulsion: the pair prior, or None.
        hyperparameters: standard deviations (signal eV, energy noise eV per root
            atom, force noise eV/Å) to keep fixed; None fits them.
        approximation: what is not known. "dtc": what the data leave open of what the
            inducing environments see, and all that these do not see; what they do not
            see of the data counts as noise, too, and σ is too wide by up to a half.
            "averaged_fitc": the mean of "dtc", and a σ for which energies and forces are
            believed less by what of such is not seen on average, so that it counts
            once. "fitc": each is believed less by what of it is not seen, for mean and
            σ; a fit takes twice as long. "sor": what the data leave open alone;
            dangerous, as it vanishes far from them, where least is known, so that a
            search never goes there.

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
                check_positive("hyperparameters", value, "They are three deviations.")

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values.

        "dtc" is not in it: campaigns older than the others go on with it.
        """
        found = {"type": "LocalGP"} | asdict(self)
        if self.approximation == "dtc":
            del found["approximation"]
        return found

    def fit(self, structures: Structures, space: SupportsDecode | None = None) -> LocalGPModel:
        """Return the model that these energies and forces teach.

        Args:
            structures: with `energy` known, and `forces` where there are any.
            space: gives structures to coordinates, and radii where the potential has
                its own length scale; None if only `predict` is needed.

        Raises:
            InputError: an energy is missing, or there is no structure.
        """
        species, radii = species_radii(structures, space)
        cutoff = self.cutoff or CUTOFF_FACTOR * 2 * float(radii.max())
        soap = self._soap(species, cutoff, self.species_similarity or 0.0)
        place = soap.species_index(structures.numbers)
        radii = radii.to(structures.positions)
        data = prepare_observations(structures, self.pair_repulsion, radii[place])
        data, constants = data.subtract_species_energies(place, len(species))
        if self.species_similarity is None and len(species) > 1:
            soap = self._select_species_similarity(soap, data)
        partly = self.approximation in ("fitc", "averaged_fitc")
        inducing, energies, forces = self._inducing_statistics(
            soap, data, self.max_inducing, partly
        )
        fitted = self._fit_hyperparameters(energies, forces, data)
        s, e, f, evidence = (value.to(energies.gram) for value in fitted)
        if self.approximation == "fitc":
            with torch.no_grad():
                ratios = (s / e, s / f)
                energies, forces = _sufficient_statistics(
                    soap, inducing, data, signal_to_noise=ratios
                )
                evidence = log_marginal_likelihood(energies, forces, s, e, f)
        factor, mean = weight_posterior(energies, forces, s, e, f)
        if self.approximation == "averaged_fitc":
            mean = self._dtc_weight_mean(energies, forces, data)
        fit = LocalGPState(
            radii=radii,
            species_energies=constants,
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
        kind = self.approximation
        return LocalGPModel(soap, self.zeta, self.pair_repulsion, fit, space, kind)

    def restore(
        self, state: Mapping[str, Tensor], space: SupportsDecode | None = None
    ) -> LocalGPModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        soap, repulsion, (zeta,) = soap_from_state(state)
        fit = LocalGPState(**{name: state[name] for name in LocalGPState.__dataclass_fields__})
        kind = APPROXIMATIONS[int(state["approximation"])] if "approximation" in state else "dtc"
        return LocalGPModel(soap, zeta, repulsion, fit, space, kind)

    def _soap(self, species: tuple[int, ...], cutoff: float, species_similarity: float) -> SOAP:
        return SOAP(
            species,
            cutoff,
            self.n_max,
            self.l_max,
            self.center_atom_weight,
            species_similarity,
        )

    def _select_species_similarity(self, soap: SOAP, data: Observations) -> SOAP:
        """Return the descriptor with the similarity that the data make most probable.

        A few of the structures, seen through a few environments, tell it: whether
        species are much alike or not at all, and whether a milder value is better.
        """
        few = data.subsample(N_SELECTION_STRUCTURES)

        def evidence(alchemy: float) -> float:
            tried = replace(soap, species_similarity=alchemy)
            count, partly = (
                min(N_SELECTION_ENVIRONMENTS, self.max_inducing),
                self.approximation == "fitc",
            )
            _, energies, forces = self._inducing_statistics(tried, few, count, partly)
            return float(self._fit_hyperparameters(energies, forces, few)[-1])

        found = {alchemy: evidence(alchemy) for alchemy in SIMILARITY_CANDIDATES}
        milder = SIMILARITY_CANDIDATES[max(found, key=found.__getitem__)]
        found[milder] = evidence(milder)
        return replace(soap, species_similarity=max(found, key=found.__getitem__))

    def _inducing_statistics(
        self, soap: SOAP, data: Observations, max_inducing: int, with_residual: bool
    ) -> tuple[InducingEnvironments, RowStatistics, RowStatistics]:
        """Return inducing environments, and what of the data is seen through them.

        Args:
            soap: the descriptor.
            data: all rows.
            max_inducing: the most inducing environments of one species.
            with_residual: as of `_statistics`.
        """
        with torch.no_grad():
            most = max_inducing * (len(soap.species) + 1) // 2
            inducing = self._select_inducing(soap, data, most)
            return (
                inducing,
                *_sufficient_statistics(soap, inducing, data, with_residual=with_residual),
            )

    def _select_inducing(
        self, soap: SOAP, data: Observations, max_inducing: int
    ) -> InducingEnvironments:
        """Return the inducing environments: those of the data, then shaken ones.

        Forces say how energies change when atoms move, which environments of the data
        alone cannot express while there are few; where there is room left, those of a
        shaken copy of every structure are added.
        """
        place = soap.species_index(data.structures.numbers)
        kept = evenly_spaced(len(place), MAX_INDUCING_CANDIDATES).to(place.device)
        parts, seen = [], 0
        for part in data.chunks():
            found = soap(part.structures)
            mine = kept[(kept >= seen) & (kept < seen + len(found))]
            parts.append(found[mine - seen])
            seen += len(found)
        P, place = torch.cat(parts), place[kept]
        preferred = len(P)
        if preferred < max_inducing:
            shaken = _displaced(data.structures, DISPLACEMENT_FRACTION * soap.cutoff)
            P = torch.cat((P, soap(shaken)[kept]))
            place = place.repeat(2)
        return select_inducing_points(
            P,
            place,
            self.zeta,
            max_inducing=max_inducing,
            tolerance=self.inducing_tolerance,
            n_preferred=preferred,
            max_pool=MAX_INDUCING_CANDIDATES,
        )

    def _dtc_weight_mean(
        self, energies: RowStatistics, forces: RowStatistics, data: Observations
    ) -> Tensor:
        """Return the mean `[m]` eV of the weights where what is not seen is noise."""
        rows = energies.without_residual(), forces.without_residual()
        s, e, f, _ = (x.to(energies.gram) for x in self._fit_hyperparameters(*rows, data))
        return weight_posterior(*rows, s, e, f)[1]

    def _fit_hyperparameters(
        self, energies: RowStatistics, forces: RowStatistics, data: Observations
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return signal, energy noise, force noise, log marginal likelihood."""
        found = Hyperparameters(data.force_scale(), 1.0)
        if self.hyperparameters is not None:
            found.set_values(self.hyperparameters)
        free = self.hyperparameters is None
        evidence = maximize_marginal_likelihood(energies, forces, found, optimize=free)
        s, e, f = (found.value(name).detach() for name in HYPERPARAMETER_NAMES)
        return s, e, f, evidence


def _displaced(structures: Structures, displacement: float) -> Structures:
    """Return the structures with every coordinate moved by some `displacement` Å at random."""
    generator = torch.Generator().manual_seed(0)
    shape = structures.positions.shape
    noise = torch.randn(shape, dtype=torch.float64, generator=generator) * displacement
    moved = structures.positions + noise.to(structures.positions)
    return replace(structures, positions=moved)


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
        soap: the descriptor.
        inducing: what the rows are seen through.
        data: the rows.
        with_residual: whether the mean of what the inducing environments do not see of the
            rows goes with the statistics; some of the forces on some of the structures
            tell it.
        signal_to_noise: signal over energy noise and over force noise, for rows whose own noise
            is to hold what the inducing environments do not see of each.
    """
    energies = forces = RowStatistics.empty(len(inducing), inducing.features)
    power, seen = inducing.zeta, 0
    known = data.forces.isfinite().all(-1)  # [n] atoms
    asked = _probe_atoms(data.structures, known) if with_residual else known
    missed: list[list[Tensor]] = [[], []]  # of energies, of forces
    for part in data.chunks():
        structures, trust = part.structures, part.noise_factor.square()
        place = soap.species_index(structures.numbers)
        atoms = slice(seen, seen + len(place))
        seen += len(place)
        if bool(known[atoms].any()):
            slopes = soap.gradients(structures)
            P = slopes.features
            phi = inducing.whiten(inducing.force_covariances(slopes, place))  # [n, 3, m]
            noise = trust[structures.index].unsqueeze(-1).repeat(1, 3)
            some = asked[atoms]
            if with_residual or signal_to_noise is not None:
                prior = prior_variance.force_variances(
                    slopes, place, structures.counts, power, some
                )
                rest = _residual_variance(prior, phi[some])
                missed[1].append((rest / noise[some]).flatten())
            if signal_to_noise is not None:
                noise[some] += rest * signal_to_noise[1] ** 2
            rows = (x[known[atoms]] for x in (phi, part.forces, noise))
            forces = forces.add_rows(*(x.flatten(0, 1) for x in rows))
        else:
            P = soap(structures)
        K = inducing.energy_covariances(P, place, structures.index, len(structures))
        phi = inducing.whiten(K)
        noise = trust * structures.counts
        if with_residual or signal_to_noise is not None:
            rest = _residual_variance(
                prior_variance.energy_variances(P, place, structures.counts, power), phi
            )
            missed[0].append(rest / noise)
        if signal_to_noise is not None:
            noise = noise + rest * signal_to_noise[0] ** 2
        energies = energies.add_rows(phi, part.energy, noise)
    if not with_residual:
        return energies, forces
    told = [torch.cat(m).mean() if m else energies.mean_residual_variance for m in missed]
    return replace(energies, mean_residual_variance=told[0]), replace(
        forces, mean_residual_variance=told[1]
    )


def _probe_atoms(structures: Structures, has_forces: Tensor) -> Tensor:
    """Return which atoms tell how much of forces is not seen, `[n]` True or False.

    Of those whose forces are known, at most `WITNESSES` of a structure, evenly, and of
    at most `JUDGES` structures, evenly.
    """
    found = torch.zeros_like(has_forces)
    several = structures.index[has_forces].unique().tolist()
    for k in several[:: -(-len(several) // N_SELECTION_STRUCTURES) or 1]:
        atoms = ((structures.index == k) & has_forces).nonzero().squeeze(-1)
        found[atoms[:: -(-len(atoms) // N_PROBE_ATOMS)]] = True
    return found


def _residual_variance(prior: Tensor, nystrom_features: Tensor) -> Tensor:
    """Return what phi does not see of rows, in units of the signal variance."""
    return (prior - nystrom_features.square().sum(-1)).clamp(min=0)
