"""Cluster vectors: averages over pairs and triplets of lattice sites.

The basis of cluster expansions (Sanchez, Ducastelle and Gratias, Physica A 128, 334
(1984)), from icet (Ångqvist et al., Adv. Theory Simul. 2, 1900015 (2019)). It
depends on site occupations only: cells are scaled to the parent's volume per atom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors.structure.features import (
    N_SAMPLE_MEMBERS,
    SupportsComposition,
    median_distance,
)
from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures import SYMBOLS, Structures, to_ase
from bostruct.structures.convert import suppress_spglib_warnings


@final
@dataclass(frozen=True, eq=False)
class ClusterVectors:
    """Cluster vectors on a lattice all of whose sites may hold every element.

    Attributes:
        parent: primitive cell of the lattice, one structure.
        cutoffs: largest diameters of pairs, triplets and so on in the parent, Å.

    Raises:
        InputError: icet is not installed, there is not one parent, or a number is out of range.
    """

    parent: Structures
    cutoffs: tuple[float, ...] = (8.0, 5.0)

    def __post_init__(self) -> None:
        if len(self.parent) != 1:
            raise InputError(error_message("parent", "be one structure", len(self.parent)))
        for cutoff in self.cutoffs:
            check_positive("cutoffs", cutoff, "Give lengths in Å.")
        try:
            import icet  # noqa: F401
        except ImportError as error:
            condition = "be features that need no icet, which is not installed"
            hint = "Run: pip install 'bostruct[alloys]'"
            message = error_message("features", condition, "ClusterVectors", hint)
            raise InputError(message) from error

    def description(self) -> dict[str, Any]:
        """Return the class name and the constructor arguments, as JSON values."""
        return {
            "type": "ClusterVectors",
            "cell": self.parent.cell[0].tolist(),
            "positions": self.parent.positions.tolist(),
            "cutoffs": list(self.cutoffs),
        }

    def fit(self, space: SupportsComposition, generator: torch.Generator) -> ClusterVectorFeatures:
        """Return the map in units of the median distance between members."""
        X = space.sample(N_SAMPLE_MEMBERS, generator).unique(dim=0)
        one = torch.ones((), dtype=torch.float64)
        unscaled = ClusterVectorFeatures(self.parent, self.cutoffs, space.numbers, one)
        return replace(unscaled, scale=one / median_distance(unscaled(space, X)))

    def restore(self, tensors: Mapping[str, Tensor]) -> ClusterVectorFeatures:
        """Return the map of stored tensors, with this parent."""
        cutoffs = tuple(tensors["cutoffs"].tolist())
        return ClusterVectorFeatures(self.parent, cutoffs, tensors["numbers"], tensors["scale"])


@final
@dataclass(frozen=True, eq=False)
class ClusterVectorFeatures:
    """Cluster vectors of a fitted `ClusterVectors`, scaled.

    Attributes:
        parent: primitive cell of the lattice.
        cutoffs: largest diameters of pairs, triplets and so on in the parent, Å.
        numbers: `[k]`, atomic numbers of the elements.
        scale: `[]`, one over the median distance between random members.
        cacheable: true, as features are slow to compute.
    """

    parent: Structures
    cutoffs: tuple[float, ...]
    numbers: Tensor
    scale: Tensor
    cacheable: bool = True

    @property
    def n_features(self) -> int:
        """Number of clusters without the empty one, whose feature is always 1."""
        return len(self._cluster_space) - 1

    def __call__(self, space: SupportsComposition, X: Tensor) -> Tensor:
        """Return the features at X `[n, d]`, `[n, f]`."""
        return self.transform(space.decode(X))

    def transform(self, structures: Structures) -> Tensor:
        """Return the features of b structures, `[b, f]`.

        Raises:
            InputError: a structure does not lie on the parent's lattice.
        """
        target = float(torch.linalg.det(self.parent.cell[0]).abs()) / len(self.parent.numbers)
        rows = self.scale.new_zeros(len(structures), self.n_features)
        for row, atoms in zip(rows, to_ase(structures), strict=True):
            scale = (target * len(atoms) / atoms.get_volume()) ** (1 / 3)
            atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
            try:
                with suppress_spglib_warnings():
                    vector = self._cluster_space.get_cluster_vector(atoms)
            except Exception as error:  # icet raises no narrower one
                condition = "lie on the lattice of the parent of `ClusterVectors`"
                value = f"{atoms.get_chemical_formula()} ({error})"
                raise InputError(error_message("structures", condition, value)) from error
            row.copy_(torch.from_numpy(vector[1:]))
        return rows * self.scale

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the map, by name."""
        return {
            "cell": self.parent.cell[0],
            "positions": self.parent.positions,
            "cutoffs": self.scale.new_tensor(self.cutoffs),
            "numbers": self.numbers,
            "scale": self.scale,
        }

    @cached_property
    def _cluster_space(self) -> Any:  # noqa: ANN401 - icet's ClusterSpace
        from icet import ClusterSpace

        elements = [SYMBOLS[number] for number in self.numbers.tolist()]
        cell = to_ase(self.parent)[0]
        with suppress_spglib_warnings():
            return ClusterSpace(cell, list(self.cutoffs), elements)
