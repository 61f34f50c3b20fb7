import torch

from bostruct.acquisition import monte_carlo


def test_energies_become_utilities():
    energies = torch.tensor([[[1.0], [-2.0]]])
    assert torch.equal(monte_carlo.negate_energy(energies), torch.tensor([[-1.0, 2.0]]))


def test_baseline_keeps_what_may_be_the_best(setting):
    """The lowest mean stays; the same seed keeps the same; the order is kept."""
    kept = monte_carlo.pruned_baseline(None, setting.context(X_baseline=setting.observed))
    again = monte_carlo.pruned_baseline(None, setting.context(X_baseline=setting.observed))
    assert torch.equal(kept, again)
    lowest = setting.observed[setting.model.mean(setting.observed).argmin()]
    assert (kept == lowest).all(-1).any()


def test_baseline_drops_what_cannot_be_the_best(setting):
    """Two structures 30 σ apart."""
    X = torch.tensor([[0.5, 0.5], [-0.5, -0.5]], dtype=torch.float64)
    model = setting.model
    sharp = type(model)()
    sharp.covariance = lambda X: 1e-4 * model.covariance(X)
    assert torch.equal(
        monte_carlo.pruned_baseline(None, setting.context(model=sharp, X_baseline=X)), X[1:]
    )
