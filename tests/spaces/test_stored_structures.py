from dataclasses import fields

import pytest
import torch
from ase.build import molecule

from bostruct.errors import InputError
from bostruct.spaces import Cluster, Pool
from bostruct.spaces.stored_structures import (
    StoredStructures,
    SupportsStoredStructures,
    without_type,
)
from bostruct.structures import from_ase


def test_a_round_trip():
    structures = from_ase([molecule("H2O"), molecule("CO2")])
    stored = StoredStructures(structures, ("water", "mp-42"))
    found = StoredStructures.from_bytes(stored.to_bytes())
    assert found.names == stored.names
    for field in fields(structures):
        first, second = getattr(found.structures, field.name), getattr(structures, field.name)
        assert first is second is None or torch.equal(first, second), field.name
    assert found.to_bytes() == stored.to_bytes()


@pytest.mark.parametrize("data", [b"", b"x" * 40, b"\xff" * 8])
def test_other_bytes_are_refused(data):
    with pytest.raises(InputError, match="`data` must be structures"):
        StoredStructures.from_bytes(data)


def test_structures_that_are_cut_are_refused():
    data = StoredStructures(from_ase([molecule("H2O")])).to_bytes()
    with pytest.raises(InputError, match="`data` must be structures"):
        StoredStructures.from_bytes(data[:-3])


def test_spaces_that_store_structures():
    assert isinstance(Pool([molecule("H2O")]), SupportsStoredStructures)
    assert not isinstance(Cluster("Cu3"), SupportsStoredStructures)


def test_null_is_infinity():
    description = Cluster("CH4").description()
    assert description["max_gap_factor"] is None
    assert without_type(description)["max_gap_factor"] == torch.inf
    assert without_type(Cluster("Cu3").description())["max_gap_factor"] == 1.5
    assert "type" not in without_type(description)
