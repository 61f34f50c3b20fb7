import math
from collections import Counter

import pytest

from bostruct.bench.multi_objective.fault_injection import ABSURD_ENTHALPY, FaultyEvaluator, corrupt
from bostruct.errors import InputError
from bostruct.evaluators import Failure, evaluate
from tests.bench.tiny import Rule, large


def kind(outcome):
    if isinstance(outcome, Failure):
        return "raised" if "crashed" in outcome.reason else "missing"
    values = outcome.properties
    odd = not 100 < values["bulk_modulus_GPa"] < 250
    return "absurd" if odd or values[ENTHALPY] == ABSURD_ENTHALPY else "sound"


ENTHALPY = "mixing_enthalpy_eV_per_atom"


def told(seed, n=400, **shares):
    screen = large()
    structures = screen.search_space.decode(screen.sample(n, generator()))
    evaluator = FaultyEvaluator(Rule(), seed, **shares)
    return [kind(evaluate(evaluator, one)) for one in structures]


def generator():
    import torch

    return torch.Generator().manual_seed(0)


def test_shares_are_those_asked_for_and_last():
    found = told(0, absurd_fraction=0.2, error_fraction=0.1, nan_fraction=0.1)
    counts = Counter(found)
    for name, share in {"absurd": 0.2, "raised": 0.1, "missing": 0.1}.items():
        sigma = math.sqrt(400 * share * (1 - share))
        assert abs(counts[name] - 400 * share) < 4 * sigma, name
    assert told(0, absurd_fraction=0.2, error_fraction=0.1, nan_fraction=0.1) == found
    assert told(1, absurd_fraction=0.2, error_fraction=0.1, nan_fraction=0.1) != found


def test_failures_pass_or_last():
    screen = large()
    structures = list(screen.search_space.decode(screen.sample(60, generator())))
    for poison in ("passing", "lasting"):
        evaluator = FaultyEvaluator(Rule(), 0, poison, 0.0, 0.25, 0.25)
        rounds = [[kind(evaluate(evaluator, s)) for s in structures] for _ in range(2)]
        pairs = Counter(zip(*rounds, strict=True))
        if poison == "lasting":
            assert rounds[0] == rounds[1]
        else:
            assert 5 < sum(n for (a, b), n in pairs.items() if a != "sound" == b) < 25
            assert 5 < sum(n for (a, b), n in pairs.items() if a == "sound" != b) < 25
        again = FaultyEvaluator(Rule(), 0, poison, 0.0, 0.25, 0.25)
        assert [kind(evaluate(again, s)) for s in structures] == rounds[0]


def test_absurd_values_are_outside_every_window():
    sound = {"bulk_modulus_GPa": 140.0, ENTHALPY: -0.01, "volume_A3_per_atom": 12.0}
    assert corrupt(sound, 0) == sound | {"bulk_modulus_GPa": 14000.0}
    assert corrupt(sound, 1) == sound | {"bulk_modulus_GPa": -14000.0}
    assert corrupt(sound, 2) == sound | {ENTHALPY: ABSURD_ENTHALPY}


def test_what_failed_before_still_does():
    class Broken(Rule):
        def __call__(self, structures):
            return Failure("broken")

    screen = large()
    one = screen.search_space.decode(screen.sample(1, generator()))
    assert FaultyEvaluator(Broken(), 0, "lasting", 0.0, 0.0, 0.0)(one).reason == "broken"


def test_it_says_what_it_is():
    shares = FaultyEvaluator(Rule(), 3).description()
    assert shares["seed"] == 3
    assert shares["evaluator"] == {"kind": "rule"}


def test_refused():
    with pytest.raises(InputError, match="be at least 0 and at most 1 in sum"):
        FaultyEvaluator(Rule(), absurd_fraction=0.9, error_fraction=0.2)
    with pytest.raises(InputError, match="be at least 0 and at most 1 in sum"):
        FaultyEvaluator(Rule(), absurd_fraction=-0.1)
    with pytest.raises(InputError, match="`fault_mode` must be one of passing, lasting, got 'x'"):
        FaultyEvaluator(Rule(), fault_mode="x")
    with pytest.raises(InputError, match="`seed` must be an integer"):
        FaultyEvaluator(Rule(), seed=-1)
