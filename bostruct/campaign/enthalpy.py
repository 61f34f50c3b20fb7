"""Enthalpy E + p V of structures whose cell varies: what a campaign minimizes under a pressure.

Energies in the log remain energies. The term p V of a trial is one of its properties, so that a
reader needs no space for it; without a pressure there is none, and the enthalpy is the energy.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from bostruct.spaces import Space


@runtime_checkable
class SupportsPressure(Protocol):
    """Space of structures whose cell varies, under a pressure."""

    @property
    def pressure(self) -> float:
        """Pressure, eV/Å³."""
        ...


def has_variable_cell(space: Space) -> bool:
    """Return whether the cell of the structures of a space varies."""
    return isinstance(space, SupportsPressure)
