"""Thermodynamic, mechanical and economic properties of alloys, from an ASE calculator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final, get_args

import torch

from bostruct.errors import (
    InputError,
    check_choice,
    check_count,
    check_positive,
    error_message,
)
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.elastic_constants import (
    ElasticConstants,
    Symmetry,
    compute_elastic_constants,
)
from bostruct.evaluators.alloys.element_references import (
    ElementReference,
    check_references,
    element_crystal,
    element_reference,
)
from bostruct.evaluators.alloys.equation_of_state import (
    EquationOfStateFit,
    compute_equation_of_state,
)
from bostruct.evaluators.alloys.prices import PRICE_SOURCE
from bostruct.evaluators.alloys.property_checks import (
    BULK_MODULUS,
    DERIVED_FROM,
    ELASTIC_ERROR,
    ELASTIC_PROPERTIES,
    VALID_RANGES,
    elastic_properties,
    element_enthalpy,
    eos_properties,
    price_property,
    relaxed_properties,
)
from bostruct.evaluators.alloys.relaxation import Relaxation, relax_crystal, validated_crystal
from bostruct.evaluators.base import Evaluation, Failure, check_evaluation, evaluation_limits
from bostruct.evaluators.calculator import Calculator
from bostruct.evaluators.calculator_instances import CalculatorInstances
from bostruct.evaluators.initial_moments import (
    check_magnetic_moments,
    element_moment,
    set_magnetic_moments,
)
from bostruct.evaluators.quarantine import ValidRange, check_valid_ranges, split_quarantined
from bostruct.runtime.callable_name import qualified_name
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

IonRelaxation = Literal["clamped", "relaxed"]

Fit = TypeVar("Fit", EquationOfStateFit, ElasticConstants)


@final
class AlloyProperties:
    """Mixing enthalpy, volume, moduli, density and price of one crystal.

    Energy and forces are those of the structure as it came, as with any evaluator; the properties
    are those of the relaxed crystal, by name:

        mixing_enthalpy_eV_per_atom   against the pure elements, each relaxed once in its own
                                      crystal; exactly 0 for such an element
        energy_eV_per_atom            of the relaxed crystal
        volume_A3_per_atom            of the relaxed crystal
        density_g_per_cm3             of mass, of the relaxed crystal
        price_usd_per_kg_2013         of the elements, in 2013
        bulk_modulus_GPa              from seven volumes (Birch-Murnaghan), with
        bulk_modulus_error_GPa        the standard error of the fit

    and with `elastic`

        C11_GPa C12_GPa C44_GPa       with elastic_error_GPa, the violation of symmetry
        shear_modulus_GPa             Hill's mean
        pugh_ratio                    bulk by shear modulus; large is ductile
        cauchy_pressure_GPa           C12 - C44; positive is ductile

    A value outside its valid range, or one that the calculation itself contradicts, goes into
    quarantine: `quarantined_properties(evaluation)` returns it with the reason,
    `trusted_properties` the others. An energy beyond the limits of the `Calculator` is a failure. A
    crystal whose relaxation does not converge keeps its energy, forces and price.

    The pure elements begin with the magnetic moments of the alloy, so that a calculator which finds
    a magnet from an initial moment finds it in both or in none.

    A structure that cannot be computed is a `Failure` before the calculator is called: it is no
    crystal, has fixed atoms, its atoms overlap, or the calculator or the references lack one of its
    elements.

    Args:
        calculator: ASE calculator class, a function that returns a calculator, or a `Calculator`.
            It must have stresses; ASE's `FiniteDifferenceCalculator` adds them to any other.
        relaxation: "hydrostatic" keeps the shape of the cell, "cell" relaxes it.
        elastic: None leaves elastic constants out; "cubic" computes them of cubic crystals only,
            "average" also the nearest cubic ones of any other, in the axes of the coordinates.
        ions: "clamped" keeps fractional coordinates under strain, which overestimates moduli of
            disordered crystals; "relaxed" relaxes them, at a higher cost.
        references: Reference of an element by symbol: its energy in eV per atom, or the crystal
            in which to relax it ("fcc", "bcc", "hcp", "diamond"). Other elements are relaxed in
            ASE's reference state.
        elements: Elements that the calculator supports; None knows those of EMT, and otherwise
            computes each element by itself first.
        valid_ranges: Least and greatest trusted value of a property by name, None for no bound.
            `VALID_RANGES` holds for properties not named.
        max_relative_error: Largest trusted relative error of a modulus.
        min_distance_factor: Least valid distance of two atoms, in sums of their covalent radii.
        fmax: Relaxation tolerance of the force on an atom and of the virial per atom, eV/Å.
        max_steps: Largest number of steps of a relaxation.
        magnetic_moments: Initial moment by element, μB, as in `{"Ni": 0.6}`, of the pure elements
            and of atoms that carry none of their own. By default those of the `Calculator`; without
            any, an element begins with the mean magnitude of its moments in the structure.

    >>> from ase.calculators.emt import EMT
    >>> AlloyProperties(EMT, elastic="cubic").description()["elastic"]
    'cubic'
    """

    def __init__(
        self,
        calculator: Calculator | Callable[..., Any],
        *,
        relaxation: Relaxation = "hydrostatic",
        elastic: Symmetry | None = None,
        ions: IonRelaxation = "clamped",
        references: Mapping[str, float | str] | None = None,
        elements: Collection[str] | None = None,
        valid_ranges: Mapping[str, ValidRange] | None = None,
        max_relative_error: float = 0.1,
        min_distance_factor: float = 0.6,
        fmax: float = 0.002,
        max_steps: int = 300,
        magnetic_moments: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(calculator, Calculator):
            calculator = Calculator(calculator)
        self.calculator = calculator
        self.relaxation = check_choice("relaxation", relaxation, get_args(Relaxation))
        self.elastic = check_choice("elastic", elastic, (None, *get_args(Symmetry)))
        self.ions = check_choice("ions", ions, get_args(IonRelaxation))
        self.references = check_references(references or {})
        self.elements = _supported_elements(calculator, elements)
        self.valid_ranges = check_valid_ranges(valid_ranges or {}, VALID_RANGES)
        self.max_relative_error = check_positive("max_relative_error", max_relative_error)
        self.min_distance_factor = check_positive("min_distance_factor", min_distance_factor)
        self.fmax = check_positive("fmax", fmax)
        self.max_steps = check_count("max_steps", max_steps)
        self.magnetic_moments = (
            calculator.magnetic_moments
            if magnetic_moments is None
            else check_magnetic_moments(magnetic_moments)
        )
        self.maximum_energy = calculator.maximum_energy
        self.maximum_force = calculator.maximum_force
        self.valid_range = calculator.valid_range
        self._instances = CalculatorInstances(
            calculator.factory, calculator.arguments, _check_has_stress
        )
        _check_has_stress(calculator.factory)

    @property
    def property_names(self) -> frozenset[str]:
        """The names of the properties that it returns."""
        omitted = () if self.elastic is not None else (*ELASTIC_PROPERTIES, ELASTIC_ERROR)
        return frozenset(VALID_RANGES).difference(omitted)

    def validate(self, structures: Structures) -> None:
        """Raise an error if a structure cannot be computed, without calling the calculator.

        Args:
            structures: Any number of structures, such as all of a pool.

        Raises:
            ShapeError: a structure is empty.
            InputError: a structure is no crystal, its atoms overlap, or there is no energy for one
                of its elements.
        """
        for i, structure in enumerate(structures):
            try:
                self._validated_crystal(structure)
            except InputError as error:
                raise type(error)(f"{error} It is structure {i}.") from error

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy, forces and properties of one structure."""
        try:
            atoms = self._validated_crystal(structures)
            with self._instances.lend() as calculator:
                return self._evaluate(atoms, calculator)
        except InputError as error:
            return Failure(str(error))

    def _evaluate(self, atoms: Atoms, calculator: Any) -> Evaluation | Failure:  # noqa: ANN401
        """Return energy, forces and properties of a valid crystal."""
        try:
            elements = self._element_references(atoms, calculator)
        except InputError as error:
            # It is no fault of this structure.
            return Failure(str(error), retryable=True)
        atoms.calc = calculator
        energy = float(atoms.get_potential_energy())
        outcome = check_evaluation(
            Evaluation(energy, torch.as_tensor(atoms.get_forces())),
            len(atoms),
            **evaluation_limits(self),
        )
        if isinstance(outcome, Failure):
            return outcome
        reference_energy = sum(elements[s].energy for s in atoms.get_chemical_symbols())
        lower = self.valid_ranges[MIXING_ENTHALPY][0]
        if lower is not None and energy - reference_energy < lower * len(atoms):
            enthalpy = (energy - reference_energy) / len(atoms)
            return Failure(
                f"the energy is absurd: {enthalpy:.4g} eV per atom against the elements "
                f"is below the valid range of {MIXING_ENTHALPY}, {lower:g} eV"
            )
        values, doubts, provenance = self._relaxed_crystal_properties(
            atoms, energy, reference_energy
        )
        properties, reasons = split_quarantined(values, self.valid_ranges, doubts, DERIVED_FROM)
        return Evaluation(
            energy,
            outcome.forces,
            properties,
            provenance={
                "calculator": qualified_name(type(calculator)),
                "price": PRICE_SOURCE,
                **{f"reference.{s}": f"{r.energy:.6f} eV per atom" for s, r in elements.items()},
                **provenance,
                **reasons,
            },
        )

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the evaluator, as JSON values."""
        return {
            "type": "AlloyProperties",
            "calculator": self.calculator.description(),
            "relaxation": self.relaxation,
            "elastic": self.elastic,
            "ions": self.ions,
            "references": dict(sorted(self.references.items())),
            "elements": None if self.elements is None else sorted(self.elements),
            "valid_ranges": {k: list(v) for k, v in sorted(self.valid_ranges.items())},
            "max_relative_error": self.max_relative_error,
            "min_distance_factor": self.min_distance_factor,
            "fmax": self.fmax,
            "max_steps": self.max_steps,
            **({"magnetic_moments": self.magnetic_moments} if self.magnetic_moments else {}),
        }

    def _relaxed_crystal_properties(
        self, atoms: Atoms, initial_energy: float, reference_energy: float
    ) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
        """Return values, doubts and provenance; relax the atoms in place."""
        values, doubts = price_property(Counter(atoms.get_chemical_symbols()))
        relaxed = relax_crystal(atoms, self.relaxation, self.fmax, self.max_steps)
        provenance = {
            "relaxation": f"{self.relaxation}, {relaxed.n_steps} steps, {relaxed.max_force:.2g} "
            f"eV/Å and {relaxed.residual_pressure:.2g} GPa left"
        }
        volume, mass = atoms.get_volume(), float(atoms.get_masses().sum())
        parts = [
            relaxed_properties(relaxed, initial_energy, volume, mass, len(atoms), reference_energy)
        ]
        eos = self._strained_crystal_fit(
            EquationOfStateFit, compute_equation_of_state, relaxed.reason, atoms
        )
        parts.append(eos_properties(eos, relaxed, volume, len(atoms), self.max_relative_error))
        if self.elastic is not None:
            constants = self._strained_crystal_fit(
                ElasticConstants, compute_elastic_constants, relaxed.reason, atoms, self.elastic
            )
            bulk = None if BULK_MODULUS in parts[-1][1] else parts[-1][0][BULK_MODULUS]
            parts.append(elastic_properties(constants, bulk, self.max_relative_error))
        for more_values, more_doubts in parts:
            values |= more_values
            doubts |= more_doubts
        if len(set(atoms.symbols)) == 1:
            values[MIXING_ENTHALPY] = element_enthalpy(values[MIXING_ENTHALPY], self.fmax)
        return values, doubts, provenance

    def _strained_crystal_fit(
        self, fit: type[Fit], compute: Callable[..., Fit], reason: str, *arguments: object
    ) -> Fit:
        """Return the fit to a strained crystal that has no `reason` not to be relaxed."""
        if reason:
            return fit(reason=reason)
        fmax = self.fmax if self.ions == "relaxed" else None
        try:
            return compute(*arguments, ion_fmax=fmax, max_steps=self.max_steps)
        except Exception as error:  # noqa: BLE001 - foreign code; other properties are known
            self._instances.drop()
            return fit(reason=f"the calculator raised {type(error).__name__}: {error}")

    def _validated_crystal(self, structures: Structures) -> Atoms:
        """Return the crystal if it can be computed, as far as that is known for free."""
        symbols = {SYMBOLS[z] for z in structures.numbers.tolist()}
        if self.elements is not None and (missing := symbols - self.elements):
            condition = "hold elements that the calculator has"
            value, way_out = (
                ", ".join(sorted(missing)),
                f"It has {', '.join(sorted(self.elements))}.",
            )
            raise InputError(error_message("structures", condition, value, way_out))
        if "X" in symbols:
            way_out = "Leave vacant sites out."
            raise InputError(error_message("structures", "hold atoms", "the dummy X", way_out))
        for symbol in sorted(symbols):
            reference = self.references.get(symbol)
            if reference is None or isinstance(reference, str):
                element_crystal(symbol, reference)
        atoms = validated_crystal(structures, self.min_distance_factor)
        set_magnetic_moments(atoms, structures, self.magnetic_moments)
        atoms.info = {**self.calculator.info, **atoms.info}
        return atoms

    def _element_references(self, atoms: Atoms, calculator: object) -> dict[str, ElementReference]:
        """Return the references of the elements of a crystal, relaxed unless in the cache."""
        factory, arguments = self.calculator.factory, self.calculator.arguments
        references = {}
        for symbol in sorted(set(atoms.get_chemical_symbols())):
            try:
                references[symbol] = element_reference(
                    symbol,
                    lambda: calculator,
                    {"factory": factory, "arguments": arguments},
                    energy_or_crystal=self.references.get(symbol),
                    fmax=self.fmax,
                    max_steps=self.max_steps,
                    max_relative_error=self.max_relative_error,
                    magnetic_moment=element_moment(atoms, symbol, self.magnetic_moments),
                    info=self.calculator.info,
                )
            except InputError:
                raise
            except Exception as error:  # foreign code, any error
                reason = f"{type(error).__name__}: {error}"
                way_out = f"Or give references={{{symbol!r}: eV per atom}}."
                condition = f"have the energy of {symbol} by itself"
                text = error_message("calculator", condition, reason, way_out)
                raise InputError(text) from error
        return references


def _supported_elements(
    calculator: Calculator, elements: Collection[str] | None
) -> frozenset[str] | None:
    """Return the elements that a calculator supports, where that is known."""
    if elements is not None:
        wrong = [symbol for symbol in elements if symbol not in SYMBOLS[1:]]
        if wrong or not elements:
            value = ", ".join(map(str, wrong)) or "none"
            raise InputError(error_message("elements", "be chemical symbols", value))
        return frozenset(elements)
    if qualified_name(calculator.factory) == "ase.calculators.emt.EMT":
        from ase.calculators.emt import parameters

        return frozenset(parameters)
    return None


def _check_has_stress(calculator: object) -> None:
    """Raise an error if an ASE calculator, or its class, says that it has no stresses."""
    implemented_properties = getattr(calculator, "implemented_properties", None)
    if implemented_properties is not None and "stress" not in implemented_properties:
        way_out = "ase.calculators.fd.FiniteDifferenceCalculator adds them."
        raise InputError(error_message("calculator", "have stresses", "one without", way_out))
