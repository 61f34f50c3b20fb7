"""Atomic radii corrected by the contacts of the lowest structures, from the log alone.

Where the radii fit, an atom of a stable structure is about a sum of two radii away from its nearest
neighbor: in the molecules of the G2 set (Curtiss et al., J. Chem. Phys. 106, 1063 (1997)) and with
covalent radii, 0.77 of it (CN) to 1.25 (F2). Where the lowest structures lie outside of this range,
the radii do not fit. An element of wrong radius takes

    minimize over r  Σ_contacts ((d_ij - r_a - r_b) / (R_a + R_b))² + ridge Σ_a (r_a / R_a - 1)²

with the radii R so far, and one contact of each atom, the nearest by d_ij / (R_a + R_b). A large
radius makes those of the neighbors look large: the fewest elements are changed that explain all.
Atoms out of each other's reach, on which no force acts, have no contact.
Factors on the radii of the space are logged with each step, and stay until their range is left
again. Sampling, moves, minimum distances, descriptors and priors follow, as they use the radii.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.records import Step, Trial
from bostruct.errors import SpaceError
from bostruct.spaces import Space, SupportsRadii
from bostruct.structures import SYMBOLS

FACTOR_PREFIX = "radius_factor_"
"""Prefix of the values that a step logs of the correction, before the element."""

N_LOWEST = 3
"""Number of lowest structures whose contacts are evidence; the median counts."""

CONTACT_RANGE = (0.76, 1.35)
"""Range of the distance to the nearest neighbor, in sums of radii that fit."""

NO_FORCE = 1e-12
"""Force, eV/Å, that is a rounding error in any unit: more is left at a minimum."""

FACTOR_RANGE = (1 / 3, 3.0)
"""Range of factors on radii: beyond it no radii are wrong, but an energy without a minimum."""

FITTED_RANGE = (0.9, 1.15)
"""Range in which all contacts are where the radii of some of the wrong elements suffice."""

N_FITS = 3
"""Number of fits, each to the contacts by the radii of the one before."""

MAX_SUBSETS = 64
"""Number of sets of wrong elements that are tried before all of them, the smallest first."""

RIDGE = 1e-3
"""Weight of radii so far, per contact, where contacts leave a radius open."""


def logged_radius_factors(steps: Sequence[Step]) -> dict[str, float]:
    """Return the factors on the radii of the space by element, as the last model step used them.

    Args:
        steps: All steps.
    """
    last = next((step for step in reversed(steps) if step.kind == "model"), None)
    return {} if last is None else step_radius_factors(last.hyperparameters)


def step_radius_factors(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the factors on radii by element from the metrics of a step."""
    return {
        name.removeprefix(FACTOR_PREFIX): value
        for name, value in metrics.items()
        if name.startswith(FACTOR_PREFIX)
    }


def with_radius_factors(space: Space, factors: Mapping[str, float]) -> Space:
    """Return a space with the radii of some elements multiplied.

    Args:
        space: Space of the campaign.
        factors: Factors by element.
    """
    if not factors or not isinstance(space, SupportsRadii):
        return space
    radii = element_radii(space)
    return space.with_radii({symbol: radii[symbol] * factors[symbol] for symbol in factors})


def element_radii(space: Space) -> dict[str, float]:
    """Return the radius of each element of a space, Å."""
    symbols = [SYMBOLS[number] for number in space.numbers.tolist()]
    return dict(zip(symbols, space.atomic_radii.tolist(), strict=True))


def correct_radii(
    space: Space, trials: Sequence[Trial], factors: Mapping[str, float]
) -> dict[str, float]:
    """Return the factors on the radii of a space that its lowest structures ask for.

    Args:
        space: Space of the campaign.
        trials: All trials, or the lowest of them.
        factors: Factors so far by element, which are kept as long as they fit.
    """
    none: tuple[Trial, ...] = ()
    lowest = functools.reduce(add_to_lowest, trials, none)
    if len(lowest) < N_LOWEST or not isinstance(space, SupportsRadii):
        return dict(factors)
    X, base = torch.stack([trial.X for trial in lowest]), element_radii(space)
    radii = {symbol: radius * factors.get(symbol, 1.0) for symbol, radius in base.items()}
    wrong = _outside(nearest_contacts(space, X, radii).ratios(), CONTACT_RANGE)
    if not wrong:
        return dict(factors)
    few = (s for size in range(1, len(wrong)) for s in combinations(wrong, size))
    for subset in (*islice(few, MAX_SUBSETS), tuple(wrong)):
        fitted = _fit_radii(space, X, radii, subset)
        if not _outside(nearest_contacts(space, X, fitted).ratios(), FITTED_RANGE):
            break
    corrected = dict(factors) | {symbol: fitted[symbol] / base[symbol] for symbol in subset}
    try:
        with_radius_factors(space, corrected)
    except SpaceError:  # the sphere that was given has no room for larger atoms
        return dict(factors)
    return corrected


def add_to_lowest(lowest: tuple[Trial, ...], trial: Trial) -> tuple[Trial, ...]:
    """Return the `N_LOWEST` trials of lowest energy once there is another one, the lowest first."""
    if not trial.is_known or trial.energy is None or _is_dissociated(trial):
        return lowest
    if len(lowest) == N_LOWEST and _energy_and_number(trial) >= _energy_and_number(lowest[-1]):
        return lowest
    return tuple(sorted((*lowest, trial), key=_energy_and_number)[:N_LOWEST])


def _is_dissociated(trial: Trial) -> bool:
    """Return whether no force acts on any atom: none is in contact."""
    return trial.forces is not None and bool((trial.forces.abs() < NO_FORCE).all())


def _energy_and_number(trial: Trial) -> tuple[float, int]:
    return math.inf if trial.enthalpy is None else trial.enthalpy, trial.number


def _outside(ratios: Mapping[str, float], allowed: tuple[float, float]) -> list[str]:
    return [symbol for symbol, ratio in ratios.items() if not allowed[0] <= ratio <= allowed[1]]


@final
@dataclass(frozen=True, eq=False)
class Contacts:
    """Nearest neighbors of all atoms of some structures.

    Attributes:
        symbols: Element of each atom.
        neighbors: Elements of the neighbors of each atom, b for each.
        distances: `[b, a]` Å.
        sums: `[b, a]` sums of the two radii, Å.
    """

    symbols: Sequence[str]
    neighbors: Sequence[Sequence[str]]
    distances: Tensor
    sums: Tensor

    def ratios(self) -> dict[str, float]:
        """Return the distance in sums of radii by element: medians of atoms, of structures."""
        ratio = self.distances / self.sums
        atoms = {s: [s == other for other in self.symbols] for s in dict.fromkeys(self.symbols)}
        return {
            symbol: float(ratio[:, torch.tensor(mask)].median(-1).values.median())
            for symbol, mask in atoms.items()
        }


def nearest_contacts(space: Space, X: Tensor, radii: Mapping[str, float]) -> Contacts:
    """Return the nearest neighbor of each atom, in sums of radii.

    Args:
        space: Space of structures without periodic images.
        X: `[b, d]` coordinates.
        radii: Radius of each element, Å.
    """
    a, symbols = len(space.numbers), [SYMBOLS[number] for number in space.numbers.tolist()]
    P = space.decode(X).positions.detach().cpu().double().reshape(len(X), a, 3)
    D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
    r = torch.tensor([radii[symbol] for symbol in symbols], dtype=torch.float64)
    sums = (r.unsqueeze(0) + r.unsqueeze(1)).expand_as(D)
    itself = torch.eye(a, dtype=torch.bool)
    index = (D / sums).masked_fill(itself, torch.inf).argmin(-1, keepdim=True)  # [b, a, 1]
    return Contacts(
        symbols,
        [[symbols[j] for j in row] for row in index.squeeze(-1).tolist()],
        D.gather(-1, index).squeeze(-1),
        sums.gather(-1, index).squeeze(-1),
    )


def _fit_radii(
    space: Space, X: Tensor, radii: Mapping[str, float], wrong: Sequence[str]
) -> dict[str, float]:
    """Return the radii with those of the wrong elements fitted to the contacts, Å."""
    base, fitted = element_radii(space), dict(radii)
    for _ in range(N_FITS):  # other radii have other contacts
        contacts = nearest_contacts(space, X, fitted)
        solution = _least_squares(contacts, fitted, wrong)
        for symbol, radius in zip(wrong, solution, strict=True):
            low, high = (factor * base[symbol] for factor in FACTOR_RANGE)
            fitted[symbol] = min(max(radius, low), high)
    return fitted


def _least_squares(
    contacts: Contacts, radii: Mapping[str, float], wrong: Sequence[str]
) -> list[float]:
    """Return the radii of the wrong elements that fit the contacts best, Å."""
    rows, values = [], []
    for b, neighbors in enumerate(contacts.neighbors):
        for i, pair in enumerate(zip(contacts.symbols, neighbors, strict=True)):
            total = float(contacts.sums[b, i])
            right = sum(radii[symbol] for symbol in pair if symbol not in wrong)
            rows.append([pair.count(symbol) / total for symbol in wrong])
            values.append((float(contacts.distances[b, i]) - right) / total)
    weight = math.sqrt(RIDGE * len(rows))
    for k, symbol in enumerate(wrong):
        rows.append([weight / radii[symbol] * (k == column) for column in range(len(wrong))])
        values.append(weight)
    A, y = (torch.tensor(table, dtype=torch.float64) for table in (rows, values))
    solution: list[float] = torch.linalg.lstsq(A, y.unsqueeze(-1)).solution.squeeze(-1).tolist()
    return solution
