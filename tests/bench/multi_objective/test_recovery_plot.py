import matplotlib.image
import numpy as np
import pytest
import torch

from bostruct.bench.multi_objective.front_recovery import FrontRecovery
from bostruct.bench.multi_objective.recovery_plot import FRONTS_PNG, median_and_band, plot_recovery
from bostruct.bench.multi_objective.run import FrontRun


def found(method, end, recall=True, n=20, seed=0):
    rise = np.linspace(0, end, n).tolist()
    empty = torch.zeros(n, 1)
    trace = FrontRun("small", method, seed, empty, empty, "x")
    return FrontRecovery(trace, tuple(rise), tuple(rise) if recall else ())


def test_quantiles_go_as_far_as_all_do():
    middle, low, high = median_and_band([(0.0, 0.2, 0.4), (0.2, 0.4), (0.1, 0.3, 0.9)])
    assert middle == pytest.approx([0.1, 0.3])
    assert low == pytest.approx([0.02, 0.22])
    assert high == pytest.approx([0.18, 0.38])


@pytest.mark.parametrize(("recall", "columns"), [(True, 2), (False, 1)])
def test_a_panel_for_volume_and_one_for_recall(tmp_path, recall, columns):
    curves = {
        ("small", "bostruct"): [found("bostruct", e, recall) for e in (0.9, 1.0)],
        ("small", "random"): [found("random", 0.5, recall)],
        ("small", "genetic"): [found("genetic", 0.6, recall)],
    }
    plot_recovery(curves, tmp_path)
    width = matplotlib.image.imread(tmp_path / FRONTS_PNG).shape[1]
    assert width == pytest.approx(300 * max(2.4 * columns, 3.6))
