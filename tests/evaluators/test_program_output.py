"""The last lines of a program's output are the reason of its failure."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from ase import Atoms
from ase.calculators.calculator import FileIOCalculator

from bostruct.evaluators import (
    Calculator,
    Evaluation,
    EvaluationContext,
    Failure,
    Function,
    current_context,
    evaluate,
)
from bostruct.evaluators.program_output import error_output, last_output
from bostruct.runtime.executors import Workers
from bostruct.structures import from_ase

PAIR = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [2.3, 0, 0]])])
OTHER = from_ase([Atoms("Cu2", positions=[[0, 0, 0], [2.4, 0, 0]])])


@pytest.fixture
def place(tmp_path):
    return EvaluationContext(3, 1, tmp_path / "evaluations" / "000003")


class Code(FileIOCalculator):
    """A program of ASE that fails as it is told."""

    implemented_properties = ("energy",)

    def __init__(self, script, redirect="", **options):
        super().__init__(command=f"{sys.executable} -c '{script}' {redirect}", **options)

    def write_input(self, atoms, properties=None, system_changes=None):
        super().write_input(atoms, properties, system_changes)
        Path(self.directory, "INPUT").write_text("1 2 3\n")

    def read_results(self):
        self.results = {"energy": float(Path(self.directory, "energy").read_text())}


SAYS = 'import sys; print("SCF 40"); print("ZBRENT: fatal error", file=sys.stderr); sys.exit(3)'


def test_the_redirected_output_of_a_program(place):
    evaluator = Calculator(Code, script=SAYS, redirect="> code.out 2>&1", with_forces=False)
    found = evaluate(evaluator, PAIR, context=place)
    assert isinstance(found, Failure)
    assert "raised CalculationFailed" in found.reason
    assert "with error code 3" in found.reason
    assert f"{place.folder / 'code.out'} ends with: " in found.reason
    assert "ZBRENT: fatal error" in found.reason
    assert (place.folder / "code.out").exists(), "the folder stays"


def test_errors_and_output_in_files_of_their_own(place):
    evaluator = Calculator(Code, script=SAYS, redirect="> code.out 2> code.err", with_forces=False)
    found = evaluate(evaluator, PAIR, context=place)
    assert f"{place.folder / 'code.out'} ends with: SCF 40; " in found.reason
    assert f"{place.folder / 'code.err'} ends with: ZBRENT: fatal error" in found.reason


@pytest.mark.parametrize("make", [Workers, partial(ProcessPoolExecutor, 1, get_context("spawn"))])
def test_what_a_program_prints_is_captured_in_a_worker(place, make, capfd):
    evaluator = Calculator(Code, script=SAYS, with_forces=False)
    with make() as executor:
        found = executor.submit(evaluate, evaluator, PAIR, context=place).result(100)
    assert f"{place.folder / 'printed.out'} ends with: " in found.reason
    assert "ZBRENT: fatal error" in found.reason
    assert "SCF 40" in found.reason
    if make is not Workers:  # its processes come from a server with the terminal of its start
        assert "ZBRENT: fatal error" in capfd.readouterr().err, "it is printed all the same"


def test_what_is_printed_in_the_process_of_the_campaign_stays_on_its_terminal(place, capfd):
    evaluator = Calculator(Code, script=SAYS, with_forces=False)
    found = evaluate(evaluator, PAIR, context=place)
    assert "printed.out" not in found.reason
    assert "ZBRENT: fatal error" in capfd.readouterr().err


def test_a_worker_that_prints_nothing_leaves_no_file(place):
    with Workers() as executor:
        call = executor.submit(evaluate, Function(float), PAIR, context=place)
        assert isinstance(call.result(100), Failure)
    assert not place.folder.exists()


def test_a_program_that_exits_0_and_writes_nothing_is_a_failure(tmp_path):
    """Also after one that has written an energy, with the same instance."""
    evaluator = Calculator(Code, script='open("energy", "w").write("-1.5")', with_forces=False)
    first = evaluate(evaluator, PAIR, context=EvaluationContext(1, 1, tmp_path / "1"), keep="all")
    assert first.energy == -1.5
    instance = evaluator._instances._local.calculator
    instance.profile.command = f"{sys.executable} -c pass"
    second = evaluate(evaluator, OTHER, context=EvaluationContext(2, 1, tmp_path / "2"))
    assert isinstance(second, Failure)
    assert "FileNotFoundError" in second.reason


def test_the_output_that_an_error_carries(place):
    def failing(structures):
        try:
            subprocess.run([sys.executable, "-c", SAYS], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise RuntimeError("the code failed") from error

    found = evaluate(failing, PAIR, context=place)
    assert found.reason == (
        "the evaluator raised RuntimeError: the code failed; stderr ends with: ZBRENT: fatal error"
    )


def test_errors_without_output():
    error = ValueError("x")
    error.stderr = 17
    error.__cause__ = error
    assert error_output(error) == ""
    error.stdout = b"a\xff\n\n b\n"
    assert error_output(error) == "stdout ends with: a\ufffd | b"


def test_which_file_is_quoted(tmp_path):
    assert last_output(None) == ""
    assert last_output(tmp_path) == ""
    for time, (name, data) in enumerate(
        [
            ("old.log", b"old\n"),
            ("deep/OUTCAR", b"a\n\n  b \nc\nd\n"),
            ("empty.out", b" \n"),
            ("nothing.err", b""),
            ("binary.out", b"\0\1"),
            ("INPUT", b"1 2 3\n"),
        ]
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (time, time))
    assert last_output(tmp_path) == f"{tmp_path / 'deep' / 'OUTCAR'} ends with: b | c | d"
    (tmp_path / "x.err").write_bytes(b"forrtl: severe\n")
    assert last_output(tmp_path).endswith(f"; {tmp_path / 'x.err'} ends with: forrtl: severe")


def test_without_a_file_of_output_the_newest_text_is_quoted(tmp_path):
    (tmp_path / "INPUT").write_text("1 2 3\n")
    os.mkfifo(tmp_path / "pipe.out")
    (tmp_path / "gone.out").symlink_to(tmp_path / "nowhere")
    assert last_output(tmp_path) == f"{tmp_path / 'INPUT'} ends with: 1 2 3"


def test_a_long_output_is_read_from_its_end(tmp_path):
    (tmp_path / "code.out").write_text("x\n" * 10**6 + "the end\n")
    assert last_output(tmp_path).endswith("x | x | the end")


def test_in_a_thread_nothing_is_captured(place):
    seen = []

    def evaluator(structures):
        seen.extend(path.name for path in current_context().folder.iterdir())
        return Evaluation(1.0)

    thread = threading.Thread(target=evaluate, args=(evaluator, PAIR), kwargs={"context": place})
    thread.start()
    thread.join()
    assert seen == []
