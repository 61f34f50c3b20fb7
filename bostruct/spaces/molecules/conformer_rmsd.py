"""RMSD of the heavy atoms of conformers, by which ensembles are pruned.

Notation
    h, s   heavy atoms, symmetries of the molecule
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Self, final

import torch
from torch import Tensor

from bostruct.spaces.molecules.molecular_graph import match_graphs
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.molecules.superposition import superposed_rmsd

MAX_SYMMETRIES = 1 << 12
"""Number of ways to exchange equal atoms that are tried."""


@final
@dataclass(frozen=True, eq=False)
class ConformerRMSD:
    """Least RMSD of two conformers over rotations and exchanges of equal atoms.

    Attributes:
        atoms: `[h]` int64 indices of the atoms that count.
        orders: `[s, h]` int64 their orders that leave the graph of bonds as it is.
        is_mirrored: True if mirror images are one conformer.
    """

    atoms: Tensor
    orders: Tensor
    is_mirrored: bool

    @classmethod
    def from_molecule(cls, molecule: Molecule) -> Self:
        """Return the RMSD of the atoms of a molecule but hydrogen; of all without others."""
        numbers = molecule.numbers.tolist()
        chosen = [i for i, number in enumerate(numbers) if number > 1] or list(range(len(numbers)))
        rank = {atom: row for row, atom in enumerate(chosen)}
        neighbors = [[rank[j] for j in molecule.neighbors[i] if j in rank] for i in chosen]
        graph = [numbers[i] for i in chosen], neighbors
        orders = list(islice(match_graphs(*graph, *graph), MAX_SYMMETRIES))
        return cls(torch.tensor(chosen), torch.tensor(orders), not molecule.has_stereocenter)

    def __call__(self, P: Tensor, Q: Tensor) -> float:
        """Return the RMSD of positions of all atoms, P and Q `[a, 3]` Å, in Å."""
        first, second = P[self.atoms], Q[self.atoms][self.orders]
        rmsd = superposed_rmsd(first.expand_as(second), second).amin()
        if self.is_mirrored:
            rmsd = torch.minimum(rmsd, superposed_rmsd(-first.expand_as(second), second).amin())
        return float(rmsd)
