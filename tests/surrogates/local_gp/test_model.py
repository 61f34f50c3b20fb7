"""The fitted model as a BoTorch model, against calculus and its own definitions."""

import itertools
from dataclasses import replace

import pytest
import torch
from ase.build import bulk, fcc100
from botorch.acquisition import (
    LogExpectedImprovement,
    PosteriorStandardDeviation,
    UpperConfidenceBound,
    qKnowledgeGradient,
    qLogExpectedImprovement,
    qNegIntegratedPosteriorVariance,
)
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.models.model import Model
from botorch.sampling import SobolQMCNormalSampler
from safetensors.torch import load, save

from bostruct.errors import InputError, NotFittedError
from bostruct.spaces import Pool, Surface
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.surrogates.base import FittedModel
from bostruct.surrogates.botorch_models import posterior
from bostruct.surrogates.local_gp import model as module
from bostruct.surrogates.local_gp.dot_product_kernel import PowerKernel

SMALL = LocalGP(n_max=3, l_max=2, max_inducing=40)
EXACT = 1e-9  # eV, eV²: two orders of the same sums
STEP = 1e-3  # Å; the mean has some 1e-9 eV of rounding, so smaller ones are worse
SLOPE = 1e-4  # relative, of central differences with these steps
LOST = posterior.ROUNDING_EPSILONS * torch.finfo(torch.float64).eps


@pytest.fixture(scope="module", params=["one species", "two species"])
def case(request, data, mixed, space, alloy):
    """Return a fitted model, its space and coordinates `[10, d]` it has not seen."""
    one = request.param == "one species"
    known, where = (data, space) if one else (mixed, alloy)
    return SMALL.fit(known[:15], where), where, where.encode(known[15:25])


@pytest.fixture(scope="module")
def copper(data, space):
    return SMALL.fit(data[:15], space), space, space.encode(data[15:25])


def without_misfit(model):
    """Return the model whose fitted noise is all noise of labels."""
    return LocalGP().restore(
        {name: value for name, value in model.state().items() if name != "label_noise"},
        model.space,
    )


def weights(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("shape", [(2,), (1, 2), (5, 1), (2, 5), (5, 1, 2), (1, 1, 1)])
def test_posterior_is_as_deep_as_its_input(case, shape):
    model, _, X = case
    q = X.repeat(2, 1)[: torch.Size(shape).numel()].view(*shape, -1)
    posterior = model.posterior(q)
    assert posterior.mean.shape == (*shape, 1)
    assert posterior.variance.shape == (*shape, 1)
    covariance = posterior.distribution.covariance_matrix
    assert covariance.shape == (*shape, shape[-1])
    assert posterior.rsample(torch.Size([3])).shape == (3, *shape, 1)
    assert model.num_outputs == 1
    assert model.batch_shape == torch.Size()
    assert isinstance(model, Model)


def test_posterior_is_what_predict_says(case):
    model, space, X = case
    found = model.posterior(X)
    said = model.predict(space.decode(X), covariance=True)
    torch.testing.assert_close(found.mean.squeeze(-1), said.mean, rtol=0, atol=EXACT)
    covariance = found.distribution.covariance_matrix
    torch.testing.assert_close(covariance, said.covariance, rtol=0, atol=EXACT)
    torch.testing.assert_close(said.covariance.diagonal(), said.variance, rtol=0, atol=EXACT)
    torch.testing.assert_close(found.variance.squeeze(-1), said.variance, rtol=0, atol=EXACT)


def test_batches_are_blocks_of_the_whole(case):
    model, _, X = case
    whole = model.posterior(X).distribution.covariance_matrix
    pairs = model.posterior(X.view(5, 2, -1)).distribution.covariance_matrix
    for k in range(5):
        block = slice(2 * k, 2 * k + 2)
        torch.testing.assert_close(pairs[k], whole[block, block], rtol=0, atol=EXACT)
    assert (pairs[:, 0, 1].abs() > 0).all()


def test_covariance_is_positive(case):
    model, _, X = case
    covariance = model.posterior(X).distribution.covariance_matrix
    torch.testing.assert_close(covariance, covariance.T, rtol=0, atol=EXACT)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_equal_structures_are_one(copper):
    """Copies, turned copies, and ones that are all but copies, all at once."""
    model, space, X = copper
    P = X.view(10, 6, 3)
    turned = (P @ torch.linalg.qr(weights(3, 3)).Q).flatten(-2)
    many = torch.cat((X, X, turned, X + 1e-8))
    posterior = model.posterior(many)
    covariance = posterior.distribution.covariance_matrix
    assert torch.linalg.cholesky(covariance).isfinite().all()
    samples = posterior.rsample(torch.Size([64])).squeeze(-1)
    # only what rounding may hide of the prior variance tells the copies apart
    structures = space.decode(X)
    _, explained = model._mean_and_explained(structures, *model._features(structures))
    variance = 36 * float(model.fitted.signal_std) ** 2 + float(explained.square().sum(-1).max())
    gap = (LOST * variance) ** 0.5
    assert (samples[:, :10] - samples[:, 10:20]).std() < 3 * gap
    assert samples.std(0).min() > 30 * gap


@pytest.mark.parametrize("part", ["mean", "variance", "covariance"])
def test_gradients_match_central_differences(case, part):
    model, _, X = case

    def read(X):
        posterior = model.posterior(X)
        if part == "covariance":
            return posterior.distribution.covariance_matrix
        return getattr(posterior, part)

    X = X[:6].view(3, 2, -1).clone().requires_grad_()
    value = read(X)
    c = weights(*value.shape)
    (slope,) = torch.autograd.grad((c * value).sum(), X)
    h = STEP
    for seed in range(4):
        along = weights(*X.shape, seed=10 + seed)
        along = along / along.norm()
        with torch.no_grad():
            secant = (c * (read(X + h * along) - read(X - h * along))).sum() / (2 * h)
        found = (slope * along).sum()
        torch.testing.assert_close(found, secant, rtol=SLOPE, atol=1e-6)


def test_mean_slopes_are_minus_the_forces(case):
    model, space, X = case
    X = X[:4].unsqueeze(1).clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.posterior(X).mean.sum(), X)
    forces = model.predict(space.decode(X.detach())).forces
    torch.testing.assert_close(-slope.view(-1, 3), forces, rtol=0, atol=EXACT)
    assert forces.abs().max() > 0.1


def test_force_variance_is_the_curvature_of_the_covariance(case):
    """Var(-dE/dx) = d²C(x, x')/dx dx', by displaced copies of one structure."""
    model, space, X = case
    model = without_misfit(model)
    one = space.decode(X[2])
    found = model.predict(one, force_variance=True).force_variance
    h = 3e-3
    for atom, axis in itertools.product((0, 4), range(3)):
        copies = []
        for sign in (1, -1):
            positions = one.positions.clone()
            positions[atom, axis] += sign * h
            copies.append(replace(one, positions=positions))
        both = model.predict(Structures.cat(copies), covariance=True)
        C = both.covariance
        curvature = (C[0, 0] - 2 * C[0, 1] + C[1, 1]) / (2 * h) ** 2
        # jitter and rounding on the diagonal, divided by the square of the step
        lost = LOST * float(model.fitted.signal_std) ** 2 * 36
        _, explained = model._mean_and_explained(one, *model._features(one))
        lost += LOST * float(explained.square().sum())
        lost += posterior.RELATIVE_JITTER * float(C[0, 0])
        slack = 4 * lost / (2 * h) ** 2
        torch.testing.assert_close(
            found[atom, axis], curvature, rtol=5e-3, atol=slack
        )  # of the step
        assert slack < 0.2 * found[atom, axis]


def test_measured_energies_scatter_by_the_noise_of_every_atom(case):
    model, space, X = case
    model = without_misfit(model)
    latent, observed = model.posterior(X), model.posterior(X, observation_noise=True)
    noise = 6 * model.fitted.energy_noise_std**2
    gap = observed.variance - latent.variance
    torch.testing.assert_close(gap, noise.expand(10, 1), rtol=1e-9, atol=1e-14)
    off = observed.distribution.covariance_matrix - torch.diag(noise.expand(10))
    torch.testing.assert_close(off, latent.distribution.covariance_matrix)
    said = model.predict(space.decode(X))
    torch.testing.assert_close(said.noise_variance, noise.expand(10))
    torch.testing.assert_close(said.predictive_variance, observed.variance.squeeze(-1))


@pytest.mark.parametrize("shape", [(), (2,), (2, 1), (1, 2, 1), (5, 2), (5, 2, 1)])
def test_noise_may_be_given(copper, shape):
    model, _, X = copper
    X = X.view(5, 2, -1)
    noise = weights(*shape).abs() + 0.1
    gap = model.posterior(X, observation_noise=noise).variance
    gap = gap - model.posterior(X).variance
    wide = noise if shape[-1:] == (1,) else noise.unsqueeze(-1)
    torch.testing.assert_close(gap, wide.expand(5, 2, 1))


def test_posterior_transform_comes_last(copper):
    model, _, X = copper
    flip = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    plain = model.posterior(X)
    found = model.posterior(X, posterior_transform=flip)
    torch.testing.assert_close(found.mean, -plain.mean)
    torch.testing.assert_close(found.variance, plain.variance)


def test_samples_have_the_posteriors_moments(copper):
    """Quasi-random: 2,048 draws are within a hundredth of a deviation."""
    model, _, X = copper
    posterior = model.posterior(X[:3])
    sampler = SobolQMCNormalSampler(torch.Size([2048]), seed=0)
    draws = sampler(posterior).squeeze(-1)
    sigma = posterior.variance.sqrt().squeeze(-1)
    gap = (draws.mean(0) - posterior.mean.squeeze(-1)) / sigma
    assert gap.abs().max() < 0.01
    covariance = torch.cov(draws.T) / sigma.outer(sigma)
    expected = posterior.distribution.covariance_matrix / sigma.outer(sigma)
    torch.testing.assert_close(covariance, expected, rtol=0, atol=0.03)


def test_samples_are_differentiable(copper):
    model, _, X = copper
    X = X[:4].view(2, 2, -1).clone().requires_grad_()
    samples = model.posterior(X).rsample(torch.Size([8]))
    (slope,) = torch.autograd.grad(samples.sum(), X)
    assert slope.isfinite().all()
    assert slope.abs().max() > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda m, best: LogExpectedImprovement(m, best, maximize=False),
        lambda m, best: UpperConfidenceBound(m, beta=1.0, maximize=False),
        lambda m, best: PosteriorStandardDeviation(m),
        lambda m, best: qLogExpectedImprovement(
            m, best, sampler=SobolQMCNormalSampler(torch.Size([32]), seed=0)
        ),
    ],
    ids=["LogEI", "UCB", "deviation", "qLogEI"],
)
def test_botorch_acquisitions_work_unmodified(copper, make):
    model, _, X = copper
    acquisition = make(model, -1.0)
    X = X.unsqueeze(1).clone().requires_grad_()
    value = acquisition(X)
    assert value.shape == (10,)
    (slope,) = torch.autograd.grad(value.sum(), X)
    assert slope.isfinite().all()
    with torch.no_grad():
        along = 1e-4 * slope / slope.norm()
        gain = (acquisition(X + along) - acquisition(X - along)).sum()
    expected = 2e-4 * slope.norm()
    torch.testing.assert_close(gain, expected, rtol=1e-3, atol=0)


def test_joint_acquisitions_look_at_the_covariance(copper):
    """Two different looks are worth more than the same look twice."""
    model, _, X = copper
    sampler = SobolQMCNormalSampler(torch.Size([256]), seed=0)
    best = float(model.posterior(X).mean.min())
    acquisition = qLogExpectedImprovement(
        model,
        -best,
        sampler=sampler,
        posterior_transform=ScalarizedPosteriorTransform(torch.tensor([-1.0]).double()),
    )
    low = model.posterior(X.unsqueeze(1)).mean.flatten().argsort()
    alone = acquisition(X[low[:1]].unsqueeze(0))
    twice = acquisition(X[low[[0, 0]]].unsqueeze(0))
    both = acquisition(X[low[[0, 1]]].unsqueeze(0))
    assert (twice - alone).abs() < 0.2
    assert both >= twice - 0.05


def test_knowledge_gradient_looks_ahead(copper):
    """BoTorch's one-shot form: fantasies at one structure, their minima at others."""
    model, _, X = copper
    minus = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    acquisition = qKnowledgeGradient(
        model,
        num_fantasies=4,
        sampler=SobolQMCNormalSampler(torch.Size([4]), seed=0),
        posterior_transform=minus,
    )
    X = X.view(2, 5, -1).clone().requires_grad_()  # one look, four minima
    value = acquisition(X)
    assert value.shape == (2,)
    (slope,) = torch.autograd.grad(value.sum(), X)
    assert slope.isfinite().all()
    assert (slope.flatten(2).abs().amax(-1) > 0).all()


def test_integrated_variance_uses_fantasies(copper):
    """A look at a structure makes the same structure better known."""
    model, _, X = copper
    acquisition = qNegIntegratedPosteriorVariance(model, mc_points=X[:1])
    value = acquisition(X.unsqueeze(1))
    assert value.shape == (10,)
    assert value.argmax() == 0
    before = model.posterior(X[:1]).variance.item()
    assert (-value <= before * (1 + 1e-6)).all()


@pytest.mark.parametrize("q", [1, 2])
def test_fantasies(copper, q):
    model, _, X = copper
    sampler = SobolQMCNormalSampler(torch.Size([3]), seed=0)
    told = X[: 2 * q].view(2, q, -1)
    fantasy = model.fantasize(told, sampler)
    assert fantasy.batch_shape == (3, 2)
    posterior = fantasy.posterior(X[4:8].view(2, 2, -1))
    assert posterior.mean.shape == (3, 2, 2, 1)
    assert posterior.variance.shape == (3, 2, 2, 1)
    noise = torch.full((1, 1), 0.01, dtype=torch.float64)
    given = model.fantasize(told, sampler, observation_noise=noise)
    assert given.posterior(X[4:8].view(2, 2, -1)).mean.shape == (3, 2, 2, 1)
    torch.testing.assert_close(given.noise, noise.expand(2, q))


def test_predict_is_per_structure(case, monkeypatch):
    """Batches of any size and mixture give what each structure gives alone."""
    model, space, X = case
    batch = space.decode(X)
    expected = model.predict(batch, covariance=True, force_variance=True)
    monkeypatch.setattr(module, "STRUCTURES_PER_CHUNK", 3)
    found = model.predict(batch, covariance=True, force_variance=True)
    for name in expected.__dataclass_fields__:
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=EXACT
        )
    for k, one in enumerate(batch.split()[:3]):
        alone = model.predict(one)
        torch.testing.assert_close(alone.mean[0], expected.mean[k])
        torch.testing.assert_close(alone.forces, expected.forces[6 * k : 6 * k + 6])


def test_sizes_may_mix(copper, space):
    model, _, X = copper
    whole = space.decode(X[:2])
    part = Structures.cat([whole[0], _without_last_atom(whole[1])])
    found = model.predict(part, covariance=True, force_variance=True)
    alone = model.predict(_without_last_atom(whole[1]))
    torch.testing.assert_close(found.mean[1], alone.mean[0])
    torch.testing.assert_close(found.variance[1], alone.variance[0])
    assert found.forces.shape == found.force_variance.shape == (11, 3)
    assert found.atomic_energies.shape == (11,)
    noise = model.fitted.energy_noise_std**2 * torch.tensor([6, 5])
    said = without_misfit(model).predict(part)
    torch.testing.assert_close(said.noise_variance, noise)
    torch.testing.assert_close(found.variance - said.variance, noise)


def _without_last_atom(one):
    per_atom = ("positions", "numbers", "index", "fixed", "tags")
    return replace(one, **{name: getattr(one, name)[:-1] for name in per_atom})


def test_what_was_not_asked_for_is_not_computed(copper):
    model, space, X = copper
    found = model.predict(space.decode(X[:2]))
    assert found.covariance is None
    assert found.force_variance is None
    assert not found.mean.requires_grad


def test_predict_works_without_gradients_around_it(copper):
    model, space, X = copper
    with torch.no_grad():
        found = model.predict(space.decode(X[:2]))
    torch.testing.assert_close(found.forces, model.predict(space.decode(X[:2])).forces)


def test_state_survives_a_file_to_the_last_bit(case):
    model, space, X = case
    data = save({k: v.contiguous() for k, v in model.state().items()})
    again = SMALL.restore(load(data), space)
    for name, value in model.state().items():
        assert torch.equal(again.state()[name], value), name
    batch = space.decode(X)
    arguments = {"covariance": True, "force_variance": True}
    found, expected = (m.predict(batch, **arguments) for m in (again, model))
    assert expected.members is None
    for name, value in vars(expected).items():
        same = getattr(found, name)
        assert same is value if value is None else torch.equal(same, value), name
    posterior = again.posterior(X.view(5, 2, -1))
    assert torch.equal(posterior.mean, model.posterior(X.view(5, 2, -1)).mean)
    assert again.hyperparameters() == model.hyperparameters()


def test_state_does_without_the_description(data, space):
    """What is restored is what was fitted, whoever restores it."""
    fitted = LocalGP(n_max=3, l_max=1, zeta=2, pair_repulsion=None, cutoff=4.0)
    model = fitted.fit(data[:4], space)
    again = LocalGP().restore(model.state(), space)
    assert again.soap == model.soap
    assert again.kernel == PowerKernel(2)
    assert again.pair_repulsion is None
    batch = data[5:7]
    assert torch.equal(again.predict(batch).mean, model.predict(batch).mean)


def test_names_its_numbers(case):
    model, _, _ = case
    found = model.hyperparameters()
    assert all(isinstance(value, float) for value in found.values())
    assert found["signal_eV"] == model.fitted.signal_std
    assert found["inducing_environments"] == len(model.inducing)
    assert found["log_marginal_likelihood"] == model.fitted.log_marginal_likelihood
    species = model.soap.species
    pairs = [(a, b) for a in species for b in species if a <= b]
    elements = {name for name in found if "_of_Z" in name}
    decays = {f"embedding_decay_of_Z{a}_Z{b}_per_angstrom" for a, b in pairs}
    assert elements == {f"energy_per_atom_of_Z{z}_eV" for z in species} | decays


def test_prior_mean_is_far_away(copper, space):
    """Atoms out of reach of each other: constants and lone environments only."""
    model, _, _ = copper
    P = 100.0 * torch.arange(6, dtype=torch.float64).unsqueeze(-1).expand(6, 3)
    found = model.predict(space.decode(P.flatten()))
    assert found.forces.abs().max() < 1e-12
    local = found.atomic_energies
    torch.testing.assert_close(local, local[:1].expand(6))
    torch.testing.assert_close(local.sum(), found.mean[0])


def test_pair_prior_holds_where_nothing_is_known(copper, space):
    model, _, X = copper
    squeezed = space.decode(0.5 * X[:3])
    wall = model.pair_repulsion(squeezed, model.fitted.radii.expand(18))
    assert (model.predict(squeezed).mean > 0.5 * wall).all()
    assert (wall > 50).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_its_data(data, space, device, dtype):
    known = data[:8].to(device, dtype)
    model = LocalGP(n_max=3, l_max=2, max_inducing=15).fit(known, space)
    expected = LocalGP(n_max=3, l_max=2, max_inducing=15).fit(data[:8], space)
    X = space.encode(data[8:12]).to(device, dtype).view(2, 2, -1)
    posterior = model.posterior(X)
    found = model.predict(known, covariance=True, force_variance=True)
    said = [value for value in vars(found).values() if value is not None]
    assert len(said) == 8  # all but members
    for tensor in (posterior.mean, posterior.variance, *said):
        assert tensor.dtype == dtype
        assert tensor.device.type == device.type
    mean = expected.posterior(X.cpu().double()).mean
    slack = 0.2 if dtype == torch.float32 else 1e-6
    torch.testing.assert_close(posterior.mean.cpu().double(), mean, rtol=0, atol=slack)


def test_fit_moves_to_another_device(copper, device):
    model, _, _ = copper
    moved = model.fitted.to(device)
    for name, value in moved.tensors().items():
        assert value.device.type == device.type
        assert torch.equal(value.cpu(), model.fitted.tensors()[name])


def test_posterior_needs_a_space(data):
    model = SMALL.fit(data[:3])
    with pytest.raises(NotFittedError, match=r"`posterior` must have a space.*Fit with"):
        model.posterior(torch.zeros(1, 18, dtype=torch.float64))


def test_refuses_unknown_species(copper, mixed):
    model, _, _ = copper
    with pytest.raises(InputError, match=r"`numbers` must be among .* got \[79\]"):
        model.predict(mixed[:1])


def test_is_a_fitted_model(copper):
    """mypy checks the protocol; here its verbs are at least there."""
    model, _, _ = copper
    verbs = [name for name in vars(FittedModel) if not name.startswith("_")]
    assert verbs
    assert all(callable(getattr(model, name)) for name in verbs)


@pytest.mark.parametrize("layers", [2, 5])
def test_on_a_slab_the_posterior_is_what_is_predicted(layers):
    """What the fixed atoms see of each other is put aside, and nothing is lost."""
    space = Surface(fcc100("Au", (2, 3, layers), vacuum=6.0), "Cu2")
    X = space.sample(6, torch.Generator().manual_seed(0))
    structures = space.decode(X)
    data = replace(structures, energy=torch.linspace(0, 1, 6, dtype=torch.float64))
    model = LocalGP(max_inducing=40, cutoff=4.0).fit(data[:4], space)
    moving = X.clone().requires_grad_()
    posterior = model.posterior(moving.unsqueeze(-2))
    mean, variance = posterior.mean.flatten(), posterior.variance.flatten()
    expected = model.predict(structures)
    torch.testing.assert_close(mean.detach(), expected.mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(variance.detach(), expected.variance, rtol=1e-9, atol=1e-10)
    (slope,) = torch.autograd.grad(mean.sum(), moving, retain_graph=True)
    forces = expected.forces[~structures.fixed].view(6, -1)
    torch.testing.assert_close(slope, -forces, rtol=0, atol=1e-10)
    (slope,) = torch.autograd.grad(variance.sum(), moving)
    step = 1e-5 * torch.randn_like(X)
    high, low = (model.predict(space.decode(X + s)).variance for s in (step, -step))
    found = (slope * step).sum(-1)
    torch.testing.assert_close(found, (high - low) / 2, rtol=1e-4, atol=1e-10)


def test_structures_may_differ_in_composition_and_size():
    """A joint posterior over a pool is that of its structures."""
    cell = bulk("Cu", cubic=True, a=3.8)
    images = [bulk("Cu"), bulk("Au"), cell.copy(), cell.copy(), cell.copy()]
    images[2].set_chemical_symbols(["Au", "Cu", "Cu", "Cu"])
    images[3].set_chemical_symbols(["Au", "Au", "Cu", "Cu"])
    images[4].set_chemical_symbols(["Cu", "Au", "Au", "Au"])
    pool = Pool(images)
    X = pool.members(0, 5)
    structures = pool.decode(X)
    energy = torch.tensor([-0.1, 0.2, 0.5, 0.3, 0.9], dtype=torch.float64)
    model = SMALL.fit(replace(structures[:4], energy=energy[:4]), pool)
    found = model.predict(structures, covariance=True)
    together = model.posterior(X)
    torch.testing.assert_close(together.mean.flatten(), found.mean)
    C = together.distribution.covariance_matrix
    torch.testing.assert_close(C, found.covariance)
    alone = model.posterior(X.unsqueeze(-2), observation_noise=True)
    torch.testing.assert_close(alone.variance.flatten(), found.variance + found.noise_variance)
