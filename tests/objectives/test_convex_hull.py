import pytest
import torch
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from bostruct.objectives.convex_hull import ConvexHull, lower_hull
from bostruct.testing import seeded_generator

ELEMENTS = ("Cu", "Au", "Pd", "Ag")


def random_phases(k, n, seed):
    """Return atoms of each element `[p, k]`, the elements first, and energies per atom."""
    generator = seeded_generator(seed)
    counts = torch.randint(0, 5, (n, k), generator=generator)
    counts = torch.cat([torch.eye(k, dtype=torch.int64), counts[counts.sum(-1) > 0]])
    return counts, 0.1 * torch.randn(len(counts), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_is_the_hull_of_pymatgen(k, seed):
    counts, e = random_phases(k, 30, seed)
    x = counts.double() / counts.sum(-1, keepdim=True)
    entries = [
        PDEntry(Composition(dict(zip(ELEMENTS, row, strict=False))), float(energy) * sum(row))
        for row, energy in zip(counts.tolist(), e, strict=True)
    ]
    diagram = PhaseDiagram(entries)
    hull = ConvexHull.from_points(x, e)
    reference = [diagram.get_hull_energy_per_atom(entry.composition) for entry in entries]
    torch.testing.assert_close(hull.energy(x), torch.tensor(reference, dtype=torch.float64))
    assert len(hull.energies) == len(diagram.stable_entries)


def test_does_not_depend_on_the_order_of_points():
    counts, e = random_phases(3, 20, 3)
    x = counts.double() / counts.sum(-1, keepdim=True)
    order = torch.randperm(len(e), generator=seeded_generator(0))
    first, second = ConvexHull.from_points(x, e), ConvexHull.from_points(x[order], e[order])
    torch.testing.assert_close(first.energy(x), second.energy(x))


def test_is_infinite_where_no_mixture_is():
    hull = ConvexHull.from_points(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double(), torch.zeros(2))
    x = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
    assert hull.energy(x).tolist() == [0.0, torch.inf]
    none = ConvexHull.empty(2)
    assert none.energy(x).tolist() == [torch.inf, torch.inf]


def test_compositions_on_a_line_of_three_elements():
    """Of a pseudo-binary system the hull is that of its line."""
    ends = torch.tensor([[1, 0, 2], [0, 1, 1]], dtype=torch.float64)
    ends = ends / ends.sum(-1, keepdim=True)
    middle = ends.mean(0, keepdim=True)
    e = torch.tensor([0.3, -0.1], dtype=torch.float64)
    torch.testing.assert_close(lower_hull(ends, e, middle), e.mean(0, keepdim=True))
    E = torch.cat([e, e.mean(0, keepdim=True) - 1])
    hull = ConvexHull.from_points(torch.cat([ends, middle]), E)
    assert len(hull.energies) == 3


def test_a_point_above_changes_nothing():
    counts, e = random_phases(2, 20, 4)
    x = counts.double() / counts.sum(-1, keepdim=True)
    hull = ConvexHull.from_points(x, e)
    above = float(hull.energy(x[5])) + 0.01
    assert hull.with_point(x[5], above) is hull
