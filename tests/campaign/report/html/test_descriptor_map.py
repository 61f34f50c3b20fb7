import pytest
import torch

from bostruct.campaign.report.html.descriptor_map import (
    DescriptorMap,
    map_figure,
    mean_power_spectra,
)
from bostruct.campaign.report.html.report_figure import inline_svg
from bostruct.campaign.report.html.report_trials import read_report_trials
from tests.campaign.standin import Box


@pytest.fixture
def structures():
    return Box().decode(Box(4.0).sample(6, torch.Generator().manual_seed(0)))


def test_distances_on_a_map_of_a_plane_are_those_of_the_descriptors(structures):
    """Of three structures two components hold all of the variance."""
    found = DescriptorMap.from_structures(structures[:3], [4, 5, 6])
    D = mean_power_spectra(structures[:3])
    expected = torch.cdist(D, D)
    torch.testing.assert_close(torch.cdist(found.coordinates, found.coordinates), expected)
    assert sum(found.explained) == pytest.approx(1.0)
    assert found.numbers == (4, 5, 6)


def test_the_map_does_not_see_rotation_and_order(structures):
    Q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double())[0]
    P = structures.positions.reshape(-1, 3, 3)[:, [2, 0, 1]] @ Q
    other = Box().decode(P.reshape(-1, 9))
    torch.testing.assert_close(mean_power_spectra(other), mean_power_spectra(structures))


def test_too_few_or_equal_structures_have_no_map(structures):
    assert DescriptorMap.from_structures(structures[:2], [0, 1]) is None
    assert DescriptorMap.from_structures(structures[[0, 0, 0]], [0, 1, 2]) is None


def test_the_figure_has_every_structure(log):
    numbers = [t.number for t in log.trials()]
    found = DescriptorMap.from_structures(log.structures().without_results(), numbers)
    figure = map_figure(found, read_report_trials(log))
    assert inline_svg(figure).count("data-trial") == len(numbers)
    assert len(figure.rows) == len(numbers)
