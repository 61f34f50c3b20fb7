from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.bound_diagnosis import bound_name, bound_sentences
from bostruct.campaign.records import Trial
from bostruct.spaces import Cluster, Crystal
from tests.campaign.standin import Box

SPACE = Cluster("Cu3", radius=4.0)
LIMIT = 0.7 * 2.64


def trial(number, positions, forces):
    x = torch.tensor(positions, dtype=torch.float64).flatten()
    f = None if forces is None else torch.tensor(forces, dtype=torch.float64)
    return Trial(number, 0, f"{number}", 1, "done", "random", x, energy=float(number), forces=f)


def close(number, force, scale=1.0):
    """Return a trial with two atoms at the minimum distance, which the force presses together."""
    positions = [[0, 0, 0], [1.01 * scale * LIMIT, 0, 0], [0, 2.6 * scale, 0]]
    return trial(number, positions, [[force, 0, 0], [-force, 0, 0], [0, 0, 0]])


OTHER = trial(9, [[0, 0, 0], [2.6, 0, 0], [0, 2.6, 0]], [[3.0, 0, 0]] * 3)


def test_a_structure_that_presses_on_a_minimum_distance():
    best = [close(4, 1.25)]
    (sentence,) = bound_sentences(best, [*best, OTHER], SPACE)
    assert sentence == (
        "trial 4, one of the best, presses with 1.25 eV/Å on the bound `min_distance` of Cu-Cu, "
        "1.85 Å: a lower minimum may lie beyond it; give a smaller `min_distance`, or other "
        "`atomic_radii`."
    )


@pytest.mark.parametrize("force", [-1.25, 0.0, 0.05])
def test_one_that_is_at_rest_or_leaves_by_itself_is_not_told(force):
    best = [close(4, force)]
    assert bound_sentences(best, [*best, OTHER], SPACE) == []


def test_the_best_ones_share_a_sentence():
    best = [close(4, 1.0), close(5, 2.0), close(6, 2.0), OTHER]
    (sentence,) = bound_sentences(best, best, SPACE)
    assert sentence.startswith("trial 4, one of the best, presses with 1 eV/Å")
    assert "1.85 Å (2 others of the best too)" in sentence


def test_without_forces_it_leans():
    best = [replace(close(4, 1.0), forces=None)]
    (sentence,) = bound_sentences(best, best, SPACE)
    assert "trial 4, one of the best, leans on the bound `min_distance` of Cu-Cu" in sentence


def test_units_do_not_matter():
    """Forces and lengths scaled together tell the same."""
    for force, length in ((1e6, 1.0), (1e-6, 1.0), (1.0, 100.0)):
        space = Cluster("Cu3", atomic_radii={"Cu": 1.32 * length}, radius=4.0 * length)
        best = [close(4, force, length)]
        rest = trial(9, OTHER.X.reshape(3, 3).mul(length).tolist(), [[3.0 * force, 0, 0]] * 3)
        told = bound_sentences(best, [*best, rest], space)
        assert len(told) == 1
        slack = [close(4, 0.01 * force, length)]
        assert bound_sentences(slack, [*slack, rest, rest], space) == []


def test_a_sphere_and_a_gap_are_named():
    x = [[-3.99, 0, 0], [1.9, 0, 0], [2.1, 2.4, 0]]
    best = [trial(1, x, [[-2.0, 0, 0], [2.0, 0, 0], [0, 0, 0]])]
    wide = Cluster("Cu3", radius=4.0, max_gap_factor=5.92 / 2.64)
    sentences = bound_sentences(best, best, wide)
    assert ["`max_gap_factor` of Cu-Cu, 5.92 Å" in s for s in sentences] == [True, False]
    assert ["`radius`, 4.00 Å" in s for s in sentences] == [False, True]
    names = [bound_name(bound) for bound in wide.active_bounds(best[0].X)]
    assert names == ["`max_gap_factor` of Cu-Cu, 5.92 Å", "`radius`, 4.00 Å"]


def test_a_space_of_the_user_has_no_bounds():
    assert bound_sentences([OTHER], [OTHER], Box()) == []


@pytest.mark.parametrize(("factor", "name"), [(2 / 3, "smallest"), (1.5, "largest"), (1.0, "")])
@pytest.mark.parametrize("stress", [None, 0.1, -0.1])
def test_a_volume_at_its_bound_is_told_where_the_stress_presses_on_it(factor, name, stress):
    space = Crystal("Cu4", volume=12.0)
    x = space.sample(1, torch.Generator().manual_seed(0))[0]
    F, H = space.coordinates.decode(x)
    H = H * (48 * factor / torch.linalg.det(H)) ** (1 / 3)
    x = space.coordinates.encode(F, H)
    sigma = None if stress is None else stress * torch.tensor([1.0, 1, 1, 0, 0, 0])
    trial = Trial(3, 0, "k", 1, "done", "random", x, energy=0.0, stress=sigma)
    found = [s for s in bound_sentences([trial], [trial], space) if "volume" in s]
    presses = stress is None or (stress > 0) == (factor < 1)
    assert len(found) == (name != "" and presses)
    assert all(f"the {name} volume of the space, {12 * factor:.2f} Å³ per atom" in s for s in found)
