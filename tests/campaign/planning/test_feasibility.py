"""Kinds of structures that fail are learnt from; failures anywhere are not."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.morse import MorsePotential

from bostruct.campaign import Campaign, stop
from bostruct.campaign.planning import feasibility as module
from bostruct.campaign.planning import step as step_module
from bostruct.campaign.planning.feasibility import (
    count_width_outcomes,
    infeasible_candidates,
    select_width,
    structure_features,
    success_probability,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.candidates import Candidates
from bostruct.evaluators import Failure, Function
from bostruct.spaces import Cluster, Pool
from bostruct.surrogates import LocalGP
from tests.campaign.standin import campaign

SPACE = Cluster("Cu4", radius=12.0)
KEY = {"key": "k", "attempt": 1, "generator": "random"}


def compact(n, seed=0):
    return SPACE.sample(n, torch.Generator().manual_seed(seed))


def dissociated(n, seed=0):
    """Return clusters with one atom 4 to 8 Å from the others."""
    X = compact(n, seed + 100).view(n, 4, 3).clone()
    r = torch.Generator().manual_seed(seed)
    way = torch.nn.functional.normalize(X[:, 3] - X[:, :3].mean(1), dim=-1)
    X[:, 3] += way * (4 + 4 * torch.rand(n, 1, generator=r, dtype=torch.float64))
    return X.view(n, -1)


def trials(X, states, **more):
    return [
        Trial(i, 0, X=x, state=state, **KEY, **more)
        for i, (x, state) in enumerate(zip(X, states, strict=True))
    ]


def candidates(X):
    n = len(X)
    value = torch.arange(n, 0, -1, dtype=torch.float64)
    zero = torch.zeros(n, dtype=torch.int64)
    return Candidates(X, value, ["drawn"] * n, zero, zero.bool())


def step(number=0):
    components = campaign(space=SPACE).components
    return StepContext(components, 0, torch.device("cpu"), number, 1)


NEW = torch.cat([dissociated(20, seed=7), compact(20, seed=7)])


def shares(known, n_steps=40):
    """Return how often dissociated and compact candidates are left out."""
    rows = [infeasible_candidates(step(k), known, candidates(NEW)) for k in range(n_steps)]
    out = torch.stack(rows).double().mean(0)
    return float(out[:20].mean()), float(out[20:].mean())


def test_a_kind_that_always_fails_is_asked_for_ever_less():
    X = torch.cat([compact(12), dissociated(3)])
    few = shares(trials(X, ["done"] * 12 + ["failed"] * 3))
    X = torch.cat([compact(12), dissociated(12)])
    many = shares(trials(X, ["done"] * 12 + ["failed"] * 12))
    assert few[0] < many[0] < 1, "never given up"
    assert many[0] > 0.9
    assert few[1] == many[1] == 0


@pytest.mark.parametrize("seed", range(5))
def test_failures_anywhere_poison_no_region(seed):
    """One in ten, whatever the structure is like."""
    X = torch.cat([compact(30), dissociated(10)])
    failed = torch.rand(40, generator=torch.Generator().manual_seed(seed)) < 0.1
    known = trials(X, ["failed" if one else "done" for one in failed])
    found = infeasible_candidates(step(), known, candidates(NEW))
    assert found is None or found.double().mean() < 0.1


def test_without_failures_or_successes_nothing_is_judged(monkeypatch):
    monkeypatch.setattr(module, "structure_features", lambda *_: pytest.fail("judged"))
    X = compact(5)
    for states in (["done"] * 5, ["failed"] * 5, ["done", "retracted", "running", "done", "done"]):
        assert infeasible_candidates(step(), trials(X, states), candidates(NEW)) is None
    known = trials(X, ["done"] * 3 + ["failed"] * 2, retryable=True)
    assert infeasible_candidates(step(), known, candidates(NEW)) is None, "a license, a node"
    assert infeasible_candidates(step(), [], candidates(NEW)) is None


def test_one_failure_is_no_kind():
    X = torch.cat([compact(12), dissociated(1)])
    known = trials(X, ["done"] * 12 + ["failed"])
    assert infeasible_candidates(step(), known, candidates(NEW)) is None


def test_successes_near_failures_count():
    X = torch.cat([compact(12), dissociated(12)])
    mixed = trials(X, ["done"] * 12 + ["failed", "done"] * 6)
    found = infeasible_candidates(step(), mixed, candidates(NEW))
    assert found is None or found.double().mean() < 0.3


def test_the_width_is_selected_anew_with_each_share_of_outcomes_and_of_failures():
    def n_used(is_failed):
        counts, used, X = (0, 0, 0), [], compact(1)[0]
        for k in range(1, 2001):
            trial = Trial(k, 0, X=X, state="failed" if is_failed(k) else "done", **KEY)
            counts = count_width_outcomes(counts, trial)
            used.append(counts[2])
        assert counts[:2] == (2000, sum(is_failed(k) for k in range(1, 2001)))
        return used

    n = n_used(lambda k: k % 100 == 0)
    assert n == sorted(n)
    assert n[:31] == list(range(1, 32))
    assert all(15 / 16 * k <= used <= k for k, used in enumerate(n, 1))
    assert all(n[k - 1] == k for k in range(100, 1601, 100)), "each of the first failures counts"
    often = n_used(lambda k: k % 10 == 0)
    assert len(set(often[1024:])) <= 2 * 16


def test_a_step_computes_the_features_of_new_structures_only(monkeypatch):
    X = torch.cat([compact(80), dissociated(80)])
    known = trials(X[:159], ["done"] * 80 + ["failed"] * 79)
    one = step()
    first = infeasible_candidates(one, known[:158], candidates(NEW))
    monkeypatch.setattr(module, "select_width", lambda *_: pytest.fail("as many as before"))
    lengths = []
    monkeypatch.setattr(
        module,
        "structure_features",
        lambda space, x: lengths.append(len(x)) or structure_features(space, x),
    )
    again = infeasible_candidates(one, known, candidates(NEW))
    assert lengths == [1, len(NEW)]
    assert torch.equal(first, again)
    assert bool(first[:20].any())
    monkeypatch.undo()
    assert torch.equal(infeasible_candidates(step(), known, candidates(NEW)), again)


def test_features_are_in_units_of_the_radii_of_the_space():
    radius = float(SPACE.atomic_radii[0])
    X = torch.cat([compact(3), dissociated(3)])
    for scale in (0.2, 3.0):
        space = Cluster("Cu4", radius=40.0, atomic_radii={"Cu": scale * radius})
        assert torch.allclose(structure_features(space, scale * X), structure_features(SPACE, X))


def test_probability_of_success_is_a_beta_mean():
    y = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    D = torch.tensor([[0.0, math.inf, math.inf, math.inf], [math.inf, math.inf, 0.0, math.inf]])
    share = 4 / 6
    found = success_probability(D.double(), y, 1.0)
    torch.testing.assert_close(found, torch.tensor([(share + 1) / 2, share / 2]).double())
    far = torch.full((1, 4), math.inf, dtype=torch.float64)
    assert float(success_probability(far, y, 1.0)) == pytest.approx(share)


@pytest.mark.parametrize("width", [0.5, 2.0, 1e9])
def test_evidence_predicts_each_outcome_from_all_others(width):
    F = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (F[:, 0] > -0.5).double()
    D = torch.cdist(F, F)
    expected = 0.0
    for i in range(12):
        others = torch.arange(12) != i
        p = float(success_probability(D[i : i + 1, others], y[others], width))
        expected += math.log(p if y[i] else 1 - p)
    assert module._left_out_evidence(D, y, width) == pytest.approx(expected)


def test_width_is_finite_where_the_outcome_depends_on_the_features():
    F = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert select_width(F, (F[:, 0] > -0.3).double()) is not None
    random = torch.rand(40, generator=torch.Generator().manual_seed(1)) > 0.1
    assert select_width(F, random.double()) is None


def test_features_are_invariant_and_tell_a_single_far_atom():
    X = torch.cat([compact(3), dissociated(3)])
    F = structure_features(SPACE, X)
    Q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    moved = (X.view(6, 4, 3)[:, [2, 0, 3, 1]] @ Q).reshape(6, -1)
    torch.testing.assert_close(structure_features(SPACE, moved), F)
    assert (F[3:, 0] < 0.05).all()
    assert (F[:3, 0] > 0.2).all()


def drawn_apart(atoms):
    """Return the energy of long bonds, which a calculation does not survive."""
    d = atoms.get_all_distances() + 99 * np.eye(len(atoms))
    if d.min(1).max() > 3.2:
        return Failure("the self-consistent field did not converge")
    atoms.calc = MorsePotential(epsilon=1.0, r0=3.6, rho0=4.0)
    return atoms.get_potential_energy(), atoms.get_forces()


def members(n=80):
    r = np.random.default_rng(0)
    tetrahedron = np.array([(0, 0, 0), (2.4, 0, 0), (1.2, 2.1, 0), (1.2, 0.7, 2.0)])
    images = []
    for k in range(n):
        positions = tetrahedron * r.uniform(0.9, 1.1) + r.normal(0, 0.1, (4, 3))
        positions[3] *= r.uniform(1.5, 4) if k % 5 > 1 else 1
        images.append(Atoms("Cu4", positions))
    return Pool(images, assume_distinct=True)


@pytest.mark.slow
def test_fewer_evaluations_are_wasted(tmp_path, monkeypatch):
    """Where the model promises most of what always fails."""

    def n_failed(folder):
        run = Campaign(
            members(), Function(drawn_apart), LocalGP(max_inducing=60), stop=stop.Evaluations(20)
        )
        return sum(trial.state == "failed" for trial in run.run(folder).trials())

    learnt = n_failed(tmp_path / "learnt")
    monkeypatch.setattr(step_module, "infeasible_candidates", lambda *_: None)
    assert learnt <= 0.7 * n_failed(tmp_path / "not")
