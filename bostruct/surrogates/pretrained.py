"""Potentials that were trained elsewhere and say how sure they are.

Calculators of ASE have no common word for an uncertainty. What is understood:

    energy_comm [M], forces_comm [M, n, 3]      members (MACE)
    energies [M] beside energy_var              members (MACE, older and magnetic);
                                                 else `energies` are ASE's, of atoms
    energy_var, forces_var and M                variances of divisor M (MACE)
    energy_ensemble [M], forces_ensemble [n, 3, M]    members, and
    energy_uncertainty, forces_uncertainty      deviations (metatomic, upet), among
                                                 the results or as `get_...(atoms)`
    several calculators                         members, whatever they are

Mean and variance of members are (17) and (18) of Grasselli et al., Digital Discovery
2025, 4, 2654, with the divisor M - 1: variances of MACE have the divisor M and, in
older versions, one factor of a unit too few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, must
from bostruct.runtime.callable_name import name, plain
from bostruct.structures import Structures, to_ase
from bostruct.uncertainty import Prediction, consensus, unbiased

if TYPE_CHECKING:
    from ase import Atoms

SAME = 1e-4  # of an energy: sums and means of energies in single precision

WAY_OUT = (
    "Give several calculators, a committee (MACE with several models), or a `reader`."
)


def read(atoms: Atoms, *, forces: bool = True) -> Prediction:
    """Return what the calculator of one structure says, with its uncertainty.

    The mean is the calculator's own energy. The noise is zero: what a calculator says
    of its uncertainty is about its whole error, and to be calibrated.

    Args:
        atoms: with a calculator that understands one of the manners of the module.
        forces: whether forces and their uncertainties are asked for.

    Raises:
        InputError: there is no uncertainty, or a number is not finite.
        ShapeError: members or variances have another shape than their mean.
    """
    energy = float(atoms.get_potential_energy())
    pull = _tensor(atoms.get_forces(apply_constraint=False)) if forces else None
    results = dict(getattr(atoms.calc, "results", {}))
    count = len(atoms)
    members = _members(atoms, results, energy)
    variance = _deviation(atoms, results, "energy_uncertainty")
    if variance is None:
        variance = _spread(atoms, results, "energy", members)
    if variance is None:
        wanted = "offer members or an uncertainty"
        found = ", ".join(sorted(results)) or "no results"
        raise InputError(must("calculator", wanted, found, WAY_OUT))
    spread = moved = None
    if forces:
        moved = _tensor(results.get("forces_comm"))
        last = None if moved is not None else _ask(atoms, results, "forces_ensemble")
        moved = moved if last is None else last.movedim(-1, 0)
        # Deviations of forces are made of the members' forces: not twice.
        spread = _spread(atoms, results, "forces", moved)
        if spread is None:
            spread = _deviation(atoms, results, "forces_uncertainty")
    return _checked(
        Prediction(
            torch.tensor([energy], dtype=torch.float64),
            variance.reshape(-1),
            torch.zeros(1, dtype=torch.float64),
            forces=pull,
            local=_local(results, energy, count),
            force_variance=spread,
            members=None if members is None else members.reshape(-1, 1),
            member_forces=moved,
        ),
        count,
    )


@final
class Pretrained:
    """A potential that was trained elsewhere, in the place of a surrogate.

    `fit` trains nothing, so a potential can be one row of a comparison with surrogates
    that are trained. Calculators are made when they are first needed. Where energies
    count from other zeros than the data, as those of another code do, `aligned` finds
    the energy of an atom of each species that makes the difference.

    Args:
        *factories: A calculator class, or a function that returns a calculator; several
            are a committee.
        reader: Returns the prediction of one `ase.Atoms` with a calculator; for
            calculators that `read` does not understand.
        with_forces: Whether forces are asked for too.
        aligned: Whether `fit` adds energies of the species to meet those of the data.
        **arguments: Passed to each factory.

    Raises:
        InputError: there is no factory, or one cannot be called.
    """

    def __init__(
        self,
        *factories: Callable[..., Any],
        reader: Callable[[Atoms], Prediction] | None = None,
        with_forces: bool = True,
        aligned: bool = False,
        **arguments: object,
    ) -> None:
        if not factories or not all(callable(factory) for factory in factories):
            wanted = "be calculator classes, or functions that return calculators"
            found = [type(factory).__name__ for factory in factories]
            raise InputError(must("factories", wanted, found))
        self.factories = factories
        self.reader = reader
        self.with_forces = with_forces
        self.aligned = aligned
        self.arguments = arguments
        self.levels: dict[int, float] = {}
        self._calculators: list[Any] = []

    def fit(self, structures: Structures, space: object = None) -> Pretrained:
        """Return the potential as it is, or with other zeros of its energies.

        Raises:
            InputError: it is to be aligned, and an energy is missing.
        """
        if not self.aligned:
            return self
        energy = structures.energy
        if energy is None or not bool(energy.isfinite().all()):
            wanted = "be known where a potential is aligned with them"
            raise InputError(must("energy", wanted, "missing"))
        bare = self._copy({})
        gap = energy.cpu().double() - bare.predict(structures).mean
        species, counts = _composition(structures)
        levels = torch.linalg.pinv(counts) @ gap
        found = zip(species.tolist(), levels.tolist(), strict=True)
        return self._copy(dict(found))

    def predict(
        self, structures: Structures, *, covariance: bool = False
    ) -> Prediction:
        """Return energies, forces and their uncertainties of b structures.

        Args:
            structures: one energy is computed for each, and for each calculator.
            covariance: whether the covariance between the energies is wanted, which
                only members can tell.

        Raises:
            InputError: there is no uncertainty, a number is not finite, or there are no
                members to tell a covariance.
            ShapeError: members or variances have another shape than their mean.
        """
        parts = [self._one(atoms) for atoms in to_ase(structures)]
        found = self._levelled(Prediction.cat(parts), structures)
        if not covariance:
            return found
        if found.members is None:
            wanted = "offer members for a covariance"
            raise InputError(must("calculator", wanted, "a variance alone", WAY_OUT))
        shared = torch.cov(found.members.mT).reshape(2 * [len(found.mean)])
        return replace(found, covariance=shared)

    def description(self) -> dict[str, Any]:
        """Return what identifies the potential, ready for JSON."""
        return {
            "surrogate": "Pretrained",
            "factories": [name(factory) for factory in self.factories],
            "reader": None if self.reader is None else name(self.reader),
            "arguments": plain(self.arguments),
            "with_forces": self.with_forces,
            "aligned": self.aligned,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the calculators behind: the other process makes its own."""
        return {**self.__dict__, "_calculators": []}

    def _copy(self, levels: dict[int, float]) -> Pretrained:
        found = Pretrained(
            *self.factories,
            reader=self.reader,
            with_forces=self.with_forces,
            aligned=self.aligned,
            **self.arguments,
        )
        found.levels, found._calculators = levels, self._calculators
        return found

    def _levelled(self, found: Prediction, structures: Structures) -> Prediction:
        """Return a prediction with the energies of the species added."""
        if not self.levels:
            return found
        species, counts = _composition(structures)
        unknown = sorted(set(species.tolist()) - set(self.levels))
        if unknown:
            wanted = f"be of the species {sorted(self.levels)} it was aligned with"
            raise InputError(must("structures", wanted, unknown))
        level = counts.new_tensor([self.levels[z] for z in species.tolist()])
        shift = counts @ level
        place = torch.searchsorted(species, structures.numbers.cpu())
        local, members = found.local, found.members
        return replace(
            found,
            mean=found.mean + shift,
            local=None if local is None else local + level[place],
            members=None if members is None else members + shift,
        )

    def _one(self, atoms: Atoms) -> Prediction:
        if not self._calculators:
            self._calculators = [make(**self.arguments) for make in self.factories]
        if len(self._calculators) > 1:
            return committee(atoms, self._calculators, forces=self.with_forces)
        atoms.calc = self._calculators[0]
        if self.reader is not None:
            return self.reader(atoms)
        return read(atoms, forces=self.with_forces)


def _composition(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return the species, sorted, and how many atoms of each `[b, s]` there are."""
    numbers, index = structures.numbers.cpu(), structures.index.cpu()
    species, place = numbers.unique(return_inverse=True)
    one = torch.nn.functional.one_hot(place, len(species)).double()
    counts = one.new_zeros(len(structures), len(species)).index_add(0, index, one)
    return species, counts


def committee(
    atoms: Atoms, calculators: Sequence[Any], *, forces: bool = True
) -> Prediction:
    """Return mean (17) and spread (18) of several calculators of one structure.

    Equations of Grasselli et al., Digital Discovery 2025, 4, 2654. Potentials that
    were fitted to different methods differ by constants for each species: take them
    off before, or the spread is theirs.

    Raises:
        InputError: there is one calculator, or a number is not finite.
    """
    energies, pulls = [], []
    for calculator in calculators:
        image = atoms.copy()
        image.calc = calculator
        energies.append(float(image.get_potential_energy()))
        if forces:
            pulls.append(image.get_forces(apply_constraint=False))
    members = torch.tensor(energies, dtype=torch.float64).unsqueeze(1)
    energy = consensus(members)
    moved = _tensor(np.stack(pulls)) if forces else None
    force = None if moved is None else consensus(moved)
    return Prediction(
        energy.mean,
        energy.variance,
        torch.zeros_like(energy.mean),
        forces=None if force is None else force.mean,
        force_variance=None if force is None else force.variance,
        members=members,
        member_forces=moved,
    )


def _members(atoms: Atoms, results: dict[str, Any], energy: float) -> Tensor | None:
    """Return energies of members `[M]`, if there are any."""
    found = _tensor(results.get("energy_comm"))
    if found is not None:
        return found.reshape(-1)
    found = _tensor(results.get("energies"))
    if found is not None and "energy_var" in results:
        gap = abs(float(found.mean()) - energy)
        if found.ndim == 1 and gap <= SAME * max(1.0, abs(energy)):
            return found
    last = _ask(atoms, results, "energy_ensemble")
    return None if last is None else last.reshape(-1)


def _deviation(atoms: Atoms, results: dict[str, Any], what: str) -> Tensor | None:
    """Return the square of a deviation that the calculator knows by itself."""
    found = _ask(atoms, results, what)
    return None if found is None else found.square()


def _spread(
    atoms: Atoms, results: dict[str, Any], of: str, members: Tensor | None
) -> Tensor | None:
    """Return the variance of members, of the divisor M - 1."""
    if members is not None and len(members) > 1:
        return consensus(members).variance
    biased = _tensor(results.get(f"{of}_var"))
    if biased is None:
        return None
    count = getattr(atoms.calc, "num_models", None)
    unit = getattr(atoms.calc, "energy_units_to_eV", 1.0)
    if not isinstance(count, int) or unit != 1:
        wanted = "tell its members where its variances may have a wrong divisor or unit"
        found = f"{of}_var alone"
        raise InputError(must("calculator", wanted, found, "Give a `reader`."))
    return unbiased(biased, count)


def _ask(atoms: Atoms, results: dict[str, Any], what: str) -> Tensor | None:
    """Return one of the results, or what a method `get_...` says, if there is one."""
    if what in results:
        return _tensor(results[what])
    method = getattr(atoms.calc, f"get_{what}", None)
    if method is None:
        return None
    try:
        return _tensor(method(atoms))
    except NotImplementedError:  # models of one calculator differ in what they offer
        return None


def _local(results: dict[str, Any], energy: float, count: int) -> Tensor | None:
    """Return energies of atoms `[n]`, if they add up to the energy."""
    found = _tensor(results.get("energies"))
    if found is None or found.shape != (count,):
        return None
    gap = abs(float(found.sum()) - energy)
    return found if gap <= SAME * max(1.0, abs(energy)) else None


def _tensor(value: object) -> Tensor | None:
    if value is None:
        return None
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def _checked(found: Prediction, count: int) -> Prediction:
    """Return a prediction of one structure if its numbers fit and are finite."""
    per_force = {"forces", "force_variance", "member_forces"}
    for field, value in vars(found).items():
        if value is None:
            continue
        shape = (count, 3) if field in per_force else value.shape
        if tuple(value.shape[-2:]) != tuple(shape[-2:]):
            wanted = f"give {field} of shape {list(shape)}"
            raise ShapeError(must("calculator", wanted, list(value.shape)))
        if not bool(value.isfinite().all()):
            raise InputError(must("calculator", f"give a finite {field}", "another"))
    if len(found.variance) != 1:
        wanted = "give one variance of the energy"
        raise ShapeError(must("calculator", wanted, len(found.variance)))
    return found
