import pytest
import torch
from sklearn.mixture import GaussianMixture

from bostruct.errors import InputError
from bostruct.surrogates.networks.gating import (
    MIN_COMPONENT_STD,
    MIN_STRUCTURES_PER_EXPERT,
    GatingNetwork,
    structure_means,
)
from bostruct.uncertainty import density_gates, distance_gates


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


KINDS = torch.cat([normal(20, 6), normal(30, 6, seed=1) * 0.5 + 5])


def test_gates_are_those_of_scikit_learn():
    found = GatingNetwork.fit(KINDS, 2, 3, seed=0)
    u = ((KINDS - found.center) @ found.principal_axes).numpy()
    assert u.shape == (50, 3)
    torch.testing.assert_close(torch.as_tensor(u).var(0, correction=0), torch.ones(3).double())
    oracle = GaussianMixture(2, reg_covar=MIN_COMPONENT_STD**2, random_state=0).fit(u)
    p = density_gates(found.log_density(KINDS))
    torch.testing.assert_close(p, torch.as_tensor(oracle.predict_proba(u)))
    torch.testing.assert_close(
        found.log_density(KINDS).logsumexp(-1), torch.as_tensor(oracle.score_samples(u))
    )
    kind = p[:, 0].round()
    assert len(kind[:20].unique()) == len(kind[20:].unique()) == 1
    assert float(kind[0] + kind[-1]) == 1


def test_gates_have_slopes_in_what_they_look_at():
    found = GatingNetwork.fit(KINDS, 2, 3, seed=0)
    at = normal(4, 6, seed=2).requires_grad_()
    for sharpness in (None, 3.0):
        torch.autograd.gradcheck(lambda x, s=sharpness: found.log_gates(x, s), at)


def test_gates_are_those_of_distances_or_of_densities():
    found = GatingNetwork.fit(KINDS, 2, 3, seed=0)
    u = (KINDS - found.center) @ found.principal_axes
    for k in range(2):
        gap = u - found.means[k]
        inverse = found.precision_cholesky[k] @ found.precision_cholesky[k].T
        expected = (gap @ inverse * gap).sum(1).sqrt()
        torch.testing.assert_close(found.distances(KINDS)[:, k], expected)
    p = distance_gates(found.distances(KINDS), sharpness=2.0)
    torch.testing.assert_close(found.log_gates(KINDS, 2.0).exp(), p)
    p = density_gates(found.log_density(KINDS))
    torch.testing.assert_close(found.log_gates(KINDS, None).exp(), p)


def test_far_away_all_experts_are_asked_or_one():
    found = GatingNetwork.fit(KINDS, 2, 3, seed=0)
    far = 100 * normal(1, 6, seed=5)
    near, away = (found.log_gates(x, 3.0).exp().max() for x in (KINDS[:1], far))
    assert float(near) > 0.7
    assert float(away) < 0.6
    assert float(found.log_gates(far, None).exp().max()) > 0.999


def test_slopes_at_the_heart_of_an_expert_are_finite():
    found = GatingNetwork.fit(normal(40, 2), 1, 2, seed=0)
    heart = found.center.clone().unsqueeze(0).requires_grad_()
    found.log_gates(heart, 3.0).sum().backward()
    assert bool(heart.grad.isfinite().all())


@pytest.mark.parametrize(("count", "experts"), [(1, 1), (15, 1), (16, 2), (400, 4)])
def test_few_structures_have_few_kinds(count, experts):
    assert count // MIN_STRUCTURES_PER_EXPERT >= experts or experts == 1
    found = GatingNetwork.fit(normal(count, 6), 4, 3, seed=0)
    assert len(found) == experts
    p = density_gates(found.log_density(normal(5, 6, seed=3)))
    assert bool(p.isfinite().all())


def test_equal_structures_are_one_kind():
    found = GatingNetwork.fit(torch.ones(40, 6, dtype=torch.float64), 2, 3, seed=0)
    assert found.principal_axes.shape == (6, 1)
    assert bool(found.log_density(torch.ones(1, 6).double()).isfinite().all())


def test_equal_seeds_give_equal_gates_and_they_come_back():
    one, two = (GatingNetwork.fit(KINDS, 2, 3, seed=4).tensors() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    again = GatingNetwork.restore(one)
    assert torch.equal(again.log_density(KINDS), GatingNetwork.restore(two).log_density(KINDS))


def test_a_structure_looks_as_its_atoms_on_average():
    x, index = normal(5, 2), torch.tensor([0, 0, 2, 2, 2])
    found = structure_means(x, index, 3)[[0, 2]]
    torch.testing.assert_close(found, torch.stack([x[:2].mean(0), x[2:].mean(0)]))


def test_counts_are_checked():
    with pytest.raises(InputError, match="`n_experts` must be an integer of at least 1"):
        GatingNetwork.fit(KINDS, 0, 3, seed=0)
    with pytest.raises(InputError, match="`n_axes` must be an integer of at least 1"):
        GatingNetwork.fit(KINDS, 2, 0, seed=0)
