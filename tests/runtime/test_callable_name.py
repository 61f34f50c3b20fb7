import functools
from fractions import Fraction

import numpy as np
import torch
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct.runtime.callable_name import qualified_name, to_json_value


def energy(atoms, scale=1.0):
    return scale * len(atoms)


class Answer:
    def __call__(self, atoms):
        return 0.0


def test_name_of_library_code_has_its_module():
    assert qualified_name(EMT) == "ase.calculators.emt.EMT"
    assert qualified_name(LennardJones) == "ase.calculators.lj.LennardJones"


def test_name_does_not_depend_on_how_the_file_was_started(monkeypatch):
    names = set()
    for module in ("__main__", "__mp_main__", "bostruct_campaign_file"):
        monkeypatch.setattr(energy, "__module__", module)
        names.add(qualified_name(energy))
    assert names == {"energy"}


def test_name_of_partial_and_of_callable_object():
    assert qualified_name(functools.partial(energy, scale=2)).endswith("energy(scale=2)")
    assert qualified_name(Answer()).endswith(".Answer")


def test_json_values_have_no_addresses():
    found = to_json_value(
        {
            "b": np.arange(2),
            "a": (1, 2.5),
            "c": {3, 1},
            "t": torch.tensor([1.0]),
            "n": None,
            "o": object(),
            "f": Fraction(1, 2),
            "k": EMT,
        }
    )
    assert found == {
        "a": [1, 2.5],
        "b": [0, 1],
        "c": [1, 3],
        "f": "Fraction(1, 2)",
        "k": "ase.calculators.emt.EMT",
        "n": None,
        "o": "builtins.object",
        "t": [1.0],
    }
    assert list(found) == sorted(found)
