import pytest
import torch

from bostruct.bench.multi_objective.methods import (
    GENETIC_ALGORITHM,
    RANDOM_SEARCH,
    CampaignFrontMethod,
    run_folder,
)
from bostruct.errors import InputError, MismatchError
from tests.bench.tiny import NOT_UNMIXING, large, small


@pytest.fixture(scope="module")
def screen():
    return small(constraints=(NOT_UNMIXING,))


def test_names_say_what_differs_from_the_defaults():
    assert CampaignFrontMethod().name == "bostruct"
    name = "bostruct initial 20 batch 8 poison lasting"
    assert CampaignFrontMethod(20, 8, "lasting").name == name
    assert CampaignFrontMethod(label="plain").name == "bostruct plain"
    assert (RANDOM_SEARCH.name, GENETIC_ALGORITHM.name) == ("random", "genetic")


def test_a_campaign_leaves_its_trace_and_goes_on(screen, tmp_path):
    hunt = CampaignFrontMethod(n_initial=5)
    first = hunt.run(screen, screen.evaluator, 0, 7, tmp_path)
    folder = run_folder(tmp_path, screen, hunt.name, 0)
    assert folder.with_suffix(".json").is_file()
    assert (folder / "campaign.db").is_file()
    assert first.Y.shape == (7, 3)
    assert len(first.step_seconds) == 2
    assert len(first.X.unique(dim=0)) == 7
    more = hunt.run(screen, screen.evaluator, 0, 8, tmp_path)
    assert torch.equal(more.X[:7], first.X)
    less = hunt.run(screen, screen.evaluator, 0, 7, tmp_path)
    assert len(less) == 8, "what is there is not computed again"
    with pytest.raises(MismatchError, match="holds another campaign"):
        hunt.run(small(), screen.evaluator, 0, 8, tmp_path)


def test_what_is_spoilt_is_not_in_the_trace(screen, tmp_path):
    hunt = CampaignFrontMethod(n_initial=24, batch_size=4, fault_mode="lasting")
    trace = hunt.run(screen, screen.evaluator, 0, 24, tmp_path)
    lost = ~trace.Y.isfinite().all(-1)
    assert 0 < int(lost.sum()) < 12
    sound = trace.Y[~lost]
    assert bool(((sound[:, 0] > 100) & (sound[:, 0] < 250)).all())


def test_chance_takes_no_member_twice_and_is_read_again(screen, tmp_path):
    trace = RANDOM_SEARCH.run(screen, screen.evaluator, 3, 20, tmp_path)
    assert len(trace.X.unique(dim=0)) == 20
    path = run_folder(tmp_path, screen, "random", 3).with_suffix(".json")
    stamp = path.stat().st_mtime_ns
    again = RANDOM_SEARCH.run(screen, screen.evaluator, 3, 20, tmp_path)
    assert again.json() == trace.json()
    assert path.stat().st_mtime_ns == stamp
    other = RANDOM_SEARCH.run(screen, screen.evaluator, 4, 20, tmp_path)
    assert not torch.equal(other.X, trace.X)


def test_the_genetic_algorithm_leaves_one_too(tmp_path):
    pytest.importorskip("ase_ga")
    screen = large()
    trace = GENETIC_ALGORITHM.run(screen, screen.evaluator, 0, 25, tmp_path)
    assert trace.X.shape == (25, 32)
    assert bool(trace.Y.isfinite().all())


def test_refused():
    with pytest.raises(InputError, match="`n_initial` must be an integer"):
        CampaignFrontMethod(n_initial=0)
    with pytest.raises(InputError, match="`batch_size` must be an integer"):
        CampaignFrontMethod(batch_size=0)
