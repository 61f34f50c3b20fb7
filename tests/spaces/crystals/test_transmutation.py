import torch

from bostruct.spaces.crystals.transmutation import transmute
from bostruct.testing import seeded_generator


def transmuted(numbers, target, n=200):
    """Return random crystals, transmuted ones, and which atom each of these was."""
    generator = seeded_generator(0)
    a = len(numbers)
    F = torch.rand(n, a, 3, generator=generator, dtype=torch.float64)
    H = torch.eye(3, dtype=torch.float64).expand(n, 3, 3)
    found, cell = transmute(F, H, torch.tensor(numbers), torch.tensor(target), 1.1, generator)
    origin = (found.unsqueeze(2) == F.unsqueeze(1)).all(-1).int().argmax(-1)
    return F, found, cell, origin


def test_every_atom_stays_where_it_is():
    F, found, cell, origin = transmuted([29, 29, 79, 29], [79, 29, 79, 29])
    assert torch.equal(origin.sort(-1).values, torch.arange(4).expand(200, 4))
    assert torch.equal(found.sort(1).values, F.sort(1).values)
    torch.testing.assert_close(cell, 1.1 * torch.eye(3, dtype=torch.float64).expand(200, 3, 3))


def test_no_more_atoms_change_than_must():
    """Gold stays gold, and each copper atom becomes gold equally often."""
    _, _, _, origin = transmuted([29, 29, 79, 29], [79, 29, 79, 29], 3000)
    gold = origin[:, [0, 2]]
    assert (gold == 2).any(-1).all()
    changed = gold.sum(-1) - 2
    counts = torch.stack([(changed == k).sum() for k in (0, 1, 3)])
    assert counts.sum() == 3000
    assert (counts - 1000).abs().max() < 4 * (3000 * 2 / 9) ** 0.5


def test_elements_may_disappear_and_appear():
    _, _, _, origin = transmuted([29, 79, 79], [46, 46, 29])
    assert (origin[:, 2] == 0).all()
    assert torch.equal(origin[:, :2].sort(-1).values, torch.tensor([1, 2]).expand(200, 2))


def test_of_no_crystals():
    F, found, _, _ = transmuted([29, 79], [29, 29], 0)
    assert found.shape == F.shape
