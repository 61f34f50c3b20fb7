"""What is drawn is what was found: the points are read back from the axes."""

import numpy as np
import pytest

from bostruct.campaign.report.hull_plot import plot_hull
from bostruct.campaign.report.hull_summary import HullSummary
from bostruct.errors import InputError
from tests.campaign.report.test_hull_text import PHASES

POINTS = ((0.0, 0.0), (0.5, 0.01), (0.5, 3.0), (0.75, 0.015), (1.0, 0.0))


def test_draws_the_hull_and_all_near_it(drawn, tmp_path):
    plot_hull(HullSummary(("Cu", "Au"), PHASES, (), POINTS), tmp_path / "hull.png")
    (axes,) = drawn
    line = axes.get_lines()[0].get_xydata()
    np.testing.assert_allclose(line, [(0, 0), (0.25, -0.02), (1, 0)])
    points = axes.collections[0].get_offsets()
    np.testing.assert_allclose(points, [point for point in POINTS if point[1] < 1])
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["Cu", "AuCu3", "Au", "1 structure above"]
    low, high = axes.get_ylim()
    assert low < -0.02
    assert all(low <= e <= high for _, e in points)
    assert (tmp_path / "hull.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("hull", "match"),
    [
        (None, "two elements"),
        (HullSummary(("Cu", "Au", "Pd"), PHASES), "Cu-Au-Pd"),
        (HullSummary(("Cu", "Au"), (), ("Au",)), "energies of the ends"),
    ],
)
def test_refuses_what_cannot_be_drawn(hull, match, tmp_path):
    with pytest.raises(InputError, match=match):
        plot_hull(hull, tmp_path / "hull.png")
    assert not list(tmp_path.iterdir())
