"""What all tests share."""

import pytest
import torch


def pytest_configure():
    """Leave the other cores to the other workers."""
    torch.set_num_threads(1)


def pytest_runtest_setup(item):
    """Skip what needs CUDA where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA here")


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)],
)
def device(request):
    """Every device of this machine; without CUDA its tests are skipped."""
    return torch.device(request.param)
