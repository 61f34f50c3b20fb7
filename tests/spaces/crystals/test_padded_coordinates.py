import pytest
import torch

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.crystal_coordinates import CrystalCoordinates
from bostruct.spaces.crystals.padded_coordinates import PaddedCoordinates
from bostruct.testing import seeded_generator


@pytest.fixture
def coordinates():
    numbers = [torch.tensor([29]), torch.tensor([29, 79, 79]), torch.tensor([79, 29])]
    members = [CrystalCoordinates(len(z), CellFreedom.cube(13.0 * len(z))) for z in numbers]
    return PaddedCoordinates(members, numbers)


def padded(coordinates, m, n, dtype=torch.float64):
    own = torch.randn(
        n, coordinates.members[m].dimension, generator=seeded_generator(m), dtype=dtype
    )
    return own, coordinates.pad(m, own)


def test_pads_and_crops(coordinates):
    assert coordinates.dimension == 1 + 3 * 3 + 6
    for m in range(3):
        own, X = padded(coordinates, m, 4)
        assert X.shape == (4, coordinates.dimension)
        assert torch.equal(coordinates.crop(m, X), own)
        assert (coordinates.index(X) == m).all()
        assert coordinates.is_canonical(X).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decodes_members_together_as_apart(coordinates, dtype):
    rows = [padded(coordinates, m, 2, dtype)[1] for m in (1, 0, 2)]
    X = torch.cat(rows)[[0, 2, 4, 1, 3, 5]]
    structures = coordinates.decode(X)
    assert structures.counts.tolist() == [3, 1, 2, 3, 1, 2]
    assert structures.dtype == dtype
    for x, structure in zip(X, structures, strict=True):
        m = int(coordinates.index(x))
        F, H = coordinates.members[m].decode(coordinates.crop(m, x))
        torch.testing.assert_close(structure.positions, F @ H)
        torch.testing.assert_close(structure.cell[0], H)
        assert torch.equal(structure.numbers, coordinates.numbers[m])
    assert len(coordinates.decode(X[:0])) == 0


def test_only_zeros_and_whole_numbers_are_canonical(coordinates):
    _, X = padded(coordinates, 0, 3)
    X[0, 0] = 0.4
    X[1, -1] = 0.1
    X[2, 0] = -1.0
    assert not coordinates.is_canonical(X).any()
    assert coordinates.index(X).tolist() == [0, 0, 0]
    X[2, 0] = torch.nan
    assert not coordinates.is_canonical(X[2])


def test_groups_are_all_rows_once(coordinates):
    X = torch.cat([padded(coordinates, m, 2)[1] for m in (2, 0)])
    groups = {m: rows.tolist() for m, rows in coordinates.groups(X)}
    assert groups == {0: [2, 3], 2: [0, 1]}
