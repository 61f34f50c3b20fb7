"""Energies of the species that the data leave open, as a term of the energy.

Notation
    n  [b, S]   numbers of atoms of each species
    c  [S]  eV  mean energy of an atom of each species, by least squares on the data
    V  [S, S]   directions of composition space, the singular vectors of n
    sigma [S]   singular values of n over their largest

    E = n . c + n V w,   w ~ N(0, std²)

Least squares takes the energies of the species for certain, and gives binding energies to them. So
they are corrected jointly with all other terms, from a prior that is wide in the unit of what least
squares leaves. Of compositions that the data do not tell apart the means are arbitrary, and so is
the prediction: there the standard deviation is that of the means themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import FixedAtoms, Structures
from bostruct.surrogates.local_gp.energy_terms import Amplitude, Pairs

MIN_SINGULAR_VALUE = 1e-3  # relative; compositions of some hundred atoms differ by more


@final
@dataclass(frozen=True)
class SpeciesConstants:
    """Normal priors of the energies of the species.

    Attributes:
        width: Standard deviation of the correction of a mean energy, in units of the typical energy
            of an atom.

    Raises:
        InputError: it is not positive.
    """

    width: float = 5.0

    def __post_init__(self) -> None:
        check_positive("width", self.width, "It is a number of typical energies.")

    def build(self, counts: Tensor, means: Tensor, energy_scale: float) -> FittedSpeciesConstants:
        """Return the term for data of given compositions.

        Args:
            counts: `[b, S]`, numbers of atoms.
            means: `[S]` eV, mean energies by least squares.
            energy_scale: Typical energy of an atom, eV, that the means leave.
        """
        counts, means = counts.detach().cpu().double(), means.detach().cpu().double()
        _, sigma, V = torch.linalg.svd(counts, full_matrices=True)
        size = torch.zeros(counts.shape[1], dtype=torch.float64)
        size[: len(sigma)] = sigma / sigma.max()
        std = self.width * energy_scale / size.clamp(min=MIN_SINGULAR_VALUE)
        open_std = max(self.width * energy_scale, float(means.abs().max()))
        rank = int(torch.linalg.matrix_rank(counts))
        is_open = torch.arange(len(size)) >= rank
        return FittedSpeciesConstants(V.T.contiguous(), torch.where(is_open, open_std, std))


@final
@dataclass(frozen=True, eq=False)
class FittedSpeciesConstants:
    """Numbers of atoms along the directions of composition space.

    Attributes:
        directions: V, `[S, S]`.
        weight_std: Standard deviation along each direction, `[S]` eV.
    """

    directions: Tensor
    weight_std: Tensor
    amplitudes: ClassVar[tuple[Amplitude, ...]] = ()
    cutoff: ClassVar[float] = 0.0

    @property
    def n_features(self) -> int:
        """Number S of features."""
        return len(self.weight_std)

    def features(
        self,
        structures: Structures,
        species_index: Tensor,
        index: Tensor,
        count: int,
        fixed_atoms: FixedAtoms | None = None,
        pairs: Pairs | None = None,
    ) -> Tensor:
        """Return the numbers of atoms of sums along each direction."""
        del fixed_atoms, pairs
        V = self.directions.to(structures.positions)
        return V.new_zeros(count, len(V)).index_add(0, index, V[species_index])

    def force_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return zeros `[n, 3, S]`: these energies do not depend on positions."""
        del pairs
        return structures.positions.new_zeros(len(species_index), 3, self.n_features)

    def strain_features(
        self, structures: Structures, species_index: Tensor, pairs: Pairs | None = None
    ) -> Tensor:
        """Return zeros `[b, 6, S]`: these energies do not depend on the strain."""
        del species_index, pairs
        return structures.positions.new_zeros(len(structures), 6, self.n_features)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the term exactly."""
        return {
            "species_constants_directions": self.directions,
            "species_constants_std": self.weight_std,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> FittedSpeciesConstants | None:
        """Return the term that `state` was taken from; None if there is none."""
        if "species_constants_std" not in state:
            return None
        names = ("directions", "std")
        return cls(*(state[f"species_constants_{name}"].cpu() for name in names))
