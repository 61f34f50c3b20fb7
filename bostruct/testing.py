"""Contract tests: what every implementation of an interface must do.

Subclass one in a test file, give it a fixture, and pytest runs the whole suite:

    class TestCluster(SpaceContract):
        @pytest.fixture
        def space(self):
            return Cluster("Cu15")
"""

from __future__ import annotations

import json
import pickle

import torch
from torch import Tensor

from bostruct.spaces import DiscreteSpace, Space, SupportsGenerators, SupportsNeighbors

COORDINATE_TOLERANCE = 1e-10
"""Å. Two ways of computing the same coordinates in float64 differ by less."""


def seeded_generator(seed: int) -> torch.Generator:
    """Return a generator with a seed."""
    return torch.Generator().manual_seed(seed)


class SpaceContract:
    """What every space must do; subclasses give a fixture `space`."""

    def test_describes_its_atoms(self, space: Space) -> None:
        """Species and radii belong together."""
        assert space.numbers.dtype == torch.int64
        assert space.numbers.shape == space.atomic_radii.shape
        assert (space.atomic_radii > 0).all()
        assert space.dimension > 0

    def test_samples_are_inside(self, space: Space) -> None:
        """What is sampled may be proposed."""
        X = space.sample(24, seeded_generator(0))
        assert X.shape == (24, space.dimension)
        assert X.dtype == torch.float64
        assert space.contains(X).all()

    def test_no_samples_are_none(self, space: Space) -> None:
        """An empty request gets an empty answer."""
        assert space.sample(0, seeded_generator(0)).shape == (0, space.dimension)

    def test_same_stream_same_samples(self, space: Space) -> None:
        """Samples depend on the generator alone, and on nothing before."""
        first = space.sample(5, seeded_generator(3))
        space.sample(2, seeded_generator(4))
        assert torch.equal(first, space.sample(5, seeded_generator(3)))

    def test_every_generator_samples(self, space: Space) -> None:
        """Whatever ways there are to make random structures, the same holds for them.

        "random" is `sample`.
        """
        if not isinstance(space, SupportsGenerators):
            return
        ways = space.generators()
        assert list(ways) == list(space.generators())
        assert torch.equal(
            ways["random"](3, seeded_generator(0)), space.sample(3, seeded_generator(0))
        )
        for name, way in ways.items():
            X = way(24, seeded_generator(0))
            assert X.shape == (24, space.dimension), name
            assert X.dtype == torch.float64, name
            assert space.contains(X).all(), name
            assert torch.equal(X, way(24, seeded_generator(0))), name
            assert not torch.equal(X, way(24, seeded_generator(1))), name
            assert way(0, seeded_generator(0)).shape == (0, space.dimension), name

    def test_samples_differ(self, space: Space) -> None:
        """Neither structures nor streams repeat."""
        X = space.sample(8, seeded_generator(0))
        assert len({tuple(row) for row in X.tolist()}) == 8
        assert not torch.equal(X, space.sample(8, seeded_generator(1)))

    def test_decodes_row_major(self, space: Space) -> None:
        """Leading dimensions run as they do in memory."""
        X = space.sample(6, seeded_generator(0))
        flat = space.decode(X)
        folded = space.decode(X.reshape(2, 3, -1))
        assert len(flat) == len(folded) == 6
        assert torch.equal(flat.positions, folded.positions)
        assert torch.equal(flat[3].positions, space.decode(X[3]).positions)

    def test_decode_follows_its_input(self, space: Space) -> None:
        """Dtype is the input's."""
        X = space.sample(2, seeded_generator(0)).to(torch.float32)
        assert space.decode(X).dtype == torch.float32
        assert space.project(X).dtype == torch.float32

    def test_encode_inverts_decode(self, space: Space) -> None:
        """What was sampled survives a round trip."""
        X = space.sample(6, seeded_generator(0))
        back = space.encode(space.decode(X))
        torch.testing.assert_close(back, X, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_decode_is_differentiable(self, space: Space) -> None:
        """Gradients with respect to positions reach X, and are right."""
        X = space.sample(2, seeded_generator(0))
        weight = torch.randn(
            space.decode(X).positions.shape,
            generator=seeded_generator(1),
            dtype=X.dtype,
        )

        def energy(X: Tensor) -> Tensor:
            return (weight * space.decode(X).positions).sin().sum()

        X.requires_grad_()
        (slope,) = torch.autograd.grad(energy(X), X)
        along = torch.randn(X.shape, generator=seeded_generator(2), dtype=X.dtype)
        step = 1e-5 * along
        with torch.no_grad():
            secant = (energy(X + step) - energy(X - step)) / 2e-5
        torch.testing.assert_close((slope * along).sum(), secant, rtol=1e-5, atol=1e-6)

    def test_projecting_keeps_what_is_inside(self, space: Space) -> None:
        """Nothing that is inside moves."""
        X = space.sample(6, seeded_generator(0))
        torch.testing.assert_close(space.project(X), X, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_projecting_twice_is_once(self, space: Space) -> None:
        """What was outside is inside, and stays."""
        X = 5 * space.sample(6, seeded_generator(0))
        inside = space.project(X)
        torch.testing.assert_close(space.project(inside), inside, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_does_not_contain_nonsense(self, space: Space) -> None:
        """Coordinates that are not numbers stand for nothing."""
        X = space.sample(2, seeded_generator(0))
        X[0, 0] = torch.nan
        assert space.contains(X).tolist() == [False, True]

    def test_is_duplicate_is_reflexive(self, space: Space) -> None:
        """`same` is reflexive, and compares by broadcasting."""
        X = space.sample(4, seeded_generator(0))
        table = space.is_duplicate(X.unsqueeze(1), X.unsqueeze(0))
        assert table.shape == (4, 4)
        assert table.diagonal().all()
        assert torch.equal(table, table.T)

    def test_a_smaller_scale_is_stricter(self, space: Space) -> None:
        """`same` tells more apart the smaller its scale, and never a structure itself.

        What is shaken by 0.01 Å is no longer the same once the scale allows far less.
        """
        X = space.sample(4, seeded_generator(0))
        shaken = X + 0.01 * torch.randn(X.shape, generator=seeded_generator(1), dtype=X.dtype)
        assert torch.equal(
            space.is_duplicate(X, shaken, tolerance_scale=1.0),
            space.is_duplicate(X, shaken),
        )
        assert not space.is_duplicate(X, shaken, tolerance_scale=1e-6).any()
        assert space.is_duplicate(X, X, tolerance_scale=1e-6).all()
        assert space.is_duplicate(X, shaken, tolerance_scale=1e6).all()

    def test_moves_stay_inside(self, space: Space) -> None:
        """Moves lead from the space into the space, and somewhere else."""
        X = space.sample(24, seeded_generator(0))
        for name, move in space.moves().items():
            moved = move(X, seeded_generator(1))
            assert moved.shape == X.shape, name
            assert space.contains(moved).all(), name
            assert not torch.equal(moved, X), name

    def test_moves_depend_on_the_stream_alone(self, space: Space) -> None:
        """Equal generators move equally, and what is moved is left as it was."""
        X = space.sample(6, seeded_generator(0))
        before = X.clone()
        assert list(space.moves()) == list(space.moves())
        for name, move in space.moves().items():
            assert torch.equal(move(X, seeded_generator(1)), move(X, seeded_generator(1))), name
            assert torch.equal(X, before), name

    def test_moves_of_nothing(self, space: Space) -> None:
        """An empty batch moves to an empty batch."""
        X = space.sample(0, seeded_generator(0))
        for move in space.moves().values():
            assert move(X, seeded_generator(1)).shape == X.shape

    def test_description_is_json(self, space: Space) -> None:
        """The identity survives being written down."""
        description = space.description()
        assert json.loads(json.dumps(description, allow_nan=False)) == description

    def test_travels_to_other_processes(self, space: Space) -> None:
        """A pickled copy is the same space."""
        copy: Space = pickle.loads(pickle.dumps(space))
        assert copy.description() == space.description()
        assert torch.equal(
            copy.sample(2, seeded_generator(0)), space.sample(2, seeded_generator(0))
        )


class DiscreteContract(SpaceContract):
    """What every discrete space must do; subclasses give a fixture `space`.

    It is the contract of `bostruct.spaces.space`, and that of every space where the
    two do not differ: no gradient flows through `decode`, members repeat in samples,
    and `scale` has nothing to scale.
    """

    def test_samples_differ(self, space: Space) -> None:
        """Neither all structures nor streams are equal."""
        X = space.sample(24, seeded_generator(0))
        assert len({tuple(row) for row in X.tolist()}) > 1
        assert not torch.equal(X, space.sample(24, seeded_generator(1)))

    def test_decode_is_differentiable(self, space: Space) -> None:
        """It is not: what is decoded is a constant."""
        X = space.sample(2, seeded_generator(0)).requires_grad_()
        assert not space.decode(X).positions.requires_grad

    def test_a_smaller_scale_is_stricter(self, space: Space) -> None:
        """No scale tells a member from itself."""
        X = space.sample(4, seeded_generator(0))
        for scale in (1e-6, 1.0, 1e6):
            assert torch.equal(
                space.is_duplicate(X, X.flip(0), scale),
                space.is_duplicate(X, X.flip(0)),
            )
            assert space.is_duplicate(X, X, scale).all()

    def test_moves_stay_inside(self, space: Space) -> None:
        """Moves lead from the space into the space, and one of them somewhere else.

        Symmetry may undo what a move does.
        """
        X = space.sample(24, seeded_generator(0))
        for name, move in space.moves().items():
            moved = move(X, seeded_generator(1))
            assert moved.shape == X.shape, name
            assert space.contains(moved).all(), name
        every = [move(X, seeded_generator(1)) for move in space.moves().values()]
        assert any(not torch.equal(moved, X) for moved in every)

    def test_composition_counts_elements(self, space: DiscreteSpace) -> None:
        """Elements are those listed, each once, in shares that `fractions` tells."""
        X = space.canonical(space.sample(8, seeded_generator(0)))
        structures = space.decode(X)
        assert len(space.numbers.unique()) == len(space.numbers)
        shares = torch.stack(
            [
                (one.numbers.unsqueeze(-1) == space.numbers).double().mean(0)
                for one in structures.split()
            ]
        )
        torch.testing.assert_close(space.composition(X), shares)

    def test_canonical_is_one_of_the_same(self, space: DiscreteSpace) -> None:
        """What is the same has one name, and `same` says just that."""
        X = space.sample(24, seeded_generator(0))
        names = space.canonical(X)
        assert space.contains(names).all()
        assert torch.equal(space.canonical(names), names)
        assert space.is_duplicate(X, names).all()
        equal = (names.unsqueeze(1) == names).all(-1)
        assert torch.equal(space.is_duplicate(X.unsqueeze(1), X), equal)

    def test_lists_each_member_once(self, space: DiscreteSpace) -> None:
        """All rows are inside, canonical and different, however they are asked for."""
        size = space.size
        if size is None:
            return
        X = torch.cat(list(space.iter_members(7)))
        assert X.shape == (size, space.dimension)
        assert X.dtype == torch.float64
        assert space.contains(X).all()
        assert torch.equal(space.canonical(X), X)
        assert len(X.unique(dim=0)) == size
        assert torch.equal(space.members(1, size), X[1:])
        assert space.members(0, 0).shape == (0, space.dimension)

    def test_samples_all_that_is_listed_alike(self, space: DiscreteSpace) -> None:
        """Members are equally probable: one seed in 10⁵ would fail a right space."""
        size = space.size
        if size is None or not 1 < size <= 64:
            return
        n = 20 * size
        X = space.canonical(space.sample(n, seeded_generator(0)))
        found, counts = X.unique(dim=0, return_counts=True)
        assert len(found) == size
        spread = ((counts - 20) ** 2 / 20).sum()
        # χ² of size - 1 degrees of freedom, by Wilson and Hilferty's transformation
        k = size - 1
        z = ((spread / k) ** (1 / 3) - (1 - 2 / (9 * k))) / (2 / (9 * k)) ** 0.5
        assert z < 4.3

    def test_neighbors_are_other_members(self, space: DiscreteSpace) -> None:
        """They are inside, canonical, different, and the relation is mutual."""
        if not isinstance(space, SupportsNeighbors):
            return
        for x in space.canonical(space.sample(3, seeded_generator(0))):
            near = space.neighbors(x)
            assert near.shape[1:] == (space.dimension,)
            assert space.contains(near).all()
            assert torch.equal(space.canonical(near), near)
            assert len(near.unique(dim=0)) == len(near)
            assert not (near == x).all(-1).any()
            for other in near[:3]:
                assert (space.neighbors(other) == x).all(-1).any()

    def test_exact_properties_follow_the_input(self, space: DiscreteSpace) -> None:
        """They are finite, in the shape and dtype of X."""
        X = space.sample(6, seeded_generator(0)).reshape(2, 3, -1).to(torch.float32)
        known = space.exact_properties(X)
        assert list(known) == list(space.exact_properties(X))
        for name, values in known.items():
            assert values.shape == (2, 3), name
            assert values.dtype == torch.float32, name
            assert values.isfinite().all(), name
