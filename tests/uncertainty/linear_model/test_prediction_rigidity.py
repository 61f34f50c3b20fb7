"""Against the constrained minimum and a plain loop with scikit-matter's conventions."""

import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import (
    BayesianLinearModel,
    PredictionRigidity,
    compute_prediction_rigidity,
)
from bostruct.uncertainty.linear_model.prediction_rigidity import structure_features


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


ATOMS = torch.tensor([3, 1, 5, 4, 2, 6])
STRUCTURE = torch.repeat_interleave(torch.arange(6), ATOMS)
X = normal(21, 7) + 0.5
NEW, WHERE = normal(9, 7, seed=1), torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2])


def loop(train, structure, new, alpha, keep=slice(None)):
    """LPR atom by atom with an explicit inverse; LCPR with some features kept."""
    scale = (train**2).sum(1).mean().sqrt()
    means = [train[structure == i].mean(0) / scale for i in range(6)]
    h = sum(torch.outer(m, m) for m in means) + alpha * torch.eye(7).double()
    inverse = torch.linalg.pinv(h)
    found = []
    for row in new:
        f = torch.zeros(7).double()
        f[keep] = row[keep] / scale
        found.append(1 / (f @ inverse @ f))
    return torch.stack(found)


def test_the_loss_rises_by_half_of_eps_squared_times_the_rigidity():
    """[V10]: the minimum under the constraint that one prediction is moved."""
    f, y, new, eps, z2 = normal(30, 5), normal(30, seed=1), normal(5, seed=2), 0.7, 0.3
    h = f.T @ f + z2 * torch.eye(5).double()
    w = torch.linalg.solve(h, f.T @ y)
    # Stationarity and the constraint, with the multiplier as the last unknown.
    kkt = torch.zeros(6, 6).double()
    kkt[:5, :5], kkt[:5, 5], kkt[5, :5] = h, new, new
    forced = torch.linalg.solve(kkt, torch.cat([f.T @ y, (new @ w + eps)[None]]))[:5]

    def loss(w):
        return 0.5 * ((y - f @ w).square().sum() + z2 * w.square().sum())

    metric = BayesianLinearModel.fit(f, y, ridge=z2, alpha2=2.0)
    found = compute_prediction_rigidity(metric, new)
    rise = float(loss(forced) - loss(w))
    assert float(found) * eps**2 / 2 == pytest.approx(rise, rel=1e-9)
    torch.testing.assert_close(metric.variance(new), 2 / found)


def test_training_rows_are_held_by_themselves_at_least():
    metric = BayesianLinearModel.fit(X, ridge=1e-3)
    assert float(compute_prediction_rigidity(metric, X).min()) >= 1


def test_local_rigidities_are_those_of_the_loop():
    found = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-2).local_rigidity(NEW)
    torch.testing.assert_close(found, loop(X, STRUCTURE, NEW, 1e-2))


def test_total_rigidities_are_of_means_over_atoms():
    found = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-2).structure_rigidity(NEW, WHERE)
    means = torch.stack([NEW[i == WHERE].mean(0) for i in range(3)])
    torch.testing.assert_close(found, loop(X, STRUCTURE, means, 1e-2))


def test_component_rigidities_keep_one_block():
    model = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-2)
    atoms = model.component_rigidity(NEW, [3, 4])
    totals = model.component_rigidity(NEW, [3, 4], WHERE)
    assert atoms.shape == (9, 2)
    assert totals.shape == (3, 2)
    means = torch.stack([NEW[i == WHERE].mean(0) for i in range(3)])
    for c, keep in enumerate([slice(0, 3), slice(3, 7)]):
        expected = loop(X, STRUCTURE, NEW, 1e-2, keep)
        torch.testing.assert_close(atoms[:, c], expected)
        expected = loop(X, STRUCTURE, means, 1e-2, keep)
        torch.testing.assert_close(totals[:, c], expected)
    whole = model.component_rigidity(NEW, [7])[:, 0]
    torch.testing.assert_close(whole, model.local_rigidity(NEW))


def test_units_of_features_do_not_matter():
    one = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-2).local_rigidity(NEW)
    other = PredictionRigidity.fit(1e4 * X, STRUCTURE, ridge=1e-2).local_rigidity(1e4 * NEW)
    torch.testing.assert_close(one, other)
    raw = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-2, normalize=False).local_rigidity(NEW)
    assert not torch.allclose(one, raw, rtol=1e-3)


def test_an_atom_alone_is_held_by_its_structure():
    found = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-3).local_rigidity(X[STRUCTURE == 1])
    assert float(found[0]) >= 1


def test_what_has_no_features_is_infinitely_rigid():
    model = PredictionRigidity.fit(X, STRUCTURE, ridge=1e-3)
    features = NEW.clone()
    features[:, :3] = 0
    found = model.component_rigidity(features, [3, 4])
    assert bool(found[:, 0].isinf().all())
    assert bool(found[:, 1].isfinite().all())


def test_rows_of_structures_are_sums_or_means():
    total = structure_features(X, STRUCTURE)
    torch.testing.assert_close(total[2], X[STRUCTURE == 2].sum(0))
    mean = structure_features(X, STRUCTURE, reduction="mean")
    torch.testing.assert_close(mean, total / ATOMS[:, None])
    shuffled = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    again = structure_features(X[shuffled], STRUCTURE[shuffled])
    torch.testing.assert_close(again, total)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(ShapeError, match=r"`features` must have shape \[\*, \*\]"):
        structure_features(X[:, 0], STRUCTURE)
    with pytest.raises(ShapeError, match="`structure_index` must have one number for each"):
        structure_features(X, STRUCTURE[:3])
    with pytest.raises(InputError, match="`reduction` must be one of mean, sum"):
        structure_features(X, STRUCTURE, reduction="max")
    with pytest.raises(InputError, match="`structure_index` must number the structures from 0"):
        structure_features(X, STRUCTURE - 1)
    with pytest.raises(InputError, match=r"`structure_index` must number .* leave none out"):
        structure_features(X, STRUCTURE + 1)
    with pytest.raises(InputError, match="`features` must be finite"):
        structure_features(X * math.nan, STRUCTURE)
    with pytest.raises(InputError, match="`features` must be positive and finite"):
        PredictionRigidity.fit(torch.zeros(21, 7), STRUCTURE, ridge=0.1)
    with pytest.raises(InputError, match="`ridge` must be positive and finite"):
        PredictionRigidity.fit(X, STRUCTURE, ridge=0.0)
    model = PredictionRigidity.fit(X, STRUCTURE, ridge=0.1)
    with pytest.raises(ShapeError, match="`features` must have rows of 7 numbers"):
        model.local_rigidity(NEW[:, :3])
    with pytest.raises(ShapeError, match="`block_sizes` must be positive and add up to 7"):
        model.component_rigidity(NEW, [3, 3])
