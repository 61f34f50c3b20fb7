"""The default surrogate: energies as sums of a Gaussian process over environments.

Energies and forces are trained on together through m inducing environments. The cost
of a fit is linear in the number of structures, and its memory does not grow with it
beyond the structures themselves; the cost of a prediction does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import SOAP
from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.structures import Structures, covalent_radii
from bostruct.surrogates.evidence import (
    NAMES,
    Hyperparameters,
    Rows,
    maximise,
    precision,
)
from bostruct.surrogates.inducing import choose
from bostruct.surrogates.kernel import Inducing
from bostruct.surrogates.model import Fit, LocalModel
from bostruct.surrogates.pairs import Repulsion
from bostruct.surrogates.surrogate import Decodes

REACH = 1.9  # default cut-off in units of the longest bond: past the second shell
CHUNK = 8192  # pairs of atoms whose descriptor slopes are in memory at once
POOL = 16384  # training environments that may become inducing ones
VIOLENT = 3.0  # forces and energies above so many medians are trusted less


@final
@dataclass(frozen=True)
class LocalGP:
    """Sparse Gaussian process over local environments, on energies and forces.

    Attributes:
        cutoff: Å; by default 1.9 times the longest bond between the species' radii.
        radial: radial functions of the descriptor.
        angular: largest degree of its spherical harmonics.
        center: weight of the atom itself in its descriptor.
        power: exponent of the dot-product kernel.
        inducing: the most inducing environments.
        tolerance: environments explained up to this share of the signal variance are
            not taken as inducing ones.
        repulsion: the pair prior, or None.
        hyperparameters: standard deviations (signal eV, energy noise eV per root
            atom, force noise eV/Å) to keep fixed; None fits them.

    Raises:
        InputError: a number is out of range.
    """

    cutoff: float | None = None
    radial: int = 5
    angular: int = 4
    center: float = 45.0
    power: int = 3
    inducing: int = 500
    tolerance: float = 1e-7
    repulsion: Repulsion | None = Repulsion()
    hyperparameters: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            check_positive("cutoff", self.cutoff, "Give a length in Å, or None.")
        check_count("power", self.power)
        check_count("inducing", self.inducing)
        if not 0 <= self.tolerance < 1:
            raise InputError(must("tolerance", "be in [0, 1)", self.tolerance))
        SOAP((1,), 1.0, self.radial, self.angular, self.center)
        if self.hyperparameters is not None:
            for value in self.hyperparameters:
                check_positive("hyperparameters", value, "They are three deviations.")

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        return {"surrogate": "LocalGP"} | asdict(self)

    def fit(self, structures: Structures, space: Decodes | None = None) -> LocalModel:
        """Return the model that these energies and forces teach.

        Args:
            structures: with `energy` known, and `forces` where there are any.
            space: gives structures to coordinates, and radii where the potential has
                its own length scale; None if only `predict` is needed.

        Raises:
            InputError: an energy is missing, or there is no structure.
        """
        structures = _checked(structures)
        species, radii = _radii(structures, space)
        cutoff = self.cutoff or REACH * 2 * float(radii.max())
        soap = SOAP(species, cutoff, self.radial, self.angular, self.center)
        place = soap.place(structures.numbers)
        radii = radii.to(structures.positions)
        target = _less_prior(structures, self.repulsion, radii[place])
        trust = _trust(target)
        constants = _constants(target, place, len(species), trust)
        index = target.index
        shift = constants.new_zeros(len(target)).index_add(0, index, constants[place])
        target = replace(target, energy=target.energy - shift)
        with torch.no_grad():
            P = torch.cat([soap(part) for part, _ in _chunks(target, trust, cutoff)])
            inducing = choose(
                P,
                place,
                self.power,
                count=self.inducing,
                tolerance=self.tolerance,
                pool=POOL,
            )
            energies, forces = _statistics(soap, inducing, target, trust)
        fitted = self._hyperparameters(energies, forces, target)
        s, e, f, evidence = (value.to(P) for value in fitted)
        factor = torch.linalg.cholesky(precision(energies, forces, s, e, f))
        moment = energies.moment / e**2 + forces.moment / f**2
        weights = torch.cholesky_solve(moment.unsqueeze(-1), factor).squeeze(-1)
        fit = Fit(
            radii=radii,
            constants=constants,
            inducing=inducing.features,
            place=inducing.place,
            factor=inducing.factor,
            precision=factor,
            weights=weights,
            signal=s,
            energy_noise=e,
            force_noise=f,
            log_marginal_likelihood=evidence,
        )
        return LocalModel(soap, self.power, self.repulsion, fit, space)

    def restore(
        self, state: Mapping[str, Tensor], space: Decodes | None = None
    ) -> LocalModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        radial, angular, power = state["sizes"].tolist()
        cutoff, center = state["cutoff"].tolist()
        soap = SOAP(tuple(state["species"].tolist()), cutoff, radial, angular, center)
        strength, reach = state["repulsion"].tolist()
        repulsion = Repulsion(strength, reach) if strength else None
        fit = Fit(**{name: state[name] for name in Fit.__dataclass_fields__})
        return LocalModel(soap, power, repulsion, fit, space)

    def _hyperparameters(
        self, energies: Rows, forces: Rows, target: Structures
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return signal, energy noise, force noise, log marginal likelihood."""
        found = Hyperparameters(_force_scale(target), 1.0)
        if self.hyperparameters is not None:
            found.set(self.hyperparameters)
        evidence = maximise(energies, forces, found, move=self.hyperparameters is None)
        s, e, f = (found.value(name).detach() for name in NAMES)
        return s, e, f, evidence


def _checked(structures: Structures) -> Structures:
    if len(structures) == 0:
        raise InputError(must("structures", "hold at least one structure", "none"))
    if structures.energy is None or not bool(structures.energy.isfinite().all()):
        way_out = "Leave out structures that have none, or compute them first."
        raise InputError(must("energy", "be known and finite", "missing", way_out))
    if structures.forces is None:
        nothing = torch.full_like(structures.positions, torch.nan)
        return replace(structures, forces=nothing)
    return structures


def _radii(
    structures: Structures, space: Decodes | None
) -> tuple[tuple[int, ...], Tensor]:
    """Return the species, sorted, and the radius of each in Å."""
    numbers = structures.numbers.cpu().unique()
    if space is not None:
        numbers = torch.cat((numbers, space.numbers.cpu())).unique()
    radii = covalent_radii(numbers).to(torch.float64)
    if space is not None:
        for k, number in enumerate(numbers.tolist()):
            own = space.radii.cpu()[space.numbers.cpu() == number]
            radii[k] = own[0] if len(own) else radii[k]
    return tuple(numbers.tolist()), radii


def _less_prior(
    structures: Structures, repulsion: Repulsion | None, radii: Tensor
) -> Structures:
    """Return the structures with what the pair prior explains taken off."""
    if repulsion is None:
        return structures
    moving = structures.positions.detach().clone().requires_grad_()
    with torch.enable_grad():
        energy = repulsion(replace(structures, positions=moving), radii)
        (slope,) = torch.autograd.grad(energy.sum(), moving)
    assert structures.energy is not None and structures.forces is not None
    return replace(
        structures,
        energy=structures.energy - energy.detach(),
        forces=structures.forces + slope,
    )


def _trust(structures: Structures) -> Tensor:
    """Return the factor `[b]` on the noise of each structure, at least 1.

    Structures whose largest force, or energy per atom above the lowest, is many times
    the median say little about the low minima that are searched for, and an
    exploded one must not spoil the fit.
    """
    assert structures.energy is not None and structures.forces is not None
    per_atom = structures.energy / structures.counts
    height = per_atom - per_atom.min()
    size = torch.linalg.vector_norm(structures.forces.nan_to_num(), dim=-1)
    largest = torch.zeros_like(height).scatter_reduce(0, structures.index, size, "amax")
    factor = torch.ones_like(height)
    for value in (height, largest):
        typical = value.median() if len(value) > 2 else value.max()
        if float(typical) > 0:
            factor = torch.maximum(factor, value / (VIOLENT * typical))
    return factor


def _constants(
    structures: Structures, place: Tensor, species: int, trust: Tensor
) -> Tensor:
    """Return the mean energy of an atom of each species `[species]` eV.

    Least squares of the energies on the composition, the shortest solution where the
    composition does not vary.
    """
    assert structures.energy is not None
    rows = torch.nn.functional.one_hot(place, species).to(structures.energy)
    counts = rows.new_zeros(len(structures), species)
    counts = counts.index_add(0, structures.index, rows) / trust.unsqueeze(-1)
    return torch.linalg.pinv(counts) @ (structures.energy / trust)


def _chunks(
    structures: Structures, trust: Tensor, cutoff: float
) -> Iterator[tuple[Structures, Tensor]]:
    """Yield parts of the batch small enough for the memory, with their trust."""
    largest = int(structures.counts.max())
    each = max(1, CHUNK // (largest * min(largest, 64)))
    for start in range(0, len(structures), each):
        part = slice(start, start + each)
        yield structures[part], trust[part]


def _statistics(
    soap: SOAP, inducing: Inducing, structures: Structures, trust: Tensor
) -> tuple[Rows, Rows]:
    """Return the statistics of all energy rows and of all force rows."""
    energies = forces = Rows.none(len(inducing), inducing.features)
    for part, factor in _chunks(structures, trust, soap.cutoff):
        assert part.energy is not None and part.forces is not None
        place = soap.place(part.numbers)
        known = part.forces.isfinite().flatten()
        if bool(known.any()):
            slopes = soap.slopes(part)
            P = slopes.features
            K = inducing.forces(slopes, place).flatten(0, 1)[known]
            noise = factor.square()[part.index].repeat_interleave(3)[known]
            forces = forces.add(inducing.whiten(K), part.forces.flatten()[known], noise)
        else:
            P = soap(part)
        K = inducing.energies(P, place, part.index, len(part))
        noise = factor.square() * part.counts
        energies = energies.add(inducing.whiten(K), part.energy, noise)
    return energies, forces


def _force_scale(structures: Structures) -> float:
    """Return the typical force, eV/Å; from the spread of energies without forces."""
    assert structures.energy is not None and structures.forces is not None
    known = structures.forces[structures.forces.isfinite()]
    scale = float(known.square().mean().sqrt()) if known.numel() else 0.0
    if not scale > 0:
        spread = structures.energy / structures.counts.sqrt()
        scale = float(spread.square().mean().sqrt())
    return scale if scale > 0 else 1.0
