"""Selection of descriptor and kernel by marginal likelihood, in two stages.

    proposed   the alternatives to one setting after another are compared, each with the others as
               they are by then, so that their number is bounded: by exact covariances of a few
               energies and force components, as a few inducing environments would favor what is
               smooth, whatever the data are
    verified   what few data propose is compared with the default on more of them, by the
               likelihood that the model itself maximizes: a short cutoff suits few data where a
               longer one suits many, so the proposal with the default cutoff is compared, too

The default is left for a gain in log marginal likelihood that is large for every row, as the best
of several alternatives is better than it is by chance.

Data are the first structures, of a number that doubles at once. So the choice depends on
the data alone, and is made anew a few times while they grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS, EnergyTerms
from bostruct.surrogates.local_gp.exact_covariance import ExactRows, ForceRows
from bostruct.surrogates.local_gp.marginal_likelihood import Rows
from bostruct.surrogates.training_data import Observations

SIMILARITY_CANDIDATES = {0.95: 0.8, 0.0: 0.5}  # species similarities, and a milder one of each
FIRST_SIZE = 4  # structures from which on more than the similarity is selected
MAX_VERIFYING, MAX_PROPOSING = 40, 20  # structures that tell in either stage
MAX_ATOMS = 600  # of all structures that propose: of large ones a few suffice
MAX_FORCES = 200  # force components that propose
MAX_PROJECTIONS = 5_000_000  # numbers of the largest tensor of a comparison
MIN_GAIN_PER_ROW = 0.05  # in log marginal likelihood: residuals smaller by a twentieth
MIN_GAIN_OF_SHORTER_CUTOFF = 0.15  # per row: what is cut off errs alike in all atoms
MIN_GAIN = 10.0  # in log marginal likelihood, however few the rows

Selection = TypeVar("Selection")
Alternative = TypeVar("Alternative")

ExactEvidence = Callable[[Rows, Observations], float]
"""Log marginal likelihood of the statistics of energies and of forces of some data."""

SparseEvidence = Callable[["LocalKernel", Observations], float]
"""Log marginal likelihood of data for a sparse model; -inf where they are too few to tell."""


class LocalKernel(NamedTuple):
    """Descriptor of the environments, and the kernel of its dot products."""

    soap: SOAP
    kernel: PowerKernel | ExponentialKernel


@final
@dataclass(frozen=True)
class KernelSelection:
    """Alternatives to descriptor and kernel; empty ones leave a setting as it is.

    Attributes:
        cutoff_factors: Factors on the cutoff. One above 1 is applied a second time if that is
            better still, so that the cutoff reaches from molecule to molecule.
        n_max: Numbers of radial functions.
        kernels: Kernels of the dot product. Exponentials of a short and a long length scale suit
            data of many kinds of environments.
        center_atom_weights: Weights of the central atom.

    Raises:
        InputError: a number is not positive, or alternatives are none.
    """

    cutoff_factors: tuple[float, ...] = (0.8, 1.35)
    n_max: tuple[int, ...] = (9,)
    kernels: tuple[PowerKernel | ExponentialKernel, ...] = (
        PowerKernel(6),
        ExponentialKernel((0.01, 0.99), (0.05, 0.5)),
    )
    center_atom_weights: tuple[float, ...] = (20.0,)

    def __post_init__(self) -> None:
        for name in ("cutoff_factors", "n_max", "kernels", "center_atom_weights"):
            if not isinstance(values := getattr(self, name), tuple | list):
                hint = "An empty one leaves the setting as it is."
                raise InputError(error_message(name, "be a tuple", repr(values), hint))
            object.__setattr__(self, name, tuple(values))  # hashable, where a list was given
        for kernel in self.kernels:
            if not isinstance(kernel, PowerKernel | ExponentialKernel):
                condition = "hold instances of PowerKernel or ExponentialKernel"
                raise InputError(error_message("kernels", condition, repr(kernel)))
        for value in self.n_max:
            check_count("n_max", value)
        for name in ("cutoff_factors", "center_atom_weights"):
            for value in getattr(self, name):
                check_positive(name, value)

    def select(
        self,
        default: LocalKernel,
        data: Observations,
        exact_evidence: ExactEvidence,
        sparse_evidence: SparseEvidence,
        terms: EnergyTerms = NO_TERMS,
        *,
        select_similarity: bool,
    ) -> LocalKernel:
        """Return the descriptor and kernel that the data make most probable.

        Args:
            default: Descriptor and kernel that the alternatives are compared with.
            data: The data, those of `selection_data`.
            exact_evidence: Log marginal likelihood of some rows.
            sparse_evidence: Log marginal likelihood of all data.
            terms: Terms of the energy beside the environments.
            select_similarity: True to select the similarity of the species, too.
        """
        comparison = _Comparison(default.soap, data, terms, exact_evidence)
        if select_similarity:
            default = with_most_probable_similarity(default, comparison)
        if len(data.structures) < FIRST_SIZE:
            return default
        proposed = self._propose(default, comparison)
        same_cutoff = proposed._replace(soap=replace(proposed.soap, cutoff=default.soap.cutoff))
        least_gains = {
            one: MIN_GAIN_OF_SHORTER_CUTOFF
            if one.soap.cutoff < default.soap.cutoff
            else MIN_GAIN_PER_ROW
            for one in (proposed, same_cutoff)
            if one != default
        }
        return most_probable(default, least_gains, sparse_evidence, data)

    def _propose(self, best: LocalKernel, comparison: _Comparison) -> LocalKernel:
        best = self._with_cutoff(best, comparison)
        for alternatives in (self._radial, self._kernels, self._central):
            best = comparison.best([best, *alternatives(best)])
        return best

    def _with_cutoff(self, default: LocalKernel, comparison: _Comparison) -> LocalKernel:
        tried = {default: 1.0} | {
            _scaled(default, factor): factor for factor in self.cutoff_factors
        }
        best = comparison.best(list(tried))
        if tried[best] > 1:
            best = comparison.best([best, _scaled(best, tried[best])])
        return best

    def _radial(self, best: LocalKernel) -> Iterator[LocalKernel]:
        for n_max in self.n_max:
            yield best._replace(soap=replace(best.soap, n_max=n_max))

    def _kernels(self, best: LocalKernel) -> Iterator[LocalKernel]:
        for kernel in self.kernels:
            yield best._replace(kernel=kernel)

    def _central(self, best: LocalKernel) -> Iterator[LocalKernel]:
        for weight in self.center_atom_weights:
            yield best._replace(soap=replace(best.soap, center_atom_weight=weight))


@final
@dataclass(frozen=True, eq=False)
class Selected(Generic[Selection]):
    """Result of a selection, and what it is a function of.

    Attributes:
        default: Default descriptor and kernel.
        radii: Radius of each species, `[species]` Å.
        data: All data that the selection considers.
        selected: Most probable ones.
    """

    default: LocalKernel
    radii: Tensor
    data: Observations
    selected: Selection

    def is_of(self, default: LocalKernel, radii: Tensor, data: Observations) -> bool:
        """Return whether it is that of the same default and data."""
        same = self.default == default and torch.equal(self.radii, radii)
        return same and self.data.is_identical(data)


class _Comparison:
    """Marginal likelihoods of the same rows, each computed once.

    Args:
        soap: Descriptor with the species.
        data: The structures, of which a few are compared.
        terms: Terms of the energy beside the environments.
        evidence: Log marginal likelihood of their statistics.
    """

    def __init__(
        self, soap: SOAP, data: Observations, terms: EnergyTerms, evidence: ExactEvidence
    ) -> None:
        a = int(data.structures.counts.max())
        data = data.subsample(min(MAX_PROPOSING, max(2, MAX_ATOMS // a)))
        self.data, self.evidence, b = data, evidence, len(data.structures)
        self.rows = ForceRows.draw(data, min(MAX_FORCES, MAX_PROJECTIONS // (a * a * b)))
        self.term_features = self.rows.term_features(terms, soap, data)
        self.evidences: dict[LocalKernel, float] = {}
        self.exact: tuple[SOAP, ExactRows] | None = None

    def __call__(self, candidate: LocalKernel) -> float:
        """Return the log marginal likelihood."""
        if candidate not in self.evidences:
            with torch.no_grad():
                if self.exact is None or self.exact[0] != candidate.soap:
                    exact = ExactRows.compute(candidate.soap, self.data, self.rows)
                    self.exact = candidate.soap, exact
                F = self.exact[1].features_of(candidate.kernel)
                F = torch.cat((F, self.term_features), -1)
                rows = self.rows.statistics(F, self.data)
            self.evidences[candidate] = self.evidence(rows, self.data)
        return self.evidences[candidate]

    def best(self, candidates: list[LocalKernel]) -> LocalKernel:
        """Return the most probable one, the first of equal ones."""
        return max(candidates, key=self)


def most_probable(
    default: Alternative,
    least_gains: Mapping[Alternative, float],
    sparse_evidence: Callable[[Alternative, Observations], float],
    data: Observations,
) -> Alternative:
    """Return the alternative of highest marginal likelihood that is worth to leave the default.

    Args:
        default: Alternative that needs no gain to be taken.
        least_gains: Alternatives, and the gain per row for which each is taken.
        sparse_evidence: Log marginal likelihood of all data; -inf where they are too few to tell.
        data: The data.
    """
    if not least_gains or (reference := sparse_evidence(default, data)) == -math.inf:
        return default
    n_rows = len(data.energy) + int(data.forces.isfinite().sum())
    gains = {default: 0.0}
    for one, rate in least_gains.items():
        gain = sparse_evidence(one, data) - reference
        gains[one] = gain - max(MIN_GAIN, rate * n_rows)
    return max(gains, key=gains.__getitem__)


def _scaled(one: LocalKernel, factor: float) -> LocalKernel:
    """Return the descriptor with a longer or shorter cutoff, and the kernel."""
    return one._replace(soap=replace(one.soap, cutoff=factor * one.soap.cutoff))


def with_most_probable_similarity(
    one: LocalKernel, evidence: Callable[[LocalKernel], float]
) -> LocalKernel:
    """Return descriptor and kernel with the species similarity of highest marginal likelihood.

    Of a high and a low similarity, then of the better one and a milder value.

    Args:
        one: Descriptor and kernel.
        evidence: Log marginal likelihood of descriptor and kernel.
    """

    def alternative(similarity: float) -> LocalKernel:
        return one._replace(soap=replace(one.soap, species_similarity=similarity))

    evidences = {other: evidence(other) for other in map(alternative, SIMILARITY_CANDIDATES)}
    best = max(evidences, key=evidences.__getitem__)
    milder = alternative(SIMILARITY_CANDIDATES[best.soap.species_similarity])
    evidences[milder] = evidence(milder)
    return max(evidences, key=evidences.__getitem__)


def selection_size(n: int) -> int:
    """Return how many of n structures, the first ones, a selection considers."""
    return min(n, FIRST_SIZE << max(n // FIRST_SIZE, 1).bit_length() - 1)


def selection_data(data: Observations) -> Observations:
    """Return the structures that tell: some, evenly spaced, with the last one."""
    return data.subsample(MAX_VERIFYING)
