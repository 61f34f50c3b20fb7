import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms

from bostruct.spaces.pools.structure_store import StructureStore
from bostruct.structures import from_ase

SLAB = fcc111("Cu", (1, 1, 3), vacuum=5)
SLAB.set_constraint(FixAtoms([0]))
SLAB.set_tags([3, 2, 70000])
ALL = [bulk("Cu"), SLAB, molecule("H2O"), Atoms("Og")]


def test_takes_what_was_put():
    structures = from_ase(ALL)
    shelf = StructureStore.from_batches([structures[[0, 1]], structures[[2, 3]]])
    assert len(shelf) == 4
    assert shelf.start.diff().tolist() == [1, 3, 3, 1]
    places = torch.tensor([3, 1, 1, 0, 2])
    wanted, found = structures[places], shelf.take(places)
    for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc", "index"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
        assert getattr(found, name).dtype == getattr(wanted, name).dtype, name
    assert len(shelf.take(torch.tensor([], dtype=torch.int64))) == 0


def test_an_atom_takes_thirty_bytes():
    shelf = StructureStore.from_batches([from_ase([bulk("Cu") * (5, 5, 4)] * 20)])
    tensors = [value for value in vars(shelf).values() if isinstance(value, torch.Tensor)]
    assert shelf.electronic_state == {}
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert held < 20 * (30 * 100 + 100)
    # nothing larger is kept alive behind it
    kept = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    assert kept == held


def test_moments_and_charges_are_kept():
    magnet, ion, plain = bulk("Ni"), molecule("CH3"), bulk("Cu")
    ion.info["charge"] = 1
    structures = from_ase([magnet, ion, plain])
    store = StructureStore.from_batches([structures[[0]], structures[[1]], structures[[2]]])
    assert set(store.electronic_state) == {"magnetic_moments", "charge"}
    found = store.take(torch.tensor([2, 1, 0]))
    wanted = structures[[2, 1, 0]]
    for name in store.electronic_state:
        assert torch.equal(
            found.value_or_nan(name).nan_to_num(9), wanted.value_or_nan(name).nan_to_num(9)
        )
