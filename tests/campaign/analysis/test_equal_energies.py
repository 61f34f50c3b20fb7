"""The energy of another structure is told from a coincidence."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from bostruct.campaign.analysis import equal_energies as module
from bostruct.campaign.analysis.equal_energies import equal_energies, equal_groups, is_discrete
from bostruct.campaign.records import Trial
from bostruct.spaces import Cluster, Pool
from bostruct.structures import from_ase

SPACE = Cluster("Cu4")
TETRAHEDRON = np.array([(0, 0, 0), (2.4, 0, 0), (1.2, 2.1, 0), (1.2, 0.7, 2.0)])


def trials(n=10, with_forces=True, seed=0):
    """Return trials of displaced clusters with the energy and forces of springs."""
    r = np.random.default_rng(seed)
    images = [Atoms("Cu4", TETRAHEDRON + r.normal(0, 0.1, (4, 3))) for _ in range(n)]
    X = SPACE.encode(from_ase(images))
    return [trial(i, X[i], image, with_forces) for i, image in enumerate(images)]


def trial(number, X, atoms, with_forces=True):
    vectors = atoms.get_all_distances(vector=True)
    d = atoms.get_all_distances() + np.eye(len(atoms))
    energy = float(((d - 2.5) ** 2).sum() / 2)
    slope = 2 * ((d - 2.5) / d * (1 - np.eye(len(atoms))))[..., None] * vectors
    forces = torch.from_numpy(slope.sum(1)) if with_forces else None
    state = {"key": str(number), "attempt": 1, "state": "done", "generator": "random"}
    return Trial(number, 0, X=X, energy=energy, forces=forces, **state)


def copied(rows, source, target):
    """Return the trials, the target with the results of the source."""
    stale = replace(rows[target], energy=rows[source].energy, forces=rows[source].forces)
    return [stale if row.number == target else row for row in rows]


@pytest.mark.parametrize("with_forces", [True, False])
def test_the_result_of_another_structure_is_doubted_of_both(with_forces):
    rows = copied(trials(with_forces=with_forces), 3, 7)
    found = equal_energies(rows, SPACE)
    assert sorted(found) == [3, 7]
    what = "its energy and forces equal those" if with_forces else "its energy equals that"
    assert found[3].startswith(f"{what} of trial 7 to the last bit (")
    assert repr(rows[3].energy) in found[7]
    assert found == equal_energies(rows[::-1], SPACE)


@pytest.mark.parametrize("rounding", [0.0, 4e-15])
def test_atoms_out_of_reach_have_one_energy(rounding):
    """Dissociated structures differ and have energies equal to the last bit, forces of rounding."""
    rows = trials()
    for target in (3, 7):
        free = torch.full((4, 3), rounding, dtype=torch.float64)
        rows[target] = replace(rows[target], energy=0.0, forces=free)
    assert equal_energies(rows, SPACE) == {}


def test_a_program_that_is_stuck_is_doubted():
    rows = trials()
    for target in range(3, 10):
        rows = copied(rows, 2, target)
    assert sorted(equal_energies(rows, SPACE)) == list(range(2, 10))


def test_each_structure_of_a_program_that_is_stuck_is_looked_at_once(monkeypatch):
    rows, seen = trials(30), []
    for target in range(12, 30):
        rows = copied(rows, 2, target)
    distances = module._neighbor_distances

    def counted(*args):
        seen.append(args)
        return distances(*args)

    monkeypatch.setattr(module, "_neighbor_distances", counted)
    assert len(equal_energies(rows, SPACE)) == len(seen) == 19


def test_different_results_are_not():
    assert equal_energies(trials(), SPACE) == {}


@pytest.mark.parametrize("with_forces", [True, False])
def test_symmetric_copies_are_one_structure(with_forces):
    """Rotated, reflected, with its atoms in another order."""
    rows = trials(with_forces=with_forces)
    Q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    positions = SPACE.decode(rows[4].X).positions.numpy()
    for order, rotation in (([2, 0, 3, 1], Q), ([0, 1, 2, 3], -Q)):
        X = SPACE.encode(from_ase(Atoms("Cu4", positions[order] @ rotation)))[0]
        forces = rows[4].forces
        if forces is not None:
            forces = forces[order] @ torch.from_numpy(rotation)
        copy = replace(rows[4], number=len(rows), X=X, forces=forces)
        rows = [*rows, copy]
    assert equal_energies(rows, SPACE) == {}


def test_atoms_without_any_force_do_not_count():
    """A trimer, and an atom out of its reach here and there."""
    space = Cluster("Cu4", radius=30.0)
    rows = []
    for number, x in enumerate((4.5, 5.0, 5.5)):
        positions = TETRAHEDRON.copy()
        positions[3] = (0, 0, x)
        one = trial(
            number, space.encode(from_ase(Atoms("Cu4", positions)))[0], Atoms("Cu4", positions)
        )
        forces = one.forces.clone()
        forces[:3] = torch.tensor([[0.1, 0, 0], [0, 0.2, 0], [-0.1, -0.2, 0]])
        forces[3] = 0
        rows.append(replace(one, energy=-3.2190475829104, forces=forces))
    assert equal_energies(rows, space) == {}
    assert len(equal_energies([replace(row, forces=row.forces + 1) for row in rows], space)) == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda e: 0.0,
        lambda e: -math.pi,
        lambda e: float(round(e)),
        lambda e: 0.1 * round(10 * e),
        lambda e: -1234.0 + round(2 * e) / 3,
        lambda e: round(e, 1),
    ],
)
def test_few_valued_energies_coincide(function):
    rows = [replace(t, energy=function(20 * t.energy)) for t in trials(30, with_forces=False)]
    assert equal_energies(rows, SPACE) == {}
    rows = [replace(t, forces=torch.zeros(4, 3, dtype=torch.float64)) for t in rows]
    assert equal_energies(rows, SPACE) == {}


def test_equal_forces_tell_even_then():
    rows = [replace(t, energy=float(round(t.energy))) for t in trials(20)]
    assert sorted(equal_energies(copied(rows, 3, 7), SPACE)) == [3, 7]


@pytest.mark.parametrize("decimals", [6, 8, 12])
def test_printed_decimals_are_enough_for_a_few(decimals):
    rows = [replace(t, energy=round(t.energy, decimals)) for t in trials(12, with_forces=False)]
    assert sorted(equal_energies(copied(rows, 3, 7), SPACE)) == [3, 7]


def test_members_of_a_pool():
    pool = Pool([Atoms("Cu3", [(0, 0, 0), (2.3 + 0.1 * k, 0, 0), (1, 2.2, 0)]) for k in range(8)])
    X = pool.sample(8, torch.Generator().manual_seed(0)).sort(0).values
    rows = [
        trial(n, x, Atoms("Cu3", pool.decode(x).positions.numpy()), with_forces=False)
        for n, x in enumerate(X.unique(dim=0))
    ]
    assert equal_energies(rows, pool) == {}
    assert sorted(equal_energies(copied(rows, 1, 2), pool)) == [1, 2]


def test_groups_are_in_order():
    assert equal_groups({3: 1.0, 1: 1.0, 2: 0.5, 0: 0.25, 4: 0.5}) == [[1, 3], [2, 4]]
    assert equal_groups({}) == []


def test_discrete():
    random = np.random.default_rng(0).normal(size=50).tolist()
    assert not is_discrete(random)
    assert not is_discrete([1e-5 * x for x in random])
    assert is_discrete([round(x, 2) for x in random])
    assert is_discrete([1.5])
    assert is_discrete([-0.05, -0.05, 0.0, 0.3 / 4])  # multiples of 0.025
    assert is_discrete([x / 7 - 3 for x in (0, 6, 6, 15, 10)])
