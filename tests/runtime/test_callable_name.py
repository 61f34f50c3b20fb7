import functools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from bostruct.runtime.callable_name import qualified_name, to_json_value, without_entry_point_names


def energy(atoms, scale=1.0):
    return scale * len(atoms)


class Answer:
    def __call__(self, atoms):
        return 0.0


def test_name_of_library_code_has_its_module():
    assert qualified_name(EMT) == "ase.calculators.emt.EMT"
    assert qualified_name(LennardJones) == "ase.calculators.lj.LennardJones"


SOURCE = """
from bostruct.runtime.callable_name import qualified_name

def energy(atoms):
    return 0.0

class Answer:
    def __call__(self, atoms):
        return 0.0

print(qualified_name(energy), qualified_name(Answer()))
"""


def ways_to_start(name, file):
    return {
        "script": [str(file)],
        "module": ["-m", name],
        "import": ["-c", f"import {name}"],
        "campaign file": [
            "-c",
            "from pathlib import Path; from bostruct.campaign.campaign_file import load_module; "
            f"load_module(Path({str(file)!r}))",
        ],
    }


@pytest.mark.parametrize(
    ("name", "ways"),
    [("my", ("script", "import", "campaign file")), ("parts.my", ("script", "module"))],
)
def test_name_does_not_depend_on_how_the_file_was_started(tmp_path, name, ways):
    file = tmp_path / (name.replace(".", "/") + ".py")
    file.parent.mkdir(exist_ok=True)
    if "." in name:
        (file.parent / "__init__.py").touch()
    file.write_text(SOURCE)
    path = f"{Path.cwd()}{os.pathsep}{tmp_path}"
    for way in ways:
        found = subprocess.run(
            [sys.executable, *ways_to_start(name, file)[way]],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert found.stdout.split() == [f"{name}.energy", f"{name}.Answer"], way


def test_what_is_typed_in_has_no_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    monkeypatch.setattr(energy, "__module__", "__main__")
    assert qualified_name(energy) == "energy"


def test_names_of_earlier_versions(monkeypatch, tmp_path):
    module = ModuleType("__main__")
    module.__file__ = str(tmp_path / "mine.py")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr(energy, "__module__", "__main__")
    assert qualified_name(energy) == "mine.energy"
    with without_entry_point_names():
        assert qualified_name(energy) == "energy"
        assert qualified_name(EMT) == "ase.calculators.emt.EMT"
    assert qualified_name(energy) == "mine.energy"


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
