import math

import torch

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.packing import reduced
from bostruct.spaces.crystals.sampling import (
    MAX_CONTACT_FRACTION,
    SAMPLING_VOLUME_RANGE,
    contact_distances,
    random_volumes,
    sample_cells,
    sample_random,
)
from bostruct.testing import seeded_generator


def test_volumes_stay_within_their_limits():
    low, high = SAMPLING_VOLUME_RANGE
    volumes = random_volumes(500, 50.0, (0.5, 2.0), seeded_generator(0))
    assert 50 * low <= volumes.min() < 50 * (low + 0.05)
    assert 50 * (high - 0.05) < volumes.max() <= 50 * high
    narrow = random_volumes(50, 50.0, (0.95, 1.1), seeded_generator(0))
    assert narrow.min() >= 47.5
    assert narrow.max() <= 55
    assert (random_volumes(5, 50.0, (1.0, 1.0), seeded_generator(0)) == 50).all()


def test_cells_have_the_volumes_and_all_shapes():
    volumes = torch.linspace(20, 60, 200, dtype=torch.float64)
    H = sample_cells(volumes, seeded_generator(0))
    torch.testing.assert_close(torch.linalg.det(H), volumes)
    lengths = torch.linalg.vector_norm(H, dim=-1) / volumes.pow(1 / 3).unsqueeze(-1)
    assert lengths.amin() < 0.7
    assert lengths.amax() > 1.6


def test_random_crystals_are_in_reduced_cells():
    F, H = sample_random(
        torch.full((20,), 80.0).double(), 3, CellFreedom.cube(80.0), seeded_generator(0)
    )
    assert F.shape == (20, 3, 3)
    assert torch.equal(reduced(F, H)[1], H)
    assert (torch.linalg.det(H) > 0).all()


def test_contacts_shrink_where_atoms_do_not_fit():
    lengths, least = (torch.full((4, 4), x, dtype=torch.float64) for x in (2.0, 1.0))
    assert torch.equal(contact_distances(lengths, least, 100.0), lengths)
    shrunk = contact_distances(lengths, least, 20.0)
    filled = 4 * math.pi / 6 * float(shrunk[0, 0]) ** 3 / 20
    assert math.isclose(filled, MAX_CONTACT_FRACTION)
    assert (contact_distances(lengths, least, 1.0) == 1.02).all()
