import pytest
import torch

from bostruct.errors import InputError, NotFittedError, ShapeError
from bostruct.uncertainty import LastLayerLaplace, LayerBatch
from tests.uncertainty.networks import Atomistic, normal, perceptron, seeded

X, NEW = normal(30, 4), normal(9, 4, seed=1)
Y = X.square().sum(1) / 4
INDEX = torch.tensor([0, 0, 0, 1, 1])


def halves(x=X):
    return [LayerBatch(x[:13], Y[:13]), LayerBatch(x[13:], Y[13:])]


def atoms(seed, structures=8):
    """Batches of one structure each, of 2 to 4 atoms."""
    found = []
    for k in range(structures):
        positions = normal(2 + k % 3, 3, seed=seed + k)
        index = torch.zeros(len(positions), dtype=torch.int64)
        inputs = positions, index
        energy, forces = normal(1, seed=k), normal(len(positions), 3, seed=k)
        found.append(LayerBatch(inputs, energy, index, positions, forces))
    return found


def test_a_linear_model_has_the_closed_form():
    model = seeded(torch.nn.Linear(4, 1))
    model = torch.nn.Sequential(model).eval()
    readout = LastLayerLaplace.from_model(model, layer_names="0")
    metric = readout.fit(halves(), dataset_name="X", ridge=0.3)
    F, f = (torch.cat([x, torch.ones(len(x), 1)], 1) for x in (X, NEW))
    H = F.T @ F + 0.3 * torch.eye(5)
    found = readout.predict(metric, LayerBatch(NEW), covariance=True)
    expected = f @ torch.linalg.solve(H, f.T)
    torch.testing.assert_close(found.covariance, expected)
    torch.testing.assert_close(found.variance, expected.diagonal())
    assert torch.equal(found.mean, model(NEW).squeeze(1).detach())
    assert bool((found.noise_variance == 0).all())


def test_it_is_the_laplace_approximation_of_the_last_layer():
    """All weights of the last layer, GGN of e²/2: a2 = noise, z2 = prior x noise.

    The three numbers are those of laplace-torch 0.3: `Laplace(model, "regression",
    subset_of_weights="last_layer", hessian_structure="full", sigma_noise=0.7**0.5,
    prior_precision=0.2)`.
    """
    model, noise, precision = perceptron(), 0.7, 0.2
    parameters = {k: v for k, v in model.named_parameters() if k.startswith("2.")}

    def jacobian(x):
        def call(last):
            return torch.func.functional_call(model, last, (x,)).squeeze(1)

        slopes = torch.func.jacrev(call)(parameters)
        return torch.cat([slopes[k].flatten(1) for k in sorted(slopes)], 1).detach()

    J, j = jacobian(X), jacobian(NEW)
    covariance = torch.linalg.inv(J.T @ J / noise + precision * torch.eye(7))
    expected = (j @ covariance * j).sum(1)
    readout = LastLayerLaplace.from_model(model, LayerBatch(X))
    assert readout.layer_names == ("2",)
    metric = readout.fit(halves(), dataset_name="X", ridge=precision * noise)
    found = readout.predict(metric.calibrated(noise), LayerBatch(NEW))
    torch.testing.assert_close(found.variance, expected)
    theirs = [0.081193094033, 0.154757721778, 0.045590058095]
    assert found.variance[:3].tolist() == pytest.approx(theirs, rel=1e-9)


def test_a_last_layer_written_in_other_coordinates_is_the_same():
    """f -> A f, w -> A^-T w at z2 = 0 (here 1e-12): neither mean nor variance."""
    model = perceptron(bias=False)
    A = normal(6, 6, seed=5) + 3 * torch.eye(6, dtype=torch.float64)
    mixed = torch.nn.Sequential(
        *model[:2], torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 1, bias=False)
    )
    mixed = mixed.double().eval()
    mixed[2].weight.data.copy_(A)
    mixed[3].weight.data.copy_(model[2].weight.data @ torch.linalg.inv(A))
    one, other = (
        readout.predict(readout.fit(halves(), dataset_name="X", ridge=1e-12), LayerBatch(NEW))
        for readout in (LastLayerLaplace.from_model(m, LayerBatch(X)) for m in (model, mixed))
    )
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.variance, other.variance, rtol=1e-6, atol=0)


def test_metrics_of_parts_add_up():
    readout = LastLayerLaplace.from_model(perceptron(), layer_names="2")
    first, second = (readout.fit([h], dataset_name="X", ridge=0.1) for h in halves())
    whole = readout.fit([LayerBatch(X)], dataset_name="X", ridge=0.1)
    torch.testing.assert_close((first + second).hessian, whole.hessian)
    assert (first + second).fingerprint == whole.fingerprint


def test_without_a_ridge_it_is_a_millionth_of_the_squares():
    readout = LastLayerLaplace.from_model(perceptron(), layer_names="2")
    metric = readout.fit(halves(), dataset_name="X")
    f = readout.features(LayerBatch(X))
    assert metric.ridge == pytest.approx(1e-6 * float(f.square().mean()))
    assert metric.jitter == 0


def test_a_model_that_was_trained_on_is_refused():
    model = perceptron()
    readout = LastLayerLaplace.from_model(model, layer_names="2")
    metric = readout.fit(halves(), dataset_name="X", ridge=0.1)
    before = readout.predict(metric, LayerBatch(NEW)).variance
    model[0].weight.data[0, 0] += 1e-12
    with pytest.raises(NotFittedError, match="features have changed: fit the linear"):
        readout.predict(metric, LayerBatch(NEW))
    with pytest.raises(NotFittedError, match="be the model that the linear model was"):
        readout.calibrated(metric, halves())
    model[0].weight.data[0, 0] = perceptron()[0].weight.data[0, 0]
    assert torch.equal(readout.predict(metric, LayerBatch(NEW)).variance, before)
    other = LastLayerLaplace.from_model(model, layer_names="0")
    with pytest.raises(NotFittedError, match="be the model that the linear model was"):
        other.predict(metric, LayerBatch(NEW))


def test_calibrated_errors_are_of_the_predicted_size():
    readout = LastLayerLaplace.from_model(perceptron(), layer_names="2")
    metric = readout.fit(halves(), dataset_name="X")
    metric = readout.calibrated(metric, halves(), method="likelihood")
    z = readout.residuals(metric, halves()).z
    assert z.shape == (30,)
    assert float(z.square().mean()) == pytest.approx(1)


@pytest.mark.parametrize("bias", [True, False])
def test_forces_are_rows_too(bias):
    """Against the rows of every structure, written out."""
    model = Atomistic(bias)
    readout = LastLayerLaplace.from_model(model, layer_names="head")
    data, new = atoms(0), atoms(50, 1)[0]
    metric = readout.fit(
        data, dataset_name="", ridge=0.1, include_forces=True, loss_weights=(1.0, 0.25)
    )
    H = 0.1 * torch.eye(metric.n_features, dtype=torch.float64)
    for batch in data:
        positions, index = batch.inputs

        def f(r, index=index):
            hidden = []
            hook = model.head.register_forward_pre_hook(
                lambda _, args: hidden.append(args[0].sum(0))
            )
            model(r, index)
            hook.remove()
            ones = r.new_ones(1) * len(r) if bias else r.new_ones(0)
            return torch.cat([hidden[0], ones])

        row = f(positions).detach()
        g = torch.func.jacrev(f)(positions).flatten(1).T.detach()
        H += torch.outer(row, row) + 0.25 * g.T @ g
    torch.testing.assert_close(metric.hessian, H)
    found = readout.predict(metric, new, force_model=metric.calibrated(4.0))
    r = new.positions.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(r, new.structure_index).sum(), r)
    torch.testing.assert_close(found.forces, -slope)
    assert found.force_variance.shape == new.positions.shape
    held = readout.residuals(metric, data, target_kind="force")
    assert held.n_points == sum(batch.positions.numel() for batch in data)
    again = readout.calibrated(metric, data, target_kind="force")
    assert float(again.alpha2) == pytest.approx(float(held.z.square().mean()))


def test_a_loss_of_energies_per_atom_has_rows_per_atom():
    model = Atomistic()
    readout = LastLayerLaplace.from_model(model, layer_names="head")
    batch = LayerBatch((normal(5, 3, seed=3), INDEX), structure_index=INDEX)
    metric = readout.fit([batch], dataset_name="", ridge=0.1, reduction="mean")
    f = readout.features(batch) / torch.tensor([[3.0], [2.0]])
    expected = f.T @ f + 0.1 * torch.eye(6)
    torch.testing.assert_close(metric.hessian, expected)


def test_energies_of_atoms_are_added_up():
    model = Atomistic()

    class Local(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, positions, index):
            return {"node_energy": self.inner.local(positions, index)}

    batch = LayerBatch((normal(5, 3, seed=3), INDEX), structure_index=INDEX)
    whole, local = (
        LastLayerLaplace.from_model(model, layer_names="head"),
        LastLayerLaplace.from_model(
            Local().eval(), batch, output_fn=lambda answer: answer["node_energy"]
        ),
    )
    assert local.layer_names == ("inner.head",)
    a, b = (
        readout.predict(readout.fit([batch], dataset_name="", ridge=0.1), batch)
        for readout in (whole, local)
    )
    torch.testing.assert_close(a.mean, b.mean)
    assert torch.equal(a.variance, b.variance)


def test_variances_of_atoms_do_not_add():
    """Copies far apart: N² times the variance of one, not N times."""
    model = Atomistic()
    readout = LastLayerLaplace.from_model(model, layer_names="head")
    metric = readout.fit(atoms(0), dataset_name="", ridge=0.1)
    one = normal(2, 3, seed=3)
    copies = torch.cat([one + 100 * k for k in range(3)])
    numbers = [torch.zeros(len(r), dtype=torch.int64) for r in (one, copies)]
    single = LayerBatch((one, numbers[0]), structure_index=numbers[0])
    triple = LayerBatch((copies, numbers[1]), structure_index=numbers[1])
    variance = readout.predict(metric, single).variance
    whole = readout.predict(metric, triple).variance
    torch.testing.assert_close(whole, 9 * variance)
    local = readout.atomic_variance(metric, triple)
    torch.testing.assert_close(local, readout.atomic_variance(metric, single).repeat(3))
    assert float(local.sum()) < 0.6 * float(whole)


def test_several_targets_have_a_factor_each():
    model = perceptron(outputs=2)
    readout = LastLayerLaplace.from_model(model, layer_names="2")
    data = [LayerBatch(X, torch.stack([Y, 3 * Y], 1))]
    metric = readout.fit(data, dataset_name="X")
    held = readout.residuals(metric, data)
    assert held.error.shape == (2, 30)
    metric = readout.calibrated(metric, data)
    assert metric.alpha2.shape == (2,)
    z2 = readout.residuals(metric, data).z.square().mean(-1)
    torch.testing.assert_close(z2, torch.ones(2, dtype=torch.float64))
    with pytest.raises(ShapeError, match="one energy for each structure, got shape"):
        readout.predict(metric, LayerBatch(NEW))


def test_members_scatter_as_the_variance_around_the_network():
    readout = LastLayerLaplace.from_model(perceptron(), layer_names="2")
    metric = readout.fit(halves(), dataset_name="X", ridge=0.1).calibrated(2.0)
    generator = torch.Generator().manual_seed(0)
    found = readout.predict(metric, LayerBatch(NEW), n_members=4000, generator=generator)
    assert found.members.shape == (4000, 9)
    torch.testing.assert_close(found.members.mean(0), found.mean)
    ratio = found.members.var(0) / found.variance
    assert float((ratio - 1).abs().max()) < 5 * (2 / 3999) ** 0.5
    with pytest.raises(InputError, match="One member has no spread"):
        readout.predict(metric, LayerBatch(NEW), n_members=1)


def test_single_precision_is_summed_in_double():
    model = perceptron().float()
    readout = LastLayerLaplace.from_model(model, layer_names="2")
    metric = readout.fit([LayerBatch(X.float())], dataset_name="X", ridge=0.1)
    found = readout.predict(metric, LayerBatch(NEW.float()))
    assert metric.hessian.dtype == found.mean.dtype == found.variance.dtype
    expected = LastLayerLaplace.from_model(perceptron(), layer_names="2")
    wide = expected.fit([LayerBatch(X)], dataset_name="X", ridge=0.1)
    double = expected.predict(wide, LayerBatch(NEW))
    torch.testing.assert_close(found.variance, double.variance, rtol=1e-5, atol=0)


def test_the_model_is_left_as_it_was():
    model = Atomistic()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    readout = LastLayerLaplace.from_model(model, layer_names="head")
    data = atoms(0)
    readout.predict(
        *(readout.fit(data, dataset_name="", include_forces=True), data[0]),
        force_model=readout.fit(data, dataset_name="", include_forces=True),
    )
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(batch.positions.requires_grad for batch in data)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_does_not_fit_is_refused():
    model = perceptron()
    readout = LastLayerLaplace.from_model(model, layer_names="2")
    metric = readout.fit(halves(), dataset_name="X", ridge=0.1)
    with pytest.raises(InputError, match="`batch` must be given where the layer is no"):
        LastLayerLaplace.from_model(model)
    with pytest.raises(InputError, match="`batches` must hold at least one batch"):
        readout.fit([], dataset_name="X")
    with pytest.raises(InputError, match="`batches` must hold at least one batch"):
        readout.residuals(metric, [])
    with pytest.raises(InputError, match="`batches` must know the targets, got None"):
        readout.residuals(metric, [LayerBatch(X)])
    with pytest.raises(InputError, match="`batches` must know the forces, got None"):
        readout.residuals(metric, halves(), target_kind="force")
    with pytest.raises(InputError, match="`positions` must be given where forces are"):
        readout.fit(halves(), dataset_name="X", include_forces=True)
    with pytest.raises(ShapeError, match=r"`target` must have the shape \[30\]"):
        readout.residuals(metric, [LayerBatch(X, Y[:5])])
    with pytest.raises(InputError, match="at least 8 points, got 3"):
        readout.calibrated(metric, [LayerBatch(X[:3], Y[:3])])
    sums = LastLayerLaplace.from_model(
        model, layer_names="2", output_fn=lambda answer: answer.sum().reshape(1)
    )
    with pytest.raises(ShapeError, match="`output_fn` must return one row for each of th"):
        sums.predict(metric, LayerBatch(X))
    model.train()
    with pytest.raises(InputError, match=r"evaluation mode.*Call `model.eval\(\)`"):
        readout.predict(metric, LayerBatch(NEW))
