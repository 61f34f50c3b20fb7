import math
import pickle

import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, fcc100, fcc111, graphene
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.optimize import BFGS

from bostruct.errors import InputError, ShapeError, SpaceError
from bostruct.spaces import Surface
from bostruct.structures import from_ase, to_ase
from bostruct.testing import SpaceContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient


def gold(size=(3, 3, 2), free=0, vacuum=8.0):
    """Au(100) whose topmost `free` layers move."""
    slab = fcc100("Au", size, vacuum=vacuum)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > free))
    return slab


def skewed():
    """A primitive (111) cell, periodic along its normal too."""
    slab = fcc111("Cu", (2, 3, 3), vacuum=9.0, periodic=True)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 1))
    return slab


def upside_down():
    """A slab whose normal points along -y."""
    slab = gold()
    slab.rotate(90, "x", rotate_cell=True)
    return slab


def stepped():
    slab = gold((2, 4, 3))
    top = [i for i, tag in enumerate(slab.get_tags()) if tag == 1]
    del slab[top[4:]]
    return slab


def sheet():
    return graphene(size=(3, 3, 1), vacuum=9.0)


SURFACES = {
    "Ni5 on Au(100)": lambda: Surface(gold(), "Ni5"),
    "one atom": lambda: Surface(gold((1, 1, 2)), "H"),
    "CO on a slab with free atoms": lambda: Surface(gold((2, 2, 3), free=1), "CO"),
    "reconstruction": lambda: Surface(gold((2, 3, 3), free=2)),
    "alloying": lambda: Surface(skewed(), "Ni2Au"),
    "cluster on a support": lambda: Surface(sheet(), "Au3Cu4", min_distance_factor=0.6),
    "turned": lambda: Surface(upside_down(), "Ni3"),
    "stepped": lambda: Surface(stepped(), "Ni2"),
    "region": lambda: Surface(gold(), "Cu4", region=(1, 2.5)),
    "Lennard-Jones": lambda: Surface(
        Atoms("Ar4", [[0, 0, 0], [1.1, 0, 0], [0, 1.1, 0], [1.1, 1.1, 0]],
              cell=[2.2, 2.2, 0], pbc=(1, 1, 0)),
        "Ar3",
        atomic_radii={"Ar": 0.56},
    ),
}  # fmt: skip


@pytest.fixture(params=SURFACES)
def surface(request):
    return SURFACES[request.param]()


@pytest.fixture(scope="module")
def ni5():
    return SURFACES["Ni5 on Au(100)"]()


class TestSurface(SpaceContract):
    @pytest.fixture
    def space(self, surface):
        return surface


def free_atoms(space, X):
    return X.reshape(*X.shape[:-1], -1, 3)


def heights(space, X):
    """Heights above the topmost atom of the slab."""
    normal = torch.linalg.cross(*space.slab.cell[0, :2])
    normal = normal / normal.norm()
    third = space.slab.cell[0, 2] @ normal
    normal = -normal if third < 0 else normal
    top = (space.slab.positions @ normal).max()
    return free_atoms(space, X) @ normal - top


def platinum(size=(3, 3, 2), free=0):
    slab = fcc111("Pt", size, vacuum=8.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > free))
    return slab


MOLECULAR = {
    "CO": lambda: Surface(platinum(), molecules=["CO"]),
    "two CO on free atoms": lambda: Surface(platinum(free=1), molecules=["CO", "CO"]),
    "atoms and molecules": lambda: Surface(
        platinum((4, 4, 2)), "Cu2", molecules={"H2O": 2, "H": 1}
    ),
    "torsions": lambda: Surface(skewed(), molecules=["CH3CH2OH"], region=(0, 6)),
    "turned slab": lambda: Surface(upside_down(), molecules={"CO": 2}),
    "reactions": lambda: Surface(platinum(), molecules={"CO": 2}, allow_reactions=True),
}


class TestMolecularSurface(SpaceContract):
    @pytest.fixture(params=MOLECULAR)
    def space(self, request):
        return MOLECULAR[request.param]()


def carbon_monoxide():
    return Surface(platinum(), molecules=["CO"])


def co_lengths(X):
    P = X.reshape(len(X), -1, 3)
    return (P[:, 1] - P[:, 0]).norm(dim=-1)


def test_carbon_monoxide_is_whole_in_all_samples_and_moves():
    space = carbon_monoxide()
    X = space.sample(200, seeded_generator(0))
    length = torch.full((200,), float(space.fragments.bond_lengths[0]), dtype=torch.float64)
    torch.testing.assert_close(co_lengths(X), length)
    for name, move in space.moves().items():
        moved = move(X, seeded_generator(1))
        torch.testing.assert_close(co_lengths(moved), length)
        assert not torch.equal(moved, X), name
    assert list(space.moves()) == ["rattle", "relocate", "slide", "turn"]


def test_a_dissociated_molecule_is_outside_unless_reactions_are_allowed():
    space = carbon_monoxide()
    X = space.sample(8, seeded_generator(0))
    P = X.reshape(8, 2, 3).clone()
    P[:, 1] += (P[:, 1] - P[:, 0]) * 0.3
    assert not space.contains(P.flatten(1)).any()
    assert space.molecule_violation(P.flatten(1)[0]).startswith("a bond C-O of 1.50 Å")
    assert space.molecule_violation(X[0]) is None
    reactive = Surface(platinum(), molecules=["CO"], allow_reactions=True)
    assert reactive.molecule_violation(P.flatten(1)[0]) is None
    assert Surface(platinum(), "CO").molecule_violation(X[0]) is None
    inside = (P[..., 2] <= float(reactive.slab.positions[:, 2].max()) + reactive.region[1]).all(-1)
    assert reactive.contains(P.flatten(1))[inside].all()
    assert reactive.encode(reactive.decode(P.flatten(1))).shape == X.shape
    assert "rattle_atoms" in reactive.moves()


def test_molecules_are_found_again_in_any_order_and_image():
    space = Surface(platinum(), molecules=["CO", "H2O"])
    X = space.sample(6, seeded_generator(0))
    order = torch.randperm(23, generator=seeded_generator(1)).tolist()
    shuffled = []
    for atoms in to_ase(space.decode(X)):
        atoms.set_constraint()
        atoms.wrap()
        shuffled.append(atoms[order])
    back = space.encode(from_ase(shuffled))
    assert space.contains(back).all()
    assert space.is_duplicate(back, X).all()


def test_bonds_to_the_slab_are_allowed_and_between_molecules_not():
    space = Surface(platinum(), molecules=["CO", "CO"])
    top = space.slab.positions[space.slab.positions[:, 2].argmax()]
    on_top = top + torch.tensor([[0, 0, 1.85], [0, 0, 3.0]])  # carbon on platinum
    beside = on_top + torch.tensor([1.3, 0.0, 0.0])
    apart = on_top + torch.tensor([2.77, 0.0, 0.0])
    assert space.contains(torch.cat((on_top, apart)).flatten())
    assert not space.contains(torch.cat((on_top, beside)).flatten())


@pytest.mark.parametrize("name", MOLECULAR)
def test_a_molecular_description_and_the_slab_give_the_same_space(name):
    space = MOLECULAR[name]()
    again = Surface.from_description(space.description(), space.stored_structures())
    assert again.description() == space.description()
    assert torch.equal(again.sample(3, seeded_generator(0)), space.sample(3, seeded_generator(0)))
    assert space.with_region_of({"region": [0.0, 1.0]}) is space


def test_atoms_of_the_formula_stand_before_molecules():
    space = Surface(platinum(), "Cu", molecules={"CO": 1, "H": 1})
    assert space.numbers[18:].tolist() == [29, 1, 8, 6]
    assert space.formula == "CuH"
    assert "molecules='CO + Cu + H'" in repr(space)


def test_rigid_motions_on_a_surface():
    space = Surface(platinum(free=1), molecules=["CO"])
    X = space.sample(3, seeded_generator(0))
    m = space.rigid_dimension
    assert m == 3 * 9 + 6
    q = 0.2 * torch.randn(3, m, dtype=X.dtype, generator=seeded_generator(1))
    torch.testing.assert_close(space.rigid_motion(X, torch.zeros_like(q)), X)
    moved = space.rigid_motion(X, q)
    P, Q = (x.reshape(3, -1, 3)[:, -2:] for x in (X, moved))
    torch.testing.assert_close((Q[:, 1] - Q[:, 0]).norm(dim=-1), (P[:, 1] - P[:, 0]).norm(dim=-1))
    assert_gradient(lambda q: space.rigid_motion(X, q).sin().sum(), q)
    atomic = Surface(platinum(), "CO")
    assert atomic.rigid_dimension == 0
    assert atomic.rigid_motion(X, q) is X


def test_structures_are_slab_then_formula():
    space = Surface(gold((2, 2, 3), free=1), "CO")
    assert space.dimension == 3 * (4 + 2)
    assert space.numbers.tolist() == [79] * 12 + [6, 8]
    assert space.atomic_radii.tolist() == pytest.approx([1.36] * 12 + [0.76, 0.66])
    assert space.free_indices.tolist() == [8, 9, 10, 11, 12, 13]
    made = space.decode(space.sample(2, seeded_generator(0)))
    assert made.numbers.tolist() == space.numbers.tolist() * 2
    assert made.fixed.tolist() == ([True] * 8 + [False] * 6) * 2
    assert made.tags.tolist() == ([3] * 4 + [2] * 4 + [1] * 4 + [0, 0]) * 2
    assert repr(space).startswith("Surface('Au12', 'CO', region=(-1.")


def test_fixed_atoms_never_move(surface):
    X = surface.sample(6, seeded_generator(0))
    slab = surface.slab
    for move in [None, *surface.moves().values()]:
        moved = X if move is None else move(X, seeded_generator(1))
        made = surface.decode(moved)
        at = made.positions.reshape(6, -1, 3)[:, : len(slab.numbers)][:, slab.fixed]
        assert torch.equal(at, slab.positions[slab.fixed].expand(6, -1, -1))
        assert torch.equal(made.cell, slab.cell.expand(6, 3, 3))
        assert torch.equal(made.pbc, slab.pbc.expand(6, 3))
        assert made.fixed.sum() == 6 * slab.fixed.sum()


def test_all_atoms_keep_their_distance(surface):
    """As ASE measures it, with images, for samples and after every move."""
    X = surface.sample(8, seeded_generator(0))
    every = [X, *(move(X, seeded_generator(1)) for move in surface.moves().values())]
    order = surface.free_first_order.tolist()
    for images in every:
        for atoms in to_ase(surface.decode(images)):
            D = torch.from_numpy(atoms.get_all_distances(mic=True))[order][:, order]
            D = D[: len(surface.free_indices)].fill_diagonal_(math.inf)
            assert (surface.min_distances * (1 - 1e-6) <= D).all()


def test_atoms_stay_in_the_region(surface):
    X = surface.sample(16, seeded_generator(0))
    low, high = surface.region
    every = [X, *(move(X, seeded_generator(1)) for move in surface.moves().values())]
    every += [surface.project(3 * X - 20), surface.project(3 * X + 20)]
    for moved in every:
        found = heights(surface, moved)
        assert found.min() >= low - 1e-9
        assert found.max() <= high + 1e-9


def test_what_is_put_on_touches(surface):
    """Atoms hold on to the surface, or to others that do."""
    X = surface.sample(16, seeded_generator(0))
    reach = 1.3 * surface.bond_lengths
    f = len(surface.free_indices)
    order = surface.free_first_order.tolist()
    for atoms in to_ase(surface.decode(X)):
        D = torch.from_numpy(atoms.get_all_distances(mic=True))[order][:, order]
        D.fill_diagonal_(math.inf)
        assert (D[:f] < reach[:f]).any(1).all()


def test_the_slab_is_inside_its_own_reconstructions():
    space = SURFACES["reconstruction"]()
    X = space.encode(space.slab)
    assert torch.equal(free_atoms(space, X)[0], space.slab.positions[space.free_indices])
    assert space.contains(X).all()


def test_samples_are_not_all_alike(ni5):
    X = ni5.sample(32, seeded_generator(0))
    assert ni5.is_duplicate(X.unsqueeze(1), X.unsqueeze(0)).sum() <= 34
    layers = heights(ni5, X).amax(1)
    assert layers.min() < 2.4  # flat
    assert layers.max() > 3.2  # piled up


def test_reconstructions_are_shaken_or_rebuilt():
    space = SURFACES["reconstruction"]()
    X = space.sample(32, seeded_generator(0))
    far = (X - space.encode(space.slab)).reshape(32, -1, 3).norm(dim=-1)
    near = far.amax(1) < 0.8  # what is rebuilt has an atom somewhere else
    assert 6 < near.sum() < 26
    assert space.is_duplicate(X, space.encode(space.slab)).sum() < 16


def test_contains_the_region_and_its_border(ni5):
    space = Surface(gold(), "H", region=(0.5, 2))
    top = float(space.slab.positions[:, 2].max())
    hollow = space.slab.positions[9, :2] + 1.44
    at = [[*hollow.tolist(), top + height] for height in (0.4, 0.5, 1.2, 2.0, 2.1)]
    X = torch.tensor(at, dtype=torch.float64)
    assert space.contains(X).tolist() == [False, True, True, True, False]
    assert space.contains(space.project(X)).all()
    assert space.contains(space.project(X).float()).all()
    assert torch.equal(space.project(X)[1:4], X[1:4])


def test_contains_no_atoms_close_to_an_image():
    space = Surface(gold((2, 2, 2)), "Ni2")
    edge = float(space.slab.cell[0, 0, 0])
    top = float(space.slab.positions[:, 2].max()) + 2.2
    X = torch.tensor([[0.5, 0, top, 3.2, 0, top], [0.5, 0, top, edge, 0, top]])
    assert space.contains(X.double()).tolist() == [True, False]
    # the same with whole lattice vectors between them
    X[:, 3] -= 7 * edge
    assert space.contains(X.double()).tolist() == [True, False]


def test_nothing_is_wrapped_while_relaxing(ni5):
    """Steps of a relaxation must not jump by a lattice vector."""
    X = ni5.sample(4, seeded_generator(0))
    far = (free_atoms(ni5, X) + 3 * ni5.slab.cell[0, 0]).flatten(1)
    assert ni5.contains(far).all()
    assert ni5.is_duplicate(X, far).all()
    torch.testing.assert_close(ni5.project(far), far)
    torch.testing.assert_close(ni5.encode(ni5.decode(far)), far)


def test_same_ignores_what_maps_the_slab_onto_itself(ni5):
    X = ni5.sample(6, seeded_generator(0))
    P = free_atoms(ni5, X)
    step = ni5.slab.cell[0] / 3
    turn = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]).double()
    centre = ni5.slab.positions[0]
    copies = {
        "shifted by one site": P + step[0] - step[1],
        "turned": (P - centre) @ turn + centre,
        "mirrored": (P - centre) * torch.tensor([-1.0, 1, 1]) + centre,
        "exchanged": P[:, [1, 0, 3, 4, 2]],
        "shaken": P + 0.01,
    }
    for name, copy in copies.items():
        assert ni5.is_duplicate(X, copy.flatten(1)).all(), name
    others = {
        "shifted by half a site": P + step[0] / 2,
        "lifted": P + torch.tensor([0, 0, 0.3]),
    }
    for name, copy in others.items():
        assert not ni5.is_duplicate(X, copy.flatten(1)).any(), name


def test_same_tells_sites_apart():
    slab = fcc111("Pt", (3, 3, 4), vacuum=8.0)
    images = []
    for site in ("ontop", "bridge", "fcc", "hcp"):
        atoms = slab.copy()
        add_adsorbate(atoms, "O", 1.3 if site in ("fcc", "hcp") else 1.7, site)
        images.append(atoms)
    space = Surface(slab, "O")
    X = space.encode(from_ase(images))
    assert torch.equal(space.is_duplicate(X[:, None], X), torch.eye(4, dtype=torch.bool))
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(X, X, tolerance_scale=-1)


def test_same_sees_unlike_atoms():
    space = Surface(gold(), "NiCu")
    X = space.sample(6, seeded_generator(0))
    other = free_atoms(space, X)[:, [1, 0]].flatten(1)
    assert space.is_duplicate(X, other).sum() <= 1


def test_encodes_atoms_in_any_order_and_image():
    space = Surface(gold((2, 2, 3), free=1), "CuC")
    X = space.sample(3, seeded_generator(0))
    images = to_ase(space.decode(X))
    order = torch.randperm(14, generator=seeded_generator(0)).tolist()
    shuffled = [atoms[order] for atoms in images]
    for atoms in shuffled:
        atoms.positions[4] += 2 * atoms.cell[0] - atoms.cell[1]
        atoms.wrap()
        atoms.set_constraint()
    Y = space.encode(from_ase(shuffled))
    assert space.is_duplicate(X, Y).all()
    assert space.contains(Y).all()
    assert space.decode(Y).numbers.tolist() == space.numbers.tolist() * 3


def test_round_trip_through_ase(surface):
    X = surface.sample(3, seeded_generator(0))
    images = to_ase(surface.decode(X))
    assert images[0].constraints or not surface.slab.fixed.any()
    torch.testing.assert_close(surface.encode(from_ase(images)), X)


def changed(**changes):
    space = Surface(gold(), "NiCu")
    atoms = to_ase(space.decode(space.sample(1, seeded_generator(0))))[0]
    if "symbols" in changes:
        atoms.symbols[-1] = changes["symbols"]
    if "fixed" in changes:
        atoms.positions[0] += changes["fixed"]
    if "cell" in changes:
        atoms.cell[0] *= changes["cell"]
    if "more" in changes:
        atoms += Atoms("H", [[0, 0, 20]])
    return space, from_ase(atoms)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"symbols": "Ag"}, "must all be Au18 with NiCu on it, got AgAu18Ni"),
        ({"more": 1}, "must all be Au18 with NiCu on it, got HAu18CuNi"),
        ({"cell": 1.01}, "must have the lattice vectors of the slab"),
        ({"fixed": 0.3}, "an atom at the place of every fixed one.*got one that is 0"),
    ],
)
def test_refuses_to_encode_others(changes, match):
    space, other = changed(**changes)
    with pytest.raises(InputError, match=match):
        space.encode(other)


def test_encodes_fixed_atoms_that_are_a_little_off():
    space, other = changed(fixed=0.01)
    assert space.contains(space.encode(other)).all()


def test_refuses_coordinates_of_another_size(ni5):
    with pytest.raises(ShapeError, match="`X` must have shape"):
        ni5.decode(torch.zeros(2, 8))


def test_default_regions():
    flat = Surface(gold(), "Ni5").region
    hollow = math.sqrt((0.85 * (1.36 + 1.24)) ** 2 - 2.04**2)
    assert flat[0] == pytest.approx(hollow, abs=0.02)
    assert 5 < flat[1] <= 8
    assert Surface(gold(vacuum=5.0), "Ni5").region[1] == pytest.approx(5)
    # the lower terrace is part of the surface, and so are free layers
    assert Surface(stepped(), "Ni").region[0] == pytest.approx(hollow - 2.04, abs=0.02)
    free = Surface(gold((2, 2, 3), free=2), "Ni")
    assert free.region[0] == pytest.approx(-3.4, abs=0.1)
    assert Surface(gold((2, 2, 3), free=1), "Ni", region=(1, 4)).region[0] < -1


def test_reads_a_file(tmp_path):
    slab = gold()
    slab.info.clear()
    slab.write(tmp_path / "slab.traj")
    space = Surface(tmp_path / "slab.traj", "Ni5")
    assert space.description() == Surface(slab, "Ni5").description()


def test_moves_suit_the_surface():
    names = {name: list(make().moves()) for name, make in SURFACES.items()}
    assert names["Ni5 on Au(100)"] == ["rattle", "relocate", "slide"]
    assert names["reconstruction"] == ["rattle", "relocate"]
    assert names["alloying"] == ["permute", "rattle", "relocate", "slide"]


def test_permuting_exchanges_adsorbates_with_the_slab():
    space = SURFACES["alloying"]()
    X = space.sample(32, seeded_generator(0))
    low = heights(space, space.moves()["permute"](X, seeded_generator(1)))[:, 6:8].amin(1)
    assert (low < 0.5).any()
    assert (heights(space, X)[:, 6:8] > 0.5).all()


def test_description_is_canonical(ni5):
    one = ni5.description()
    assert one["type"] == "Surface"
    assert one["slab"]["formula"] == "Au18"
    assert one["slab"]["fixed"] == 18
    assert list(one["min_distance"]) == ["Au-Ni", "Ni-Ni"]
    moved = gold()
    moved.positions[2, 2] += 0.01
    others = [
        Surface(gold(), "Ni4"),
        Surface(gold(free=1), "Ni5"),
        Surface(moved, "Ni5"),
        Surface(gold(), "Ni5", region=(0, 4)),
        Surface(gold(), "Ni5", min_distance={"Au-Ni": 2.0}),
        Surface(gold(), "Ni5", atomic_radii={"Ni": 1.2}),
    ]
    assert all(one != other.description() for other in others)
    assert one == Surface(gold(), "Ni5").description()


def test_what_is_kept_for_a_device_does_not_travel(ni5):
    ni5.decode(ni5.sample(1, seeded_generator(0)).float())
    copy = pickle.loads(pickle.dumps(ni5))
    assert "_kept" in vars(ni5)
    assert "_kept" not in vars(copy)


def crowded():
    slab = gold()
    slab.positions[4] = slab.positions[5] + 0.2
    return slab


def unfixed():
    slab = gold()
    slab.set_constraint(FixAtoms(indices=range(9)))
    return slab


@pytest.mark.parametrize(
    ("slab", "formula", "options", "error", "match"),
    [
        (
            gold,
            "",
            {},
            InputError,
            "`slab` must leave atoms that can move.*Give a form",
        ),
        (gold, "Xx", {}, InputError, "must name elements that exist"),
        (gold, 5, {}, InputError, "`formula` must be a chemical formula"),
        (lambda: "nowhere.xyz", "Ni", {}, InputError, "must be a file of structures"),
        (gold, "Ni", {"atomic_radii": {"Cu": 1}}, InputError, r"that occur \(Au, Ni\), got"),
        (
            gold,
            "Ni",
            {"min_distance_factor": 1.2},
            InputError,
            "`min_distance_factor` must be at most 1",
        ),
        (
            gold,
            "Ni",
            {"min_distance_factor": 0},
            InputError,
            "`min_distance_factor` must be positive",
        ),
        (gold, "Ni", {"region": (4, 2)}, InputError, "`region` must be two heights"),
        (
            gold,
            "Ni",
            {"region": (0, 9)},
            SpaceError,
            "`region` must end at 8.00 Å above the slab, inside its cell, got 9.00 Å",
        ),
        (
            lambda: gold(vacuum=1.0),
            "Ni",
            {},
            SpaceError,
            r"at least 2.60 Å of vacuum above it, got 1.00 Å. Try slab.center",
        ),
        (
            lambda: fcc111("Cu", (2, 2, 3), vacuum=2.0, periodic=True),
            "Ni",
            {},
            SpaceError,
            "of vacuum above it, got 1",
        ),
        (
            lambda: gold((1, 1, 2)),
            "Ni",
            {"min_distance": 3.0},
            SpaceError,
            "keep atoms 3.00 Å from their own images.*2.88 Å. Repeat it",
        ),
        (crowded, "Ni", {}, InputError, r"atoms 4 \(Au\) and 5 \(Au\) 0.82 Å apart"),
        (
            unfixed,
            "Ni",
            {"min_distance": 2.9},
            InputError,
            "2.90 Å apart, got 2.88 Å. Mend it",
        ),
        (
            lambda: gold((2, 2, 1)),
            "Ni16",
            {"region": (0, 2)},
            SpaceError,
            r"must hold Au4 with Ni16 on it.*got \(0.00, 2.00\) Å. Give a higher",
        ),
    ],
)
def test_refuses(slab, formula, options, error, match):
    with pytest.raises(error, match=match):
        Surface(slab(), formula, **options)


def test_says_when_sampling_fails(ni5, monkeypatch):
    monkeypatch.setattr("bostruct.spaces.surfaces.surface.N_SAMPLE_ATTEMPTS", 0)
    with pytest.raises(SpaceError, match="`region` must hold"):
        ni5.sample(1, seeded_generator(0))
    with pytest.raises(InputError, match="`n` must be an integer of at least 0"):
        ni5.sample(-1, seeded_generator(0))


def test_follows_the_device(device):
    space = SURFACES["alloying"]()
    X = space.sample(8, seeded_generator(0))
    there = X.to(device)
    assert space.decode(there).device.type == device.type
    assert space.contains(there).all()
    assert space.is_duplicate(there, there).all()
    torch.testing.assert_close(space.encode(space.decode(there)).cpu(), X)
    for move in space.moves().values():
        assert space.contains(move(there, seeded_generator(1))).all()


@pytest.mark.slow
def test_samples_lie_in_the_funnels():
    """Relaxing 20 samples of Ni5 on Au(100) finds the most stable structure."""
    space = Surface(fcc100("Au", (3, 3, 2), vacuum=7.0), "Ni5")
    found = []
    for atoms in to_ase(space.decode(space.sample(20, seeded_generator(0)))):
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.05, steps=300)
        found.append(atoms.get_potential_energy())
    assert min(found) == pytest.approx(9.8433, abs=2e-3)
    assert sum(energy < 9.846 for energy in found) >= 3


def test_what_a_slab_carries_stays_with_its_atoms():
    slab = fcc100("Ni", (2, 2, 2), vacuum=7)
    slab.set_initial_magnetic_moments([0.5] * 4 + [0.7] * 4)
    slab.info["charge"] = 1
    slab.set_constraint(FixAtoms(indices=[0, 1, 2, 3]))
    space = Surface(slab, "Cu2")
    structures = space.decode(space.sample(2, seeded_generator(0)))
    for found in to_ase(structures):
        moments = found.get_initial_magnetic_moments()
        assert moments.tolist() == [0.5] * 4 + [0.7] * 4 + [0, 0]
        assert found.info == {"charge": 1}
    assert structures.magnetic_moments.isnan().sum() == 4  # Cu has none of its own
    plain = fcc100("Ni", (2, 2, 2), vacuum=7)
    plain.set_constraint(FixAtoms(indices=[0, 1, 2, 3]))
    assert Surface(plain, "Cu2").description() != space.description()
    half = space.decode(space.sample(1, seeded_generator(0)).float())
    assert half.magnetic_moments.dtype == torch.float32


def test_too_many_molecules_are_refused_at_once():
    """Forty molecules on nine atoms of the surface: their volume tells it, without a sample."""
    slab = fcc111("Pt", (3, 3, 2), vacuum=9.0)
    with pytest.raises(SpaceError, match=r"`region` must have room for 40 CO, \d+ Å³ if packed"):
        Surface(slab, molecules={"CO": 40})
