import pytest
import torch
from ase import Atoms

from bostruct.errors import InputError, ShapeError
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.alloys.convex_hull import (
    MIXING_ENTHALPY,
    above_hull,
    energies_above_hull,
    phase_diagram,
)
from bostruct.evaluators.quarantine import QUARANTINE_PREFIX
from bostruct.structures import from_ase


def batch(*formulas):
    return from_ase([Atoms(formula, cell=[9] * 3, pbc=True) for formula in formulas])


def mixed(enthalpy):
    return Evaluation(-1.0, properties={MIXING_ENTHALPY: enthalpy})


def test_a_binary_by_hand():
    structures = batch("CuAu", "Cu3Au", "CuAu3", "Cu2Au2", "Cu4")
    outcomes = [mixed(e) for e in (-0.1, -0.02, 0.03, -0.07, 0.01)]
    # The hull is the line from Cu over CuAu to Au.
    expected = [0.0, 0.05 - 0.02, 0.05 + 0.03, 0.03, 0.01]
    found = above_hull(structures, outcomes)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_a_ternary_hull_is_a_plane():
    structures = batch("CuAu", "CuAuPd")
    found = above_hull(structures, [mixed(-0.3), mixed(-0.1)])
    # CuAuPd falls apart into CuAu, two thirds of its atoms, and Pd.
    assert found.tolist() == pytest.approx([0.0, 0.2 - 0.1], abs=1e-9)


def test_unknown_outcomes_do_not_affect_the_hull():
    structures = batch("CuAu", "CuAu", "CuAu", "Cu3Au")
    absurd = Evaluation(
        -1.0,
        properties={QUARANTINE_PREFIX + MIXING_ENTHALPY: -50.0},
        provenance={QUARANTINE_PREFIX + MIXING_ENTHALPY: "absurd"},
    )
    found = above_hull(structures, [absurd, Failure("lost"), None, mixed(-0.02)])
    assert found[:3].isnan().all()
    assert found[3] == 0


def test_an_element_found_lower_than_its_reference_is_the_new_corner():
    found = above_hull(batch("Cu2", "CuAu"), [mixed(-0.1), mixed(-0.02)])
    assert found.tolist() == pytest.approx([0.0, 0.05 - 0.02], abs=1e-9)


def test_no_outcomes_are_nan():
    assert above_hull(batch("CuAu"), [None]).isnan().all()
    assert above_hull(batch("CuAu"), [None]).dtype == torch.float64


def test_the_diagram_is_pymatgens():
    diagram = phase_diagram(batch("CuAu", "Cu3Au"), [mixed(-0.1), mixed(0.1)])
    stable = {entry.composition.reduced_formula for entry in diagram.stable_entries}
    assert stable == {"Cu", "Au", "CuAu"}


def test_a_diagram_of_nothing_is_refused():
    with pytest.raises(InputError, match="hold a mixing_enthalpy_eV_per_atom that is"):
        phase_diagram(batch("CuAu"), [Failure("lost")])


def test_outcomes_belong_to_structures():
    with pytest.raises(ShapeError, match="one outcome for each of 1 structures, got 2"):
        above_hull(batch("CuAu"), [None, None])


def test_energies_of_formulas_above_the_hull():
    found = energies_above_hull(["CuAu", "Cu3Au", "Cu2Au2"], [-0.1, None, -0.07])
    assert found == [0.0, None, pytest.approx(0.03)]
    assert energies_above_hull(["Cu4"], [0.01]) == [pytest.approx(0.01)], "an element alone"
    assert energies_above_hull(["CuAu"], [None]) == [None]
