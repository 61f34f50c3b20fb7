import pytest
import torch
from ase.build import bulk

from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Orderings
from bostruct.spaces.alloys import orderings as module
from bostruct.structures import from_ase, to_ase
from bostruct.testing import DiscreteContract

FCC = bulk("Cu", a=3.8)


@pytest.fixture(scope="module")
def ternary():
    return Orderings(FCC, ["Cu", "Pd", "Au"], 3)


class TestOrderings(DiscreteContract):
    @pytest.fixture
    def space(self, ternary):
        return ternary


def test_counts_of_fcc_binaries():
    """The known counts up to 4, 6, 8 and 10 atoms, whatever cell the lattice has."""
    space = Orderings(bulk("Cu", cubic=True), ["Cu", "Au"], 10)
    counts = space.store.start.diff()
    assert [(counts <= n).sum().item() for n in (4, 6, 8)] == [29, 137, 631]
    assert repr(space) == "Orderings(Cu-Au, 2346 up to 10 atoms)"


@pytest.mark.slow
def test_counts_of_fcc_ternaries():
    assert len(Orderings(FCC, ["Cu", "Pd", "Au"], 6)) == 1081


def test_what_is_turned_and_doubled_is_the_same():
    space = Orderings(FCC, ["Cu", "Au"], 4)
    X = torch.cat(list(space.iter_members()))
    for atoms, x in zip(to_ase(space.decode(X)), X, strict=True):
        other = atoms * (2, 1, 1)
        other.rotate(33, (1, 1, 2), rotate_cell=True)
        assert torch.equal(space.encode(from_ase(other))[0], x)


def test_volumes_scale_cells():
    volumes = {"Cu": 12.0, "Au": 17.0}
    space = Orderings(FCC, ["Cu", "Au"], 2, volumes=volumes)
    for one in space.decode(torch.cat(list(space.iter_members()))).split():
        wanted = sum(12.0 if n == 29 else 17.0 for n in one.numbers.tolist())
        assert float(one.cell[0].det().abs()) == pytest.approx(wanted)
    assert list(space.exact_properties(space.members(0, 1))) == [
        "x_Cu",
        "x_Au",
        "density",
    ]


def test_sublattices_and_bounds():
    salt = bulk("NaCl", "rocksalt", a=5.6)
    space = Orderings(salt, {"Na": ["Na", "K"]}, 4)
    assert "Cl" in str(space.decode(space.members(0, 1)).formulas())
    # Na, K, and one NaK cell along each of <100> and <111>
    assert len(space) == 4
    half = Orderings(salt, {"Na": ["Na", "K"]}, 4, bounds={"K": (0.25, 0.25)})
    assert len(half) == 2


@pytest.mark.parametrize(
    ("species", "atoms", "options", "match"),
    [
        (["Cu", "Xx"], 2, {}, "`species` must be a sequence of different elements"),
        ({"Au": ["Cu"]}, 2, {}, r"`species` must name elements of the parent \(Cu\)"),
        (["Cu", "Au"], 0, {}, "`max_atoms` must be an integer of at least 1"),
        (
            ["Cu", "Au"],
            2,
            {"bounds": {"Ag": (0, 1)}},
            "`bounds` must name elements",
        ),
        (["Cu", "Au"], 2, {"bounds": {"Au": (1, 0)}}, r"`bounds\['Au'\]` must rise"),
        (["Cu", "Au"], 2, {"volumes": {"Cu": 1.0}}, "`volumes` must hold every"),
    ],
)
def test_refusals(species, atoms, options, match):
    with pytest.raises(InputError, match=match):
        Orderings(FCC, species, atoms, **options)


def test_refuses_none_and_too_many(monkeypatch):
    with pytest.raises(SpaceError, match="`bounds` must leave an ordering"):
        Orderings(FCC, ["Cu", "Au"], 2, bounds={"Au": (0.3, 0.4)})
    monkeypatch.setattr(module, "MAX_ORDERINGS", 5)
    with pytest.raises(SpaceError, match="`max_atoms` must make at most 5 orderings"):
        Orderings(FCC, ["Cu", "Au"], 3)
