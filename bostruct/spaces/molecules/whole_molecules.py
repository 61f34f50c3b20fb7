"""Rigid motions and strains of the molecules in a space of atomic positions."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from bostruct.spaces.molecules.fragments import Fragments


class WholeMolecules(Protocol):
    """Structures of a continuous space some of whose atoms are molecules.

    Spaces of atomic positions inherit from it.
    """

    fragments: Fragments | None

    def _positions(self, X: Tensor) -> Tensor:
        """Return the positions of the atoms that move at X `[..., d]`, `[..., a, 3]` Å."""
        ...

    @property
    def rigid_dimension(self) -> int:
        """The number m of coordinates of rigid motions, 0 without molecules."""
        return 0 if self.fragments is None else self.fragments.rigid_dimension

    def rigid_motion(self, X: Tensor, q: Tensor) -> Tensor:
        """Return X `[..., d]` after rigid motions q `[..., m]` Å of its molecules.

        Free atoms move too. Differentiable, and X itself at q = 0; without molecules nothing moves.
        See `Fragments.rigid_motion`.
        """
        if self.fragments is None:
            return X
        return self.fragments.rigid_motion(self._positions(X), q).flatten(-2)

    def strains(self, X: Tensor) -> Tensor:
        """Return relative changes of bond lengths and of distances two bonds apart, `[..., k]`."""
        if self.fragments is None:
            return X[..., :0]
        return self.fragments.strains(self._positions(X))
