"""What all tests share."""

import os
from multiprocessing import forkserver

import pytest
import torch

from bostruct.runtime.executors import PRELOADED_MODULES


def pytest_configure(config):
    """Leave the other cores to the other workers, in processes of tests, too.

    All processes of a worker come from one server, which has imported what any of them needs.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    PRELOADED_MODULES.append("tests.campaign.processes")
    if hasattr(config, "workerinput"):
        forkserver.set_forkserver_preload(PRELOADED_MODULES)
        forkserver.ensure_running()


def pytest_collection_modifyitems(items):
    """Begin with the file that takes longest, so that no worker ends alone with it."""
    items.sort(key=lambda item: item.path.name != "test_examples.py")


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
