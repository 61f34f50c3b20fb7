"""Terms of the energy beside the environments, linear in weights of their own.

Notation
    b, n   structures, atoms of all of them
    m      features of a term, M those of the environments and of all terms
    s_t    eV   standard deviation of the weights of a term

    E = prior + phi . w + sum_t phi_t . w_t,   w ~ N(0, s²), w_t ~ N(0, s_t²)

A term has no features but these, so that its prior variance is s_t² |phi_t|², and unlike that of
the environments none of it is residual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, final

import torch
from torch import Tensor

from bostruct.structures import FixedAtoms, Structures, all_pairs, neighbor_table
from bostruct.structures.strain import VOIGT
from bostruct.surrogates.local_gp.energy_terms_numba import PairArrays


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms, each listed once at its first atom.

    Attributes:
        second: `[n, k]`, second atoms of the pairs of each atom; -1 for none.
        offset: `[n, k, 3]` Å, lattice translation of the second atom, differentiable in the cell,
            or `[0, k, 3]` if all are zero.
    """

    second: Tensor
    offset: Tensor

    def flat(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return first and second atoms `[p]`, translations `[p, 3]` Å, and weights `[p]`.

        The weight is 1/2 for an atom and its own image, of which there are two.
        """
        i, slot = (self.second >= 0).nonzero(as_tuple=True)
        j = self.second[i, slot]
        zero = self.offset.new_zeros(len(i), 3)
        offset = self.offset[i, slot] if len(self.offset) else zero
        return i, j, offset, torch.where(i == j, 0.5, 1.0).to(offset)

    def arrays(self, positions: Tensor, species_index: Tensor) -> PairArrays:
        """Return the pairs of atoms at some positions `[n, 3]` Å as arrays of compiled loops."""
        tensors = positions, self.second, self.offset, species_index
        return PairArrays(*contiguous_arrays(*tensors))


class Amplitude(NamedTuple):
    """A standard deviation that some weights of a term share, to be fitted.

    Attributes:
        name: Name of the part of the energy.
        n_features: Number of features of these weights.
        typical_factor: Typical value, in units of the typical signal of the environments.
    """

    name: str
    n_features: int
    typical_factor: float = 1.0


class EnergyTerm(Protocol):
    """A part of the energy that is linear in finitely many weights."""

    @property
    def amplitudes(self) -> tuple[Amplitude, ...]:
        """Amplitudes of all features in their order; none where `weight_std` is given."""
        ...

    @property
    def n_features(self) -> int:
        """Number m of features."""
        ...

    @property
    def cutoff(self) -> float:
        """Range of the pairs that it needs, Å; 0 for none."""
        ...

    @property
    def weight_std(self) -> Tensor | None:
        """Standard deviations `[m]` eV of the weights; None where `amplitudes` are fitted."""
        ...

    def features(
        self,
        structures: Structures,
        species_index: Tensor,
        index: Tensor,
        count: int,
        fixed_atoms: FixedAtoms | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return the features of sums over atoms, `[count, m]`, differentiable in the geometry.

        Args:
            structures: Structures of n atoms in total.
            species_index: `[n]`, species of the atoms.
            index: `[n]`, sum that each atom belongs to.
            count: Number of sums.
            fixed_atoms: The fixed atoms of the structures, whose part is computed once; optional.
            pairs: Pairs of atoms closer than `cutoff` or a larger one; optional.
        """
        ...

    def force_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the features of all force components, `[n, 3, m]` 1/Å."""
        ...

    def strain_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return the derivatives of the features of b energies by the strain, `[b, 6, m]`."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the term exactly."""
        ...


@final
@dataclass(frozen=True, eq=False)
class EnergyTerms:
    """All terms beside the environments, in their order.

    Attributes:
        terms: The terms.
        amplitudes: Values of the fitted amplitudes, eV; empty before a fit.
        unit: Unit of `weight_std`, eV.
    """

    terms: tuple[EnergyTerm, ...] = ()
    amplitudes: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    unit: float = 1.0

    @property
    def n_features(self) -> int:
        """Number of features of all terms."""
        return sum(term.n_features for term in self.terms)

    def __iter__(self) -> Iterator[EnergyTerm]:
        return iter(self.terms)

    @property
    def fitted_amplitudes(self) -> tuple[Amplitude, ...]:
        """All amplitudes that are fitted."""
        return tuple(amplitude for term in self.terms for amplitude in term.amplitudes)

    def in_units(self, unit: float) -> EnergyTerms:
        """Return the terms for a fit with energies in a unit, eV."""
        return replace(self, unit=unit)

    def with_term(self, changed: EnergyTerm) -> EnergyTerms:
        """Return the terms with one in place of that of its class."""
        kind = type(changed)
        terms = (changed if isinstance(term, kind) else term for term in self.terms)
        return replace(self, terms=tuple(terms))

    def with_more(self, more: Iterable[EnergyTerm]) -> EnergyTerms:
        """Return the terms followed by more."""
        return replace(self, terms=(*self.terms, *more))

    def columns(self, some: EnergyTerms, m: int) -> Tensor:
        """Return the features of m environments and of some of these terms among those of all."""
        starts, start = {}, m
        for term in self.terms:
            starts[id(term)] = start
            start += term.n_features
        blocks = [torch.arange(m)]
        for term in some:
            first = starts[id(term)]
            blocks.append(torch.arange(first, first + term.n_features))
        return torch.cat(blocks)

    def with_amplitudes(self, weight_std: Tensor, m: int) -> EnergyTerms:
        """Return the terms with the amplitudes in the standard deviations of all weights `[M]`."""
        starts = [block.start for block in self.amplitude_blocks(m)]
        return replace(self, amplitudes=weight_std[starts])

    def append_features(
        self,
        K: Tensor,
        structures: Structures,
        species_index: Tensor,
        index: Tensor,
        fixed_atoms: FixedAtoms | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return K `[count, ..]` followed by the features of all terms.

        Args:
            K: `[count, ..]`, covariances or features of the environments.
            structures: Structures of n atoms in total.
            species_index: `[n]`, species of the atoms.
            index: `[n]`, row of K that each atom belongs to.
            fixed_atoms: The fixed atoms of the structures, whose part is computed once; optional.
            pairs: Pairs of atoms within the range of the terms; optional.
        """
        if not self.terms:
            return K
        pairs = pairs or self.pairs(structures, fixed_atoms)
        arguments = structures, species_index, index, len(K), fixed_atoms, pairs
        return torch.cat((K, *(term.features(*arguments) for term in self.terms)), -1)

    def append_force_features(
        self,
        K: Tensor,
        structures: Structures,
        species_index: Tensor,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return K `[n, 3, ..]` followed by the features of the forces of all terms."""
        if not self.terms:
            return K
        arguments = structures, species_index, pairs or self.pairs(structures)
        return torch.cat((K, *(term.force_features(*arguments) for term in self.terms)), -1)

    def append_strain_features(
        self, K: Tensor, structures: Structures, species_index: Tensor
    ) -> Tensor:
        """Return K `[b, 6, ..]` followed by the derivatives of the features of all terms."""
        if not self.terms:
            return K
        arguments = structures, species_index, self.pairs(structures)
        return torch.cat((K, *(term.strain_features(*arguments) for term in self.terms)), -1)

    def pairs(self, structures: Structures, fixed_atoms: FixedAtoms | None = None) -> Pairs | None:
        """Return the pairs of atoms that the terms need; None for none."""
        cutoff = max((term.cutoff for term in self.terms), default=0.0)
        return find_pairs(structures, cutoff, fixed_atoms) if cutoff else None

    def amplitude_blocks(self, m: int) -> list[slice]:
        """Return the columns of each fitted amplitude, after m of environments."""
        blocks, start = [], m
        for term in self.terms:
            first = start
            for amplitude in term.amplitudes:
                blocks.append(slice(first, first + amplitude.n_features))
                first += amplitude.n_features
            start += term.n_features
        return blocks

    def weight_std(self, s: Tensor, m: int, amplitudes: Sequence[Tensor]) -> Tensor:
        """Return the standard deviation of each weight, `[M]` in `unit`.

        Args:
            s: Signal.
            m: Number of inducing environments.
            amplitudes: Values of the fitted amplitudes.
        """
        parts, fitted = [s.expand(m)], iter(amplitudes)
        for term in self.terms:
            parts += [next(fitted).expand(part.n_features) for part in term.amplitudes]
            if term.weight_std is not None:
                parts.append(term.weight_std.to(s) / self.unit)
        return torch.cat(parts)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the terms exactly."""
        if not self.terms:
            return {}
        states = [term.state() for term in self.terms]
        state = {name: value for one in states for name, value in one.items()}
        return state | {"term_amplitudes": self.amplitudes}

    def hyperparameters(self) -> dict[str, float]:
        """Return the amplitudes to show, units in the names."""
        pairs = zip(self.fitted_amplitudes, self.amplitudes.tolist(), strict=True)
        return {f"{amplitude.name}_eV": value for amplitude, value in pairs}


NO_TERMS = EnergyTerms()


def find_pairs(
    structures: Structures, cutoff: float, fixed_atoms: FixedAtoms | None = None
) -> Pairs:
    """Return at least all pairs of atoms within a cutoff, each once.

    Those of an atom with its own images are there twice.

    Args:
        structures: Structures of n atoms in total.
        cutoff: Cutoff radius, Å.
        fixed_atoms: Fixed atoms whose pairs are left out; optional.
    """
    positions, skip_fixed_pairs = structures.positions, fixed_atoms is not None
    first = torch.arange(len(positions), device=positions.device).unsqueeze(-1)
    second = None if skip_fixed_pairs else all_pairs(structures)
    if second is not None:
        none = positions.new_zeros(0, second.shape[1], 3)
        return Pairs(torch.where(second > first, second, -1), none)
    second, shift, mask = neighbor_table(structures, cutoff, skip_fixed_pairs=skip_fixed_pairs)
    second = torch.where(mask & (second >= first), second, -1)
    if not bool(structures.pbc.any()):
        return Pairs(second, positions.new_zeros(0, second.shape[1], 3))
    cell = structures.cell
    is_same = not cell.requires_grad and bool((cell == cell[:1]).all())
    return Pairs(second, shift @ (cell[0] if is_same else cell[structures.index]))


def pair_types(n_species: int) -> Tensor:
    """Return the number of each pair of species, `[species, species]`, from 0 on."""
    types = torch.zeros(n_species, n_species, dtype=torch.int64)
    row, column = torch.triu_indices(n_species, n_species)
    types[row, column] = types[column, row] = torch.arange(len(row))
    return types


def sums_by_strain(
    x: Tensor, factor: Tensor, features: Tensor, index: Tensor, count: int
) -> Tensor:
    """Return the sums of the derivatives of functions of pairs by the strain, `[count, 6, k]`.

    Args:
        x: `[p, 3]` Å, vectors from the first atom of each pair to the second.
        factor: `[p]`, twice the weight of each pair.
        features: `[p, k]` 1/Å², derivatives of the functions by the square of x.
        index: `[p]`, sum that each pair belongs to.
        count: Number of sums.
    """
    out = features.new_zeros(count, len(VOIGT), features.shape[-1])
    for k, (i, j) in enumerate(VOIGT):
        each = (factor * x[:, i] * x[:, j]).unsqueeze(-1) * features
        out[:, k] = out[:, k].index_add(0, index, each)
    return out


def contiguous_arrays(*tensors: Tensor) -> list[Any]:
    """Return tensors as arrays of compiled loops."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
