import pytest
import torch

from bostruct.runtime.threads import THREAD_VARIABLES, limited_threads, thread_count


@pytest.fixture
def several(monkeypatch):
    """Three threads, and an environment that says nothing of them."""
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield monkeypatch
    torch.set_num_threads(before)


def test_one_thread_and_afterwards_as_many_as_before(several):
    assert thread_count() == 1
    with limited_threads():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(KeyError), limited_threads():
        raise KeyError
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", THREAD_VARIABLES)
def test_the_environment_has_the_last_word(several, name):
    several.setenv(name, "3")
    assert thread_count() == 3
    with limited_threads():
        assert torch.get_num_threads() == 3
