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
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.structures import Structures, to_ase
from bostruct.uncertainty import Prediction, ensemble_mean_variance, unbiased_variance

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_RTOL = 1e-4  # of an energy: sums and means of energies in single precision

UNCERTAINTY_HINT = (
    "Give several calculators, a committee (MACE with several models), or a `reader`."
)


def read_uncertainty(atoms: Atoms, *, forces: bool = True) -> Prediction:
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
    members = _member_energies(atoms, results, energy)
    variance = _variance_from_std(atoms, results, "energy_uncertainty")
    if variance is None:
        variance = _member_variance(atoms, results, "energy", members)
    if variance is None:
        wanted = "offer members or an uncertainty"
        found = ", ".join(sorted(results)) or "no results"
        raise InputError(error_message("calculator", wanted, found, UNCERTAINTY_HINT))
    spread = moved = None
    if forces:
        moved = _tensor(results.get("forces_comm"))
        last = None if moved is not None else _result_or_method(atoms, results, "forces_ensemble")
        moved = moved if last is None else last.movedim(-1, 0)
        # Deviations of forces are made of the members' forces: not twice.
        spread = _member_variance(atoms, results, "forces", moved)
        if spread is None:
            spread = _variance_from_std(atoms, results, "forces_uncertainty")
    return _validate(
        Prediction(
            torch.tensor([energy], dtype=torch.float64),
            variance.reshape(-1),
            torch.zeros(1, dtype=torch.float64),
            forces=pull,
            atomic_energies=_atomic_energies(results, energy, count),
            force_variance=spread,
            members=None if members is None else members.reshape(-1, 1),
            member_forces=moved,
        ),
        count,
    )


@final
class PretrainedPotential:
    """A potential that was trained elsewhere, in the place of a surrogate.

    `fit` trains nothing, so a potential can be one row of a comparison with surrogates
    that are trained. Calculators are made when they are first needed. Where energies
    count from other zeros than the data, as those of another code do, `shift_species_energies` finds
    the energy of an atom of each species that makes the difference.

    Args:
        *factories: A calculator class, or a function that returns a calculator; several
            are a committee.
        read_uncertainty: Returns the prediction of one `ase.Atoms` with a calculator; for
            calculators that `read` does not understand.
        with_forces: Whether forces are asked for too.
        shift_species_energies: Whether `fit` adds energies of the species to meet those of the data.
        **arguments: Passed to each factory.

    Raises:
        InputError: there is no factory, or one cannot be called.
    """

    supports_multiple_outcomes: ClassVar[bool] = False

    def __init__(
        self,
        *factories: Callable[..., Any],
        read_uncertainty: Callable[[Atoms], Prediction] | None = None,
        with_forces: bool = True,
        shift_species_energies: bool = False,
        **arguments: object,
    ) -> None:
        if not factories or not all(callable(factory) for factory in factories):
            wanted = "be calculator classes, or functions that return calculators"
            found = [type(factory).__name__ for factory in factories]
            raise InputError(error_message("factories", wanted, found))
        self.factories = factories
        self.read_uncertainty = read_uncertainty
        self.with_forces = with_forces
        self.shift_species_energies = shift_species_energies
        self.arguments = arguments
        self.species_shifts: dict[int, float] = {}
        self._calculators: list[Any] = []

    def fit(self, structures: Structures, space: object = None) -> PretrainedPotential:
        """Return the potential as it is, or with other zeros of its energies.

        Raises:
            InputError: it is to be aligned, and an energy is missing.
        """
        if not self.shift_species_energies:
            return self
        energy = structures.energy
        if energy is None or not bool(energy.isfinite().all()):
            wanted = "be known where a potential is aligned with them"
            raise InputError(error_message("energy", wanted, "missing"))
        bare = self._copy({})
        gap = energy.cpu().double() - bare.predict(structures).mean
        species, counts = _species_counts(structures)
        levels = torch.linalg.pinv(counts) @ gap
        found = zip(species.tolist(), levels.tolist(), strict=True)
        return self._copy(dict(found))

    def predict(self, structures: Structures, *, covariance: bool = False) -> Prediction:
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
        parts = [self._predict_one(atoms) for atoms in to_ase(structures)]
        found = self._shifted(Prediction.cat(parts), structures)
        if not covariance:
            return found
        if found.members is None:
            wanted = "offer members for a covariance"
            raise InputError(
                error_message("calculator", wanted, "a variance alone", UNCERTAINTY_HINT)
            )
        shared = torch.cov(found.members.mT).reshape(2 * [len(found.mean)])
        return replace(found, covariance=shared)

    def description(self) -> dict[str, Any]:
        """Return what identifies the potential, ready for JSON."""
        return {
            "type": "PretrainedPotential",
            "factories": [qualified_name(factory) for factory in self.factories],
            "read_uncertainty": None
            if self.read_uncertainty is None
            else qualified_name(self.read_uncertainty),
            "arguments": to_json_value(self.arguments),
            "with_forces": self.with_forces,
            "shift_species_energies": self.shift_species_energies,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the calculators behind: the other process makes its own."""
        return {**self.__dict__, "_calculators": []}

    def _copy(self, species_shifts: dict[int, float]) -> PretrainedPotential:
        found = PretrainedPotential(
            *self.factories,
            read_uncertainty=self.read_uncertainty,
            with_forces=self.with_forces,
            shift_species_energies=self.shift_species_energies,
            **self.arguments,
        )
        found.species_shifts, found._calculators = species_shifts, self._calculators
        return found

    def _shifted(self, prediction: Prediction, structures: Structures) -> Prediction:
        """Return a prediction with the energies of the species added."""
        if not self.species_shifts:
            return prediction
        species, counts = _species_counts(structures)
        unknown = sorted(set(species.tolist()) - set(self.species_shifts))
        if unknown:
            wanted = f"be of the species {sorted(self.species_shifts)} it was aligned with"
            raise InputError(error_message("structures", wanted, unknown))
        level = counts.new_tensor([self.species_shifts[z] for z in species.tolist()])
        shift = counts @ level
        place = torch.searchsorted(species, structures.numbers.cpu())
        local, members = prediction.atomic_energies, prediction.members
        return replace(
            prediction,
            mean=prediction.mean + shift,
            atomic_energies=None if local is None else local + level[place],
            members=None if members is None else members + shift,
        )

    def _predict_one(self, atoms: Atoms) -> Prediction:
        if not self._calculators:
            self._calculators = [make(**self.arguments) for make in self.factories]
        if len(self._calculators) > 1:
            return committee_prediction(atoms, self._calculators, forces=self.with_forces)
        atoms.calc = self._calculators[0]
        if self.read_uncertainty is not None:
            return self.read_uncertainty(atoms)
        return read_uncertainty(atoms, forces=self.with_forces)


def _species_counts(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return the species, sorted, and how many atoms of each `[b, s]` there are."""
    numbers, index = structures.numbers.cpu(), structures.index.cpu()
    species, place = numbers.unique(return_inverse=True)
    one = torch.nn.functional.one_hot(place, len(species)).double()
    counts = one.new_zeros(len(structures), len(species)).index_add(0, index, one)
    return species, counts


def committee_prediction(
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
    energy = ensemble_mean_variance(members)
    moved = _tensor(np.stack(pulls)) if forces else None
    force = None if moved is None else ensemble_mean_variance(moved)
    return Prediction(
        energy.mean,
        energy.variance,
        torch.zeros_like(energy.mean),
        forces=None if force is None else force.mean,
        force_variance=None if force is None else force.variance,
        members=members,
        member_forces=moved,
    )


def _member_energies(atoms: Atoms, results: dict[str, Any], energy: float) -> Tensor | None:
    """Return energies of members `[M]`, if there are any."""
    found = _tensor(results.get("energy_comm"))
    if found is not None:
        return found.reshape(-1)
    found = _tensor(results.get("energies"))
    if found is not None and "energy_var" in results:
        gap = abs(float(found.mean()) - energy)
        if found.ndim == 1 and gap <= ENERGY_RTOL * max(1.0, abs(energy)):
            return found
    last = _result_or_method(atoms, results, "energy_ensemble")
    return None if last is None else last.reshape(-1)


def _variance_from_std(atoms: Atoms, results: dict[str, Any], key: str) -> Tensor | None:
    """Return the square of a deviation that the calculator knows by itself."""
    found = _result_or_method(atoms, results, key)
    return None if found is None else found.square()


def _member_variance(
    atoms: Atoms, results: dict[str, Any], quantity: str, members: Tensor | None
) -> Tensor | None:
    """Return the variance of members, of the divisor M - 1."""
    if members is not None and len(members) > 1:
        return ensemble_mean_variance(members).variance
    biased = _tensor(results.get(f"{quantity}_var"))
    if biased is None:
        return None
    count = getattr(atoms.calc, "num_models", None)
    unit = getattr(atoms.calc, "energy_units_to_eV", 1.0)
    if not isinstance(count, int) or unit != 1:
        wanted = "tell its members where its variances may have a wrong divisor or unit"
        found = f"{quantity}_var alone"
        raise InputError(error_message("calculator", wanted, found, "Give a `reader`."))
    return unbiased_variance(biased, count)


def _result_or_method(atoms: Atoms, results: dict[str, Any], key: str) -> Tensor | None:
    """Return one of the results, or what a method `get_...` says, if there is one."""
    if key in results:
        return _tensor(results[key])
    method = getattr(atoms.calc, f"get_{key}", None)
    if method is None:
        return None
    try:
        return _tensor(method(atoms))
    except NotImplementedError:  # models of one calculator differ in what they offer
        return None


def _atomic_energies(results: dict[str, Any], energy: float, n_atoms: int) -> Tensor | None:
    """Return energies of atoms `[n]`, if they add up to the energy."""
    found = _tensor(results.get("energies"))
    if found is None or found.shape != (n_atoms,):
        return None
    gap = abs(float(found.sum()) - energy)
    return found if gap <= ENERGY_RTOL * max(1.0, abs(energy)) else None


def _tensor(value: object) -> Tensor | None:
    if value is None:
        return None
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def _validate(prediction: Prediction, n_atoms: int) -> Prediction:
    """Return a prediction of one structure if its numbers fit and are finite."""
    per_force = {"forces", "force_variance", "member_forces"}
    for field, value in vars(prediction).items():
        if value is None:
            continue
        shape = (n_atoms, 3) if field in per_force else value.shape
        if tuple(value.shape[-2:]) != tuple(shape[-2:]):
            wanted = f"give {field} of shape {list(shape)}"
            raise ShapeError(error_message("calculator", wanted, list(value.shape)))
        if not bool(value.isfinite().all()):
            raise InputError(error_message("calculator", f"give a finite {field}", "another"))
    if len(prediction.variance) != 1:
        wanted = "give one variance of the energy"
        raise ShapeError(error_message("calculator", wanted, len(prediction.variance)))
    return prediction
