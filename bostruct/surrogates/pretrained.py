"""Potentials that were trained elsewhere, with their own uncertainty.

Calculators of ASE have no common name for an uncertainty. Understood are

    energy_comm [M], forces_comm [M, n, 3]      members (MACE)
    energies [M] beside energy_var              members (MACE, older and magnetic);
                                                 else `energies` are ASE's, of atoms
    energy_var, forces_var and M                variances of divisor M (MACE)
    energy_ensemble [M], forces_ensemble [n, 3, M]    members, and
    energy_uncertainty, forces_uncertainty      standard deviations (metatomic, upet), among
                                                 the results or as `get_...(atoms)`
    several calculators                         members of a committee

Mean and variance of members are (17) and (18) of Grasselli et al., Digital Discovery 2025, 4, 2654,
with the divisor M - 1: variances of MACE have the divisor M and, in older versions, a wrong unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
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
    "Give several calculators, a committee (MACE with several models), or `read_uncertainty`."
)


def read_uncertainty(atoms: Atoms, *, forces: bool = True) -> Prediction:
    """Return the prediction of the calculator of one structure, with its uncertainty.

    The mean is the calculator's own energy. The noise is zero: the uncertainty of a calculator is
    about its whole error, and to be calibrated.

    Args:
        atoms: One structure, with a calculator that the module understands.
        forces: True for forces and their uncertainties, too.

    Raises:
        InputError: there is no uncertainty, or a number is not finite.
        ShapeError: members or variances have another shape than their mean.
    """
    energy = float(atoms.get_potential_energy())
    mean_forces = _tensor(atoms.get_forces(apply_constraint=False)) if forces else None
    results = dict(getattr(atoms.calc, "results", {}))
    members = _member_energies(atoms, results, energy)
    variance = _variance_from_std(atoms, results, "energy_uncertainty")
    if variance is None:
        variance = _member_variance(atoms, results, "energy", members)
    if variance is None:
        names = ", ".join(sorted(results)) or "no results"
        condition = "offer members or an uncertainty"
        raise InputError(error_message("calculator", condition, names, UNCERTAINTY_HINT))
    force_variance = member_forces = None
    if forces:
        member_forces = _tensor(results.get("forces_comm"))
        if member_forces is None:
            ensemble = _result_or_method(atoms, results, "forces_ensemble")
            member_forces = None if ensemble is None else ensemble.movedim(-1, 0)
        # Standard deviations of forces are made of the members' forces: not twice.
        force_variance = _member_variance(atoms, results, "forces", member_forces)
        if force_variance is None:
            force_variance = _variance_from_std(atoms, results, "forces_uncertainty")
    prediction = Prediction(
        torch.tensor([energy], dtype=torch.float64),
        variance.reshape(-1),
        torch.zeros(1, dtype=torch.float64),
        forces=mean_forces,
        atomic_energies=_atomic_energies(results, energy, len(atoms)),
        force_variance=force_variance,
        force_noise_variance=None if force_variance is None else torch.zeros_like(force_variance),
        members=None if members is None else members.reshape(-1, 1),
        member_forces=member_forces,
    )
    return _validate(prediction, len(atoms))


@final
class PretrainedPotential:
    """A potential that was trained elsewhere, with the interface of a surrogate.

    `fit` trains nothing, so that a potential can be compared with surrogates that are trained.
    Calculators are made when they are first needed. Where energies have another zero than the data,
    as those of another code do, `shift_species_energies` fits an energy for each species.

    Args:
        *factories: Calculator classes, or functions that return a calculator; several are a
            committee.
        read_uncertainty: Returns the prediction of one `ase.Atoms` with a calculator; for
            calculators that `bostruct.surrogates.read_uncertainty` does not understand.
        with_forces: True to predict forces, too.
        shift_species_energies: True for `fit` to add an energy for each species to meet the data.
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
            condition = "be calculator classes, or functions that return calculators"
            names = [type(factory).__name__ for factory in factories]
            raise InputError(error_message("factories", condition, names))
        self.factories = factories
        self.read_uncertainty = read_uncertainty
        self.with_forces = with_forces
        self.shift_species_energies = shift_species_energies
        self.arguments = arguments
        self.species_shifts: dict[int, float] = {}
        self._calculators: list[Any] = []

    def fit(self, structures: Structures, space: object = None) -> PretrainedPotential:
        """Return the potential as it is, or with energies of the species added.

        Raises:
            InputError: energies are to be shifted, and one is missing.
        """
        if not self.shift_species_energies:
            return self
        energy = structures.energy
        if energy is None or not bool(energy.isfinite().all()):
            condition = "be known where a potential is aligned with them"
            raise InputError(error_message("energy", condition, "missing"))
        residual = energy.cpu().double() - self._copy({}).predict(structures).mean
        species, counts = _species_counts(structures)
        shifts = torch.linalg.pinv(counts) @ residual
        return self._copy(dict(zip(species.tolist(), shifts.tolist(), strict=True)))

    def predict(self, structures: Structures, *, covariance: bool = False) -> Prediction:
        """Return energies, forces and their uncertainties of b structures.

        Args:
            structures: One energy is computed for each, and for each calculator.
            covariance: Also the covariance between the energies, for which there must be members.

        Raises:
            InputError: there is no uncertainty, a number is not finite, or there are no members for
                a covariance.
            ShapeError: members or variances have another shape than their mean.
        """
        predictions = [self._predict_one(atoms) for atoms in to_ase(structures)]
        prediction = self._shifted(Prediction.cat(predictions), structures)
        if not covariance:
            return prediction
        if prediction.members is None:
            condition, given = "offer members for a covariance", "a variance alone"
            raise InputError(error_message("calculator", condition, given, UNCERTAINTY_HINT))
        between = torch.cov(prediction.members.mT).reshape(2 * [len(prediction.mean)])
        return replace(prediction, covariance=between)

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        read = self.read_uncertainty
        return {
            "type": "PretrainedPotential",
            "factories": [qualified_name(factory) for factory in self.factories],
            "read_uncertainty": None if read is None else qualified_name(read),
            "arguments": to_json_value(self.arguments),
            "with_forces": self.with_forces,
            "shift_species_energies": self.shift_species_energies,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the calculators behind: another process makes its own."""
        return {**self.__dict__, "_calculators": []}

    def _copy(self, species_shifts: dict[int, float]) -> PretrainedPotential:
        potential = copy(self)
        potential.species_shifts, potential._calculators = species_shifts, self._calculators
        return potential

    def _shifted(self, prediction: Prediction, structures: Structures) -> Prediction:
        """Return a prediction with the energies of the species added."""
        if not self.species_shifts:
            return prediction
        species, counts = _species_counts(structures)
        unknown = sorted(set(species.tolist()) - set(self.species_shifts))
        if unknown:
            condition = f"be of the species {sorted(self.species_shifts)} it was aligned with"
            raise InputError(error_message("structures", condition, unknown))
        shifts = counts.new_tensor([self.species_shifts[z] for z in species.tolist()])
        shift, index = counts @ shifts, torch.searchsorted(species, structures.numbers.cpu())
        atomic_energies, members = prediction.atomic_energies, prediction.members
        return replace(
            prediction,
            mean=prediction.mean + shift,
            atomic_energies=None if atomic_energies is None else atomic_energies + shifts[index],
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
    """Return the species, sorted, and the number of atoms of each, `[b, s]`."""
    species, index = structures.numbers.cpu().unique(return_inverse=True)
    one_hot = torch.nn.functional.one_hot(index, len(species)).double()
    counts = one_hot.new_zeros(len(structures), len(species))
    return species, counts.index_add(0, structures.index.cpu(), one_hot)


def committee_prediction(
    atoms: Atoms, calculators: Sequence[Any], *, forces: bool = True
) -> Prediction:
    """Return mean (17) and variance (18) of several calculators of one structure.

    Equations of Grasselli et al., Digital Discovery 2025, 4, 2654. Potentials fitted to different
    methods differ by constants for each species: subtract these first, or they count as variance.

    Raises:
        InputError: there is one calculator, or a number is not finite.
    """
    energies, all_forces = [], []
    for calculator in calculators:
        image = atoms.copy()
        image.calc = calculator
        energies.append(float(image.get_potential_energy()))
        if forces:
            all_forces.append(image.get_forces(apply_constraint=False))
    members = torch.tensor(energies, dtype=torch.float64).unsqueeze(1)
    energy = ensemble_mean_variance(members)
    member_forces = _tensor(np.stack(all_forces)) if forces else None
    force = None if member_forces is None else ensemble_mean_variance(member_forces)
    return Prediction(
        energy.mean,
        energy.variance,
        torch.zeros_like(energy.mean),
        forces=None if force is None else force.mean,
        force_variance=None if force is None else force.variance,
        force_noise_variance=None if force is None else torch.zeros_like(force.variance),
        members=members,
        member_forces=member_forces,
    )


def _member_energies(atoms: Atoms, results: dict[str, Any], energy: float) -> Tensor | None:
    """Return energies of members `[M]`, if there are any."""
    members = _tensor(results.get("energy_comm"))
    if members is not None:
        return members.reshape(-1)
    members = _tensor(results.get("energies"))
    if members is not None and members.ndim == 1 and "energy_var" in results:
        gap = abs(float(members.mean()) - energy)
        if gap <= ENERGY_RTOL * max(1.0, abs(energy)):
            return members
    members = _result_or_method(atoms, results, "energy_ensemble")
    return None if members is None else members.reshape(-1)


def _variance_from_std(atoms: Atoms, results: dict[str, Any], key: str) -> Tensor | None:
    """Return the square of a standard deviation that the calculator gives itself."""
    std = _result_or_method(atoms, results, key)
    return None if std is None else std.square()


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
    if not isinstance(count, int) or getattr(atoms.calc, "energy_units_to_eV", 1.0) != 1:
        condition = "give its members where its variances may have a wrong divisor or unit"
        hint = "Give `read_uncertainty`."
        raise InputError(error_message("calculator", condition, f"{quantity}_var alone", hint))
    return unbiased_variance(biased, count)


def _result_or_method(atoms: Atoms, results: dict[str, Any], key: str) -> Tensor | None:
    """Return one of the results, or the value of a method `get_...`, if there is one."""
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
    energies = _tensor(results.get("energies"))
    if energies is None or energies.shape != (n_atoms,):
        return None
    gap = abs(float(energies.sum()) - energy)
    return energies if gap <= ENERGY_RTOL * max(1.0, abs(energy)) else None


def _tensor(value: object) -> Tensor | None:
    if value is None:
        return None
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def _validate(prediction: Prediction, n_atoms: int) -> Prediction:
    """Return a prediction of one structure if its numbers fit and are finite."""
    per_force = {"forces", "force_variance", "force_noise_variance", "member_forces"}
    for field, value in vars(prediction).items():
        if value is None:
            continue
        shape = (n_atoms, 3) if field in per_force else value.shape
        if tuple(value.shape[-2:]) != tuple(shape[-2:]):
            condition = f"give {field} of shape {list(shape)}"
            raise ShapeError(error_message("calculator", condition, list(value.shape)))
        if not bool(value.isfinite().all()):
            raise InputError(error_message("calculator", f"give a finite {field}", "another"))
    if len(prediction.variance) != 1:
        condition = "give one variance of the energy"
        raise ShapeError(error_message("calculator", condition, len(prediction.variance)))
    return prediction
