"""What makes an alloy worth having, from an ASE calculator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, final

import torch

from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.evaluators.alloys.convex_hull import ENTHALPY
from bostruct.evaluators.alloys.elastic_constants import Elastic, Symmetry, elastic
from bostruct.evaluators.alloys.element_references import (
    Reference,
    check_references,
    element,
    reference,
)
from bostruct.evaluators.alloys.equation_of_state import Curve, curve
from bostruct.evaluators.alloys.prices import SOURCE
from bostruct.evaluators.alloys.property_checks import (
    BULK,
    ELASTIC_ERROR,
    MODULI,
    RESTS,
    WINDOWS,
    compressed,
    own,
    priced,
    rested,
    stretched,
)
from bostruct.evaluators.alloys.relaxation import Relaxation, crystal, relax
from bostruct.evaluators.base import Evaluation, Failure, check
from bostruct.evaluators.calculator import Calculator
from bostruct.evaluators.quarantine import Window, check_windows, separate
from bostruct.runtime.callable_name import name
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms

Ions = Literal["clamped", "relaxed"]


@final
class AlloyProperties:
    """Enthalpy, volume, moduli, density and price of one crystal.

    Energy and forces are those of the structure as it came, as with any evaluator; the
    properties are those of the crystal at rest, by name:

        mixing_enthalpy_eV_per_atom   against the elements by themselves, each relaxed
                                      once in its own crystal; exactly 0 of such one
        energy_eV_per_atom            at rest
        volume_A3_per_atom            at rest
        density_g_per_cm3             of mass, at rest
        price_usd_per_kg_2013         of the elements, in 2013
        bulk_modulus_GPa              from seven volumes (Birch-Murnaghan), with
        bulk_modulus_error_GPa        the standard error of the fit

    and with `elastic`

        C11_GPa C12_GPa C44_GPa       with elastic_error_GPa, what symmetry forbids
        shear_modulus_GPa             Hill's mean
        pugh_ratio                    bulk by shear modulus; large is ductile
        cauchy_pressure_GPa           C12 - C44; positive is ductile

    A value outside its window, or one that the calculation itself contradicts, goes
    into quarantine: `quarantined(evaluation)` has it with the reason, `valid` has the
    others. A crystal that does not come to rest keeps its energy, forces and price.

    What cannot be computed is a `Failure` before the calculator is called: no crystal,
    overlapping atoms, an element that the calculator or the references lack.

    Args:
        calculator: An ASE calculator class, a function that returns a calculator, or a
            `Calculator`. It must have stresses; ASE's `FiniteDifferenceCalculator`
            gives them to any other.
        relaxation: "hydrostatic" keeps the shape of the cell, "cell" relaxes it.
        elastic: None leaves elastic constants out; "cubic" takes them of cubic crystals
            alone, "average" takes the nearest cubic ones of any other, in the axes of
            the coordinates.
        ions: "clamped" keeps fractional coordinates under strain, which overestimates
            moduli of disordered crystals; "relaxed" relaxes them, and costs more.
        references: Of an element: its energy in eV per atom, or the crystal in which
            to relax it ("fcc", "bcc", "hcp", "diamond"). Others are in ASE's reference
            state.
        elements: What the calculator has; None knows it of EMT alone, and otherwise
            asks the calculator for each element by itself first.
        windows: Of properties by name: the least and the greatest value to believe,
            None for no bound. `WINDOWS` are taken for those not named.
        error: Largest relative error of a modulus that is believed.
        overlap: Atoms nearer than this share of their covalent radii are refused.
        force: What may be left on an atom and of the virial per atom, eV/Å.
        steps: Most steps of a relaxation.

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
        ions: Ions = "clamped",
        references: Mapping[str, float | str] | None = None,
        elements: Collection[str] | None = None,
        windows: Mapping[str, Window] | None = None,
        error: float = 0.1,
        overlap: float = 0.6,
        force: float = 0.002,
        steps: int = 300,
    ) -> None:
        if not isinstance(calculator, Calculator):
            calculator = Calculator(calculator)
        self.calculator = calculator
        self.relaxation = _one("relaxation", relaxation, ("hydrostatic", "cell"))
        self.elastic = _one("elastic", elastic, (None, "cubic", "average"))
        self.ions = _one("ions", ions, ("clamped", "relaxed"))
        self.references = check_references(references or {})
        self.elements = _elements(calculator, elements)
        self.windows = check_windows(windows or {}, WINDOWS)
        self.error = check_positive("error", error)
        self.overlap = check_positive("overlap", overlap)
        self.force = check_positive("force", force)
        self.steps = check_count("steps", steps)
        self.maximum_energy = calculator.maximum_energy
        self.maximum_force = calculator.maximum_force
        self._made: Any = None
        offered = getattr(calculator.factory, "implemented_properties", None)
        _refuse_without_stress(offered)

    @property
    def offers(self) -> frozenset[str]:
        """The names of the properties that it returns."""
        left_out = () if self.elastic is not None else (*MODULI, ELASTIC_ERROR)
        return frozenset(WINDOWS) - frozenset(left_out)

    def refuse(self, structures: Structures) -> None:
        """Refuse what cannot be computed, without calling the calculator.

        Args:
            structures: Any number of them, such as a whole pool.

        Raises:
            ShapeError: one is empty.
            InputError: one is no crystal, its atoms overlap, or there is no energy for
                one of its elements.
        """
        for number, one in enumerate(structures):
            try:
                self._accepted(one)
            except InputError as error:
                raise type(error)(f"{error} It is structure {number}.") from error

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy, forces and properties of one structure."""
        try:
            atoms = self._accepted(structures)
            calculator = self._calculator()
        except InputError as error:
            return Failure(str(error))
        try:
            elements = self._known(sorted(set(atoms.get_chemical_symbols())))
        except InputError as error:
            # It is no fault of this structure.
            return Failure(str(error), retryable=True)
        atoms.calc = calculator
        outcome = check(
            Evaluation(
                float(atoms.get_potential_energy()),
                torch.as_tensor(atoms.get_forces()),
            ),
            len(atoms),
            maximum_energy=self.maximum_energy,
            maximum_force=self.maximum_force,
        )
        if isinstance(outcome, Failure):
            return outcome
        zero = sum(elements[s].energy for s in atoms.get_chemical_symbols())
        least = self.windows[ENTHALPY][0]
        if least is not None and outcome.energy - zero < least * len(atoms):
            excess = (outcome.energy - zero) / len(atoms)
            return Failure(
                f"the energy is absurd: {excess:.4g} eV per atom against the elements "
                f"is below the window of {ENTHALPY}, {least:g} eV"
            )
        values, doubts, told = self._properties(atoms, outcome.energy, zero)
        properties, reasons = separate(values, self.windows, doubts, RESTS)
        return Evaluation(
            outcome.energy,
            outcome.forces,
            properties,
            provenance={
                "calculator": name(type(calculator)),
                "price": SOURCE,
                **{
                    f"reference.{s}": f"{r.energy:.6f} eV per atom"
                    for s, r in elements.items()
                },
                **told,
                **reasons,
            },
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the evaluator, ready for JSON."""
        return {
            "kind": "AlloyProperties",
            "calculator": self.calculator.description(),
            "relaxation": self.relaxation,
            "elastic": self.elastic,
            "ions": self.ions,
            "references": dict(sorted(self.references.items())),
            "elements": None if self.elements is None else sorted(self.elements),
            "windows": {key: list(self.windows[key]) for key in sorted(self.windows)},
            "error": self.error,
            "overlap": self.overlap,
            "force": self.force,
            "steps": self.steps,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the calculator behind: the other process makes its own."""
        return {**self.__dict__, "_made": None}

    def _properties(
        self, atoms: Atoms, given: float, zero: float
    ) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
        """Return values, doubts and provenance; the atoms come to rest."""
        values, doubts = priced(Counter(atoms.get_chemical_symbols()))
        rest = relax(atoms, self.relaxation, self.force, self.steps)
        told = {
            "relaxation": f"{self.relaxation}, {rest.steps} steps, {rest.force:.2g} "
            f"eV/Å and {rest.pressure:.2g} GPa left"
        }
        volume, mass = atoms.get_volume(), float(atoms.get_masses().sum())
        parts = [rested(rest, given, volume, mass, len(atoms), zero)]
        if rest.reason:
            state, constants = Curve(reason=rest.reason), Elastic(reason=rest.reason)
        else:
            state, constants = self._state(atoms), self._constants(atoms)
        parts.append(compressed(state, rest, volume, len(atoms), self.error))
        if self.elastic is not None:
            bulk = None if BULK in parts[-1][1] else parts[-1][0][BULK]
            parts.append(stretched(constants, bulk, self.error))
        for more, less in parts:
            values |= more
            doubts |= less
        if len(set(atoms.symbols)) == 1:
            values[ENTHALPY] = own(values[ENTHALPY], self.force)
        return values, doubts, told

    def _state(self, atoms: Atoms) -> Curve:
        try:
            return curve(atoms, force=self._free(), steps=self.steps)
        except Exception as error:  # noqa: BLE001 - foreign code; the rest is known
            reason = f"the calculator raised {type(error).__name__}: {error}"
            return Curve(reason=reason)

    def _constants(self, atoms: Atoms) -> Elastic:
        if self.elastic is None:
            return Elastic()
        try:
            return elastic(atoms, self.elastic, force=self._free(), steps=self.steps)
        except Exception as error:  # noqa: BLE001 - foreign code; the rest is known
            reason = f"the calculator raised {type(error).__name__}: {error}"
            return Elastic(reason=reason)

    def _free(self) -> float | None:
        return self.force if self.ions == "relaxed" else None

    def _accepted(self, structures: Structures) -> Atoms:
        """Return a structure that can be computed, as far as one can tell for free."""
        symbols = {SYMBOLS[z] for z in structures.numbers.tolist()}
        if self.elements is not None and (lacking := symbols - self.elements):
            found = ", ".join(sorted(lacking))
            way_out = f"It has {', '.join(sorted(self.elements))}."
            condition = "hold elements that the calculator has"
            raise InputError(must("structures", condition, found, way_out))
        if "X" in symbols:
            way_out = "Leave vacant sites out."
            raise InputError(must("structures", "hold atoms", "the dummy X", way_out))
        for symbol in sorted(symbols):
            wanted = self.references.get(symbol)
            if wanted is None or isinstance(wanted, str):
                element(symbol, wanted)
        return crystal(structures, self.overlap)

    def _known(self, symbols: Collection[str]) -> dict[str, Reference]:
        """Return the elements by themselves, relaxed where they are new."""
        identity = {
            "factory": self.calculator.factory,
            "arguments": self.calculator.arguments,
        }
        found = {}
        for symbol in symbols:
            try:
                found[symbol] = reference(
                    symbol,
                    self._calculator,
                    identity,
                    wanted=self.references.get(symbol),
                    force=self.force,
                    steps=self.steps,
                    error=self.error,
                )
            except InputError:
                raise
            except Exception as error:  # foreign code, any error
                reason = f"{type(error).__name__}: {error}"
                way_out = f"Or give references={{{symbol!r}: eV per atom}}."
                condition = f"have the energy of {symbol} by itself"
                text = must("calculator", condition, reason, way_out)
                raise InputError(text) from error
        return found

    def _calculator(self) -> Any:  # noqa: ANN401 - of ASE
        if self._made is None:
            made = self.calculator.factory(**self.calculator.arguments)
            _refuse_without_stress(getattr(made, "implemented_properties", None))
            self._made = made
        return self._made


def _one(label: str, value: Any, choices: tuple[Any, ...]) -> Any:  # noqa: ANN401
    if value not in choices:
        shown = ", ".join(repr(choice) for choice in choices)
        raise InputError(must(label, f"be one of {shown}", repr(value)))
    return value


def _elements(
    calculator: Calculator, elements: Collection[str] | None
) -> frozenset[str] | None:
    """Return the elements that a calculator has, where that is known."""
    if elements is not None:
        wrong = [symbol for symbol in elements if symbol not in SYMBOLS[1:]]
        if wrong or not elements:
            found = ", ".join(map(str, wrong)) or "none"
            raise InputError(must("elements", "be chemical symbols", found))
        return frozenset(elements)
    if name(calculator.factory) == "ase.calculators.emt.EMT":
        from ase.calculators.emt import parameters

        return frozenset(parameters)
    return None


def _refuse_without_stress(offered: Collection[str] | None) -> None:
    if offered is not None and "stress" not in offered:
        way_out = "ase.calculators.fd.FiniteDifferenceCalculator adds them."
        found = "one without"
        raise InputError(must("calculator", "have stresses", found, way_out))
