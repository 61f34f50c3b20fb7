import math
import pickle
import re
import signal
import threading
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from ase import Atoms

from bostruct.evaluators import (
    Evaluation,
    EvaluationContext,
    Evaluator,
    Failure,
    Function,
    evaluate,
)
from bostruct.evaluators.base import check_evaluation, evaluation_limits
from bostruct.runtime.interruption import interruptible
from bostruct.structures import from_ase


@pytest.fixture
def structures():
    return from_ase([Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]])])


def returning(answer):
    return lambda structures: answer


def raising(error):
    def evaluator(structures):
        raise error

    return evaluator


def test_good_evaluation_is_plain_float64(structures):
    forces = torch.ones(2, 3, dtype=torch.float32, requires_grad=True)
    given = Evaluation(np.float32(1.5), forces, {"gap": np.float64(2)}, 0.25, {"v": 1})
    found = evaluate(returning(given), structures)
    assert isinstance(found, Evaluation)
    assert found.energy == 1.5
    assert type(found.energy) is float
    assert found.forces.dtype == torch.float64
    assert not found.forces.requires_grad
    assert found.properties == {"gap": 2.0}
    assert found.provenance == {"v": "1"}
    assert found.seconds == 0.25


def test_seconds_are_measured_where_none_are_given(structures):
    assert evaluate(returning(Evaluation(1.0)), structures).seconds > 0
    assert evaluate(returning(Evaluation(1.0, seconds=math.nan)), structures).seconds > 0
    assert evaluate(returning(Failure("no")), structures).seconds > 0


def test_failure_passes(structures):
    given = Failure("not converged", retryable=True, seconds=3.0)
    assert evaluate(returning(given), structures) == given


@pytest.mark.parametrize(
    "error", [ValueError("broken\nin two lines"), KeyError("x"), SystemExit(3)]
)
def test_exceptions_are_failures(structures, error):
    found = evaluate(raising(error), structures)
    assert isinstance(found, Failure)
    assert found.reason.startswith(f"the evaluator raised {type(error).__name__}: ")
    assert "\n" not in found.reason


@pytest.fixture
def _ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_is_not_a_failure(structures):
    with pytest.raises(KeyboardInterrupt):
        evaluate(raising(KeyboardInterrupt()), structures)


def sent(then):
    def evaluator(structures):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return then(structures)

    return evaluator


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize(
    "then", [raising(RuntimeError("killed")), returning(Failure("x")), returning(Evaluation(1.0))]
)
def test_ctrl_c_that_the_evaluator_catches_is_ctrl_c_all_the_same(structures, then):
    with interruptible(), pytest.raises(KeyboardInterrupt):
        evaluate(sent(then), structures)


@pytest.mark.usefixtures("_ctrl_c")
def test_an_interrupt_that_the_evaluator_raises_twice_is_a_failure(structures):
    own = raising(KeyboardInterrupt("by itself"))
    with interruptible():
        with pytest.raises(KeyboardInterrupt, match="by itself"):
            evaluate(own, structures, context=EvaluationContext(3, 1))
        found = evaluate(own, structures, context=EvaluationContext(3, 2))
    assert found.reason == "the evaluator raised KeyboardInterrupt: by itself"
    found = []
    thread = threading.Thread(
        target=lambda: found.append(evaluate(raising(KeyboardInterrupt()), structures))
    )
    thread.start()
    thread.join()
    assert isinstance(found[0], Failure)


class Unreadable(Evaluation):
    @property
    def seconds(self):
        raise LookupError("no clock")


class Silent(Failure):
    @property
    def reason(self):
        raise LookupError("no reason")


class Deep:
    def __str__(self):
        return str(self)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (object.__new__(Unreadable), "the evaluator's result cannot be read: no clock"),
        (object.__new__(Silent), "the evaluator's result cannot be read: no reason"),
        (Evaluation(10**400), "not a number: int too large"),
        (Evaluation(1.0, properties={"gap": 10**400}), "not a number: int too large"),
        (Evaluation(1.0, provenance=[]), "not a number"),
        (Failure(Deep()), "(no text: RecursionError)"),
        (Failure(b"\xff no \0 text"), "\\xff no \\x00 text"),
    ],
)
def test_results_of_any_kind_are_failures(structures, result, reason):
    found = evaluate(returning(result), structures)
    assert isinstance(found, Failure)
    assert reason in found.reason


def test_a_local_class_of_result_becomes_a_plain_one(structures):
    class Mine(Evaluation):
        pass

    given = Mine(1.0, provenance={"key \udc80": "half \udc81", "f": lambda: None})
    found = evaluate(returning(given), structures)
    assert type(found) is Evaluation
    assert found.provenance["key \\udc80"] == "half \\udc81"
    assert pickle.loads(pickle.dumps(found)).provenance == found.provenance


def test_long_reasons_are_shortened(structures):
    found = evaluate(raising(ValueError("x" * 10_000)), structures)
    assert len(found.reason) == 500


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (math.nan, "the energy is not finite: nan eV"),
        (math.inf, "the energy is not finite: inf eV"),
        (-3e6, "the energy is absurd: -3e[+]06 eV for 2 atoms"),
        (None, "returned no energy"),
        ("low", "not a number"),
        (np.array([1.0, 2.0]), r"not a number: an array of shape \[2\]"),
        (torch.zeros(0), r"not a number: an array of shape \[0\]"),
    ],
)
def test_wrong_energies_are_failures(structures, energy, reason):
    found = evaluate(returning(Evaluation(energy)), structures)
    assert isinstance(found, Failure)
    assert re.search(reason, found.reason)


@pytest.mark.parametrize("energy", [np.array([1.0]), np.array([[1.0]]), torch.ones(1)])
def test_arrays_of_one_number_are_numbers(structures, energy):
    assert evaluate(returning(Evaluation(energy)), structures).energy == 1.0


@pytest.mark.parametrize(
    ("forces", "reason"),
    [
        (torch.zeros(3, 3), "wrong shape: [3, 3], not [2, 3]"),
        (torch.zeros(6), "wrong shape: [6], not [2, 3]"),
        (torch.tensor([[0, 0, math.nan], [0, 0, 0]]), "on 1 of 2 atoms are not finite"),
        (torch.full((2, 3), 2e4), "the forces are absurd: 34641 eV/Å"),
        ("none", "not a number"),
        (object(), "not a number"),
    ],
)
def test_wrong_forces_are_failures(structures, forces, reason):
    found = evaluate(returning(Evaluation(1.0, forces)), structures)
    assert isinstance(found, Failure)
    assert reason in found.reason


CUBE = Atoms("Cu2", positions=[[0, 0, 0], [1, 1, 1]], cell=[2.0] * 3, pbc=True)


def evaluated_stress(stress, atoms=CUBE):
    return evaluate(returning(Evaluation(1.0, stress=stress)), from_ase([atoms]))


def test_stresses_are_vectors_or_symmetric_matrices():
    six = torch.arange(1.0, 7.0)
    assert torch.equal(evaluated_stress(six).stress, six.double())
    matrix = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert torch.equal(evaluated_stress(matrix).stress, six.double())
    assert evaluated_stress(None).stress is None
    rounded = 1e-7 * np.array([[1.0, 0.5, 0], [-0.5, 1, 0], [0, 0, 1]])  # single precision, at rest
    assert evaluated_stress(rounded).stress.tolist() == pytest.approx([1e-7] * 3 + [0.0] * 3)


def test_a_cluster_has_no_stress(structures):
    found = evaluate(returning(Evaluation(1.0, stress=torch.ones(6))), structures)
    assert isinstance(found, Evaluation)
    assert found.stress is None


@pytest.mark.parametrize(
    ("stress", "reason"),
    [
        (torch.zeros(3), "the stress has the wrong shape: [3], not [6] or [3, 3]"),
        (3.0, "wrong shape: [1], not [6]"),
        (torch.full((6,), math.nan), "the stress is not finite"),
        (np.full((3, 3), np.inf), "the stress is not finite"),
        (torch.full((6,), 3e5), "the stress is absurd: 300000 eV/Å³ on 4 Å³ per atom is more than"),
        (np.triu(np.ones((3, 3))), "not symmetric"),
        (np.full(6, 1j), "a complex number"),
        (np.ma.masked_all(6), "a masked value"),
        ("none", "not a number"),
    ],
)
def test_wrong_stresses_are_failures(stress, reason):
    found = evaluated_stress(stress)
    assert isinstance(found, Failure)
    assert reason in found.reason


def test_wrong_properties_are_failures(structures):
    found = evaluate(returning(Evaluation(1.0, properties={"gap": "wide"})), structures)
    assert "not a number" in found.reason
    found = evaluate(returning(Evaluation(1.0, properties=3)), structures)
    assert "not a number" in found.reason


@pytest.mark.parametrize("answer", [None, 1.0, (1.0, None), "done"])
def test_wrong_types_are_failures(structures, answer):
    found = evaluate(returning(answer), structures)
    assert f"returned {type(answer).__name__}, not an Evaluation" in found.reason


def test_limits(structures):
    evaluator = returning(Evaluation(30.0, torch.full((2, 3), 1.0)))
    assert evaluation_limits(evaluator) == {"maximum_energy": 1e6, "maximum_force": 1e4}
    assert isinstance(evaluate(evaluator, structures), Evaluation)
    assert "absurd" in evaluate(evaluator, structures, maximum_energy=10.0).reason
    assert "absurd" in evaluate(evaluator, structures, maximum_force=1.0).reason
    evaluator.maximum_energy = 5.0
    assert "absurd" in evaluate(evaluator, structures).reason


def test_check_alone():
    assert isinstance(check_evaluation(Evaluation(1.0), 1), Evaluation)
    assert isinstance(check_evaluation(Evaluation(math.nan, seconds="x"), 1), Failure)


def test_protocol():
    assert isinstance(Function(len), Evaluator)
    assert not isinstance(len, Evaluator)


def test_operating_system_errors_are_retryable():
    def lost(structures):
        raise ConnectionError("the license server is away")

    def wrong(structures):
        raise ValueError("not converged")

    assert evaluate(lost, None).retryable
    assert not evaluate(wrong, None).retryable


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, "the evaluator gave no reason"),
        ("", "the evaluator gave no reason"),
        (ValueError("no convergence"), "ValueError: no convergence"),
        (MuteError(), "MuteError: (no text: RuntimeError)"),
        ("half a pair \udc80", "half a pair \\udc80"),
        (17, "17"),
    ],
)
def test_reasons_are_text_that_a_log_can_hold(structures, reason, text):
    found = evaluate(returning(Failure(reason)), structures)
    assert found.reason == text
    assert pickle.loads(pickle.dumps(found)) == found
    found.reason.encode("utf-8")


def test_an_exception_without_text_is_a_failure(structures):
    assert (
        "raised MuteError: (no text: RuntimeError)"
        in evaluate(raising(MuteError()), structures).reason
    )


@pytest.mark.parametrize(
    ("energy", "value"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.array(2.5), 2.5),
        (np.array([[2.5]]), 2.5),
        (Decimal("0.1"), 0.1),
        (Fraction(1, 4), 0.25),
        (np.longdouble(1) / 3, float(np.longdouble(1) / 3)),
        (np.array(7, dtype=object), 7.0),
    ],
)
def test_numbers_are_read_exactly(structures, energy, value):
    assert evaluate(returning(Evaluation(energy)), structures).energy == value


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (1.0 + 0.0j, "a complex number"),
        (np.complex128(1), "a complex number"),
        (np.ma.masked, "a masked value"),
        (np.ma.masked_array([1.0], mask=[True]), "a masked value"),
        (np.array("1.0"), "an array of <U3"),
        (np.array([None], dtype=object), "objects that are no real numbers"),
        (np.array([1.0, 2.0]), r"an array of shape \[2\]"),
        (torch.tensor(1j), "a complex number"),
    ],
)
def test_what_is_no_real_number_is_refused(structures, energy, reason):
    found = evaluate(returning(Evaluation(energy)), structures)
    assert isinstance(found, Failure)
    assert re.search(reason, found.reason)


def test_masked_and_complex_forces_are_refused(structures):
    shape = (len(structures.positions), 3)
    masked = np.ma.masked_array(np.zeros(shape), mask=np.eye(*shape, dtype=bool))
    for forces in (masked, np.zeros(shape, dtype=complex)):
        assert isinstance(evaluate(returning(Evaluation(0.0, forces)), structures), Failure)
