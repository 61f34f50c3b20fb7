"""One calculator for each process and thread, and none that has raised."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import FileIOCalculator
from ase.calculators.emt import EMT
from ase.calculators.genericfileio import CalculatorTemplate, GenericFileIOCalculator
from ase.calculators.mixing import SumCalculator

from bostruct.evaluators import Calculator, EvaluationContext, Failure, evaluate
from bostruct.evaluators.calculator_instances import CalculatorInstances, set_directory
from bostruct.structures import from_ase


def crystals(n):
    images = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True).repeat(2)
        atoms.rattle(0.1, seed=seed)
        images.append(atoms)
    return images


def reference(atoms):
    atoms = atoms.copy()
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def test_threads_share_no_calculator():
    images = crystals(8)
    evaluator = Calculator(EMT)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: evaluate(evaluator, from_ase([image])), images))
    energies = [reference(image) for image in images]
    np.testing.assert_allclose([each.energy for each in found], energies, rtol=0, atol=1e-9)


def test_an_instance_that_raised_is_made_anew():
    class Library(EMT):
        broken = False

        def calculate(self, atoms=None, properties=("energy",), changes=()):
            if self.broken or atoms.positions[1, 0] < 1:
                self.broken = True
                raise RuntimeError("library in an error state")
            super().calculate(atoms, properties, changes)

    evaluator = Calculator(Library)
    near = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [0.5, 0, 0]])])
    far = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [2.5, 0, 0]])])
    assert isinstance(evaluate(evaluator, near), Failure)
    assert evaluate(evaluator, far).energy == pytest.approx(Calculator(EMT)(far).energy)


class Code(FileIOCalculator):
    """A file-based code: it reads in.txt of its directory, and writes out.txt there."""

    implemented_properties = ("energy",)

    def __init__(self, script, **options):
        super().__init__(command=f"{sys.executable} {script}", **options)

    def write_input(self, atoms, properties=None, system_changes=None):
        super().write_input(atoms, properties, system_changes)
        np.savetxt(Path(self.directory) / "in.txt", atoms.positions)

    def read_results(self):
        self.results = {"energy": float((Path(self.directory) / "out.txt").read_text())}


SCRIPT = """
import pathlib, time
import numpy as np
time.sleep(0.1)
x = np.loadtxt("in.txt", ndmin=2)
if x[1, 0] > {silent}:
    raise SystemExit(0)
pathlib.Path("out.txt").write_text(repr(float(x[1, 0])))
"""


def code(tmp_path, silent=1e9):
    script = tmp_path / "code.py"
    script.write_text(SCRIPT.format(silent=silent))
    return Calculator(Code, with_forces=False, script=str(script))


def pairs(n):
    return [from_ase([Atoms("Cu2", positions=[[0, 0, 0], [2 + k, 0, 0]])]) for k in range(n)]


def test_file_based_codes_run_side_by_side(tmp_path):
    evaluator = code(tmp_path)
    places = [EvaluationContext(k, 1, tmp_path / f"{k:06d}") for k in range(6)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda s, c: evaluate(evaluator, s, context=c), pairs(6), places))
    assert [each.energy for each in found] == [2.0 + k for k in range(6)]


def test_a_program_that_writes_nothing_has_failed(tmp_path):
    evaluator = code(tmp_path, silent=2.5)
    found = [
        evaluate(evaluator, structures, context=EvaluationContext(k, 1, tmp_path / f"{k:06d}"))
        for k, structures in enumerate(pairs(2))
    ]
    assert found[0].energy == 2.0
    assert isinstance(found[1], Failure)
    assert "out.txt" in found[1].reason


class Template(CalculatorTemplate):
    def __init__(self):
        super().__init__("code", ["energy"])

    def write_input(self, profile, directory, atoms, parameters, properties):
        (directory / "in.txt").write_text("x")

    def execute(self, directory, profile):
        (directory / "out.txt").write_text("1.5")

    def read_results(self, directory):
        return {"energy": float((directory / "out.txt").read_text())}

    def load_profile(self, cfg, **options):
        return None


def generic():
    return GenericFileIOCalculator(template=Template(), profile="none", directory="elsewhere")


def test_generic_file_calculators_write_into_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = EvaluationContext(0, 1, tmp_path / "000000")
    found = evaluate(Calculator(generic, with_forces=False), pairs(1)[0], context=place, keep="all")
    assert found.energy == 1.5
    assert (place.folder / "out.txt").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_calculators_that_hold_others_get_the_folder_too(tmp_path):
    class Holder:
        calc = generic()

    holder, several = Holder(), SumCalculator([EMT(), generic()])
    set_directory(holder, tmp_path)
    set_directory(several, tmp_path)
    assert holder.calc.directory == tmp_path
    assert several.mixer.calcs[1].directory == tmp_path


def test_the_other_process_makes_its_own():
    instances = CalculatorInstances(EMT, {})
    with instances.lend() as first, instances.lend() as second:
        assert first is second
    assert "_local" not in instances.__getstate__()
