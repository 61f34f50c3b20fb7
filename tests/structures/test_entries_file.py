"""Entries of pymatgen come back from JSON as they were written."""

import json

import pytest
from ase.build import bulk
from ase.db import connect
from monty.serialization import dumpfn
from pymatgen.analysis.phase_diagram import PDEntry
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from bostruct.errors import InputError
from bostruct.structures.entries_file import read_entries_file

STRUCTURE = AseAtomsAdaptor.get_structure(bulk("Au", cubic=True))
ENTRIES = [
    ComputedEntry("Cu4", -14.9, correction=0.3),
    ComputedStructureEntry(STRUCTURE, -12.0),
    PDEntry(Composition("CuAu3"), -12.5),
]


def test_entries_come_back_with_their_corrections(tmp_path):
    dumpfn(ENTRIES, tmp_path / "entries.json")
    found = read_entries_file(tmp_path / "entries.json")
    assert [entry.energy for entry in found] == pytest.approx([-14.6, -12.0, -12.5])
    assert [entry.composition for entry in found] == [entry.composition for entry in ENTRIES]
    assert found[1].structure.volume == pytest.approx(STRUCTURE.volume)
    dumpfn(ENTRIES[0], tmp_path / "one.json")
    assert len(read_entries_file(str(tmp_path / "one.json"))) == 1


def test_other_files_are_left_to_ase(tmp_path):
    with connect(tmp_path / "ase.json") as db:
        db.write(bulk("Cu"))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "numbers.json").write_text("[1, 2]")
    for name in ("ase.json", "broken.json", "numbers.json", "absent.json", "gold.xyz"):
        assert read_entries_file(tmp_path / name) is None


@pytest.mark.parametrize(
    ("item", "match"),
    [
        (
            {"@class": "Structure"},
            "hold entries of pymatgen .* got .Structure. in",
        ),
        ({"@class": "ComputedEntry"}, "hold whole entries, each a ComputedEntry .* KeyError"),
    ],
)
def test_refuses(tmp_path, item, match):
    (tmp_path / "entries.json").write_text(json.dumps([item]))
    with pytest.raises(InputError, match=match):
        read_entries_file(tmp_path / "entries.json")
