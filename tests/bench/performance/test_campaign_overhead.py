import torch

from bostruct.bench.performance import campaign_overhead
from bostruct.bench.performance.campaign_overhead import HarmonicWell, RecentStructures
from bostruct.evaluators import Failure
from bostruct.spaces import Cluster


def test_one_evaluation_in_ten_fails():
    space, well = Cluster("Cu4"), HarmonicWell()
    X = space.sample(20, torch.Generator().manual_seed(0))
    results = [well(structure) for structure in space.decode(X)]
    assert [i for i, r in enumerate(results) if isinstance(r, Failure)] == [9, 19]
    assert results[0].forces.sum(0).abs().max() < 1e-12


def test_the_surrogate_costs_the_same_for_any_number_of_structures():
    space = Cluster("Cu4")
    X = space.sample(50, torch.Generator().manual_seed(0))
    structures = space.decode(X)
    object.__setattr__(structures, "energy", X.pow(2).sum(-1))
    surrogate = RecentStructures()
    model = surrogate.fit(structures)
    assert model.X.shape == (campaign_overhead.N_KEPT, 12)
    posterior = model.posterior(X[:3].unsqueeze(-2))
    again = surrogate.restore(model.state()).posterior(X[:3].unsqueeze(-2))
    assert torch.equal(posterior.mean, again.mean)
    assert (posterior.variance > 0).all()


def test_a_table_is_printed(capsys):
    threads = torch.get_num_threads()
    campaign_overhead.main(["12", "14", "--window", "2"])
    out = capsys.readouterr().out
    for head in ("evaluations", "own ms per step", "peak memory GB", "14"):
        assert head in out
    assert torch.get_num_threads() == threads
