"""Requirements of every search space."""

from __future__ import annotations

import json
import pickle

import torch
from torch import Tensor

from bostruct.spaces import DiscreteSpace, Sampler, Space, SupportsNeighbors
from bostruct.testing.central_differences import assert_gradient
from bostruct.testing.random_generator import seeded_generator

COORDINATE_TOLERANCE = 1e-10
"""Largest difference of coordinates that should be equal in float64, Å."""


class SpaceContract:
    """Requirements of every space; subclasses give a fixture `space`."""

    def test_describes_its_atoms(self, space: Space) -> None:
        """Each species has a positive radius."""
        assert space.numbers.dtype == torch.int64
        assert space.numbers.shape == space.atomic_radii.shape
        assert (space.atomic_radii > 0).all()
        assert space.dimension > 0

    def test_samples_are_inside(self, space: Space) -> None:
        """Samples are in the space."""
        X = space.sample(24, seeded_generator(0))
        assert X.shape == (24, space.dimension)
        assert X.dtype == torch.float64
        assert space.contains(X).all()

    def test_no_samples(self, space: Space) -> None:
        """An empty request gets an empty answer."""
        assert space.sample(0, seeded_generator(0)).shape == (0, space.dimension)

    def test_equal_generators_give_equal_samples(self, space: Space) -> None:
        """Samples depend on the generator alone, not on earlier calls."""
        first = space.sample(5, seeded_generator(3))
        space.sample(2, seeded_generator(4))
        assert torch.equal(first, space.sample(5, seeded_generator(3)))

    def test_every_generator_samples(self, space: Space) -> None:
        """The samplers of `generators()`, where there are any, meet the same requirements.

        "random" is `sample`.
        """
        samplers: dict[str, Sampler] = getattr(space, "generators", dict)()
        if not samplers:
            return
        assert list(samplers) == list(space.generators())  # type: ignore[attr-defined]
        assert torch.equal(
            samplers["random"](3, seeded_generator(0)), space.sample(3, seeded_generator(0))
        )
        for name, sampler in samplers.items():
            X = sampler(24, seeded_generator(0))
            assert X.shape == (24, space.dimension), name
            assert X.dtype == torch.float64, name
            assert space.contains(X).all(), name
            assert torch.equal(X, sampler(24, seeded_generator(0))), name
            assert not torch.equal(X, sampler(24, seeded_generator(1))), name
            assert sampler(0, seeded_generator(0)).shape == (0, space.dimension), name

    def test_samples_differ(self, space: Space) -> None:
        """Samples of one generator differ, and so do those of two seeds."""
        X = space.sample(8, seeded_generator(0))
        assert len({tuple(row) for row in X.tolist()}) == 8
        assert not torch.equal(X, space.sample(8, seeded_generator(1)))

    def test_decodes_row_major(self, space: Space) -> None:
        """Structures are in the row-major order of the leading dimensions."""
        X = space.sample(6, seeded_generator(0))
        flat = space.decode(X)
        folded = space.decode(X.reshape(2, 3, -1))
        assert len(flat) == len(folded) == 6
        assert torch.equal(flat.positions, folded.positions)
        assert torch.equal(flat[3].positions, space.decode(X[3]).positions)

    def test_decode_keeps_the_dtype(self, space: Space) -> None:
        """Structures and projections have the dtype of X."""
        X = space.sample(2, seeded_generator(0)).to(torch.float32)
        assert space.decode(X).dtype == torch.float32
        assert space.project(X).dtype == torch.float32

    def test_encode_inverts_decode(self, space: Space) -> None:
        """Samples survive a round trip."""
        X = space.sample(6, seeded_generator(0))
        back = space.encode(space.decode(X))
        torch.testing.assert_close(back, X, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_decode_is_differentiable(self, space: Space) -> None:
        """Gradients with respect to positions propagate to X, and are right."""
        X = space.sample(2, seeded_generator(0))
        shape = space.decode(X).positions.shape
        weight = torch.randn(shape, generator=seeded_generator(1), dtype=X.dtype)

        def energy(X: Tensor) -> Tensor:
            return (weight * space.decode(X).positions).sin().sum()

        assert_gradient(energy, X)

    def test_projection_keeps_samples(self, space: Space) -> None:
        """A projection does not move structures that are inside."""
        X = space.sample(6, seeded_generator(0))
        torch.testing.assert_close(space.project(X), X, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_projection_is_idempotent(self, space: Space) -> None:
        """A second projection changes nothing."""
        X = 5 * space.sample(6, seeded_generator(0))
        inside = space.project(X)
        torch.testing.assert_close(space.project(inside), inside, rtol=0, atol=COORDINATE_TOLERANCE)

    def test_does_not_contain_nan(self, space: Space) -> None:
        """Coordinates that are NaN are not in the space."""
        X = space.sample(2, seeded_generator(0))
        X[0, 0] = torch.nan
        assert space.contains(X).tolist() == [False, True]

    def test_is_duplicate_is_reflexive(self, space: Space) -> None:
        """`is_duplicate` is reflexive and symmetric, and broadcasts."""
        X = space.sample(4, seeded_generator(0))
        table = space.is_duplicate(X.unsqueeze(1), X.unsqueeze(0))
        assert table.shape == (4, 4)
        assert table.diagonal().all()
        assert torch.equal(table, table.T)

    def test_smaller_tolerances_are_stricter(self, space: Space) -> None:
        """A smaller tolerance distinguishes more structures, but none from itself.

        Structures displaced by 0.01 Å are no duplicates under a far smaller tolerance.
        """
        X = space.sample(4, seeded_generator(0))
        displaced = X + 0.01 * torch.randn(X.shape, generator=seeded_generator(1), dtype=X.dtype)
        default = space.is_duplicate(X, displaced)
        assert torch.equal(space.is_duplicate(X, displaced, tolerance_scale=1.0), default)
        assert not space.is_duplicate(X, displaced, tolerance_scale=1e-6).any()
        assert space.is_duplicate(X, X, tolerance_scale=1e-6).all()
        assert space.is_duplicate(X, displaced, tolerance_scale=1e6).all()

    def test_moves_stay_inside(self, space: Space) -> None:
        """Moves lead from structures in the space to other structures in the space."""
        X = space.sample(24, seeded_generator(0))
        for name, move in space.moves().items():
            moved = move(X, seeded_generator(1))
            assert moved.shape == X.shape, name
            assert space.contains(moved).all(), name
            assert not torch.equal(moved, X), name

    def test_moves_depend_on_the_generator_alone(self, space: Space) -> None:
        """Equal generators give equal moves, and the input is not changed."""
        X = space.sample(6, seeded_generator(0))
        before = X.clone()
        assert list(space.moves()) == list(space.moves())
        for name, move in space.moves().items():
            assert torch.equal(move(X, seeded_generator(1)), move(X, seeded_generator(1))), name
            assert torch.equal(X, before), name

    def test_moves_of_an_empty_batch(self, space: Space) -> None:
        """An empty batch moves to an empty batch."""
        X = space.sample(0, seeded_generator(0))
        for move in space.moves().values():
            assert move(X, seeded_generator(1)).shape == X.shape

    def test_description_is_json(self, space: Space) -> None:
        """The description survives being written down."""
        description = space.description()
        assert json.loads(json.dumps(description, allow_nan=False)) == description

    def test_travels_to_other_processes(self, space: Space) -> None:
        """A pickled copy is the same space."""
        copy: Space = pickle.loads(pickle.dumps(space))
        assert copy.description() == space.description()
        samples = space.sample(2, seeded_generator(0))
        assert torch.equal(copy.sample(2, seeded_generator(0)), samples)


class DiscreteContract(SpaceContract):
    """Requirements of every discrete space; subclasses give a fixture `space`.

    They differ from those of other spaces in that `decode` has no gradient, members may repeat in
    samples, and the tolerance of duplicates has no effect.
    """

    def test_samples_differ(self, space: Space) -> None:
        """Not all samples of one generator are equal, nor those of two seeds."""
        X = space.sample(24, seeded_generator(0))
        assert len({tuple(row) for row in X.tolist()}) > 1
        assert not torch.equal(X, space.sample(24, seeded_generator(1)))

    def test_decode_is_differentiable(self, space: Space) -> None:
        """It is not: decoded structures have no gradient."""
        X = space.sample(2, seeded_generator(0)).requires_grad_()
        assert not space.decode(X).positions.requires_grad

    def test_smaller_tolerances_are_stricter(self, space: Space) -> None:
        """The tolerance has no effect on duplicates."""
        X = space.sample(4, seeded_generator(0))
        for scale in (1e-6, 1.0, 1e6):
            default = space.is_duplicate(X, X.flip(0))
            assert torch.equal(space.is_duplicate(X, X.flip(0), scale), default)
            assert space.is_duplicate(X, X, scale).all()

    def test_moves_stay_inside(self, space: Space) -> None:
        """Moves lead to structures in the space, and at least one of them to other structures.

        By symmetry, some moves lead to an equivalent structure.
        """
        X = space.sample(24, seeded_generator(0))
        for name, move in space.moves().items():
            moved = move(X, seeded_generator(1))
            assert moved.shape == X.shape, name
            assert space.contains(moved).all(), name
        moves = [move(X, seeded_generator(1)) for move in space.moves().values()]
        assert any(not torch.equal(moved, X) for moved in moves)

    def test_composition_counts_elements(self, space: DiscreteSpace) -> None:
        """`composition` returns the fractions of the elements in `numbers`, each listed once."""
        X = space.canonical(space.sample(8, seeded_generator(0)))
        structures = space.decode(X)
        assert len(space.numbers.unique()) == len(space.numbers)
        fractions = [
            (structure.numbers.unsqueeze(-1) == space.numbers).double().mean(0)
            for structure in structures
        ]
        torch.testing.assert_close(space.composition(X), torch.stack(fractions))

    def test_duplicates_have_one_canonical_member(self, space: DiscreteSpace) -> None:
        """Two members are duplicates exactly if their canonical members are equal."""
        X = space.sample(24, seeded_generator(0))
        canonical = space.canonical(X)
        assert space.contains(canonical).all()
        assert torch.equal(space.canonical(canonical), canonical)
        assert space.is_duplicate(X, canonical).all()
        equal = (canonical.unsqueeze(1) == canonical).all(-1)
        assert torch.equal(space.is_duplicate(X.unsqueeze(1), X), equal)

    def test_enumerates_each_member_once(self, space: DiscreteSpace) -> None:
        """Enumerated members are inside, canonical and different, in chunks as in ranges."""
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

    def test_samples_are_uniform(self, space: DiscreteSpace) -> None:
        """Members are equally probable: a correct space fails for one seed in 10⁵."""
        size = space.size
        if size is None or not 1 < size <= 64:
            return
        n = 20 * size
        X = space.canonical(space.sample(n, seeded_generator(0)))
        members, counts = X.unique(dim=0, return_counts=True)
        assert len(members) == size
        spread = ((counts - 20) ** 2 / 20).sum()
        # χ² of size - 1 degrees of freedom, by Wilson and Hilferty's transformation
        k = size - 1
        z = ((spread / k) ** (1 / 3) - (1 - 2 / (9 * k))) / (2 / (9 * k)) ** 0.5
        assert z < 4.3

    def test_neighbors_are_other_members(self, space: DiscreteSpace) -> None:
        """Neighbors are inside, canonical and different, and the relation is mutual."""
        if not isinstance(space, SupportsNeighbors):
            return
        for x in space.canonical(space.sample(3, seeded_generator(0))):
            neighbors = space.neighbors(x)
            assert neighbors.shape[1:] == (space.dimension,)
            assert space.contains(neighbors).all()
            assert torch.equal(space.canonical(neighbors), neighbors)
            assert len(neighbors.unique(dim=0)) == len(neighbors)
            assert not (neighbors == x).all(-1).any()
            for other in neighbors[:3]:
                assert (space.neighbors(other) == x).all(-1).any()

    def test_exact_properties_follow_the_input(self, space: DiscreteSpace) -> None:
        """Exact properties are finite, in the shape and dtype of X."""
        X = space.sample(6, seeded_generator(0)).reshape(2, 3, -1).to(torch.float32)
        properties = space.exact_properties(X)
        assert list(properties) == list(space.exact_properties(X))
        for name, values in properties.items():
            assert values.shape == (2, 3), name
            assert values.dtype == torch.float32, name
            assert values.isfinite().all(), name
