import dataclasses
from dataclasses import replace

import pytest
import torch
from ase.build import bulk, molecule

from bostruct.errors import InputError, ShapeError
from bostruct.structures import SYMBOLS, Structures, from_ase
from bostruct.structures.elements import formula


def make(counts=(2, 3, 1), **changes):
    generator = torch.Generator().manual_seed(0)
    n, b = sum(counts), len(counts)
    values = {
        "positions": torch.randn(n, 3, generator=generator).double(),
        "numbers": torch.arange(1, n + 1),
        "cell": torch.eye(3).double().expand(b, 3, 3) * torch.arange(1, b + 1)[:, None, None],
        "pbc": torch.tensor([[True, False, True]]).repeat(b, 1),
        "index": torch.repeat_interleave(torch.tensor(counts)),
        "fixed": torch.arange(n) % 2 == 0,
        "tags": torch.arange(n) * 10,
        "energy": torch.arange(b).double(),
        "forces": torch.randn(n, 3, generator=generator).double(),
        "stress": torch.randn(b, 6, generator=generator).double(),
    }
    return Structures(**values | changes)


def assert_equal(one, two):
    for field in dataclasses.fields(Structures):
        a, b = getattr(one, field.name), getattr(two, field.name)
        assert (a is None) == (b is None), field.name
        if a is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a.nan_to_num(99), b.nan_to_num(99)), field.name


def test_counts_and_names():
    batch = make()
    assert len(batch) == 3
    assert batch.counts.tolist() == [2, 3, 1]
    assert batch.formulas() == ["HHe", "BBeLi", "C"]
    assert batch.symbols() == ["H", "He", "Li", "Be", "B", "C"]
    assert repr(batch) == "Structures(3: HHe, BBeLi, C)"
    assert repr(make((1,) * 6)).endswith(", …)")


def test_splits_into_what_cat_joins():
    batch = make()
    assert_equal(Structures.cat(batch.split()), batch)
    assert [len(one) for one in batch] == [1, 1, 1]
    assert_equal(Structures.cat([batch]), batch)


def test_cat_of_known_and_unknown_results():
    known, unknown = make((2,)), make((1,), energy=None, forces=None, stress=None)
    both = Structures.cat([unknown, known])
    assert both.energy.isnan().tolist() == [True, False]
    assert both.forces.isnan().all(-1).tolist() == [True, False, False]
    assert both.stress.isnan().tolist() == [[True] * 6, [False] * 6]
    assert Structures.cat([unknown, unknown]).energy is None


@pytest.mark.parametrize(
    ("key", "chosen"),
    [
        (0, [0]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        ([2, 0, 2], [2, 0, 2]),
        (torch.tensor([1, 1]), [1, 1]),
        (torch.tensor([True, False, True]), [0, 2]),
        (torch.tensor(2), [2]),
        ([], []),
    ],
)
def test_selects(key, chosen):
    batch = make()
    found = batch[key]
    assert len(found) == len(chosen)
    if chosen:
        parts = batch.split()
        assert_equal(found, Structures.cat([parts[i] for i in chosen]))
        assert_equal(found, Structures(**{k: v for k, v in vars(found).items()}))


def test_selection_follows_gradients():
    batch = make()
    positions = batch.positions.clone().requires_grad_()
    found = dataclasses.replace(batch, positions=positions)[[1]]
    found.positions.sum().backward()
    assert positions.grad.sum(-1).tolist() == [0, 0, 3, 3, 3, 0]


def test_moves_between_dtypes():
    single = make().to(dtype=torch.float32)
    assert single.dtype == single.cell.dtype == single.forces.dtype == torch.float32
    assert single.numbers.dtype == torch.int64
    assert single.to("cpu").device.type == "cpu"


def test_forgets_results():
    bare = make().without_results()
    assert bare.energy is None
    assert bare.forces is None
    assert bare.stress is None
    assert bare.value_or_nan("stress").isnan().tolist() == [[True] * 6] * 3


def test_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().energy = None


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"positions": torch.zeros(6, 2)}, ShapeError, "`positions` must have shape"),
        ({"positions": torch.zeros(6, 3).long()}, InputError, "floating-point dtype"),
        ({"cell": torch.zeros(3, 3)}, ShapeError, "`cell` must have shape"),
        ({"numbers": torch.ones(5).long()}, ShapeError, "`numbers` must have shape"),
        ({"numbers": torch.ones(6)}, InputError, "`numbers` must be of dtype"),
        ({"numbers": torch.full((6,), 119)}, InputError, "from 0 to 118, got 119"),
        ({"numbers": torch.full((6,), -1)}, InputError, "from 0 to 118, got -1"),
        ({"pbc": torch.zeros(3).bool()}, ShapeError, "`pbc` must have shape"),
        ({"pbc": torch.zeros(3, 3)}, InputError, "`pbc` must be of dtype"),
        ({"energy": torch.zeros(4).double()}, ShapeError, "`energy` must have shape"),
        ({"energy": torch.zeros(3)}, InputError, "`energy` must be of dtype"),
        ({"forces": torch.zeros(6).double()}, ShapeError, "`forces` must have shape"),
        ({"stress": torch.zeros(3, 3, 3).double()}, ShapeError, "`stress` must have shape"),
        ({"stress": torch.zeros(3, 6)}, InputError, "`stress` must be of dtype"),
        ({"index": torch.tensor([0, 0, 2, 1, 1, 2])}, InputError, "be sorted"),
        ({"index": torch.tensor([0, 0, 1, 1, 1, 3])}, InputError, "0 to 2.*got 3"),
        ({"index": torch.tensor([0, 0, 0, 1, 1, 1])}, ShapeError, "Structure 2 has no"),
        (
            {"positions": torch.full((6, 3), torch.nan).double()},
            InputError,
            "`positions` must be finite",
        ),
        ({"cell": torch.full((3, 3, 3), torch.inf).double()}, InputError, "`cell` must be finite"),
        ({"cell": torch.zeros(3, 3, 3).double()}, InputError, "independent lattice"),
        ({"cell": torch.ones(3, 3, 3).double()}, InputError, "independent lattice"),
        ({"energy": torch.zeros(3, device="meta", dtype=torch.float64)}, InputError, "be on cpu"),
    ],
)
def test_refuses(changes, error, match):
    with pytest.raises(error, match=match):
        make(**changes)


def test_unknown_results_are_allowed():
    assert make(energy=torch.full((3,), torch.nan).double()).energy.isnan().all()


def test_refuses_positions_in_the_batch_that_do_not_exist():
    with pytest.raises(InputError, match="`key` must be from -3 to 2, got 3"):
        make()[3]
    with pytest.raises(ShapeError, match="`key` must have shape"):
        make()[torch.tensor([True])]


def test_refuses_to_join_nothing():
    with pytest.raises(InputError, match="at least one batch"):
        Structures.cat([])


def test_knows_the_elements_as_ase_does():
    from ase.data import chemical_symbols

    assert list(SYMBOLS) == chemical_symbols


@pytest.mark.parametrize("text", ["Cu15", "LiF", "H2O", "CH4", "C2H6O", "CO2", "HCl", "BN"])
def test_formulas_are_those_of_ase(text):
    from ase import Atoms

    atoms = Atoms(text)
    assert formula(atoms.numbers.tolist()) == atoms.get_chemical_formula()


def test_moments_and_charges_follow_their_structures():
    one, two = (from_ase([bulk("Ni"), molecule("O2")]), from_ase([bulk("Cu")]))
    two = replace(two, charge=torch.tensor([1.0], dtype=torch.float64))
    both = Structures.cat([one, two])
    assert both.magnetic_moments.nan_to_num(9).tolist() == [0.6, 1, 1, 9]
    assert both.charge.nan_to_num(9).tolist() == [9, 9, 1]
    assert (both.spin, both.atomic_charges) == (None, None)
    back = both[[2, 0]]
    assert back.magnetic_moments.nan_to_num(9).tolist() == [9, 0.6]
    assert back.charge.nan_to_num(9).tolist() == [1, 9]
    parts = both.split()
    assert parts[1].magnetic_moments.tolist() == [1, 1]
    assert both.to(dtype=torch.float32).charge.dtype == torch.float32
    assert [part.has_electronic_state for part in parts] == [True, True, True]
    assert both.without_electronic_state().electronic_state == {}
    assert not both.without_electronic_state().has_electronic_state
    assert both.without_results().charge is not None
    with pytest.raises(ShapeError, match=r"`charge` must have shape \[1\]"):
        replace(two, charge=torch.zeros(2, dtype=torch.float64))
    with pytest.raises(InputError, match=r"`charge` must be of dtype torch\.float64"):
        replace(two, charge=torch.zeros(1, dtype=torch.int64))
