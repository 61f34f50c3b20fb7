import json

import pytest
from ase import Atoms
from ase.build import bulk
from monty.json import MontyDecoder
from pymatgen.analysis.phase_diagram import PhaseDiagram

from bostruct.evaluators.alloys.computed_entries import computed_entries_json
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY


def alloy(*symbols):
    atoms = bulk("Cu", cubic=True, a=3.8)
    atoms.set_chemical_symbols(symbols)
    atoms.info["trial"] = 3
    return atoms


IMAGES = [alloy("Cu", "Cu", "Au", "Au"), alloy("Cu", "Au", "Au", "Au")]


def loaded(*arguments):
    return json.loads(computed_entries_json(*arguments), cls=MontyDecoder)


def test_entries_can_be_loaded_again():
    known = [{"modulus": 150.0}, {"modulus": 160.0}]
    found = loaded(IMAGES, [-3.5, None], known, ["run-0", "run-1"])
    (entry,) = found["computed_entries"]
    assert (entry.energy, entry.entry_id) == (-3.5, "run-0")
    assert entry.composition.reduced_formula == "CuAu"
    assert entry.data == {"modulus": 150.0}
    assert entry.structure.volume == pytest.approx(3.8**3)
    assert found["mixing_entries"] == []


def test_mixing_enthalpies_make_a_phase_diagram():
    known = [{MIXING_ENTHALPY: -0.05}, {MIXING_ENTHALPY: -0.01}]
    mixing = loaded(IMAGES, [None, None], known, ["a", "b"])["mixing_entries"]
    diagram = PhaseDiagram(mixing)
    assert {str(e) for e in diagram.elements} == {"Cu", "Au"}
    assert diagram.get_e_above_hull(mixing[0]) == 0.0
    assert diagram.get_e_above_hull(mixing[1]) == pytest.approx(0.015)
    assert mixing[1].attribute == {MIXING_ENTHALPY: -0.01}


def test_a_cluster_has_no_structure_of_a_crystal():
    found = loaded([Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])], [-1.0], [{}], ["a"])
    assert found == {"computed_entries": [], "mixing_entries": []}
