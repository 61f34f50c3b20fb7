import pytest
import torch
from ase.build import bulk

from bostruct.spaces.alloys import decoration_enumeration as module
from bostruct.spaces.alloys.decoration_enumeration import (
    N_QUICK_PERMUTATIONS,
    DecorationEnumerator,
    Sublattice,
)
from bostruct.spaces.alloys.site_permutations import symmetry_permutations
from bostruct.testing import seeded_generator


def ring(n):
    """Return all rotations of a ring of beads."""
    place = torch.arange(n)
    return (place + place.unsqueeze(-1)) % n


@pytest.mark.parametrize(
    ("beads", "colors", "necklaces"), [(6, 2, 14), (8, 2, 36), (6, 3, 130), (9, 2, 60)]
)
def test_counts_necklaces(beads, colors, necklaces):
    """OEIS A000031 and A001867."""
    coloring = DecorationEnumerator((Sublattice(tuple(range(beads)), colors, None),), ring(beads))
    assert coloring.n_distinct == necklaces


@pytest.mark.parametrize("counts", [None, (4, 2, 2), (8, 0, 0), (3, 3, 2)])
def test_counts_are_those_of_brute_force(counts):
    P = symmetry_permutations(bulk("Cu", cubic=True) * (2, 1, 1), torch.ones(8).long().numpy())
    coloring = DecorationEnumerator((Sublattice(tuple(range(8)), 3, counts),), P)
    every = torch.cat(list(coloring.iter_decorations()))
    assert len(every) == coloring.n_decorations == len(every.unique(dim=0))
    names = coloring.canonical(every)
    assert len(names.unique(dim=0)) == coloring.n_distinct
    # a name is the first of its images, word by word
    for row, name in zip(every[::50], names[::50], strict=True):
        assert name.tolist() == min(row[P].tolist())


def test_two_sublattices():
    """Even and odd beads of a ring of 6, which rotations by 2 keep."""
    parts = (Sublattice((0, 2, 4), 2, (2, 1)), Sublattice((1, 3, 5), 3, None))
    coloring = DecorationEnumerator(parts, ring(6)[::2])
    assert coloring.n_decorations == 3 * 27
    assert coloring.n_distinct == 27
    every = torch.cat(list(coloring.iter_decorations()))
    assert len(coloring.canonical(every).unique(dim=0)) == 27


@pytest.mark.parametrize("counts", [None, (4, 2, 2)])
def test_the_first_of_each_class_are_told(counts):
    P = symmetry_permutations(bulk("Cu", cubic=True) * (2, 1, 1), torch.ones(8).long().numpy())
    assert len(P) > N_QUICK_PERMUTATIONS
    shuffled = P[torch.randperm(len(P), generator=seeded_generator(0))]
    coloring = DecorationEnumerator((Sublattice(tuple(range(8)), 3, counts),), shuffled)
    every = torch.cat(list(coloring.iter_decorations()))
    names = coloring.canonical(every)
    assert torch.equal(coloring.is_canonical(every), (names == every).all(-1))
    assert int(coloring.is_canonical(every).sum()) == coloring.n_distinct


def test_the_first_are_told_by_their_last_sites_too():
    P = torch.stack([torch.arange(40), torch.arange(40)])
    P[1, 38:] = torch.tensor([39, 38])
    coloring = DecorationEnumerator((Sublattice(tuple(range(40)), 5, None),), P)
    C = torch.full((2, 40), 4)
    C[0, 38], C[1, 39] = 3, 3
    assert coloring.is_canonical(C).tolist() == [True, False]


@pytest.mark.parametrize("block", [1, 40, 1000])
def test_decorations_come_in_small_blocks(monkeypatch, block):
    parts = (Sublattice((0, 2, 4), 2, (2, 1)), Sublattice((1, 3, 5), 3, None))
    whole = torch.cat(list(DecorationEnumerator(parts, ring(6)[::2]).iter_decorations()))
    monkeypatch.setattr(module, "MAX_CHUNK_ELEMENTS", block)
    blocks = list(DecorationEnumerator(parts, ring(6)[::2]).iter_decorations())
    assert torch.equal(torch.cat(blocks), whole)
    assert all(b.numel() <= max(block, 6) for b in blocks)
    assert whole.dtype == torch.int64


def test_long_words_are_compared_to_their_end():
    """With 5 letters, 40 sites take two numbers; the last sites still count."""
    P = torch.stack([torch.arange(40), torch.arange(40)])
    P[1, 38:] = torch.tensor([39, 38])
    coloring = DecorationEnumerator((Sublattice(tuple(range(40)), 5, None),), P)
    C = torch.full((2, 40), 4)
    C[0, 38], C[1, 39] = 3, 3
    names = coloring.canonical(C)
    assert torch.equal(names[0], names[1])
    assert torch.equal(names[0], C[0])


@pytest.mark.parametrize("counts", [None, (4, 4)])
def test_classes_are_equally_probable(counts):
    """χ² at 10⁻⁵, though most decorations lie in a few large classes."""
    coloring = DecorationEnumerator((Sublattice(tuple(range(8)), 2, counts),), ring(8))
    n = 40 * coloring.n_distinct
    names = coloring.canonical(coloring.sample(n, seeded_generator(0)))
    _, found = names.unique(dim=0, return_counts=True)
    assert len(found) == coloring.n_distinct
    spread = float(((found - 40) ** 2 / 40).sum())
    k = coloring.n_distinct - 1
    assert spread < k + 4.5 * (2 * k) ** 0.5 + 10
