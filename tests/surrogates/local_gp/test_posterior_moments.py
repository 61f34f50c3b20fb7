"""Mean, σ and their gradients in closed form, beside those of BoTorch's posterior."""

import pytest
import torch
from ase.build import fcc100
from ase.constraints import FixAtoms

from bostruct.errors import NotFittedError
from bostruct.spaces import Cluster, Surface
from bostruct.surrogates import EmbeddingTerm, ExponentialKernel, LocalGP, PairRepulsion
from bostruct.testing.central_differences import assert_gradient
from tests.surrogates.crystals import VariableCell, crystals
from tests.surrogates.dense import labelled

MEAN_ROUNDING = 1e-7
"""eV and eV/Å: weights of some 1e4 eV multiply covariances rounded to 1e-13."""

GIVEN = {"embedding_term": EmbeddingTerm(decay=5.0), "species_similarity": 0.4}
"""Numbers whose search takes most of a fit, and which enter the moments as found ones do."""


def slab(size, n_free=0):
    atoms = fcc100("Au", size, vacuum=7.0)
    atoms.set_constraint(FixAtoms(range(len(atoms) - n_free)))
    return Surface(atoms, "NiCu2")


def evaluated(space, n, generator):
    """Return structures with EMT results; only atoms that may move have moved."""
    X = space.sample(n, generator)
    X = space.project(X + 0.2 * torch.randn(X.shape, generator=generator, dtype=X.dtype))
    return labelled(X, space, shake=0.0)


SPACES = {
    "one species": lambda: Cluster("Cu6"),
    "two species": lambda: Cluster("Au3Cu3"),
    "wide slab": lambda: slab((4, 4, 2)),
    "narrow slab": lambda: slab((1, 2, 2)),
    "slab with free atoms": lambda: slab((2, 2, 2), n_free=4),
    "beyond dense lists": lambda: Cluster("Cu41"),
}


@pytest.fixture(scope="module", params=SPACES)
def fitted(request):
    space = SPACES[request.param]()
    n, generator = (6, 2) if len(space.numbers) > 30 else (14, 8), torch.Generator().manual_seed(3)
    structures = evaluated(space, n[0], generator)
    X = torch.cat((space.encode(structures), space.sample(n[1], generator)))
    return space, structures, X


def by_autograd(model, X):
    """Return mean, σ, and the gradient of each, of BoTorch's posterior."""
    X = X.clone().requires_grad_()
    posterior = model.posterior(X.unsqueeze(-2))
    mean, std = posterior.mean.flatten(), posterior.variance.flatten().sqrt()
    (by_mean,) = torch.autograd.grad(mean.sum(), X, retain_graph=True)
    (by_std,) = torch.autograd.grad(std.sum(), X)
    return mean.detach(), std.detach(), by_mean, by_std


def assert_equal_moments(model, X):
    mean, std, by_mean, by_std = by_autograd(model, X)
    moments = model.posterior_moments(X)
    one, zero = torch.ones_like(mean), torch.zeros_like(mean)
    torch.testing.assert_close(moments.mean, mean, rtol=1e-10, atol=MEAN_ROUNDING)
    torch.testing.assert_close(moments.std, std, rtol=1e-6, atol=MEAN_ROUNDING)
    found = moments.gradient(one, zero)
    assert float(by_mean.abs().max()) > 0.1
    torch.testing.assert_close(found, by_mean, rtol=1e-7, atol=MEAN_ROUNDING)
    found = moments.gradient(zero, one)
    torch.testing.assert_close(found, by_std, rtol=1e-5, atol=10 * MEAN_ROUNDING)
    factors = torch.linspace(-1, 1, len(X)).to(X), torch.linspace(2, 3, len(X)).to(X)
    both = factors[0].unsqueeze(-1) * by_mean + factors[1].unsqueeze(-1) * by_std
    found = moments.gradient(*factors)
    torch.testing.assert_close(found, both, rtol=1e-5, atol=20 * MEAN_ROUNDING)


def test_moments_and_gradients_are_those_of_the_posterior(fitted):
    space, structures, X = fitted
    arguments = {} if isinstance(space, Cluster) else GIVEN
    assert_equal_moments(LocalGP(**arguments).fit(structures, space), X)


@pytest.mark.parametrize(
    "changes",
    [
        {"approximation": "sor"},
        {"approximation": "fitc", "zeta": 2},
        {"pair_repulsion": None, "zeta": 1},
        {"kernel": ExponentialKernel((0.3, 0.7), (0.05, 0.5))},
        {"pair_repulsion": PairRepulsion(range_factor=1.3), "species_similarity": 0.7},
        {"pair_repulsion": PairRepulsion(range_factor=1.3), "cutoff": 3.2},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["two species", pytest.param("wide slab", marks=pytest.mark.slow)])
def test_each_option_enters_the_closed_form(name, changes):
    space, generator = SPACES[name](), torch.Generator().manual_seed(5)
    structures = evaluated(space, 5, generator)
    model = LocalGP(**{**GIVEN, **changes}).fit(structures, space)
    assert_equal_moments(model, torch.cat((space.encode(structures), space.sample(3, generator))))


def test_gradients_are_central_differences():
    space, generator = SPACES["wide slab"](), torch.Generator().manual_seed(7)
    structures = evaluated(space, 6, generator)
    model = LocalGP(**GIVEN).fit(structures, space)
    X = space.sample(2, generator)

    def value(X):
        moments = model.posterior_moments(X)
        return 2 * moments.std - moments.mean

    minus, two = -torch.ones(2).to(X), 2 * torch.ones(2).to(X)
    found = model.posterior_moments(X).gradient(minus, two)
    assert_gradient(lambda X: value(X).sum(), X, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pair_repulsion": PairRepulsion(range_factor=1.3), "approximation": "fitc"},
        {"pair_repulsion": PairRepulsion(range_factor=1.3), "cutoff": 3.2},
        {"pair_repulsion": None, "pair_term": None, "embedding_term": None},
        {"pair_term": None, "embedding_term": None, "species_constants": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("symbols", [("Cu", "Au")], ids=len)
def test_moments_follow_cells(symbols, changes):
    """Gradients to X run through positions and cells."""
    space = VariableCell(symbols)
    model = LocalGP(**changes).fit(crystals(list(symbols), 5), space)
    X = space.sample(3, torch.Generator().manual_seed(2))
    assert_equal_moments(model, X)

    def value(X):
        moments = model.posterior_moments(X)
        return (2 * moments.std - moments.mean).sum()

    minus, two = -torch.ones(3).to(X), 2 * torch.ones(3).to(X)
    found = model.posterior_moments(X).gradient(minus, two)
    assert float(found[:, -6:].abs().max()) > 0.1
    assert_gradient(value, X, found, rtol=1e-4, atol=1e-4)


def test_where_sigma_is_at_its_least_it_does_not_change():
    """A variance below the least one is replaced by that, a constant."""
    space = Cluster("Cu3")
    structures = labelled(space.sample(3, torch.Generator().manual_seed(0)), space, steps=2)
    model = LocalGP(hyperparameters=(1.0, 1e-7, 1e-6), approximation="sor").fit(structures, space)
    X = space.encode(structures)
    _, std, _, by_std = by_autograd(model, X)
    assert float(by_std.abs().max()) < 1e-12
    moments = model.posterior_moments(X)
    torch.testing.assert_close(moments.std, std)
    assert not moments.gradient(torch.zeros_like(std), torch.ones_like(std)).any()


def test_a_model_without_a_space_has_no_coordinates():
    space = Cluster("Cu3")
    structures = labelled(space.sample(3, torch.Generator().manual_seed(0)), space, steps=2)
    with pytest.raises(NotFittedError, match="space"):
        LocalGP().fit(structures).posterior_moments(space.encode(structures))
